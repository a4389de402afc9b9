package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The golden cases of what administrators ask of topics, groups and brokers. Grants
// are on mine and also; theirs exists and is denied.
var adminTopics = []string{"mine", "also", "theirs"}

const (
	topicText   = "Topic authorization failed."
	clusterText = "Cluster authorization failed."
)

// asked and replied make the functions of a [splitCase] of messages that are made
// anew for each version.
func asked(f func() kmsg.Request) func(int16) kmsg.Request {
	return func(int16) kmsg.Request { return f() }
}

func replied(f func() kmsg.Response) func(int16) kmsg.Response {
	return func(int16) kmsg.Response { return f() }
}

func TestCreateTopicsRow(t *testing.T) {
	request := func(topics ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.CreateTopicsRequest{TimeoutMillis: 5}
			for _, n := range topics {
				req.Topics = append(req.Topics, kmsg.CreateTopicsRequestTopic{Topic: n, NumPartitions: 3, ReplicationFactor: 1})
			}
			return req
		})
	}
	type topic = kmsg.CreateTopicsResponseTopic
	shown := func(n string) topic {
		return topic{Topic: n, TopicID: topicID(n), NumPartitions: 3, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsResponseTopicConfig{{Name: "cleanup.policy", Value: name("delete")}}}
	}
	hidden := func(n string) topic {
		return topic{Topic: n, TopicID: topicID(n), ConfigErrorCode: 29, NumPartitions: -1, ReplicationFactor: -1, Configs: []kmsg.CreateTopicsResponseTopicConfig{}}
	}
	denied := func(n string) topic {
		return topic{Topic: n, ErrorCode: 29, ErrorMessage: name("Authorization failed."), NumPartitions: -1, ReplicationFactor: -1, Configs: []kmsg.CreateTopicsResponseTopicConfig{}}
	}
	exists := topic{Topic: "mine", ErrorCode: 36, ErrorMessage: name("Topic 'mine' already exists."), NumPartitions: -1, ReplicationFactor: -1, Configs: []kmsg.CreateTopicsResponseTopicConfig{}}
	response := func(topics ...topic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response { return &kmsg.CreateTopicsResponse{ThrottleMillis: 7, Topics: topics} })
	}
	byTopic := judge(adminTopics, "CREATE topic mine", "CREATE topic also", "DESCRIBE_CONFIGS topic mine")
	byCluster := judge(adminTopics, "CREATE cluster kafka-cluster", "DESCRIBE_CONFIGS topic mine")
	runSplitCases(t, []splitCase{
		{
			name: "some denied, some shown", key: 19, judge: byTopic, req: request("theirs", "mine", "also", ""), rest: request("mine", "also"),
			answer: response(shown("mine"), shown("also")), want: response(shown("mine"), hidden("also"), denied("theirs"), denied("")),
		},
		{
			name: "by the cluster", key: 19, judge: byCluster, req: request("theirs", "mine"), rest: request("theirs", "mine"),
			answer: response(shown("theirs"), exists), want: response(hidden("theirs"), exists),
		},
		{
			name: "all denied", key: 19, judge: judge(adminTopics, "WRITE topic theirs", "CREATE topic mine", "ALTER cluster kafka-cluster"),
			req:  request("theirs"),
			want: replied(func() kmsg.Response { return &kmsg.CreateTopicsResponse{Topics: []topic{denied("theirs")}} }),
		},
	})
}

// deleteRequest names topics, in the list that the version has; with an id in front
// of the name where it begins with "#".
func deleteRequest(topics ...string) func(int16) kmsg.Request {
	return func(v int16) kmsg.Request {
		req := &kmsg.DeleteTopicsRequest{TimeoutMillis: 5}
		for _, n := range topics {
			if v < 6 {
				req.TopicNames = append(req.TopicNames, n)
				continue
			}
			e := kmsg.DeleteTopicsRequestTopic{Topic: name(n)}
			if n[0] == '#' {
				e.Topic, e.TopicID = nil, topicID(n[1:])
			}
			req.Topics = append(req.Topics, e)
		}
		return req
	}
}

