package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// In these cases the slice has the topics mine and theirs; gone is in no slice.
// The empty name is denied like any other.
var (
	sliceTopics = []string{"mine", "theirs"}
	mayRead     = judge(sliceTopics, "READ topic mine", "DESCRIBE topic mine")
	mayWrite    = judge(sliceTopics, "WRITE topic mine", "WRITE transactional_id tx", "DELETE topic mine", "READ group g", "READ topic mine")
)

// goneCode is what a topic that no slice has gets: judged by its name, or unknown
// by its id from version byID on.
func goneCode(v, byID int16) int16 {
	if v >= byID {
		return 100
	}
	return 29
}

func produceTo(name string, partitions ...int32) kmsg.ProduceRequestTopic {
	t := kmsg.ProduceRequestTopic{Topic: name, TopicID: topicID(name)}
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p, Records: []byte("records of " + name)})
	}
	return t
}

func producedTo(name string, code int16, partitions ...int32) kmsg.ProduceResponseTopic {
	t := kmsg.ProduceResponseTopic{Topic: name, TopicID: topicID(name)}
	for _, p := range partitions {
		a := kmsg.NewProduceResponseTopicPartition()
		a.Partition, a.ErrorCode, a.BaseOffset = p, code, 42
		if code != 0 {
			a.BaseOffset, a.LogAppendTime, a.LogStartOffset = -1, -1, -1
		}
		t.Partitions = append(t.Partitions, a)
	}
	return t
}

func produceRequest(tx *string, topics ...kmsg.ProduceRequestTopic) func(int16) kmsg.Request {
	return func(int16) kmsg.Request {
		return &kmsg.ProduceRequest{TransactionID: tx, Acks: -1, TimeoutMillis: 1000, Topics: topics}
	}
}

func produceResponse(topics ...kmsg.ProduceResponseTopic) func(int16) kmsg.Response {
	return func(int16) kmsg.Response { return &kmsg.ProduceResponse{Topics: topics, ThrottleMillis: 7} }
}

// unthrottled is resp without a throttle time: an answer that no broker gave.
func unthrottled(resp func(int16) kmsg.Response) func(int16) kmsg.Response {
	return func(v int16) kmsg.Response {
		r := resp(v)
		r.(kmsg.SetThrottleResponse).SetThrottle(0)
		return r
	}
}

