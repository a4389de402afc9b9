package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// The refusal broker's answers to administrators' requests: the text where there
// is a place for it, and otherwise the error of Kafka's own denial in its place.

// answerAdmin answers what is asked of topics, configurations and the cluster;
// nil for every request that it does not know.
func (r Refusal) answerAdmin(req kmsg.Request) kmsg.Response {
	for _, answer := range []func(kmsg.Request) kmsg.Response{
		r.answerTopics, r.answerConfigs, r.answerNames, r.answerPartitions, r.answerCluster,
	} {
		if resp := answer(req); resp != nil {
			return resp
		}
	}
	return nil
}

// answerTopics refuses each topic by itself.
func (r Refusal) answerTopics(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.CreateTopicsRequest:
		a := kmsg.NewPtrCreateTopicsResponse()
		a.Topics = each(q.Topics, func(q *kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsResponseTopic {
			t := kmsg.NewCreateTopicsResponseTopic()
			t.Topic, t.ErrorCode, t.ErrorMessage = q.Topic, codePolicyViolation, &r.Text
			return t
		})
		return a
	case *kmsg.DeleteTopicsRequest:
		return r.deleteTopics(q)
	case *kmsg.CreatePartitionsRequest:
		a := kmsg.NewPtrCreatePartitionsResponse()
		a.Topics = each(q.Topics, func(q *kmsg.CreatePartitionsRequestTopic) kmsg.CreatePartitionsResponseTopic {
			t := kmsg.NewCreatePartitionsResponseTopic()
			t.Topic, t.ErrorCode, t.ErrorMessage = q.Topic, codePolicyViolation, &r.Text
			return t
		})
		return a
	}
	return nil
}

// answerConfigs refuses each resource whose configuration is asked for or set.
func (r Refusal) answerConfigs(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.DescribeConfigsRequest:
		a := kmsg.NewPtrDescribeConfigsResponse()
		a.Resources = each(q.Resources, func(q *kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
			t := kmsg.NewDescribeConfigsResponseResource()
			t.ResourceType, t.ResourceName, t.ErrorCode, t.ErrorMessage = q.ResourceType, q.ResourceName, codePolicyViolation, &r.Text
			return t
		})
		return a
	case *kmsg.AlterConfigsRequest:
		a := kmsg.NewPtrAlterConfigsResponse()
		a.Resources = each(q.Resources, func(q *kmsg.AlterConfigsRequestResource) kmsg.AlterConfigsResponseResource {
			t := kmsg.NewAlterConfigsResponseResource()
			t.ResourceType, t.ResourceName, t.ErrorCode, t.ErrorMessage = q.ResourceType, q.ResourceName, codePolicyViolation, &r.Text
			return t
		})
		return a
	case *kmsg.IncrementalAlterConfigsRequest:
		a := kmsg.NewPtrIncrementalAlterConfigsResponse()
		a.Resources = each(q.Resources, func(q *kmsg.IncrementalAlterConfigsRequestResource) kmsg.IncrementalAlterConfigsResponseResource {
			t := kmsg.NewIncrementalAlterConfigsResponseResource()
			t.ResourceType, t.ResourceName, t.ErrorCode, t.ErrorMessage = q.ResourceType, q.ResourceName, codePolicyViolation, &r.Text
			return t
		})
		return a
	}
	return nil
}

// answerNames refuses each ACL, quota, user, group or transactional id by itself.
func (r Refusal) answerNames(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.CreateACLsRequest:
		a := kmsg.NewPtrCreateACLsResponse()
		a.Results = each(q.Creations, func(*kmsg.CreateACLsRequestCreation) kmsg.CreateACLsResponseResult {
			t := kmsg.NewCreateACLsResponseResult()
			t.ErrorCode, t.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
			return t
		})
		return a
	case *kmsg.DeleteACLsRequest:
		a := kmsg.NewPtrDeleteACLsResponse()
		a.Results = each(q.Filters, func(*kmsg.DeleteACLsRequestFilter) kmsg.DeleteACLsResponseResult {
			t := kmsg.NewDeleteACLsResponseResult()
			t.ErrorCode, t.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
			return t
		})
		return a
	case *kmsg.AlterClientQuotasRequest:
		return r.alterClientQuotas(q)
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		return r.alterUsers(q)
	case *kmsg.DeleteGroupsRequest:
		a := kmsg.NewPtrDeleteGroupsResponse()
		a.Groups = each(q.Groups, func(group *string) kmsg.DeleteGroupsResponseGroup {
			t := kmsg.NewDeleteGroupsResponseGroup()
			t.Group, t.ErrorCode = *group, codeGroupAuthorizationFailed
			return t
		})
		return a
	case *kmsg.DescribeTransactionsRequest:
		a := kmsg.NewPtrDescribeTransactionsResponse()
		a.TransactionStates = each(q.TransactionalIDs, func(id *string) kmsg.DescribeTransactionsResponseTransactionState {
			t := kmsg.NewDescribeTransactionsResponseTransactionState()
			t.TransactionalID, t.ErrorCode = *id, codeTransactionalIDAuthorization
			return t
		})
		return a
	}
	return nil
}