func TestDeleteTopicsRow(t *testing.T) {
	type topic = kmsg.DeleteTopicsResponseTopic
	response := func(topics ...topic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response { return &kmsg.DeleteTopicsResponse{ThrottleMillis: 7, Topics: topics} })
	}
	local := func(topics ...topic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response { return &kmsg.DeleteTopicsResponse{Topics: topics} })
	}
	denied := func(n string) topic { return topic{Topic: name(n), ErrorCode: 29, ErrorMessage: name(topicText)} }
	deniedID := func(shown *string, n string) topic {
		return topic{Topic: shown, TopicID: topicID(n), ErrorCode: 29, ErrorMessage: name(topicText)}
	}
	ok := topic{Topic: name("mine"), TopicID: topicID("mine")}
	unknown := topic{TopicID: topicID("gone"), ErrorCode: 100, ErrorMessage: name("This server does not host this topic ID.")}
	owner := judge(adminTopics, "DELETE topic mine", "DESCRIBE topic mine", "DESCRIBE topic also")
	cluster := judge(adminTopics, "DELETE cluster kafka-cluster")
	both := func(n, id string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			return &kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{{Topic: name(n), TopicID: topicID(id)}}}
		})
	}
	refusedBoth := func(n, id string) topic {
		return topic{Topic: name(n), TopicID: topicID(id), ErrorCode: 42, ErrorMessage: name("You may not specify both topic name and topic id.")}
	}
	runSplitCases(t, []splitCase{
		{
			name: "by name", key: 20, judge: owner, req: deleteRequest("theirs", "mine", "also", "gone"), rest: deleteRequest("mine"),
			answer: response(ok), want: response(ok, denied("theirs"), denied("also"), denied("gone")),
		},
		{
			name: "by id", key: 20, min: 6, judge: owner, req: deleteRequest("#theirs", "#mine", "#also", "#gone"), rest: deleteRequest("#mine"),
			answer: response(ok), want: response(ok, deniedID(nil, "theirs"), deniedID(name("also"), "also"), unknown),
		},
		{name: "DELETE without DESCRIBE", key: 20, judge: judge(adminTopics, "DELETE topic mine"), req: deleteRequest("mine"), want: local(denied("mine"))},
		{
			name: "by the cluster", key: 20, judge: cluster, req: deleteRequest("theirs"), rest: deleteRequest("theirs"),
			answer: response(ok), want: response(ok),
		},
		{
			name: "by id and the cluster", key: 20, min: 6, judge: cluster, req: deleteRequest("#theirs", "#gone"), rest: deleteRequest("#theirs"),
			answer: response(ok), want: response(ok, unknown),
		},
		{name: "a name and an id that disagree", key: 20, min: 6, judge: owner, req: both("mine", "theirs"), want: local(refusedBoth("mine", "theirs"))},
		{name: "an id and a name that disagree", key: 20, min: 6, judge: owner, req: both("theirs", "mine"), want: local(refusedBoth("theirs", "mine"))},
		{
			name: "neither name nor id", key: 20, min: 6, judge: judgeNone(adminTopics...),
			req:    asked(func() kmsg.Request { return &kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{{}}} }),
			rest:   asked(func() kmsg.Request { return &kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{{}}} }),
			answer: response(topic{ErrorCode: 42}), want: response(topic{ErrorCode: 42}),
		},
	})
}

func TestCreatePartitionsRow(t *testing.T) {
	type topic = kmsg.CreatePartitionsResponseTopic
	request := func(topics ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.CreatePartitionsRequest{}
			for _, n := range topics {
				req.Topics = append(req.Topics, kmsg.CreatePartitionsRequestTopic{Topic: n, Count: 6})
			}
			return req
		})
	}
	response := func(throttle int32, topics ...topic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response { return &kmsg.CreatePartitionsResponse{ThrottleMillis: throttle, Topics: topics} })
	}
	j := judge(adminTopics, "ALTER topic mine", "CREATE topic theirs", "ALTER cluster kafka-cluster")
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 37, judge: j, req: request("theirs", "mine"), rest: request("mine"),
			answer: response(7, topic{Topic: "mine"}), want: response(7, topic{Topic: "mine"}, topic{Topic: "theirs", ErrorCode: 29}),
		},
		{name: "all denied", key: 37, judge: j, req: request("theirs"), want: response(0, topic{Topic: "theirs", ErrorCode: 29})},
	})
}

