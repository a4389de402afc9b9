package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func metadataRequest(create bool, topics ...kmsg.MetadataRequestTopic) func(int16) kmsg.Request {
	return func(v int16) kmsg.Request {
		if topics == nil && v == 0 {
			topics = []kmsg.MetadataRequestTopic{}
		}
		return &kmsg.MetadataRequest{
			Topics: topics, AllowAutoTopicCreation: create,
			IncludeClusterAuthorizedOperations: true, IncludeTopicAuthorizedOperations: true,
		}
	}
}

// named are topics of a Metadata request by name; never null, so that none is no
// topic rather than all of them.
func named(names ...string) []kmsg.MetadataRequestTopic {
	topics := []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		topics = append(topics, kmsg.MetadataRequestTopic{Topic: name(n)})
	}
	return topics
}

// withID are topics by id; none is zero.
func withID(names ...string) []kmsg.MetadataRequestTopic {
	topics := []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		topics = append(topics, kmsg.MetadataRequestTopic{TopicID: topicID(n)})
	}
	return topics
}

// described is a topic in a broker's answer, with all operations that a broker
// knows; what the tenant may see of them is ops.
func described(n string, ops int32) kmsg.MetadataResponseTopic {
	return kmsg.MetadataResponseTopic{
		Topic: name(n), TopicID: topicID(n), AuthorizedOperations: ops,
		Partitions: []kmsg.MetadataResponseTopicPartition{{Partition: 4, Leader: 1, LeaderEpoch: 3, Replicas: []int32{1, 2}, ISR: []int32{1}}},
	}
}

// refusedTopic is a topic of which nothing but the error is said.
func refusedTopic(n *string, id [16]byte, code int16) kmsg.MetadataResponseTopic {
	return kmsg.MetadataResponseTopic{ErrorCode: code, Topic: n, TopicID: id, AuthorizedOperations: -1 << 31}
}

func metadataResponse(clusterOps int32, topics ...kmsg.MetadataResponseTopic) func(int16) kmsg.Response {
	return func(int16) kmsg.Response {
		return &kmsg.MetadataResponse{
			ThrottleMillis: 7, ClusterID: name("c"), ControllerID: 2, Topics: topics, AuthorizedOperations: clusterOps,
			Brokers: []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "b1.internal", Port: 9092, Rack: name("r")}},
		}
	}
}

// Bit fields of operations.
const (
	topicOps   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11 // all that a topic knows
	clusterOps = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	readOps    = 1<<3 | 1<<8 // READ, DESCRIBE
	createOps  = 1 << 5
)

// raised is the upstream version of a request that says what versions below 4 cannot.
func raised(v int16) int16 { return max(v, 4) }

func TestMetadataRow(t *testing.T) {
	runSplitCases(t, []splitCase{
		{
			name: "all topics", key: 3, judge: mayRead,
			req: metadataRequest(true), rest: metadataRequest(true),
			answer: metadataResponse(clusterOps, described("mine", topicOps), described("theirs", topicOps)),
			want:   metadataResponse(0, described("mine", readOps)),
		},
		{
			name: "operations that the broker itself lacks or was not asked for", key: 3,
			judge: judge(sliceTopics, "DESCRIBE topic mine", "READ topic mine", "DESCRIBE topic new", "DESCRIBE cluster kafka-cluster"),
			req:   metadataRequest(true), rest: metadataRequest(true),
			answer: metadataResponse(1<<8, described("mine", 1<<8), described("new", -1<<31)),
			want:   metadataResponse(1<<8, described("mine", 1<<8), described("new", -1<<31)),
		},
		{
			name: "no topics", key: 3, min: 1, judge: mayRead,
			req: metadataRequest(false, named()...), rest: metadataRequest(false, named()...),
			answer: metadataResponse(-1 << 31), want: metadataResponse(-1 << 31),
			upstream: func(v int16) int16 { return v },
		},
		{
			name: "some denied by name", key: 3, judge: mayRead, upstream: raised,
			req: metadataRequest(false, named("theirs", "mine", "", "theirs")...), rest: metadataRequest(false, named("mine")...),
			answer: metadataResponse(clusterOps, described("mine", topicOps)),
			want: metadataResponse(0, described("mine", readOps), refusedTopic(name("theirs"), [16]byte{}, 29),
				refusedTopic(name(""), [16]byte{}, 29), refusedTopic(name("theirs"), [16]byte{}, 29)),
		},
		{
			name: "all denied by name", key: 3, judge: mayRead,
			upstream: func(v int16) int16 {
				if v == 0 {
					return 4 // which can ask for no topic
				}
				return v
			},
			req:    metadataRequest(true, named("theirs")...),
			rest:   func(v int16) kmsg.Request { return metadataRequest(v != 0, named()...)(v) },
			answer: metadataResponse(clusterOps),
			want:   metadataResponse(0, refusedTopic(name("theirs"), [16]byte{}, 29)),
		},
		{
			name: "some denied by id", key: 3, min: 12, judge: mayRead,
			req: metadataRequest(false, withID("theirs", "mine", "gone")...), rest: metadataRequest(false, withID("mine", "gone")...),
			answer: metadataResponse(clusterOps, described("mine", topicOps), refusedTopic(nil, topicID("gone"), 100)),
			want: metadataResponse(0, described("mine", readOps), refusedTopic(nil, topicID("gone"), 100),
				refusedTopic(nil, topicID("theirs"), 29)),
		},
		{
			name: "an id hides behind a name, and neither of both", key: 3, min: 12, judge: mayRead,
			req:    metadataRequest(false, kmsg.MetadataRequestTopic{Topic: name("mine"), TopicID: topicID("theirs")}, kmsg.MetadataRequestTopic{}),
			rest:   metadataRequest(false, kmsg.MetadataRequestTopic{}),
			answer: metadataResponse(clusterOps, refusedTopic(nil, [16]byte{}, 100)),
			want:   metadataResponse(0, refusedTopic(nil, [16]byte{}, 100), refusedTopic(nil, topicID("theirs"), 29)),
		},
	})
}

