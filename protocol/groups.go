package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// The group APIs of the classic protocol, and finding coordinators.

const (
	codeCoordinatorNotAvailable int16 = 15

	// What FindCoordinator's key is (org.apache.kafka.common.requests.FindCoordinatorRequest.CoordinatorType).
	coordinatorOfGroup       int8 = 0
	coordinatorOfTransaction int8 = 1
)

// errorText is Kafka's message for the errors that a rule gives, where an answer
// has a place for one (org.apache.kafka.common.protocol.Errors), and ours for a slice
// that is missing.
func errorText(code int16) *string {
	var s string
	switch code {
	case codeTopicAuthorizationFailed:
		s = "Topic authorization failed."
	case codeGroupAuthorizationFailed:
		s = "Group authorization failed."
	case codeClusterAuthorizationFailed:
		s = "Cluster authorization failed."
	case codeTransactionalIDAuthorization:
		s = "Transactional Id authorization failed."
	case codeUnknownTopicID:
		s = "This server does not host this topic ID."
	case codeLeaderNotAvailable, codeCoordinatorNotAvailable, codeRequestTimedOut:
		s = "The cluster in which this lives does not answer now."
	default:
		return nil
	}
	return &s
}

// splitOffsetCommit: READ on the group and on each topic. There is no code for
// the whole answer, so a denied group is an error of every partition.
func splitOffsetCommit(req *kmsg.OffsetCommitRequest, j Judge) (*kmsg.OffsetCommitResponse, bool) {
	code := func(t *kmsg.OffsetCommitRequestTopic) int16 {
		return topicCode(j, OpRead, req.Version >= 10, t.Topic, t.TopicID)
	}
	group := codeOf(j, OpRead, Group, req.Group)
	if group != codeNone {
		code = always[kmsg.OffsetCommitRequestTopic](group)
	}
	rest, refused := refuse(req.Topics, code, refusedCommit)
	req.Topics = rest
	if refused == nil && group == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrOffsetCommitResponse()
	resp.Topics = refused
	return resp, len(rest) > 0
}

func refusedCommit(t *kmsg.OffsetCommitRequestTopic, code int16) kmsg.OffsetCommitResponseTopic {
	a := kmsg.NewOffsetCommitResponseTopic()
	a.Topic, a.TopicID = t.Topic, t.TopicID
	a.Partitions = each(t.Partitions, func(p *kmsg.OffsetCommitRequestTopicPartition) kmsg.OffsetCommitResponseTopicPartition {
		r := kmsg.NewOffsetCommitResponseTopicPartition()
		r.Partition, r.ErrorCode = p.Partition, code
		return r
	})
	return a
}

