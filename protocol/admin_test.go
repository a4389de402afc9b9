package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	topicConfig  = kmsg.ConfigResourceTypeTopic
	brokerConfig = kmsg.ConfigResourceTypeBroker
	loggerConfig = kmsg.ConfigResourceTypeBrokerLogger
	clientConfig = kmsg.ConfigResourceType(16)
	groupConfig  = kmsg.ConfigResourceType(32)
)

func TestDescribeConfigsRow(t *testing.T) {
	type resource = kmsg.DescribeConfigsRequestResource
	request := func(resources ...resource) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.DescribeConfigsRequest{Resources: resources, IncludeSynonyms: true}
		}
	}
	answered := func(t kmsg.ConfigResourceType, name string) kmsg.DescribeConfigsResponseResource {
		return kmsg.DescribeConfigsResponseResource{ResourceType: t, ResourceName: name, Configs: []kmsg.DescribeConfigsResponseResourceConfig{{
			Name: "cleanup.policy", Value: kmsg.StringPtr("delete"), Source: 5,
		}}}
	}
	denied := func(t kmsg.ConfigResourceType, name string, code int16, message string) kmsg.DescribeConfigsResponseResource {
		return kmsg.DescribeConfigsResponseResource{ResourceType: t, ResourceName: name, ErrorCode: code, ErrorMessage: &message}
	}
	response := func(throttle int32, resources ...kmsg.DescribeConfigsResponseResource) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.DescribeConfigsResponse{ThrottleMillis: throttle, Resources: resources}
		}
	}
	ofTopics := judge(sliceTopics, "DESCRIBE_CONFIGS topic mine", "DESCRIBE_CONFIGS group g")
	ofCluster := judge(sliceTopics, "DESCRIBE_CONFIGS cluster kafka-cluster")
	everything := request(resource{ResourceType: topicConfig, ResourceName: "mine"}, resource{ResourceType: topicConfig, ResourceName: "theirs"},
		resource{ResourceType: groupConfig, ResourceName: "g"}, resource{ResourceType: groupConfig, ResourceName: ""},
		resource{ResourceType: brokerConfig, ResourceName: "1", ConfigNames: []string{"x"}}, resource{ResourceType: loggerConfig, ResourceName: "1"},
		resource{ResourceType: clientConfig, ResourceName: "m"}, resource{ResourceType: 99, ResourceName: "?"})
	const topicText, groupText, clusterText = "Topic authorization failed.", "Group authorization failed.", "Cluster authorization failed."
	runSplitCases(t, []splitCase{
		{
			name: "topics and groups", key: 32, judge: ofTopics, req: everything,
			rest:   request(resource{ResourceType: topicConfig, ResourceName: "mine"}, resource{ResourceType: groupConfig, ResourceName: "g"}),
			answer: response(7, answered(topicConfig, "mine"), answered(groupConfig, "g")),
			want: response(7, answered(topicConfig, "mine"), answered(groupConfig, "g"),
				denied(topicConfig, "theirs", 29, topicText), denied(groupConfig, "", 30, groupText),
				denied(brokerConfig, "1", 31, clusterText), denied(loggerConfig, "1", 31, clusterText),
				denied(clientConfig, "m", 31, clusterText), denied(99, "?", 31, clusterText)),
		},
		{
			name: "brokers and the like", key: 32, judge: ofCluster, req: everything,
			rest: request(resource{ResourceType: brokerConfig, ResourceName: "1", ConfigNames: []string{"x"}}, resource{ResourceType: loggerConfig, ResourceName: "1"},
				resource{ResourceType: clientConfig, ResourceName: "m"}, resource{ResourceType: 99, ResourceName: "?"}),
			answer: response(7, answered(brokerConfig, "1")),
			want: response(7, answered(brokerConfig, "1"), denied(topicConfig, "mine", 29, topicText), denied(topicConfig, "theirs", 29, topicText),
				denied(groupConfig, "g", 30, groupText), denied(groupConfig, "", 30, groupText)),
		},
		{
			name: "all denied", key: 32, judge: ofCluster, req: request(resource{ResourceType: topicConfig, ResourceName: "mine"}),
			want: response(0, denied(topicConfig, "mine", 29, topicText)),
		},
	})
}