func TestProduceRow(t *testing.T) {
	runSplitCases(t, []splitCase{
		{
			name: "all allowed", key: 0, judge: mayWrite,
			req:    produceRequest(nil, produceTo("mine", 0, 1)),
			rest:   produceRequest(nil, produceTo("mine", 0, 1)),
			answer: produceResponse(producedTo("mine", 0, 0, 1)),
			want:   produceResponse(producedTo("mine", 0, 0, 1)),
		},
		{
			name: "some denied, one of them twice", key: 0, judge: mayWrite,
			req:    produceRequest(nil, produceTo("theirs", 3), produceTo("mine", 0, 1), produceTo("gone", 0), produceTo("theirs", 4, 5)),
			rest:   produceRequest(nil, produceTo("mine", 0, 1)),
			answer: produceResponse(producedTo("mine", 0, 0, 1)),
			want: func(v int16) kmsg.Response {
				return produceResponse(producedTo("mine", 0, 0, 1), producedTo("theirs", 29, 3),
					producedTo("gone", goneCode(v, 13), 0), producedTo("theirs", 29, 4, 5))(v)
			},
		},
		{
			name: "all denied", key: 0, judge: mayWrite,
			req: produceRequest(nil, produceTo("theirs", 3), produceTo("", 0)),
			want: unthrottled(func(v int16) kmsg.Response {
				return produceResponse(producedTo("theirs", 29, 3), producedTo("", goneCode(v, 13), 0))(v)
			}),
		},
		{
			name: "transactional id allowed", key: 0, min: 3, judge: mayWrite,
			req:    produceRequest(name("tx"), produceTo("mine", 0)),
			rest:   produceRequest(name("tx"), produceTo("mine", 0)),
			answer: produceResponse(producedTo("mine", 0, 0)),
			want:   produceResponse(producedTo("mine", 0, 0)),
		},
		{
			name: "transactional id denied", key: 0, min: 3, judge: mayWrite,
			req:  produceRequest(name("other"), produceTo("mine", 0, 1), produceTo("theirs", 2)),
			want: unthrottled(produceResponse(producedTo("mine", 53, 0, 1), producedTo("theirs", 53, 2))),
		},
		{
			name: "transactional id denied, no topics", key: 0, min: 3, judge: mayWrite,
			req:  produceRequest(name("")),
			want: unthrottled(produceResponse()),
		},
	})
	hint := func(leader, epoch int32) kmsg.ProduceResponseTopic {
		a := producedTo("mine", 6, 0)
		a.Partitions[0].CurrentLeader = kmsg.ProduceResponseTopicPartitionCurrentLeader{LeaderID: leader, LeaderEpoch: epoch}
		return a
	}
	runRewriteCases(t, []rewriteCase{{
		name: "leader hints", key: 0, min: 10,
		resp: &kmsg.ProduceResponse{
			Topics: []kmsg.ProduceResponseTopic{hint(2, 5), hint(9, 5), hint(-1, -1)},
			Brokers: []kmsg.ProduceResponseBroker{
				{NodeID: 9, Host: "b9.internal", Port: 9092}, {NodeID: 2, Host: "b2.internal", Port: 9092, Rack: name("r")},
			},
		},
		wantResp: &kmsg.ProduceResponse{
			Topics:  []kmsg.ProduceResponseTopic{hint(virtual(2), 5), hint(-1, -1), hint(-1, -1)},
			Brokers: []kmsg.ProduceResponseBroker{{NodeID: virtual(2), Host: "gateway.example", Port: 9102, Rack: name("r")}},
		},
	}})
}

func fetchFrom(name string, partitions ...int32) kmsg.FetchRequestTopic {
	t := kmsg.FetchRequestTopic{Topic: name, TopicID: topicID(name)}
	for _, p := range partitions {
		q := kmsg.NewFetchRequestTopicPartition()
		q.Partition, q.FetchOffset, q.PartitionMaxBytes = p, 10, 1<<20
		t.Partitions = append(t.Partitions, q)
	}
	return t
}

func fetchedFrom(name string, code int16, partitions ...int32) kmsg.FetchResponseTopic {
	t := kmsg.FetchResponseTopic{Topic: name, TopicID: topicID(name)}
	for _, p := range partitions {
		a := kmsg.NewFetchResponseTopicPartition()
		a.Partition, a.ErrorCode, a.HighWatermark, a.LastStableOffset, a.LogStartOffset = p, code, 11, 11, 0
		a.RecordBatches = []byte("records")
		a.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		if code != 0 {
			a.HighWatermark, a.LastStableOffset, a.LogStartOffset, a.RecordBatches = -1, -1, -1, []byte{}
		}
		t.Partitions = append(t.Partitions, a)
	}
	return t
}

func fetchRequest(topics ...kmsg.FetchRequestTopic) func(int16) kmsg.Request {
	return func(int16) kmsg.Request {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.Topics = 500, 1, topics
		return req
	}
}

// forgetting adds forgotten topics, which exist from version 7 on.
func forgetting(req func(int16) kmsg.Request, topics ...string) func(int16) kmsg.Request {
	return func(v int16) kmsg.Request {
		r := req(v).(*kmsg.FetchRequest)
		for _, name := range topics {
			r.ForgottenTopics = append(r.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: name, TopicID: topicID(name), Partitions: []int32{1}})
		}
		return r
	}
}

// asFollower sets the replica id in the place of the version.
func asFollower(req func(int16) kmsg.Request) func(int16) kmsg.Request {
	return func(v int16) kmsg.Request {
		r := req(v).(*kmsg.FetchRequest)
		if v < 15 {
			r.ReplicaID = 0
		} else {
			r.ReplicaState.ID = 0
		}
		return r
	}
}

