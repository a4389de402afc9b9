package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds Produce, Fetch, ListOffsets, DeleteRecords and
// OffsetForLeaderEpoch: what partition leaders are asked.

// Topics are named by id alone from these versions on (KIP-516).
const (
	produceByID = 13
	fetchByID   = 13
)

// splitProduce refuses topics without WRITE, and everything if the transactional
// id may not be written. With acks=0 there is no answer to put a refusal into:
// what to do then is the caller's decision.
func splitProduce(req *kmsg.ProduceRequest, j Judge) (*kmsg.ProduceResponse, bool) {
	byID := req.Version >= produceByID
	code := func(t *kmsg.ProduceRequestTopic) int16 { return topicCode(j, OpWrite, byID, t.Topic, t.TopicID) }
	whole := codeNone
	if req.TransactionID != nil {
		code = withinTransaction(code)
		whole = codeOf(j, OpWrite, TransactionalID, *req.TransactionID)
	}
	if whole != codeNone {
		code = always[kmsg.ProduceRequestTopic](whole)
	}
	rest, refused := refuse(req.Topics, code, func(t *kmsg.ProduceRequestTopic, code int16) kmsg.ProduceResponseTopic {
		a := refusedProduce(t, code)
		if code == codePolicyViolation {
			for i := range a.Partitions {
				a.Partitions[i].ErrorMessage = messageOf(j, code)
			}
		}
		return a
	})
	if refused == nil && whole == codeNone {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

// withinTransaction is code for a transaction: that a topic lives in another slice
// than the transaction is nothing to be tried again (KIP-890 adds partitions implicitly).
func withinTransaction[Q any](code func(*Q) int16) func(*Q) int16 {
	return func(q *Q) int16 {
		c := code(q)
		if c == codeNotLeaderOrFollower {
			c = codePolicyViolation
		}
		return c
	}
}

func refusedProduce(t *kmsg.ProduceRequestTopic, code int16) kmsg.ProduceResponseTopic {
	return kmsg.ProduceResponseTopic{
		Topic: t.Topic, TopicID: t.TopicID,
		Partitions: each(t.Partitions, func(p *kmsg.ProduceRequestTopicPartition) kmsg.ProduceResponseTopicPartition {
			a := kmsg.NewProduceResponseTopicPartition() // LogAppendTime and LogStartOffset are -1
			a.Partition, a.ErrorCode, a.BaseOffset = p.Partition, code, -1
			return a
		}),
	}
}

func mergeProduce(resp, refused *kmsg.ProduceResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// virtualizeProduce maps the leader hints of KIP-951 (v10+).
func virtualizeProduce(_ *kmsg.ProduceRequest, resp *kmsg.ProduceResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			l := &resp.Topics[i].Partitions[k].CurrentLeader
			showLeader(&l.LeaderID, &l.LeaderEpoch, n)
		}
	}
	resp.Brokers = showBrokers(resp.Brokers, n, func(b *kmsg.ProduceResponseBroker) (*int32, *string, *int32) {
		return &b.NodeID, &b.Host, &b.Port
	})
}

// IsFollowerFetch reports whether req claims to come from a replica: a broker
// would serve it beyond the high watermark and count it as replication. No client
// of the gateway is one, so that such a request must go through the row's Split,
// which refuses all of it, even for a tenant that may do everything.
func IsFollowerFetch(req *kmsg.FetchRequest) bool {
	if req.Version >= 15 {
		return req.ReplicaState.ID >= 0
	}
	return req.ReplicaID >= 0
}

// splitFetch refuses topics without READ, and everything to what claims to be a
// follower. Forgotten topics that the tenant may not read are dropped: they are in
// no session of its own.
func splitFetch(req *kmsg.FetchRequest, j Judge) (*kmsg.FetchResponse, bool) {
	byID := req.Version >= fetchByID
	code := func(t *kmsg.FetchRequestTopic) int16 { return topicCode(j, OpRead, byID, t.Topic, t.TopicID) }
	follower := IsFollowerFetch(req)
	if follower {
		code = always[kmsg.FetchRequestTopic](codeTopicAuthorizationFailed)
	}
	req.ForgottenTopics = keep(req.ForgottenTopics, func(t *kmsg.FetchRequestForgottenTopic) bool {
		return topicCode(j, OpRead, byID, t.Topic, t.TopicID) == codeNone
	})
	rest, refused := refuse(req.Topics, code, refusedFetch)
	if refused == nil && !follower {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrFetchResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

// refusedFetch is what FetchResponse.partitionResponse of Kafka makes: no offsets,
// and empty lists rather than null ones.
func refusedFetch(t *kmsg.FetchRequestTopic, code int16) kmsg.FetchResponseTopic {
	return kmsg.FetchResponseTopic{
		Topic: t.Topic, TopicID: t.TopicID,
		Partitions: each(t.Partitions, func(p *kmsg.FetchRequestTopicPartition) kmsg.FetchResponseTopicPartition {
			a := kmsg.NewFetchResponseTopicPartition() // all other offsets, epochs and nodes are -1
			a.Partition, a.ErrorCode, a.HighWatermark = p.Partition, code, -1
			a.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			a.RecordBatches = []byte{}
			return a
		}),
	}
}

func mergeFetch(resp, refused *kmsg.FetchResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// virtualizeFetch maps the nearest replica of KIP-392 and the leader hints of
// KIP-951 (v12+, endpoints v16+).
func virtualizeFetch(_ *kmsg.FetchRequest, resp *kmsg.FetchResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			showLeader(&p.CurrentLeader.LeaderID, &p.CurrentLeader.LeaderEpoch, n)
			var none int32
			showLeader(&p.PreferredReadReplica, &none, n)
		}
	}
	resp.Brokers = showBrokers(resp.Brokers, n, func(b *kmsg.FetchResponseBroker) (*int32, *string, *int32) {
		return &b.NodeID, &b.Host, &b.Port
	})
}

// splitListOffsets refuses topics without DESCRIBE.
func splitListOffsets(req *kmsg.ListOffsetsRequest, j Judge) (*kmsg.ListOffsetsResponse, bool) {
	rest, refused := refuse(req.Topics,
		func(t *kmsg.ListOffsetsRequestTopic) int16 { return codeOf(j, OpDescribe, Topic, t.Topic) },
		func(t *kmsg.ListOffsetsRequestTopic, code int16) kmsg.ListOffsetsResponseTopic {
			return kmsg.ListOffsetsResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *kmsg.ListOffsetsRequestTopicPartition) kmsg.ListOffsetsResponseTopicPartition {
					a := kmsg.NewListOffsetsResponseTopicPartition() // offset, timestamp and epoch are -1
					a.Partition, a.ErrorCode = p.Partition, code
					return a
				}),
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeListOffsets(resp, refused *kmsg.ListOffsetsResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// splitDeleteRecords refuses topics without DELETE.
func splitDeleteRecords(req *kmsg.DeleteRecordsRequest, j Judge) (*kmsg.DeleteRecordsResponse, bool) {
	rest, refused := refuse(req.Topics,
		func(t *kmsg.DeleteRecordsRequestTopic) int16 { return codeOf(j, OpDelete, Topic, t.Topic) },
		func(t *kmsg.DeleteRecordsRequestTopic, code int16) kmsg.DeleteRecordsResponseTopic {
			return kmsg.DeleteRecordsResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *kmsg.DeleteRecordsRequestTopicPartition) kmsg.DeleteRecordsResponseTopicPartition {
					a := kmsg.NewDeleteRecordsResponseTopicPartition()
					a.Partition, a.ErrorCode, a.LowWatermark = p.Partition, code, -1
					return a
				}),
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrDeleteRecordsResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeDeleteRecords(resp, refused *kmsg.DeleteRecordsResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// splitOffsetForLeaderEpoch refuses topics without DESCRIBE.
func splitOffsetForLeaderEpoch(req *kmsg.OffsetForLeaderEpochRequest, j Judge) (*kmsg.OffsetForLeaderEpochResponse, bool) {
	rest, refused := refuse(req.Topics,
		func(t *kmsg.OffsetForLeaderEpochRequestTopic) int16 { return codeOf(j, OpDescribe, Topic, t.Topic) },
		func(t *kmsg.OffsetForLeaderEpochRequestTopic, code int16) kmsg.OffsetForLeaderEpochResponseTopic {
			return kmsg.OffsetForLeaderEpochResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopicPartition {
					a := kmsg.NewOffsetForLeaderEpochResponseTopicPartition() // epoch and end offset are -1
					a.Partition, a.ErrorCode = p.Partition, code
					return a
				}),
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeOffsetForLeaderEpoch(resp, refused *kmsg.OffsetForLeaderEpochResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}
