package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds what administrators do to topics: creating, deleting and growing
// them, and moving their partitions.

const codeInvalidReplicaAssignment int16 = 39

// blankAssignmentError takes away a text that names brokers by their own ids ("…
// includes broker 5, but no such broker is registered").
func blankAssignmentError(code int16, message **string) {
	if code == codeInvalidReplicaAssignment {
		*message = nil
	}
}

// splitCreateTopics refuses topics without CREATE, unless the tenant may CREATE in
// the cluster.
func splitCreateTopics(req *kmsg.CreateTopicsRequest, j Judge) (*kmsg.CreateTopicsResponse, bool) {
	if j.Allowed(OpCreate, Cluster, ClusterName) {
		return nil, true
	}
	rest, refused := refuse(req.Topics,
		func(t *kmsg.CreateTopicsRequestTopic) int16 { return codeOf(j, OpCreate, Topic, t.Topic) },
		func(t *kmsg.CreateTopicsRequestTopic, code int16) kmsg.CreateTopicsResponseTopic {
			a := kmsg.NewCreateTopicsResponseTopic() // partitions and replication factor are -1
			a.Topic, a.ErrorCode, a.ErrorMessage = t.Topic, code, errorText(code)
			if code == codeTopicAuthorizationFailed {
				a.ErrorMessage = kmsg.StringPtr("Authorization failed.")
			}
			a.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
			return a
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrCreateTopicsResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeCreateTopics(resp, refused *kmsg.CreateTopicsResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
	resp.ThrottleMillis = max(resp.ThrottleMillis, refused.ThrottleMillis)
}

// filterCreateTopics takes away what version 5 and later tell of a new topic
// (KIP-525) from whom may not DESCRIBE_CONFIGS it.
func filterCreateTopics(resp *kmsg.CreateTopicsResponse, j Judge) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.ErrorCode != codeNone || j.Allowed(OpDescribeConfigs, Topic, t.Topic) {
			continue
		}
		t.ConfigErrorCode = codeTopicAuthorizationFailed
		t.NumPartitions, t.ReplicationFactor = -1, -1
		t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	}
}

func realizeCreateTopics(req *kmsg.CreateTopicsRequest, n Nodes) bool {
	all := true
	for i := range req.Topics {
		for k := range req.Topics[i].ReplicaAssignment {
			all = realIDs(req.Topics[i].ReplicaAssignment[k].Replicas, n) && all
		}
		for k := range req.Topics[i].Configs {
			c := &req.Topics[i].Configs[k]
			value, ok := realReplicas(c.Name, c.Value, n)
			c.Value, all = value, all && ok
		}
	}
	return all
}

func virtualizeCreateTopics(_ *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse, n Nodes) {
	for i := range resp.Topics {
		blankAssignmentError(resp.Topics[i].ErrorCode, &resp.Topics[i].ErrorMessage)
		showReplicasText(&resp.Topics[i].ErrorMessage, n)
		for k := range resp.Topics[i].Configs {
			c := &resp.Topics[i].Configs[k]
			c.Value = shownReplicas(c.Name, c.Value, n)
		}
	}
}

// Topics to be deleted are named by name or id from this version on (KIP-516).
const deleteByID = 6

// splitDeleteTopics refuses topics without DELETE, unless the tenant may DELETE in
// the cluster (which ALL on the cluster includes). The name of a topic that is given
// by its id is told only to whom may describe it.
func splitDeleteTopics(req *kmsg.DeleteTopicsRequest, j Judge) (*kmsg.DeleteTopicsResponse, bool) {
	if req.Version >= deleteByID {
		return splitDeleteTopicsByID(req, j)
	}
	if j.Allowed(OpDelete, Cluster, ClusterName) {
		return nil, true
	}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	req.TopicNames, resp.Topics = refuse(req.TopicNames,
		func(t *string) int16 { return deleteCode(j, *t) },
		func(t *string, code int16) kmsg.DeleteTopicsResponseTopic {
			return refusedDeletion(kmsg.StringPtr(*t), [16]byte{}, code) // a copy: the array is used again
		})
	if resp.Topics == nil {
		return nil, true
	}
	return resp, len(req.TopicNames) > 0
}

// splitDeleteTopicsByID also answers ids that the slice does not have: a broker may
// know of a topic that the gateway could not judge. An element with both a name and
// an id, which brokers refuse, passes to them only if it would be allowed either way.
func splitDeleteTopicsByID(req *kmsg.DeleteTopicsRequest, j Judge) (*kmsg.DeleteTopicsResponse, bool) {
	cluster := j.Allowed(OpDelete, Cluster, ClusterName)
	byID := func(t *kmsg.DeleteTopicsRequestTopic) int16 {
		name, ok := j.TopicName(t.TopicID)
		switch {
		case !ok:
			return codeUnknownTopicID
		case cluster:
			return codeNone
		}
		return codeOf(j, OpDelete, Topic, name)
	}
	byName := func(t *kmsg.DeleteTopicsRequestTopic) int16 {
		if cluster {
			return codeNone
		}
		return deleteCode(j, *t.Topic)
	}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	req.Topics, resp.Topics = refuse(req.Topics, func(t *kmsg.DeleteTopicsRequestTopic) int16 {
		noID := t.TopicID == [16]byte{}
		switch {
		case t.Topic == nil && noID:
			return codeNone // a broker's INVALID_REQUEST
		case t.Topic == nil:
			return byID(t)
		case noID:
			return byName(t)
		case byName(t) != codeNone || byID(t) != codeNone:
			return codeInvalidRequest
		}
		return codeNone
	}, func(t *kmsg.DeleteTopicsRequestTopic, code int16) kmsg.DeleteTopicsResponseTopic {
		topic := t.Topic
		if topic == nil && code == codeTopicAuthorizationFailed {
			if name, ok := j.TopicName(t.TopicID); ok && j.Allowed(OpDescribe, Topic, name) {
				topic = &name
			}
		}
		return refusedDeletion(topic, t.TopicID, code)
	})
	if resp.Topics == nil {
		return nil, true
	}
	return resp, len(req.Topics) > 0
}

// deleteCode judges a topic that is to be deleted by its name: Kafka asks for
// DESCRIBE too before it says anything of it.
func deleteCode(j Judge, name string) int16 {
	if code := codeOf(j, OpDelete, Topic, name); code != codeNone {
		return code
	}
	return codeOf(j, OpDescribe, Topic, name)
}

func refusedDeletion(name *string, id [16]byte, code int16) kmsg.DeleteTopicsResponseTopic {
	a := kmsg.NewDeleteTopicsResponseTopic()
	a.Topic, a.TopicID, a.ErrorCode, a.ErrorMessage = name, id, code, errorText(code)
	if code == codeInvalidRequest {
		a.ErrorMessage = kmsg.StringPtr("You may not specify both topic name and topic id.")
	}
	return a
}

func mergeDeleteTopics(resp, refused *kmsg.DeleteTopicsResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
	resp.ThrottleMillis = max(resp.ThrottleMillis, refused.ThrottleMillis)
}

// splitCreatePartitions refuses topics without ALTER.
func splitCreatePartitions(req *kmsg.CreatePartitionsRequest, j Judge) (*kmsg.CreatePartitionsResponse, bool) {
	rest, refused := refuse(req.Topics,
		func(t *kmsg.CreatePartitionsRequestTopic) int16 { return codeOf(j, OpAlter, Topic, t.Topic) },
		func(t *kmsg.CreatePartitionsRequestTopic, code int16) kmsg.CreatePartitionsResponseTopic {
			return kmsg.CreatePartitionsResponseTopic{Topic: t.Topic, ErrorCode: code} // Kafka has no text here
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrCreatePartitionsResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func mergeCreatePartitions(resp, refused *kmsg.CreatePartitionsResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
	resp.ThrottleMillis = max(resp.ThrottleMillis, refused.ThrottleMillis)
}

func realizeCreatePartitions(req *kmsg.CreatePartitionsRequest, n Nodes) bool {
	all := true
	for i := range req.Topics {
		for k := range req.Topics[i].Assignment {
			all = realIDs(req.Topics[i].Assignment[k].Replicas, n) && all
		}
	}
	return all
}

func virtualizeCreatePartitions(_ *kmsg.CreatePartitionsRequest, resp *kmsg.CreatePartitionsResponse, _ Nodes) {
	for i := range resp.Topics {
		blankAssignmentError(resp.Topics[i].ErrorCode, &resp.Topics[i].ErrorMessage)
	}
}

// deniedElectLeaders: version 0 has no code for the whole.
func deniedElectLeaders(req *kmsg.ElectLeadersRequest, code int16) *kmsg.ElectLeadersResponse {
	resp := kmsg.NewPtrElectLeadersResponse()
	resp.ErrorCode = code
	resp.Topics = each(req.Topics, func(t *kmsg.ElectLeadersRequestTopic) kmsg.ElectLeadersResponseTopic {
		return kmsg.ElectLeadersResponseTopic{Topic: t.Topic, Partitions: each(t.Partitions, func(p *int32) kmsg.ElectLeadersResponseTopicPartition {
			return kmsg.ElectLeadersResponseTopicPartition{Partition: *p, ErrorCode: code, ErrorMessage: errorText(code)}
		})}
	})
	return resp
}

func deniedAlterPartitionReassignments(req *kmsg.AlterPartitionAssignmentsRequest, code int16) *kmsg.AlterPartitionAssignmentsResponse {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	resp.Topics = each(req.Topics, func(t *kmsg.AlterPartitionAssignmentsRequestTopic) kmsg.AlterPartitionAssignmentsResponseTopic {
		return kmsg.AlterPartitionAssignmentsResponseTopic{
			Topic: t.Topic,
			Partitions: each(t.Partitions, func(p *kmsg.AlterPartitionAssignmentsRequestTopicPartition) kmsg.AlterPartitionAssignmentsResponseTopicPartition {
				return kmsg.AlterPartitionAssignmentsResponseTopicPartition{Partition: p.Partition, ErrorCode: code, ErrorMessage: errorText(code)}
			}),
		}
	})
	return resp
}

func realizeAlterPartitionReassignments(req *kmsg.AlterPartitionAssignmentsRequest, n Nodes) bool {
	all := true
	for i := range req.Topics {
		for k := range req.Topics[i].Partitions {
			all = realIDs(req.Topics[i].Partitions[k].Replicas, n) && all
		}
	}
	return all
}

func virtualizeAlterPartitionReassignments(_ *kmsg.AlterPartitionAssignmentsRequest, resp *kmsg.AlterPartitionAssignmentsResponse, _ Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			blankAssignmentError(p.ErrorCode, &p.ErrorMessage)
		}
	}
}

// deniedListPartitionReassignments repeats what was asked for, as Kafka does.
func deniedListPartitionReassignments(req *kmsg.ListPartitionReassignmentsRequest, code int16) *kmsg.ListPartitionReassignmentsResponse {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	resp.Topics = each(req.Topics, func(t *kmsg.ListPartitionReassignmentsRequestTopic) kmsg.ListPartitionReassignmentsResponseTopic {
		return kmsg.ListPartitionReassignmentsResponseTopic{
			Topic: t.Topic,
			Partitions: each(t.Partitions, func(p *int32) kmsg.ListPartitionReassignmentsResponseTopicPartition {
				return kmsg.ListPartitionReassignmentsResponseTopicPartition{Partition: *p}
			}),
		}
	})
	return resp
}

// filterListPartitionReassignments leaves out topics that the tenant may not
// describe, which Kafka shows to whom may DESCRIBE the cluster.
func filterListPartitionReassignments(resp *kmsg.ListPartitionReassignmentsResponse, j Judge) {
	resp.Topics = keep(resp.Topics, func(t *kmsg.ListPartitionReassignmentsResponseTopic) bool {
		return j.Allowed(OpDescribe, Topic, t.Topic)
	})
}

func virtualizeListPartitionReassignments(_ *kmsg.ListPartitionReassignmentsRequest, resp *kmsg.ListPartitionReassignmentsResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			showIDs(p.Replicas, n)
			showIDs(p.AddingReplicas, n)
			showIDs(p.RemovingReplicas, n)
		}
	}
}