func fetchResponse(throttle int32, topics ...kmsg.FetchResponseTopic) func(int16) kmsg.Response {
	return func(int16) kmsg.Response { return &kmsg.FetchResponse{Topics: topics, ThrottleMillis: throttle} }
}

func TestFetchRow(t *testing.T) {
	runSplitCases(t, []splitCase{
		{
			name: "all allowed", key: 1, judge: mayRead,
			req: fetchRequest(fetchFrom("mine", 0, 1)), rest: fetchRequest(fetchFrom("mine", 0, 1)),
			answer: fetchResponse(7, fetchedFrom("mine", 0, 0, 1)), want: fetchResponse(7, fetchedFrom("mine", 0, 0, 1)),
		},
		{
			name: "some denied", key: 1, judge: mayRead,
			req:    forgetting(fetchRequest(fetchFrom("gone", 0), fetchFrom("mine", 0, 1), fetchFrom("theirs", 3, 4)), "mine", "theirs", "gone"),
			rest:   forgetting(fetchRequest(fetchFrom("mine", 0, 1)), "mine"),
			answer: fetchResponse(7, fetchedFrom("mine", 0, 0, 1)),
			want: func(v int16) kmsg.Response {
				return fetchResponse(7, fetchedFrom("mine", 0, 0, 1), fetchedFrom("gone", goneCode(v, 13), 0), fetchedFrom("theirs", 29, 3, 4))(v)
			},
		},
		{
			name: "all denied", key: 1, judge: mayRead,
			req:  fetchRequest(fetchFrom("theirs", 3), fetchFrom("theirs", 3)),
			want: fetchResponse(0, fetchedFrom("theirs", 29, 3), fetchedFrom("theirs", 29, 3)),
		},
		{
			name: "of an empty session", key: 1, judge: mayRead,
			req: fetchRequest(), rest: fetchRequest(), answer: fetchResponse(7), want: fetchResponse(7),
		},
		{
			name: "by a follower", key: 1, judge: judgeAll(sliceTopics...),
			req:  asFollower(fetchRequest(fetchFrom("mine", 0, 1))),
			want: fetchResponse(0, fetchedFrom("mine", 29, 0, 1)),
		},
		{
			name: "by a follower, no topics", key: 1, judge: judgeAll(),
			req: asFollower(fetchRequest()), want: fetchResponse(0),
		},
	})
	for v := int16(0); v <= 18; v++ {
		req := fetchRequest()(v).(*kmsg.FetchRequest)
		req.Version = v
		if IsFollowerFetch(reread(t, req)) {
			t.Errorf("version %d of a client is taken for a follower's", v)
		}
		req = asFollower(fetchRequest())(v).(*kmsg.FetchRequest)
		req.Version = v
		if !IsFollowerFetch(reread(t, req)) {
			t.Errorf("version %d of a follower is not seen", v)
		}
	}
	hint := func(leader, epoch, preferred int32) kmsg.FetchResponseTopic {
		a := fetchedFrom("mine", 74, 0)
		a.Partitions[0].CurrentLeader = kmsg.FetchResponseTopicPartitionCurrentLeader{LeaderID: leader, LeaderEpoch: epoch}
		a.Partitions[0].PreferredReadReplica = preferred
		return a
	}
	runRewriteCases(t, []rewriteCase{{
		name: "nodes", key: 1, min: 12,
		resp: &kmsg.FetchResponse{
			Topics:  []kmsg.FetchResponseTopic{hint(2, 5, 1), hint(9, 5, 9), hint(-1, -1, -1)},
			Brokers: []kmsg.FetchResponseBroker{{NodeID: 2, Host: "b2.internal", Port: 9092}, {NodeID: 9, Host: "b9.internal", Port: 9092}},
		},
		wantResp: &kmsg.FetchResponse{
			Topics:  []kmsg.FetchResponseTopic{hint(virtual(2), 5, virtual(1)), hint(-1, -1, -1), hint(-1, -1, -1)},
			Brokers: []kmsg.FetchResponseBroker{{NodeID: virtual(2), Host: "gateway.example", Port: 9102}},
		},
	}})
}

