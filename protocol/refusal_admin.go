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

// answerNames refuses each ACL, quota or user by itself.
func (r Refusal) answerNames(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.CreateACLsRequest:
		a := deniedCreateACLs(q, codeClusterAuthorizationFailed)
		for i := range a.Results {
			a.Results[i].ErrorMessage = &r.Text
		}
		return a
	case *kmsg.DeleteACLsRequest:
		a := deniedDeleteACLs(q, codeClusterAuthorizationFailed)
		for i := range a.Results {
			a.Results[i].ErrorMessage = &r.Text
		}
		return a
	case *kmsg.AlterClientQuotasRequest:
		a := deniedAlterClientQuotas(q, codeClusterAuthorizationFailed)
		for i := range a.Entries {
			a.Entries[i].ErrorMessage = &r.Text
		}
		return a
	case *kmsg.AlterUserSCRAMCredentialsRequest:
		a := deniedAlterUsers(q, codeClusterAuthorizationFailed)
		for i := range a.Results {
			a.Results[i].ErrorMessage = &r.Text
		}
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

// answerPartitions refuses each partition by itself.
func (r Refusal) answerPartitions(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.ElectLeadersRequest:
		a := deniedElectLeaders(q, codeClusterAuthorizationFailed)
		for i := range a.Topics {
			for k := range a.Topics[i].Partitions {
				a.Topics[i].Partitions[k].ErrorMessage = &r.Text
			}
		}
		return a
	case *kmsg.DescribeProducersRequest:
		a, _ := splitDescribeProducers(q, denyAll{})
		if a == nil {
			return nil // names nothing
		}
		for i := range a.Topics {
			for k := range a.Topics[i].Partitions {
				a.Topics[i].Partitions[k].ErrorMessage = &r.Text
			}
		}
		return a
	}
	return nil
}

// answerCluster refuses the request as a whole.
func (r Refusal) answerCluster(req kmsg.Request) kmsg.Response {
	const code = codeClusterAuthorizationFailed
	switch q := req.(type) {
	case *kmsg.DescribeACLsRequest:
		a := deniedDescribeACLs(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.AlterPartitionAssignmentsRequest:
		a := deniedAlterPartitionReassignments(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.ListPartitionReassignmentsRequest:
		a := deniedListPartitionReassignments(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.DescribeClientQuotasRequest:
		a := deniedDescribeClientQuotas(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.DescribeUserSCRAMCredentialsRequest:
		a := deniedDescribeUsers(q, code)
		a.ErrorMessage = &r.Text
		return a
	}
	return r.answerQuorum(req)
}

// answerQuorum is [Refusal.answerCluster] for what is asked of controllers, and for
// the offsets of share groups.
func (r Refusal) answerQuorum(req kmsg.Request) kmsg.Response {
	const code = codeClusterAuthorizationFailed
	switch q := req.(type) {
	case *kmsg.DescribeQuorumRequest:
		a := deniedDescribeQuorum(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.UpdateFeaturesRequest:
		a := deniedUpdateFeatures(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.UnregisterBrokerRequest:
		a := deniedUnregisterBroker(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.AddRaftVoterRequest:
		a := deniedAddRaftVoter(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.RemoveRaftVoterRequest:
		a := deniedRemoveRaftVoter(q, code)
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.AlterShareGroupOffsetsRequest:
		a, _ := splitAlterShareGroupOffsets(q, denyAll{})
		a.ErrorMessage = &r.Text
		return a
	case *kmsg.DeleteShareGroupOffsetsRequest:
		a, _ := splitDeleteShareGroupOffsets(q, denyAll{})
		a.ErrorMessage = &r.Text
		return a
	}
	return nil
}