func (r Refusal) deleteTopics(req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	a := kmsg.NewPtrDeleteTopicsResponse()
	refused := func(name *string, id [16]byte) kmsg.DeleteTopicsResponseTopic {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, codePolicyViolation, &r.Text
		return t
	}
	if req.Version < 6 {
		a.Topics = each(req.TopicNames, func(name *string) kmsg.DeleteTopicsResponseTopic { return refused(name, [16]byte{}) })
		return a
	}
	a.Topics = each(req.Topics, func(q *kmsg.DeleteTopicsRequestTopic) kmsg.DeleteTopicsResponseTopic {
		return refused(q.Topic, q.TopicID)
	})
	return a
}

func (r Refusal) alterClientQuotas(req *kmsg.AlterClientQuotasRequest) *kmsg.AlterClientQuotasResponse {
	a := kmsg.NewPtrAlterClientQuotasResponse()
	a.Entries = each(req.Entries, func(q *kmsg.AlterClientQuotasRequestEntry) kmsg.AlterClientQuotasResponseEntry {
		e := kmsg.NewAlterClientQuotasResponseEntry()
		e.ErrorCode, e.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		e.Entity = each(q.Entity, func(q *kmsg.AlterClientQuotasRequestEntryEntity) kmsg.AlterClientQuotasResponseEntryEntity {
			t := kmsg.NewAlterClientQuotasResponseEntryEntity()
			t.Type, t.Name = q.Type, q.Name
			return t
		})
		return e
	})
	return a
}

// alterUsers answers once for each user, whatever is to be done to it.
func (r Refusal) alterUsers(req *kmsg.AlterUserSCRAMCredentialsRequest) *kmsg.AlterUserSCRAMCredentialsResponse {
	a := kmsg.NewPtrAlterUserSCRAMCredentialsResponse()
	seen := make(map[string]bool)
	once := func(user string) {
		if seen[user] {
			return
		}
		seen[user] = true
		t := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		t.User, t.ErrorCode, t.ErrorMessage = user, codeClusterAuthorizationFailed, &r.Text
		a.Results = append(a.Results, t)
	}
	for i := range req.Deletions {
		once(req.Deletions[i].Name)
	}
	for i := range req.Upsertions {
		once(req.Upsertions[i].Name)
	}
	return a
}