func TestAlterConfigsRows(t *testing.T) {
	types := []kmsg.ConfigResourceType{topicConfig, topicConfig, groupConfig, groupConfig, brokerConfig, loggerConfig, clientConfig, 99}
	names := []string{"mine", "theirs", "g", "h", "1", "1", "m", "?"}
	legacy := func(at ...int) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.AlterConfigsRequest{ValidateOnly: true}
			for _, i := range at {
				req.Resources = append(req.Resources, kmsg.AlterConfigsRequestResource{ResourceType: types[i], ResourceName: names[i]})
			}
			return req
		})
	}
	incremental := func(at ...int) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.IncrementalAlterConfigsRequest{ValidateOnly: true}
			for _, i := range at {
				req.Resources = append(req.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: types[i], ResourceName: names[i]})
			}
			return req
		})
	}
	texts := map[int16]*string{0: nil, 29: name(topicText), 30: name("Group authorization failed."), 31: name(clusterText)}
	// results are pairs of a resource's place and its code.
	legacyResults := func(results ...[2]int) func(int16) kmsg.Response {
		return replied(func() kmsg.Response {
			resp := &kmsg.AlterConfigsResponse{}
			for _, r := range results {
				code := int16(r[1])
				resp.Resources = append(resp.Resources, kmsg.AlterConfigsResponseResource{ErrorCode: code, ErrorMessage: texts[code], ResourceType: types[r[0]], ResourceName: names[r[0]]})
			}
			return resp
		})
	}
	incrementalResults := func(results ...[2]int) func(int16) kmsg.Response {
		return replied(func() kmsg.Response {
			resp := &kmsg.IncrementalAlterConfigsResponse{}
			for _, r := range results {
				code := int16(r[1])
				resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{ErrorCode: code, ErrorMessage: texts[code], ResourceType: types[r[0]], ResourceName: names[r[0]]})
			}
			return resp
		})
	}
	byName := judge(adminTopics, "ALTER_CONFIGS topic mine", "ALTER_CONFIGS group g", "DESCRIBE_CONFIGS topic theirs", "DESCRIBE_CONFIGS cluster kafka-cluster")
	byCluster := judge(adminTopics, "ALTER_CONFIGS cluster kafka-cluster")
	named := [][2]int{{0, 0}, {2, 0}, {1, 29}, {3, 30}, {4, 31}, {5, 31}, {6, 31}, {7, 31}}
	clustered := [][2]int{{4, 0}, {0, 29}, {1, 29}, {2, 30}, {3, 30}}
	all := []int{0, 1, 2, 3, 4, 5, 6, 7}
	runSplitCases(t, []splitCase{
		{name: "topics and groups", key: 33, judge: byName, req: legacy(all...), rest: legacy(0, 2), answer: legacyResults(named[:2]...), want: legacyResults(named...)},
		{name: "brokers and the like", key: 33, judge: byCluster, req: legacy(all...), rest: legacy(4, 5, 6, 7), answer: legacyResults(clustered[:1]...), want: legacyResults(clustered...)},
		{name: "all denied", key: 33, judge: byCluster, req: legacy(1), want: legacyResults([2]int{1, 29})},
		{name: "topics and groups", key: 44, judge: byName, req: incremental(all...), rest: incremental(0, 2), answer: incrementalResults(named[:2]...), want: incrementalResults(named...)},
		{name: "brokers and the like", key: 44, judge: byCluster, req: incremental(all...), rest: incremental(4, 5, 6, 7), answer: incrementalResults(clustered[:1]...), want: incrementalResults(clustered...)},
		{name: "all denied", key: 44, judge: byCluster, req: incremental(1), want: incrementalResults([2]int{1, 29})},
	})
}

func TestDeleteGroupsRow(t *testing.T) {
	type group = kmsg.DeleteGroupsResponseGroup
	request := func(groups ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request { return &kmsg.DeleteGroupsRequest{Groups: append([]string(nil), groups...)} })
	}
	response := func(throttle int32, groups ...group) func(int16) kmsg.Response {
		return replied(func() kmsg.Response { return &kmsg.DeleteGroupsResponse{ThrottleMillis: throttle, Groups: groups} })
	}
	j := judge(nil, "DELETE group g", "READ group h", "DESCRIBE cluster kafka-cluster")
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 42, judge: j, req: request("h", "g", ""), rest: request("g"),
			answer: response(7, group{Group: "g", ErrorCode: 68}), want: response(7, group{Group: "g", ErrorCode: 68}, group{Group: "h", ErrorCode: 30}, group{ErrorCode: 30}),
		},
		{name: "all denied", key: 42, judge: j, req: request("h"), want: response(0, group{Group: "h", ErrorCode: 30})},
	})
}

