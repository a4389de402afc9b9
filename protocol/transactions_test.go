package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestInitProducerIDRow(t *testing.T) {
	request := func(tx *string, pid int64) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.InitProducerIDRequest{TransactionalID: tx, TransactionTimeoutMillis: 5, ProducerID: pid, ProducerEpoch: 2}
		}
	}
	response := func(throttle int32, code int16, pid int64, epoch int16) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.InitProducerIDResponse{ThrottleMillis: throttle, ErrorCode: code, ProducerID: pid, ProducerEpoch: epoch}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "transactional id allowed", key: 22, judge: judge(nil, "WRITE transactional_id tx"),
			req: request(name("tx"), -1), rest: request(name("tx"), -1), answer: response(7, 0, 5, 0), want: response(7, 0, 5, 0),
		},
		{
			name: "transactional id denied", key: 22, judge: judge(nil, "WRITE transactional_id tx", "WRITE topic mine", "IDEMPOTENT_WRITE cluster kafka-cluster"),
			req: request(name("other"), -1), want: response(0, 53, -1, -1),
		},
		{
			name: "empty transactional id", key: 22, judge: judge(nil, "WRITE topic mine"),
			req: request(name(""), -1), want: response(0, 53, -1, -1),
		},
		{
			name: "idempotent by a topic", key: 22, judge: judge(nil, "WRITE topic mine"),
			req: request(nil, -1), rest: request(nil, -1), answer: response(7, 0, 5, 0), want: response(7, 0, 5, 0),
		},
		{
			name: "idempotent by the cluster", key: 22, judge: judge(nil, "IDEMPOTENT_WRITE cluster kafka-cluster"),
			req: request(nil, -1), rest: request(nil, -1), answer: response(7, 0, 5, 0), want: response(7, 0, 5, 0),
		},
		{
			name: "idempotent denied", key: 22, judge: judge(nil, "WRITE transactional_id tx", "READ topic mine"),
			req: request(nil, -1), want: response(0, 31, -1, -1),
		},
	})
	const tag = 4 << 48 // slot 3
	runRewriteCases(t, []rewriteCase{
		{
			name: "idempotent", key: 22, req: request(nil, 5|tag)(0), wantReq: request(nil, 5)(0),
			resp: response(7, 0, 6, 0)(0), wantResp: response(7, 0, 6|tag, 0)(0),
		},
		{
			name: "idempotent, first", key: 22, req: request(nil, -1)(0), wantReq: request(nil, -1)(0),
			resp: response(7, 14, -1, 0)(0), wantResp: response(7, 14, -1, 0)(0),
		},
		{
			name: "idempotent, failed with an id", key: 22, req: request(nil, 5|tag)(0), wantReq: request(nil, 5)(0),
			resp: response(7, 15, 5, 0)(0), wantResp: response(7, 15, 5, 0)(0),
		},
		{
			name: "transactional", key: 22, req: request(name("tx"), 5)(0), wantReq: request(name("tx"), 5)(0),
			resp: response(7, 0, 5, 3)(0), wantResp: response(7, 0, 5, 3)(0),
		},
	})
}

func TestAddPartitionsToTxnRow(t *testing.T) {
	request := func(tx string, topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := &kmsg.AddPartitionsToTxnRequest{TransactionalID: tx, ProducerID: 5, ProducerEpoch: 1}
			for _, name := range topics {
				req.Topics = append(req.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: name, Partitions: []int32{0, 4}})
			}
			return req
		}
	}
	topic := func(name string, code int16) kmsg.AddPartitionsToTxnResponseTopic {
		return kmsg.AddPartitionsToTxnResponseTopic{Topic: name, Partitions: []kmsg.AddPartitionsToTxnResponseTopicPartition{
			{Partition: 0, ErrorCode: code}, {Partition: 4, ErrorCode: code},
		}}
	}
	existing := func(name string) kmsg.AddPartitionsToTxnResponseTopic { // with three partitions
		a := topic(name, 55)
		a.Partitions[1].ErrorCode = 3
		return a
	}
	response := func(throttle int32, topics ...kmsg.AddPartitionsToTxnResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.AddPartitionsToTxnResponse{ThrottleMillis: throttle, Topics: topics}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "allowed", key: 24, judge: mayWrite,
			req: request("tx", "mine"), rest: request("tx", "mine"), answer: response(7, topic("mine", 0)), want: response(7, topic("mine", 0)),
		},
		{
			name: "a topic denied", key: 24, judge: judge(sliceTopics, "WRITE topic mine", "WRITE topic absent", "WRITE transactional_id tx"),
			req: request("tx", "mine", "theirs", "absent", ""), want: response(0, existing("mine"), topic("theirs", 29), topic("absent", 3), topic("", 29)),
		},
		{
			name: "transactional id denied", key: 24, judge: mayWrite,
			req: request("other", "mine", "theirs"), want: response(0, topic("mine", 53), topic("theirs", 53)),
		},
	})
}