func TestDescribeConfigsNodes(t *testing.T) {
	type resource = kmsg.DescribeConfigsRequestResource
	request := func(resources ...resource) *kmsg.DescribeConfigsRequest {
		return &kmsg.DescribeConfigsRequest{Resources: resources}
	}
	config := func(n string, value *string, synonyms ...kmsg.DescribeConfigsResponseResourceConfigConfigSynonym) kmsg.DescribeConfigsResponseResourceConfig {
		return kmsg.DescribeConfigsResponseResourceConfig{Name: n, Value: value, Source: 5, ConfigSynonyms: synonyms}
	}
	synonym := func(n string, value *string) kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
		return kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Name: n, Value: value, Source: 4}
	}
	response := func(t kmsg.ConfigResourceType, n string, message *string, configs ...kmsg.DescribeConfigsResponseResourceConfig) *kmsg.DescribeConfigsResponse {
		return &kmsg.DescribeConfigsResponse{Resources: []kmsg.DescribeConfigsResponseResource{{ResourceType: t, ResourceName: n, ErrorMessage: message, Configs: configs}}}
	}
	at := name("PLAINTEXT://b1.internal:9092")
	runRewriteCases(t, []rewriteCase{
		{
			name: "broker", key: 32,
			req: request(resource{ResourceType: brokerConfig, ResourceName: "3145729"}, resource{ResourceType: loggerConfig, ResourceName: "3145730"},
				resource{ResourceType: brokerConfig, ResourceName: ""}, resource{ResourceType: topicConfig, ResourceName: "3145729"}),
			wantReq: request(resource{ResourceType: brokerConfig, ResourceName: "1"}, resource{ResourceType: loggerConfig, ResourceName: "2"},
				resource{ResourceType: brokerConfig, ResourceName: ""}, resource{ResourceType: topicConfig, ResourceName: "3145729"}),
			resp: response(brokerConfig, "1", nil, config("advertised.listeners", at, synonym("advertised.listeners", at)), config("listeners", at),
				config("controller.quorum.voters", at), config("controller.quorum.bootstrap.servers", at), config("node.id", name("1")),
				config("log.dirs", name("/data"), synonym("listeners", at), synonym("log.dir", name("/tmp")))),
			wantResp: response(brokerConfig, "3145729", nil, config("advertised.listeners", nil, synonym("advertised.listeners", nil)), config("listeners", nil),
				config("controller.quorum.voters", nil), config("controller.quorum.bootstrap.servers", nil), config("node.id", nil),
				config("log.dirs", name("/data"), synonym("listeners", nil), synonym("log.dir", name("/tmp")))),
		},
		{name: "logger", key: 32, resp: response(loggerConfig, "2", nil), wantResp: response(loggerConfig, "3145730", nil)},
		{name: "defaults of all brokers", key: 32, resp: response(brokerConfig, "", nil), wantResp: response(brokerConfig, "", nil)},
		{name: "topic named like a node", key: 32, resp: response(topicConfig, "1", name("text")), wantResp: response(topicConfig, "1", name("text"))},
		{
			name: "broker of another slice", key: 32, foreign: true,
			req:      request(resource{ResourceType: brokerConfig, ResourceName: "2097153"}, resource{ResourceType: brokerConfig, ResourceName: "3145729"}),
			wantReq:  request(resource{ResourceType: brokerConfig, ResourceName: "2097153"}, resource{ResourceType: brokerConfig, ResourceName: "1"}),
			resp:     response(brokerConfig, "2097153", name("Unexpected broker id, expected 1 or empty string, but received 2097153")),
			wantResp: response(brokerConfig, "2097153", nil),
		},
		{
			name: "broker of slot 0, which could be taken for a real one", key: 32, foreign: true,
			req: request(resource{ResourceType: brokerConfig, ResourceName: "1"}), wantReq: request(resource{ResourceType: brokerConfig, ResourceName: "536870912"}),
		},
		{
			name: "no node id", key: 32,
			req:     request(resource{ResourceType: brokerConfig, ResourceName: "one"}, resource{ResourceType: brokerConfig, ResourceName: "-1"}),
			wantReq: request(resource{ResourceType: brokerConfig, ResourceName: "one"}, resource{ResourceType: brokerConfig, ResourceName: "-1"}),
		},
	})
}

func TestAdminConfigRows(t *testing.T) {
	alter := func(n string) kmsg.Request {
		return &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: brokerConfig, ResourceName: n}, {ResourceType: topicConfig, ResourceName: "1"}}}
	}
	altered := func(n string, message *string) kmsg.Response {
		return &kmsg.AlterConfigsResponse{Resources: []kmsg.AlterConfigsResponseResource{{ErrorCode: 42, ErrorMessage: message, ResourceType: brokerConfig, ResourceName: n}, {ErrorMessage: name("m"), ResourceType: topicConfig, ResourceName: "1"}}}
	}
	incremental := func(n string) kmsg.Request {
		return &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: loggerConfig, ResourceName: n}, {ResourceType: topicConfig, ResourceName: "1"}}}
	}
	incremented := func(n string, message *string) kmsg.Response {
		return &kmsg.IncrementalAlterConfigsResponse{Resources: []kmsg.IncrementalAlterConfigsResponseResource{{ErrorCode: 42, ErrorMessage: message, ResourceType: loggerConfig, ResourceName: n}, {ErrorMessage: name("m"), ResourceType: topicConfig, ResourceName: "1"}}}
	}
	listed := func(types int8, names ...string) kmsg.Response {
		resp := &kmsg.ListConfigResourcesResponse{}
		for _, n := range names {
			resp.ConfigResources = append(resp.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: n, Type: types})
		}
		return resp
	}
	text := name("Unexpected broker id, expected 1")
	runRewriteCases(t, []rewriteCase{
		{name: "broker", key: 33, req: alter("3145729"), wantReq: alter("1"), resp: altered("1", text), wantResp: altered("3145729", nil)},
		{name: "foreign", key: 33, foreign: true, req: alter("2097153"), wantReq: alter("2097153")},
		{name: "logger", key: 44, req: incremental("3145729"), wantReq: incremental("1"), resp: incremented("1", text), wantResp: incremented("3145729", nil)},
		{name: "foreign", key: 44, foreign: true, req: incremental("2097153"), wantReq: incremental("2097153")},
		{name: "brokers", key: 74, min: 1, resp: listed(4, "1", "2", ""), wantResp: listed(4, "3145729", "3145730", "")},
		{name: "loggers", key: 74, min: 1, resp: listed(8, "1"), wantResp: listed(8, "3145729")},
		{name: "topics", key: 74, min: 1, resp: listed(2, "1"), wantResp: listed(2, "1")},
		{name: "client metrics", key: 74, resp: listed(16, "1"), wantResp: listed(16, "1")},
	})
}

