package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds what a transaction coordinator is asked, and InitProducerId,
// which idempotent producers ask of any broker.

// splitInitProducerID refuses a transactional id without WRITE. Without one, a
// tenant that may write to any topic at all, or to the cluster idempotently, gets
// a producer id.
func splitInitProducerID(req *kmsg.InitProducerIDRequest, j Judge) (*kmsg.InitProducerIDResponse, bool) {
	code := codeNone
	switch {
	case req.TransactionalID != nil:
		code = codeOf(j, OpWrite, TransactionalID, *req.TransactionalID)
	case !j.AllowedSome(OpWrite, Topic):
		code = codeOf(j, OpIdempotentWrite, Cluster, ClusterName)
	}
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = code, -1, -1
	return resp, false
}

// realizeInitProducerID takes the slice's mark off the producer id that a client
// wants to keep (v3+, KIP-360).
func realizeInitProducerID(req *kmsg.InitProducerIDRequest, n Nodes) bool {
	if req.TransactionalID == nil {
		req.ProducerID = n.UntagProducerID(req.ProducerID)
	}
	return true
}

// virtualizeInitProducerID marks a producer id that is not transactional. The ids
// of transactional producers are known to their coordinator and stay.
func virtualizeInitProducerID(req *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse, n Nodes) {
	if req != nil && req.TransactionalID == nil && resp.ErrorCode == codeNone {
		resp.ProducerID = n.TagProducerID(resp.ProducerID)
	}
}

// splitAddPartitionsToTxn (v0-3) asks the broker all or nothing, as a broker does
// with its log: with one topic denied, the others are not attempted, or are unknown.
func splitAddPartitionsToTxn(req *kmsg.AddPartitionsToTxnRequest, j Judge) (*kmsg.AddPartitionsToTxnResponse, bool) {
	whole := codeOf(j, OpWrite, TransactionalID, req.TransactionalID)
	code := always[kmsg.AddPartitionsToTxnRequestTopic](whole)
	if whole == codeNone {
		denied := false
		for i := range req.Topics {
			denied = denied || !j.Allowed(OpWrite, Topic, req.Topics[i].Topic)
		}
		if !denied {
			return nil, true
		}
		code = func(t *kmsg.AddPartitionsToTxnRequestTopic) int16 {
			if c := codeOf(j, OpWrite, Topic, t.Topic); c != codeNone {
				return c
			}
			return codeOperationNotAttempted
		}
	}
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	req.Topics, resp.Topics = refuse(req.Topics, code, func(t *kmsg.AddPartitionsToTxnRequestTopic, code int16) kmsg.AddPartitionsToTxnResponseTopic {
		return refusedAddPartitionsToTxn(t, code, j)
	})
	return resp, false
}

func refusedAddPartitionsToTxn(t *kmsg.AddPartitionsToTxnRequestTopic, code int16, j Judge) kmsg.AddPartitionsToTxnResponseTopic {
	return kmsg.AddPartitionsToTxnResponseTopic{
		Topic: t.Topic,
		Partitions: each(t.Partitions, func(p *int32) kmsg.AddPartitionsToTxnResponseTopicPartition {
			a := kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: *p, ErrorCode: code}
			if code == codeOperationNotAttempted && (*p < 0 || int(*p) >= j.Partitions(t.Topic)) {
				a.ErrorCode = codeUnknownTopicOrPartition
			}
			return a
		}),
	}
}

// splitAddOffsetsToTxn refuses without WRITE on the transactional id, then without
// READ on the group, in Kafka's order.
func splitAddOffsetsToTxn(req *kmsg.AddOffsetsToTxnRequest, j Judge) (*kmsg.AddOffsetsToTxnResponse, bool) {
	code := transactionCode(j, req.TransactionalID, req.Group)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	resp.ErrorCode = code
	return resp, false
}

// transactionCode judges the two ids that commit offsets within a transaction.
func transactionCode(j Judge, transactionalID, group string) int16 {
	if code := codeOf(j, OpWrite, TransactionalID, transactionalID); code != codeNone {
		return code
	}
	return codeOf(j, OpRead, Group, group)
}

// splitEndTxn refuses without WRITE on the transactional id.
func splitEndTxn(req *kmsg.EndTxnRequest, j Judge) (*kmsg.EndTxnResponse, bool) {
	code := codeOf(j, OpWrite, TransactionalID, req.TransactionalID)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrEndTxnResponse() // producer id and epoch are -1
	resp.ErrorCode = code
	return resp, false
}

// splitTxnOffsetCommit refuses topics without READ, and everything without WRITE
// on the transactional id or READ on the group.
func splitTxnOffsetCommit(req *kmsg.TxnOffsetCommitRequest, j Judge) (*kmsg.TxnOffsetCommitResponse, bool) {
	code := func(t *kmsg.TxnOffsetCommitRequestTopic) int16 { return codeOf(j, OpRead, Topic, t.Topic) }
	whole := transactionCode(j, req.TransactionalID, req.Group)
	if !isHere(j, Group, req.Group) {
		// It came to another coordinator than the group's, as from the Java client, which
		// keeps one for all groups of a producer: no verdict before it has found the right one.
		whole = codeOf(j, OpRead, Group, req.Group)
	}
	if whole != codeNone {
		code = always[kmsg.TxnOffsetCommitRequestTopic](whole)
	}
	rest, refused := refuse(req.Topics, code,
		func(t *kmsg.TxnOffsetCommitRequestTopic, code int16) kmsg.TxnOffsetCommitResponseTopic {
			return kmsg.TxnOffsetCommitResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *kmsg.TxnOffsetCommitRequestTopicPartition) kmsg.TxnOffsetCommitResponseTopicPartition {
					return kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: code}
				}),
			}
		})
	if refused == nil && whole == codeNone {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeTxnOffsetCommit(resp, refused *kmsg.TxnOffsetCommitResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}