func TestListOffsetsRow(t *testing.T) {
	request := func(topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := &kmsg.ListOffsetsRequest{ReplicaID: -1, TimeoutMillis: 5}
			for _, name := range topics {
				p := kmsg.NewListOffsetsRequestTopicPartition()
				p.Partition, p.Timestamp, p.MaxNumOffsets = 4, -2, 1
				req.Topics = append(req.Topics, kmsg.ListOffsetsRequestTopic{Topic: name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}})
			}
			return req
		}
	}
	topic := func(name string, code int16) kmsg.ListOffsetsResponseTopic {
		p := kmsg.NewListOffsetsResponseTopicPartition()
		p.Partition, p.ErrorCode = 4, code
		if code == 0 {
			p.OldStyleOffsets, p.Timestamp, p.Offset, p.LeaderEpoch = []int64{12, 0}, 99, 12, 3
		}
		return kmsg.ListOffsetsResponseTopic{Topic: name, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}
	}
	response := func(throttle int32, topics ...kmsg.ListOffsetsResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.ListOffsetsResponse{ThrottleMillis: throttle, Topics: topics}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 2, judge: mayRead,
			req: request("theirs", "mine", "", "theirs"), rest: request("mine"), answer: response(7, topic("mine", 0)),
			want: response(7, topic("mine", 0), topic("theirs", 29), topic("", 29), topic("theirs", 29)),
		},
		{name: "all denied", key: 2, judge: mayRead, req: request("theirs"), want: response(0, topic("theirs", 29))},
	})
}

func TestDeleteRecordsRow(t *testing.T) {
	request := func(topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := &kmsg.DeleteRecordsRequest{TimeoutMillis: 5}
			for _, name := range topics {
				req.Topics = append(req.Topics, kmsg.DeleteRecordsRequestTopic{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 4, Offset: 77}}})
			}
			return req
		}
	}
	topic := func(name string, code int16, low int64) kmsg.DeleteRecordsResponseTopic {
		return kmsg.DeleteRecordsResponseTopic{Topic: name, Partitions: []kmsg.DeleteRecordsResponseTopicPartition{{Partition: 4, ErrorCode: code, LowWatermark: low}}}
	}
	response := func(throttle int32, topics ...kmsg.DeleteRecordsResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.DeleteRecordsResponse{ThrottleMillis: throttle, Topics: topics}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 21, judge: mayWrite,
			req: request("theirs", "mine", ""), rest: request("mine"), answer: response(7, topic("mine", 0, 77)),
			want: response(7, topic("mine", 0, 77), topic("theirs", 29, -1), topic("", 29, -1)),
		},
		{name: "all denied", key: 21, judge: mayWrite, req: request("theirs"), want: response(0, topic("theirs", 29, -1))},
	})
}

func TestOffsetForLeaderEpochRow(t *testing.T) {
	request := func(topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := &kmsg.OffsetForLeaderEpochRequest{ReplicaID: -1}
			for _, name := range topics {
				req.Topics = append(req.Topics, kmsg.OffsetForLeaderEpochRequestTopic{Topic: name, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{Partition: 4, CurrentLeaderEpoch: 6, LeaderEpoch: 5}}})
			}
			return req
		}
	}
	topic := func(name string, code int16, epoch int32, end int64) kmsg.OffsetForLeaderEpochResponseTopic {
		return kmsg.OffsetForLeaderEpochResponseTopic{Topic: name, Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{{Partition: 4, ErrorCode: code, LeaderEpoch: epoch, EndOffset: end}}}
	}
	response := func(throttle int32, topics ...kmsg.OffsetForLeaderEpochResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.OffsetForLeaderEpochResponse{ThrottleMillis: throttle, Topics: topics}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 23, judge: mayRead,
			req: request("theirs", "mine", ""), rest: request("mine"), answer: response(7, topic("mine", 0, 5, 77)),
			want: response(7, topic("mine", 0, 5, 77), topic("theirs", 29, -1, -1), topic("", 29, -1, -1)),
		},
		{name: "all denied", key: 23, judge: mayRead, req: request("theirs"), want: response(0, topic("theirs", 29, -1, -1))},
	})
}
