package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds what administrators ask of single brokers: their log dirs, and the
// producers and transactions that they keep.

// splitWriteTxnMarkers refuses everything without ALTER or CLUSTER_ACTION on the
// cluster: administrators abort a hanging transaction with it (KIP-664).
func splitWriteTxnMarkers(req *kmsg.WriteTxnMarkersRequest, j Judge) (*kmsg.WriteTxnMarkersResponse, bool) {
	if j.Allowed(OpAlter, Cluster, ClusterName) {
		return nil, true
	}
	code := codeOf(j, OpClusterAction, Cluster, ClusterName)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	resp.Markers = each(req.Markers, func(m *kmsg.WriteTxnMarkersRequestMarker) kmsg.WriteTxnMarkersResponseMarker {
		return kmsg.WriteTxnMarkersResponseMarker{
			ProducerID: m.ProducerID,
			Topics: each(m.Topics, func(t *kmsg.WriteTxnMarkersRequestMarkerTopic) kmsg.WriteTxnMarkersResponseMarkerTopic {
				return kmsg.WriteTxnMarkersResponseMarkerTopic{
					Topic: t.Topic,
					Partitions: each(t.Partitions, func(p *int32) kmsg.WriteTxnMarkersResponseMarkerTopicPartition {
						return kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: *p, ErrorCode: code}
					}),
				}
			}),
		}
	})
	return resp, false
}

func deniedAlterReplicaLogDirs(req *kmsg.AlterReplicaLogDirsRequest, code int16) *kmsg.AlterReplicaLogDirsResponse {
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	for i := range req.Dirs {
		resp.Topics = append(resp.Topics, each(req.Dirs[i].Topics, func(t *kmsg.AlterReplicaLogDirsRequestDirTopic) kmsg.AlterReplicaLogDirsResponseTopic {
			return kmsg.AlterReplicaLogDirsResponseTopic{Topic: t.Topic, Partitions: each(t.Partitions, func(p *int32) kmsg.AlterReplicaLogDirsResponseTopicPartition {
				return kmsg.AlterReplicaLogDirsResponseTopicPartition{Partition: *p, ErrorCode: code}
			})}
		})...)
	}
	return resp
}

// deniedDescribeLogDirs: before version 3 there is no place for a code.
func deniedDescribeLogDirs(_ *kmsg.DescribeLogDirsRequest, code int16) *kmsg.DescribeLogDirsResponse {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	resp.ErrorCode = code
	return resp
}

// filterDescribeLogDirs leaves out topics that the tenant may not describe, which
// Kafka shows to whom may DESCRIBE the cluster.
func filterDescribeLogDirs(resp *kmsg.DescribeLogDirsResponse, j Judge) {
	for i := range resp.Dirs {
		d := &resp.Dirs[i]
		d.Topics = keep(d.Topics, func(t *kmsg.DescribeLogDirsResponseDirTopic) bool {
			return j.Allowed(OpDescribe, Topic, t.Topic)
		})
	}
}

// splitDescribeProducers refuses topics without READ.
func splitDescribeProducers(req *kmsg.DescribeProducersRequest, j Judge) (*kmsg.DescribeProducersResponse, bool) {
	rest, refused := refuse(req.Topics,
		func(t *kmsg.DescribeProducersRequestTopic) int16 { return codeOf(j, OpRead, Topic, t.Topic) },
		func(t *kmsg.DescribeProducersRequestTopic, code int16) kmsg.DescribeProducersResponseTopic {
			return kmsg.DescribeProducersResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *int32) kmsg.DescribeProducersResponseTopicPartition {
					return kmsg.DescribeProducersResponseTopicPartition{Partition: *p, ErrorCode: code, ErrorMessage: errorText(code)}
				}),
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrDescribeProducersResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeDescribeProducers(resp, refused *kmsg.DescribeProducersResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// splitDescribeTransactions refuses transactional ids without DESCRIBE.
func splitDescribeTransactions(req *kmsg.DescribeTransactionsRequest, j Judge) (*kmsg.DescribeTransactionsResponse, bool) {
	rest, refused := refuse(req.TransactionalIDs,
		func(id *string) int16 { return codeOf(j, OpDescribe, TransactionalID, *id) },
		func(id *string, code int16) kmsg.DescribeTransactionsResponseTransactionState {
			return kmsg.DescribeTransactionsResponseTransactionState{TransactionalID: *id, ErrorCode: code}
		})
	if refused == nil {
		return nil, true
	}
	req.TransactionalIDs = rest
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	resp.TransactionStates = refused
	return resp, len(rest) > 0
}

func mergeDescribeTransactions(resp, refused *kmsg.DescribeTransactionsResponse) {
	resp.TransactionStates = append(resp.TransactionStates, refused.TransactionStates...)
}

// filterDescribeTransactions leaves out the topics of a transaction that the tenant
// may not describe.
func filterDescribeTransactions(resp *kmsg.DescribeTransactionsResponse, j Judge) {
	for i := range resp.TransactionStates {
		s := &resp.TransactionStates[i]
		s.Topics = keep(s.Topics, func(t *kmsg.DescribeTransactionsResponseTransactionStateTopic) bool {
			return j.Allowed(OpDescribe, Topic, t.Topic)
		})
	}
}

// filterListTransactions lists the transactional ids with DESCRIBE.
func filterListTransactions(resp *kmsg.ListTransactionsResponse, j Judge) {
	resp.TransactionStates = keep(resp.TransactionStates, func(s *kmsg.ListTransactionsResponseTransactionState) bool {
		return j.Allowed(OpDescribe, TransactionalID, s.TransactionalID)
	})
}