// Versions 0 to 3 imply that topics may be created.
func TestMetadataCreates(t *testing.T) {
	creator := judge(sliceTopics, "DESCRIBE topic mine", "READ topic mine", "DESCRIBE topic new", "CREATE topic new")
	clusterCreator := judge(sliceTopics, "DESCRIBE topic mine", "READ topic mine", "DESCRIBE topic new", "CREATE cluster kafka-cluster", "DESCRIBE cluster kafka-cluster")
	reader := judge(sliceTopics, "DESCRIBE topic mine", "READ topic mine", "DESCRIBE topic new")
	runSplitCases(t, []splitCase{
		{
			name: "may create", key: 3, judge: creator,
			req: metadataRequest(true, named("new", "new")...), rest: metadataRequest(true, named("new", "new")...),
			answer: metadataResponse(-1<<31, refusedTopic(name("new"), [16]byte{}, 5)),
			want:   metadataResponse(-1<<31, refusedTopic(name("new"), [16]byte{}, 5)),
		},
		{
			name: "may create the one that is absent", key: 3, judge: creator,
			req: metadataRequest(true, named("mine", "new")...), rest: metadataRequest(true, named("mine", "new")...),
			answer: metadataResponse(-1<<31, described("mine", -1<<31)),
			want:   metadataResponse(-1<<31, described("mine", -1<<31)),
		},
		{
			name: "may create on the cluster", key: 3, judge: clusterCreator,
			req: metadataRequest(true, named("mine", "new")...), rest: metadataRequest(true, named("mine", "new")...),
			answer: metadataResponse(clusterOps, described("mine", topicOps)),
			want:   metadataResponse(createOps|1<<8, described("mine", readOps)),
		},
		{
			name: "may not create the one that is absent", key: 3, judge: reader, upstream: raised,
			req: metadataRequest(true, named("mine", "new")...), rest: metadataRequest(false, named("mine", "new")...),
			answer: metadataResponse(-1<<31, described("mine", -1<<31), refusedTopic(name("new"), [16]byte{}, 3)),
			want:   metadataResponse(-1<<31, described("mine", -1<<31), refusedTopic(name("new"), [16]byte{}, 3)),
		},
		{
			name: "may create one of two absent", key: 3, upstream: raised,
			judge: judge(sliceTopics, "DESCRIBE topic new", "CREATE topic new", "DESCRIBE topic newer"),
			req:   metadataRequest(true, named("new", "newer")...), rest: metadataRequest(false, named("new", "newer")...),
			answer: metadataResponse(-1 << 31), want: metadataResponse(-1 << 31),
		},
		{
			name: "by id there is nothing to create", key: 3, min: 12, judge: mayRead,
			req: metadataRequest(true, withID("mine")...), rest: metadataRequest(true, withID("mine")...),
			answer: metadataResponse(-1 << 31), want: metadataResponse(-1 << 31),
		},
	})
}