func mergeOffsetCommit(resp, refused *kmsg.OffsetCommitResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// splitOffsetFetch: DESCRIBE on each group and each topic. Null topics ask for
// all of them; those are filtered in the answer.
func splitOffsetFetch(req *kmsg.OffsetFetchRequest, j Judge) (*kmsg.OffsetFetchResponse, bool) {
	if req.Version >= 8 {
		return splitOffsetFetchGroups(req, j)
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
	code := func(t *kmsg.OffsetFetchRequestTopic) int16 { return codeOf(j, OpDescribe, Topic, t.Topic) }
	group := codeOf(j, OpDescribe, Group, req.Group)
	switch {
	case group != codeNone && req.Version >= 2:
		resp.ErrorCode = group
		return resp, false
	case group != codeNone:
		code = always[kmsg.OffsetFetchRequestTopic](group)
	case req.Topics == nil:
		return nil, true
	}
	req.Topics, resp.Topics = refuse(req.Topics, code, refusedOffsets)
	if resp.Topics == nil && group == codeNone {
		return nil, true
	}
	return resp, len(req.Topics) > 0
}

func refusedOffsets(t *kmsg.OffsetFetchRequestTopic, code int16) kmsg.OffsetFetchResponseTopic {
	a := kmsg.NewOffsetFetchResponseTopic()
	a.Topic = t.Topic
	a.Partitions = each(t.Partitions, func(p *int32) kmsg.OffsetFetchResponseTopicPartition {
		r := kmsg.NewOffsetFetchResponseTopicPartition()
		r.Partition, r.Offset, r.Metadata, r.ErrorCode = *p, -1, kmsg.StringPtr(""), code
		return r
	})
	return a
}

// splitOffsetFetchGroups splits version 8 and later, which ask for several
// groups. A group of which only some topics are refused stands in both parts.
func splitOffsetFetchGroups(req *kmsg.OffsetFetchRequest, j Judge) (*kmsg.OffsetFetchResponse, bool) {
	resp := kmsg.NewPtrOffsetFetchResponse()
	req.Groups = keep(req.Groups, func(g *kmsg.OffsetFetchRequestGroup) bool {
		a := kmsg.NewOffsetFetchResponseGroup()
		a.Group, a.ErrorCode = g.Group, codeOf(j, OpDescribe, Group, g.Group)
		if a.ErrorCode == codeNone && g.Topics != nil {
			g.Topics, a.Topics = refuse(g.Topics, func(t *kmsg.OffsetFetchRequestGroupTopic) int16 {
				return topicCode(j, OpDescribe, req.Version >= 10, t.Topic, t.TopicID)
			}, refusedGroupOffsets)
		}
		if a.ErrorCode == codeNone && a.Topics == nil {
			return true
		}
		resp.Groups = append(resp.Groups, a)
		return len(g.Topics) > 0 && a.ErrorCode == codeNone
	})
	if resp.Groups == nil {
		return nil, true
	}
	return resp, len(req.Groups) > 0
}

func refusedGroupOffsets(t *kmsg.OffsetFetchRequestGroupTopic, code int16) kmsg.OffsetFetchResponseGroupTopic {
	a := kmsg.NewOffsetFetchResponseGroupTopic()
	a.Topic, a.TopicID = t.Topic, t.TopicID
	a.Partitions = each(t.Partitions, func(p *int32) kmsg.OffsetFetchResponseGroupTopicPartition {
		r := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		r.Partition, r.Offset, r.Metadata, r.ErrorCode = *p, -1, kmsg.StringPtr(""), code
		return r
	})
	return a
}

// mergeOffsetFetch: an answer that failed as a whole, or for a whole group, names
// no topics, as with Kafka.
func mergeOffsetFetch(resp, refused *kmsg.OffsetFetchResponse) {
	if resp.ErrorCode == codeNone {
		resp.Topics = append(resp.Topics, refused.Topics...)
	}
	asked := len(resp.Groups)
groups:
	for _, g := range refused.Groups {
		for i := range resp.Groups[:asked] {
			if have := &resp.Groups[i]; g.ErrorCode == codeNone && have.Group == g.Group {
				if have.ErrorCode == codeNone {
					have.Topics = append(have.Topics, g.Topics...)
				}
				continue groups
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
}

// filterOffsetFetch leaves out the topics that the tenant may not describe, which
// a request for all topics brings. It runs before the refused are merged.
func filterOffsetFetch(resp *kmsg.OffsetFetchResponse, j Judge) {
	resp.Topics = keep(resp.Topics, func(t *kmsg.OffsetFetchResponseTopic) bool {
		return j.Allowed(OpDescribe, Topic, t.Topic)
	})
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.Topics = keep(g.Topics, func(t *kmsg.OffsetFetchResponseGroupTopic) bool {
			return topicCode(j, OpDescribe, resp.Version >= 10, t.Topic, t.TopicID) == codeNone
		})
	}
}

// coordinatorCode judges one key: DESCRIBE on the group or the transactional id.
// Share coordinators are for brokers only (CLUSTER_ACTION on the cluster), and so
// is any type that Kafka may add.
func coordinatorCode(j Judge, of int8, key string) int16 {
	switch of {
	case coordinatorOfGroup:
		return codeOf(j, OpDescribe, Group, key)
	case coordinatorOfTransaction:
		return codeOf(j, OpDescribe, TransactionalID, key)
	default:
		return codeOf(j, OpClusterAction, Cluster, ClusterName)
	}
}

func splitFindCoordinator(req *kmsg.FindCoordinatorRequest, j Judge) (*kmsg.FindCoordinatorResponse, bool) {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		code := coordinatorCode(j, req.CoordinatorType, req.CoordinatorKey)
		if code == codeNone {
			return nil, true
		}
		resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
		resp.NodeID, resp.Host, resp.Port = -1, "", -1
		return resp, false
	}
	req.CoordinatorKeys, resp.Coordinators = refuse(req.CoordinatorKeys, func(key *string) int16 {
		return coordinatorCode(j, req.CoordinatorType, *key)
	}, func(key *string, code int16) kmsg.FindCoordinatorResponseCoordinator {
		a := kmsg.NewFindCoordinatorResponseCoordinator()
		a.Key, a.ErrorCode, a.ErrorMessage = *key, code, errorText(code)
		a.NodeID, a.Host, a.Port = -1, "", -1
		return a
	})
	if resp.Coordinators == nil {
		return nil, true
	}
	return resp, len(req.CoordinatorKeys) > 0
}

func mergeFindCoordinator(resp, refused *kmsg.FindCoordinatorResponse) {
	resp.Coordinators = append(resp.Coordinators, refused.Coordinators...)
}

// virtualizeFindCoordinator: a coordinator that clients cannot reach through the
// gateway is not available (retriable: a port may be meant for it later).
func virtualizeFindCoordinator(_ *kmsg.FindCoordinatorRequest, resp *kmsg.FindCoordinatorResponse, n Nodes) {
	if resp.Version < 4 {
		virtualCoordinator(n, &resp.ErrorCode, &resp.NodeID, &resp.Host, &resp.Port)
		return
	}
	for i := range resp.Coordinators {
		c := &resp.Coordinators[i]
		virtualCoordinator(n, &c.ErrorCode, &c.NodeID, &c.Host, &c.Port)
	}
}

func virtualCoordinator(n Nodes, code *int16, node *int32, host *string, port *int32) {
	if *code == codeNone {
		if h, p, ok := n.Address(*node); ok {
			*node, *host, *port = n.Virtual(*node), h, p
			return
		}
		*code = codeCoordinatorNotAvailable
	}
	*node, *host, *port = -1, "", -1
}

func splitJoinGroup(req *kmsg.JoinGroupRequest, j Judge) (*kmsg.JoinGroupResponse, bool) {
	code := codeOf(j, OpRead, Group, req.Group)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrJoinGroupResponse() // generation -1, no names, no members
	resp.ErrorCode = code
	return resp, false
}

func splitHeartbeat(req *kmsg.HeartbeatRequest, j Judge) (*kmsg.HeartbeatResponse, bool) {
	code := codeOf(j, OpRead, Group, req.Group)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.ErrorCode = code
	return resp, false
}

func splitLeaveGroup(req *kmsg.LeaveGroupRequest, j Judge) (*kmsg.LeaveGroupResponse, bool) {
	code := codeOf(j, OpRead, Group, req.Group)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.ErrorCode = code
	return resp, false
}

func splitSyncGroup(req *kmsg.SyncGroupRequest, j Judge) (*kmsg.SyncGroupResponse, bool) {
	code := codeOf(j, OpRead, Group, req.Group)
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = code
	return resp, false
}

func splitDescribeGroups(req *kmsg.DescribeGroupsRequest, j Judge) (*kmsg.DescribeGroupsResponse, bool) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	req.Groups, resp.Groups = refuse(req.Groups, describeGroupCode(j), func(group *string, code int16) kmsg.DescribeGroupsResponseGroup {
		a := kmsg.NewDescribeGroupsResponseGroup()
		a.Group, a.ErrorCode = *group, code
		return a
	})
	if resp.Groups == nil {
		return nil, true
	}
	return resp, len(req.Groups) > 0
}

// describeGroupCode is the code for [refuse] of the APIs that describe groups by id.
func describeGroupCode(j Judge) func(*string) int16 {
	return func(group *string) int16 { return codeOf(j, OpDescribe, Group, *group) }
}

func mergeDescribeGroups(resp, refused *kmsg.DescribeGroupsResponse) {
	resp.Groups = append(resp.Groups, refused.Groups...)
}

func filterDescribeGroups(resp *kmsg.DescribeGroupsResponse, j Judge) {
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.AuthorizedOperations = authorizedOperations(g.AuthorizedOperations, j, Group, g.Group)
	}
}

// filterListGroups: DESCRIBE on the cluster shows all groups, else only those
// with DESCRIBE on the group are listed. A group that lives in another slice is there
// for its offsets only.
func filterListGroups(resp *kmsg.ListGroupsResponse, j Judge) {
	all := j.Allowed(OpDescribe, Cluster, ClusterName)
	resp.Groups = keep(resp.Groups, func(g *kmsg.ListGroupsResponseGroup) bool {
		return all && isHere(j, Group, g.Group) || j.Allowed(OpDescribe, Group, g.Group)
	})
}