// answerPartitions refuses each partition by itself.
func (r Refusal) answerPartitions(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.WriteTxnMarkersRequest:
		return refusedMarkers(q)
	case *kmsg.AlterReplicaLogDirsRequest:
		a := kmsg.NewPtrAlterReplicaLogDirsResponse()
		for i := range q.Dirs {
			a.Topics = append(a.Topics, each(q.Dirs[i].Topics, func(q *kmsg.AlterReplicaLogDirsRequestDirTopic) kmsg.AlterReplicaLogDirsResponseTopic {
				t := kmsg.NewAlterReplicaLogDirsResponseTopic()
				t.Topic = q.Topic
				t.Partitions = each(q.Partitions, func(n *int32) kmsg.AlterReplicaLogDirsResponseTopicPartition {
					p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
					p.Partition, p.ErrorCode = *n, codeClusterAuthorizationFailed
					return p
				})
				return t
			})...)
		}
		return a
	case *kmsg.ElectLeadersRequest:
		a := kmsg.NewPtrElectLeadersResponse()
		a.ErrorCode = codeClusterAuthorizationFailed
		a.Topics = each(q.Topics, func(q *kmsg.ElectLeadersRequestTopic) kmsg.ElectLeadersResponseTopic {
			t := kmsg.NewElectLeadersResponseTopic()
			t.Topic = q.Topic
			t.Partitions = each(q.Partitions, func(n *int32) kmsg.ElectLeadersResponseTopicPartition {
				p := kmsg.NewElectLeadersResponseTopicPartition()
				p.Partition, p.ErrorCode, p.ErrorMessage = *n, codeClusterAuthorizationFailed, &r.Text
				return p
			})
			return t
		})
		return a
	case *kmsg.DescribeProducersRequest:
		a := kmsg.NewPtrDescribeProducersResponse()
		a.Topics = each(q.Topics, func(q *kmsg.DescribeProducersRequestTopic) kmsg.DescribeProducersResponseTopic {
			t := kmsg.NewDescribeProducersResponseTopic()
			t.Topic = q.Topic
			t.Partitions = each(q.Partitions, func(n *int32) kmsg.DescribeProducersResponseTopicPartition {
				p := kmsg.NewDescribeProducersResponseTopicPartition()
				p.Partition, p.ErrorCode, p.ErrorMessage = *n, codeTopicAuthorizationFailed, &r.Text
				return p
			})
			return t
		})
		return a
	}
	return nil
}

func refusedMarkers(req *kmsg.WriteTxnMarkersRequest) *kmsg.WriteTxnMarkersResponse {
	a := kmsg.NewPtrWriteTxnMarkersResponse()
	a.Markers = each(req.Markers, func(q *kmsg.WriteTxnMarkersRequestMarker) kmsg.WriteTxnMarkersResponseMarker {
		m := kmsg.NewWriteTxnMarkersResponseMarker()
		m.ProducerID = q.ProducerID
		m.Topics = each(q.Topics, func(q *kmsg.WriteTxnMarkersRequestMarkerTopic) kmsg.WriteTxnMarkersResponseMarkerTopic {
			t := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			t.Topic = q.Topic
			t.Partitions = each(q.Partitions, func(n *int32) kmsg.WriteTxnMarkersResponseMarkerTopicPartition {
				p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				p.Partition, p.ErrorCode = *n, codeClusterAuthorizationFailed
				return p
			})
			return t
		})
		return m
	})
	return a
}

// answerCluster refuses the request as a whole. DescribeLogDirs has no place for
// an error before version 3, and ListTransactions leaves out what is denied, so
// those are empty.
func (r Refusal) answerCluster(req kmsg.Request) kmsg.Response {
	switch req.(type) {
	case *kmsg.DescribeACLsRequest:
		a := kmsg.NewPtrDescribeACLsResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		return a
	case *kmsg.DescribeLogDirsRequest:
		a := kmsg.NewPtrDescribeLogDirsResponse()
		a.ErrorCode = codeClusterAuthorizationFailed
		return a
	case *kmsg.AlterPartitionAssignmentsRequest:
		a := kmsg.NewPtrAlterPartitionAssignmentsResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		return a
	case *kmsg.ListPartitionReassignmentsRequest:
		a := kmsg.NewPtrListPartitionReassignmentsResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		return a
	case *kmsg.DescribeClientQuotasRequest:
		a := kmsg.NewPtrDescribeClientQuotasResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		return a
	case *kmsg.DescribeUserSCRAMCredentialsRequest:
		a := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		return a
	case *kmsg.DescribeQuorumRequest:
		a := kmsg.NewPtrDescribeQuorumResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		return a
	case *kmsg.ListConfigResourcesRequest:
		a := kmsg.NewPtrListConfigResourcesResponse()
		a.ErrorCode = codeClusterAuthorizationFailed
		return a
	case *kmsg.OffsetDeleteRequest:
		a := kmsg.NewPtrOffsetDeleteResponse()
		a.ErrorCode = codeGroupAuthorizationFailed
		return a
	case *kmsg.AlterShareGroupOffsetsRequest:
		a := kmsg.NewPtrAlterShareGroupOffsetsResponse()
		a.ErrorCode, a.ErrorMessage = codeGroupAuthorizationFailed, &r.Text
		return a
	case *kmsg.DeleteShareGroupOffsetsRequest:
		a := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
		a.ErrorCode, a.ErrorMessage = codeGroupAuthorizationFailed, &r.Text
		return a
	}
	return nil
}