func TestMetadataNodes(t *testing.T) {
	partition := func(leader int32, code int16, ids ...int32) kmsg.MetadataResponseTopicPartition {
		return kmsg.MetadataResponseTopicPartition{
			Partition: 4, ErrorCode: code, Leader: leader, LeaderEpoch: 3,
			Replicas: append([]int32{}, ids...), ISR: append([]int32{}, ids...), OfflineReplicas: append([]int32{}, ids...),
		}
	}
	response := func(controller int32, brokers []kmsg.MetadataResponseBroker, partitions ...kmsg.MetadataResponseTopicPartition) *kmsg.MetadataResponse {
		return &kmsg.MetadataResponse{
			Brokers: brokers, ControllerID: controller,
			Topics: []kmsg.MetadataResponseTopic{{Topic: name("mine"), Partitions: partitions}},
		}
	}
	real := func() []kmsg.MetadataResponseBroker {
		return []kmsg.MetadataResponseBroker{
			{NodeID: 9, Host: "b9.internal", Port: 9092}, {NodeID: 2, Host: "b2.internal", Port: 9092, Rack: name("r")}, {NodeID: 1, Host: "b1.internal", Port: 9092},
		}
	}
	shown := []kmsg.MetadataResponseBroker{
		{NodeID: virtual(2), Host: "gateway.example", Port: 9102, Rack: name("r")}, {NodeID: virtual(1), Host: "gateway.example", Port: 9101},
	}
	runRewriteCases(t, []rewriteCase{
		{
			name: "all", key: 3,
			resp:     response(1, real(), partition(1, 0, 1, 2), partition(9, 0, 9, 1), partition(9, 9, 9), partition(-1, 5, 2)),
			wantResp: response(virtual(1), shown, partition(virtual(1), 0, virtual(1), virtual(2)), partition(-1, 5, virtual(9), virtual(1)), partition(-1, 9, virtual(9)), partition(-1, 5, virtual(2))),
		},
		{name: "controller without an address", key: 3, resp: response(9, real()), wantResp: response(virtual(2), shown)},
		{name: "no controller", key: 3, resp: response(-1, real()), wantResp: response(-1, shown)},
		{name: "no address at all", key: 3, resp: response(9, real()[:1]), wantResp: response(-1, []kmsg.MetadataResponseBroker{})},
	})
}

func TestDescribeClusterRow(t *testing.T) {
	request := func(endpoint int8) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.DescribeClusterRequest{IncludeClusterAuthorizedOperations: true, EndpointType: endpoint}
		}
	}
	response := func(ops int32) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.DescribeClusterResponse{
				ThrottleMillis: 7, EndpointType: 1, ClusterID: "c", ControllerID: 1, ClusterAuthorizedOperations: ops,
				Brokers: []kmsg.DescribeClusterResponseBroker{{NodeID: 1, Host: "b1.internal", Port: 9092}},
			}
		}
	}
	mayDescribe := judge(nil, "DESCRIBE cluster kafka-cluster", "CREATE cluster kafka-cluster")
	runSplitCases(t, []splitCase{
		{name: "brokers", key: 60, judge: judgeNone(), req: request(1), rest: request(1), answer: response(-1 << 31), want: response(-1 << 31)},
		{name: "operations", key: 60, judge: mayDescribe, req: request(1), rest: request(1), answer: response(clusterOps), want: response(1<<8 | createOps)},
		{
			name: "operations of who may not describe", key: 60, judge: judge(nil, "CREATE cluster kafka-cluster"),
			req: request(1), rest: request(1), answer: response(clusterOps), want: response(0),
		},
		{
			name: "controllers", key: 60, min: 1, judge: judgeAll(), req: request(2),
			want: func(int16) kmsg.Response {
				resp := kmsg.NewPtrDescribeClusterResponse()
				resp.ErrorCode = 114
				resp.ErrorMessage = name("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER.")
				return resp
			},
		},
	})
	runRewriteCases(t, []rewriteCase{{
		name: "brokers", key: 60,
		resp: &kmsg.DescribeClusterResponse{ControllerID: 9, Brokers: []kmsg.DescribeClusterResponseBroker{
			{NodeID: 9, Host: "b9.internal", Port: 9092}, {NodeID: 1, Host: "b1.internal", Port: 9092, Rack: name("r"), IsFenced: true},
		}},
		wantResp: &kmsg.DescribeClusterResponse{ControllerID: virtual(1), Brokers: []kmsg.DescribeClusterResponseBroker{
			{NodeID: virtual(1), Host: "gateway.example", Port: 9101, Rack: name("r"), IsFenced: true},
		}},
	}})
}

// partitionsRequest is a DescribeTopicPartitions request; "" is no cursor.
func partitionsRequest(cursor string, topics ...string) func(int16) kmsg.Request {
	return func(int16) kmsg.Request {
		req := &kmsg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 5}
		for _, n := range topics {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
		}
		if cursor != "" {
			req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: cursor, Partition: 3}
		}
		return req
	}
}