func TestOffsetDeleteRow(t *testing.T) {
	type topic = kmsg.OffsetDeleteResponseTopic
	request := func(group string, topics ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.OffsetDeleteRequest{Group: group}
			for _, n := range topics {
				req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: n, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}, {Partition: 2}}})
			}
			return req
		})
	}
	of := func(n string, code int16) topic {
		return topic{Topic: n, Partitions: []kmsg.OffsetDeleteResponseTopicPartition{{Partition: 1, ErrorCode: code}, {Partition: 2, ErrorCode: code}}}
	}
	response := func(code int16, throttle int32, topics ...topic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response {
			return &kmsg.OffsetDeleteResponse{ErrorCode: code, ThrottleMillis: throttle, Topics: topics}
		})
	}
	j := judge(adminTopics, "DELETE group g", "READ group h", "READ topic mine", "DELETE topic theirs")
	runSplitCases(t, []splitCase{
		{name: "group denied", key: 47, judge: j, req: request("h", "mine"), want: response(30, 0)},
		{
			name: "a topic denied", key: 47, judge: j, req: request("g", "theirs", "mine"), rest: request("g", "mine"),
			answer: response(0, 7, of("mine", 86)), want: response(0, 7, of("mine", 86), of("theirs", 29)),
		},
		{
			name: "all topics denied", key: 47, judge: j, req: request("g", "theirs"), rest: request("g"),
			answer: response(0, 7), want: response(0, 7, of("theirs", 29)),
		},
		{
			name: "no such group", key: 47, judge: j, req: request("g", "theirs", "mine"), rest: request("g", "mine"),
			answer: response(69, 7), want: response(69, 7),
		},
	})
}

func TestShareGroupOffsetsRows(t *testing.T) {
	alter := func(group string, topics ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.AlterShareGroupOffsetsRequest{GroupID: group}
			for _, n := range topics {
				req.Topics = append(req.Topics, kmsg.AlterShareGroupOffsetsRequestTopic{Topic: n, Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{Partition: 1}}})
			}
			return req
		})
	}
	type alteredTopic = kmsg.AlterShareGroupOffsetsResponseTopic
	altered := func(n string, id [16]byte, code int16, text *string) alteredTopic {
		return alteredTopic{Topic: n, TopicID: id, Partitions: []kmsg.AlterShareGroupOffsetsResponseTopicPartition{{Partition: 1, ErrorCode: code, ErrorMessage: text}}}
	}
	alterations := func(code int16, text *string, topics ...alteredTopic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response {
			return &kmsg.AlterShareGroupOffsetsResponse{ErrorCode: code, ErrorMessage: text, Topics: topics}
		})
	}
	remove := func(group string, topics ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.DeleteShareGroupOffsetsRequest{GroupID: group}
			for _, n := range topics {
				req.Topics = append(req.Topics, kmsg.DeleteShareGroupOffsetsRequestTopic{Topic: n})
			}
			return req
		})
	}
	type removedTopic = kmsg.DeleteShareGroupOffsetsResponseTopic
	removals := func(code int16, text *string, topics ...removedTopic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response {
			return &kmsg.DeleteShareGroupOffsetsResponse{ErrorCode: code, ErrorMessage: text, Topics: topics}
		})
	}
	none, denied, groupText := [16]byte{}, name(topicText), name("Group authorization failed.")
	readable := judge(adminTopics, "READ group g", "DELETE group h", "READ topic mine")
	deletable := judge(adminTopics, "DELETE group g", "READ group h", "READ topic mine")
	removed := removedTopic{Topic: "mine", TopicID: topicID("mine")}
	runSplitCases(t, []splitCase{
		{name: "group denied", key: 91, judge: readable, req: alter("h", "mine"), want: alterations(30, groupText)},
		{
			name: "a topic denied", key: 91, judge: readable, req: alter("g", "theirs", "mine"), rest: alter("g", "mine"),
			answer: alterations(0, nil, altered("mine", topicID("mine"), 0, nil)),
			want:   alterations(0, nil, altered("mine", topicID("mine"), 0, nil), altered("theirs", none, 29, denied)),
		},
		{name: "all topics denied", key: 91, judge: readable, req: alter("g", "theirs"), want: alterations(0, nil, altered("theirs", none, 29, denied))},
		{
			name: "no such group", key: 91, judge: readable, req: alter("g", "theirs", "mine"), rest: alter("g", "mine"),
			answer: alterations(69, name("no group")), want: alterations(69, name("no group")),
		},
		{name: "group denied", key: 92, judge: deletable, req: remove("h", "mine"), want: removals(30, groupText)},
		{
			name: "a topic denied", key: 92, judge: deletable, req: remove("g", "theirs", "mine"), rest: remove("g", "mine"),
			answer: removals(0, nil, removed), want: removals(0, nil, removed, removedTopic{Topic: "theirs", ErrorCode: 29, ErrorMessage: denied}),
		},
		{name: "all topics denied", key: 92, judge: deletable, req: remove("g", "theirs"), want: removals(0, nil, removedTopic{Topic: "theirs", ErrorCode: 29, ErrorMessage: denied})},
		{
			name: "no such group", key: 92, judge: deletable, req: remove("g", "theirs", "mine"), rest: remove("g", "mine"),
			answer: removals(69, nil), want: removals(69, nil),
		},
	})
}