func TestAdminNodes(t *testing.T) {
	create := func(ids ...int32) kmsg.Request {
		return &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{
			{Topic: "a", NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: ids}}},
			{Topic: "b", NumPartitions: 3, ReplicationFactor: 1},
		}}
	}
	created := func(code int16, message *string) kmsg.Response {
		return &kmsg.CreateTopicsResponse{Topics: []kmsg.CreateTopicsResponseTopic{{Topic: "a", ErrorCode: code, ErrorMessage: message}}}
	}
	grow := func(ids ...int32) kmsg.Request {
		return &kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 2, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: ids}}}, {Topic: "b", Count: 2}}}
	}
	grown := func(code int16, message *string) kmsg.Response {
		return &kmsg.CreatePartitionsResponse{Topics: []kmsg.CreatePartitionsResponseTopic{{Topic: "a", ErrorCode: code, ErrorMessage: message}}}
	}
	move := func(ids ...int32) kmsg.Request {
		return &kmsg.AlterPartitionAssignmentsRequest{Topics: []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "a", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: ids}, {Partition: 1}}}}}
	}
	moved := func(code int16, message *string) kmsg.Response {
		return &kmsg.AlterPartitionAssignmentsResponse{Topics: []kmsg.AlterPartitionAssignmentsResponseTopic{{Topic: "a", Partitions: []kmsg.AlterPartitionAssignmentsResponseTopicPartition{{ErrorCode: code, ErrorMessage: message}}}}}
	}
	moving := func(a, b, c int32) kmsg.Response {
		return &kmsg.ListPartitionReassignmentsResponse{Topics: []kmsg.ListPartitionReassignmentsResponseTopic{{Topic: "a", Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{
			{Replicas: []int32{a, b}, AddingReplicas: []int32{b}, RemovingReplicas: []int32{c}},
		}}}}
	}
	type replica = kmsg.DescribeQuorumResponseTopicPartitionReplicaState
	quorum := func(leader, voter, observer, node int32, listeners ...kmsg.DescribeQuorumResponseNodeListener) kmsg.Response {
		return &kmsg.DescribeQuorumResponse{
			Topics: []kmsg.DescribeQuorumResponseTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumResponseTopicPartition{
				{LeaderID: leader, LeaderEpoch: 1, CurrentVoters: []replica{{ReplicaID: voter}}, Observers: []replica{{ReplicaID: observer}}},
			}}},
			Nodes: []kmsg.DescribeQuorumResponseNode{{NodeID: node, Listeners: listeners}},
		}
	}
	text := name("The manual partition assignment includes broker 5, but no such broker is registered.")
	const invalid = 39
	runRewriteCases(t, []rewriteCase{
		{name: "assignment", key: 19, req: create(virtual(1), virtual(2)), wantReq: create(1, 2), resp: created(invalid, text), wantResp: created(invalid, nil)},
		{name: "other errors", key: 19, resp: created(36, name("exists")), wantResp: created(36, name("exists"))},
		{name: "foreign", key: 19, foreign: true, req: create(1<<20+1, virtual(1), 1), wantReq: create(1<<20+1, 1, RefusalNode)},
		{name: "assignment", key: 37, req: grow(virtual(1), virtual(2)), wantReq: grow(1, 2), resp: grown(invalid, text), wantResp: grown(invalid, nil)},
		{name: "foreign", key: 37, foreign: true, req: grow(1 << 20), wantReq: grow(1 << 20)},
		{name: "assignment", key: 45, req: move(virtual(1), virtual(2)), wantReq: move(1, 2), resp: moved(invalid, text), wantResp: moved(invalid, nil)},
		{name: "foreign", key: 45, foreign: true, req: move(1 << 20), wantReq: move(1 << 20)},
		{name: "reassignments", key: 46, resp: moving(1, 2, 9), wantResp: moving(virtual(1), virtual(2), virtual(9))},
		{
			name: "quorum", key: 55,
			resp:     quorum(1, 2, 9, 100, kmsg.DescribeQuorumResponseNodeListener{Name: "CONTROLLER", Host: "c.internal", Port: 9093}),
			wantResp: quorum(virtual(1), virtual(2), virtual(9), virtual(100)),
		},
		{name: "no leader", key: 55, resp: quorum(-1, 1, 1, 1), wantResp: quorum(-1, virtual(1), virtual(1), virtual(1))},
	})
}