func TestDescribeTopicPartitionsRow(t *testing.T) {
	request := partitionsRequest
	// at moves the cursor of a request to the start of its topic.
	at := func(req func(int16) kmsg.Request) func(int16) kmsg.Request {
		return func(v int16) kmsg.Request {
			r := req(v).(*kmsg.DescribeTopicPartitionsRequest)
			r.Cursor.Partition = 0
			return r
		}
	}
	topic := func(n string, ops int32) kmsg.DescribeTopicPartitionsResponseTopic {
		return kmsg.DescribeTopicPartitionsResponseTopic{Topic: name(n), TopicID: topicID(n), AuthorizedOperations: ops}
	}
	denied := func(n string) kmsg.DescribeTopicPartitionsResponseTopic {
		return kmsg.DescribeTopicPartitionsResponseTopic{ErrorCode: 29, Topic: name(n), AuthorizedOperations: -1 << 31}
	}
	response := func(throttle int32, next string, topics ...kmsg.DescribeTopicPartitionsResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			resp := &kmsg.DescribeTopicPartitionsResponse{ThrottleMillis: throttle, Topics: topics}
			if next != "" {
				resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: next, Partition: 3}
			}
			return resp
		}
	}
	two := judge([]string{"a", "b", "c", "d"}, "DESCRIBE topic b", "READ topic b", "DESCRIBE topic d")
	all := judge([]string{"b", "d"}, "DESCRIBE topic b", "READ topic b", "DESCRIBE topic d")
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 75, judge: two, req: request("", "a", "d", "b", "", "a"), rest: request("", "d", "b"),
			answer: response(7, "d", topic("b", topicOps)),
			want:   response(7, "d", topic("b", readOps), denied("a"), denied(""), denied("a")),
		},
		{name: "all denied", key: 75, judge: two, req: request("", "a", "c"), want: response(0, "", denied("a"), denied("c"))},
		{
			name: "cursor allowed", key: 75, judge: two, req: request("b", "b", "c", "d"), rest: request("b", "b", "d"),
			answer: response(7, "", topic("b", topicOps)), want: response(7, "", topic("b", readOps), denied("c")),
		},
		{
			name: "cursor denied", key: 75, judge: two, req: request("c", "b", "d", "c"), rest: at(request("d", "b", "d")),
			answer: response(7, "", topic("d", topicOps)), want: response(7, "", topic("d", 1<<8), denied("c")),
		},
		{name: "cursor denied, nothing after", key: 75, judge: two, req: request("c", "b", "c"), want: response(0, "", denied("c"))},
		{
			name: "all topics", key: 75, judge: two, req: request(""), rest: request("", "b", "d"),
			answer: response(7, "d", topic("b", topicOps)), want: response(7, "d", topic("b", readOps)),
		},
		{
			name: "all topics, next page", key: 75, judge: two, req: request("d"), rest: request("d", "b", "d"),
			answer: response(7, "", topic("d", topicOps)), want: response(7, "", topic("d", 1<<8)),
		},
		{
			name: "all topics, cursor denied", key: 75, judge: two, req: request("c"), rest: at(request("d", "b", "d")),
			answer: response(7, "", topic("d", topicOps)), want: response(7, "", topic("d", 1<<8)),
		},
		{name: "all topics, nothing after", key: 75, judge: two, req: request("e"), want: response(0, "")},
		{name: "all topics, none allowed", key: 75, judge: judgeNone("a"), req: request(""), want: response(0, "")},
		{
			name: "all topics, none known yet", key: 75, judge: judge(nil, "DESCRIBE topic b"), req: request(""), rest: request(""),
			answer: response(7, "c", topic("a", topicOps), topic("b", topicOps)), want: response(7, "", topic("b", 1<<8)),
		},
		{
			name: "all topics, a new one is not theirs", key: 75, judge: all, req: request(""), rest: request(""),
			answer: response(7, "c", topic("b", topicOps), topic("bb", topicOps)), want: response(7, "", topic("b", readOps)),
		},
	})
}

func TestDescribeTopicPartitionsNodes(t *testing.T) {
	partition := func(leader int32, code int16, ids ...int32) *kmsg.DescribeTopicPartitionsResponse {
		p := kmsg.DescribeTopicPartitionsResponseTopicPartition{Partition: 4, ErrorCode: code, LeaderID: leader, LeaderEpoch: 3}
		for _, list := range []*[]int32{&p.Replicas, &p.ISR, &p.EligibleLeaderReplicas, &p.LastKnownELR, &p.OfflineReplicas} {
			*list = append([]int32{}, ids...)
		}
		return &kmsg.DescribeTopicPartitionsResponse{Topics: []kmsg.DescribeTopicPartitionsResponseTopic{{
			Topic: name("mine"), Partitions: []kmsg.DescribeTopicPartitionsResponseTopicPartition{p},
		}}}
	}
	runRewriteCases(t, []rewriteCase{
		{name: "leader", key: 75, resp: partition(1, 0, 1, 2), wantResp: partition(virtual(1), 0, virtual(1), virtual(2))},
		{name: "leader without an address", key: 75, resp: partition(9, 0, 9), wantResp: partition(-1, 5, virtual(9))},
	})
}