func TestDescribeProducersRow(t *testing.T) {
	request := func(topics ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			req := &kmsg.DescribeProducersRequest{}
			for _, n := range topics {
				req.Topics = append(req.Topics, kmsg.DescribeProducersRequestTopic{Topic: n, Partitions: []int32{4}})
			}
			return req
		})
	}
	type topic = kmsg.DescribeProducersResponseTopic
	type partition = kmsg.DescribeProducersResponseTopicPartition
	mine := topic{Topic: "mine", Partitions: []partition{{Partition: 4, ActiveProducers: []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{{ProducerID: 9}}}}}
	theirs := topic{Topic: "theirs", Partitions: []partition{{Partition: 4, ErrorCode: 29, ErrorMessage: name(topicText)}}}
	response := func(throttle int32, topics ...topic) func(int16) kmsg.Response {
		return replied(func() kmsg.Response { return &kmsg.DescribeProducersResponse{ThrottleMillis: throttle, Topics: topics} })
	}
	j := judge(adminTopics, "READ topic mine", "DESCRIBE topic theirs", "DESCRIBE cluster kafka-cluster")
	runSplitCases(t, []splitCase{
		{name: "some denied", key: 61, judge: j, req: request("theirs", "mine"), rest: request("mine"), answer: response(7, mine), want: response(7, mine, theirs)},
		{name: "all denied", key: 61, judge: j, req: request("theirs"), want: response(0, theirs)},
	})
}

func TestDescribeTransactionsRow(t *testing.T) {
	request := func(ids ...string) func(int16) kmsg.Request {
		return asked(func() kmsg.Request {
			return &kmsg.DescribeTransactionsRequest{TransactionalIDs: append([]string(nil), ids...)}
		})
	}
	type state = kmsg.DescribeTransactionsResponseTransactionState
	open := func(id string, topics ...string) state {
		s := state{TransactionalID: id, State: "Ongoing", ProducerID: 9}
		for _, n := range topics {
			s.Topics = append(s.Topics, kmsg.DescribeTransactionsResponseTransactionStateTopic{Topic: n, Partitions: []int32{0}})
		}
		return s
	}
	response := func(throttle int32, states ...func() state) func(int16) kmsg.Response {
		return replied(func() kmsg.Response {
			resp := &kmsg.DescribeTransactionsResponse{ThrottleMillis: throttle}
			for _, s := range states {
				resp.TransactionStates = append(resp.TransactionStates, s())
			}
			return resp
		})
	}
	denied := func() state { return state{TransactionalID: "other", ErrorCode: 53} }
	j := judge(adminTopics, "DESCRIBE transactional_id tx", "DESCRIBE topic mine", "READ topic theirs")
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 65, judge: j, req: request("other", "tx"), rest: request("tx"),
			answer: response(7, func() state { return open("tx", "theirs", "mine") }), want: response(7, func() state { return open("tx", "mine") }, denied),
		},
		{name: "all denied", key: 65, judge: j, req: request("other"), want: response(0, denied)},
	})
}