func TestAddOffsetsToTxnRow(t *testing.T) {
	request := func(tx, group string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.AddOffsetsToTxnRequest{TransactionalID: tx, ProducerID: 5, ProducerEpoch: 1, Group: group}
		}
	}
	response := func(throttle int32, code int16) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.AddOffsetsToTxnResponse{ThrottleMillis: throttle, ErrorCode: code}
		}
	}
	runSplitCases(t, []splitCase{
		{name: "allowed", key: 25, judge: mayWrite, req: request("tx", "g"), rest: request("tx", "g"), answer: response(7, 0), want: response(7, 0)},
		{name: "group denied", key: 25, judge: mayWrite, req: request("tx", "other"), want: response(0, 30)},
		{name: "transactional id denied", key: 25, judge: mayWrite, req: request("other", "g"), want: response(0, 53)},
		{name: "both denied", key: 25, judge: mayWrite, req: request("", ""), want: response(0, 53)},
	})
}

func TestEndTxnRow(t *testing.T) {
	request := func(tx string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.EndTxnRequest{TransactionalID: tx, ProducerID: 5, ProducerEpoch: 1, Commit: true}
		}
	}
	response := func(throttle int32, code int16, pid int64, epoch int16) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.EndTxnResponse{ThrottleMillis: throttle, ErrorCode: code, ProducerID: pid, ProducerEpoch: epoch}
		}
	}
	runSplitCases(t, []splitCase{
		{name: "allowed", key: 26, judge: mayWrite, req: request("tx"), rest: request("tx"), answer: response(7, 0, 5, 2), want: response(7, 0, 5, 2)},
		{name: "denied", key: 26, judge: mayWrite, req: request("other"), want: response(0, 53, -1, -1)},
	})
}

func TestTxnOffsetCommitRow(t *testing.T) {
	request := func(tx, group string, topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			req := kmsg.NewPtrTxnOffsetCommitRequest()
			req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = tx, group, 5, 1
			for _, name := range topics {
				p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
				p.Partition, p.Offset = 4, 77
				req.Topics = append(req.Topics, kmsg.TxnOffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}})
			}
			return req
		}
	}
	topic := func(name string, code int16) kmsg.TxnOffsetCommitResponseTopic {
		return kmsg.TxnOffsetCommitResponseTopic{Topic: name, Partitions: []kmsg.TxnOffsetCommitResponseTopicPartition{{Partition: 4, ErrorCode: code}}}
	}
	response := func(throttle int32, topics ...kmsg.TxnOffsetCommitResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.TxnOffsetCommitResponse{ThrottleMillis: throttle, Topics: topics}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "some denied", key: 28, judge: mayWrite,
			req: request("tx", "g", "theirs", "mine", ""), rest: request("tx", "g", "mine"), answer: response(7, topic("mine", 0)),
			want: response(7, topic("mine", 0), topic("theirs", 29), topic("", 29)),
		},
		{name: "all denied", key: 28, judge: mayWrite, req: request("tx", "g", "theirs"), want: response(0, topic("theirs", 29))},
		{name: "group denied", key: 28, judge: mayWrite, req: request("tx", "other", "theirs", "mine"), want: response(0, topic("theirs", 30), topic("mine", 30))},
		{name: "transactional id denied", key: 28, judge: mayWrite, req: request("other", "other", "mine"), want: response(0, topic("mine", 53))},
		{name: "transactional id denied, no topics", key: 28, judge: mayWrite, req: request("other", "g"), want: response(0)},
	})
}
