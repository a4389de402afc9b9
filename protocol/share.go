package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// Share groups (KIP-932).

func splitShareGroupHeartbeat(req *kmsg.ShareGroupHeartbeatRequest, j Judge) (*kmsg.ShareGroupHeartbeatResponse, bool) {
	code := codeOf(j, OpRead, Group, req.GroupID)
	if code == codeNone {
		code = describable(j, req.SubscribedTopicNames)
	}
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = code, messageOf(j, code)
	return resp, false
}

func splitShareGroupDescribe(req *kmsg.ShareGroupDescribeRequest, j Judge) (*kmsg.ShareGroupDescribeResponse, bool) {
	resp := kmsg.NewPtrShareGroupDescribeResponse()
	req.GroupIDs, resp.Groups = refuse(req.GroupIDs, describeGroupCode(j), refusedShareGroup)
	if resp.Groups == nil {
		return nil, true
	}
	return resp, len(req.GroupIDs) > 0
}

func refusedShareGroup(group *string, code int16) kmsg.ShareGroupDescribeResponseGroup {
	a := kmsg.NewShareGroupDescribeResponseGroup()
	a.GroupID, a.ErrorCode = *group, code
	return a
}

func mergeShareGroupDescribe(resp, refused *kmsg.ShareGroupDescribeResponse) {
	resp.Groups = append(resp.Groups, refused.Groups...)
}

// filterShareGroupDescribe hides a group as a whole if any topic assigned in it
// may not be described, as Kafka does.
func filterShareGroupDescribe(resp *kmsg.ShareGroupDescribeResponse, j Judge) {
	tenant := permits(j)
	hidden := func(m *kmsg.ShareGroupDescribeResponseGroupMember) bool {
		for i := range m.Assignment.TopicPartitions {
			if !tenant.Allowed(OpDescribe, Topic, m.Assignment.TopicPartitions[i].Topic) {
				return true
			}
		}
		return false
	}
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.AuthorizedOperations = authorizedOperations(g.AuthorizedOperations, j, Group, g.GroupID)
		for k := range g.Members {
			if hidden(&g.Members[k]) {
				*g = refusedShareGroup(&g.GroupID, codeTopicAuthorizationFailed)
				g.ErrorMessage = kmsg.StringPtr(groupHidden)
				break
			}
		}
	}
}

// shareGroupCode judges the group of a share request; a null one has no name.
func shareGroupCode(j Judge, group *string) int16 {
	var name string
	if group != nil {
		name = *group
	}
	return codeOf(j, OpRead, Group, name)
}

// splitShareFetch: READ on the group and on each topic. A request whose topics
// were all denied still goes to the broker: it counts the epochs of the share
// session, and a request without topics asks for all that the session has. What it
// forgets it may forget.
func splitShareFetch(req *kmsg.ShareFetchRequest, j Judge) (*kmsg.ShareFetchResponse, bool) {
	resp := kmsg.NewPtrShareFetchResponse()
	if code := shareGroupCode(j, req.GroupID); code != codeNone {
		resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
		return resp, false
	}
	req.Topics, resp.Topics = refuse(req.Topics, func(t *kmsg.ShareFetchRequestTopic) int16 {
		return topicCode(j, OpRead, true, "", t.TopicID)
	}, refusedShareFetch)
	if resp.Topics == nil {
		return nil, true
	}
	return resp, true
}

func refusedShareFetch(t *kmsg.ShareFetchRequestTopic, code int16) kmsg.ShareFetchResponseTopic {
	a := kmsg.NewShareFetchResponseTopic()
	a.TopicID = t.TopicID
	a.Partitions = each(t.Partitions, func(p *kmsg.ShareFetchRequestTopicPartition) kmsg.ShareFetchResponseTopicPartition {
		r := kmsg.NewShareFetchResponseTopicPartition()
		r.Partition, r.ErrorCode, r.ErrorMessage = p.Partition, code, errorText(code)
		if len(p.AcknowledgementBatches) > 0 {
			r.AcknowledgeErrorCode, r.AcknowledgeErrorMessage = code, errorText(code)
		}
		r.CurrentLeader.LeaderID, r.CurrentLeader.LeaderEpoch = -1, -1
		r.Records = []byte{}
		return r
	})
	return a
}

// ShareSessionNotFound tells the client to start its share session anew (KIP-932).
func ShareSessionNotFound(version int16) *kmsg.ShareFetchResponse {
	resp := kmsg.NewPtrShareFetchResponse()
	resp.Version = version
	resp.ErrorCode = codeShareSessionNotFound
	return resp
}

// DeniedTopic reports whether an error code says that a topic is denied.
func DeniedTopic(code int16) bool { return code == codeTopicAuthorizationFailed }

func mergeShareFetch(resp, refused *kmsg.ShareFetchResponse) {
	if resp.ErrorCode == codeNone {
		resp.Topics = append(resp.Topics, refused.Topics...)
	}
}

// filterShareFetch takes the records of topics that may not be read out of the
// answer. A share session outlives a reload of the policy on the broker's side,
// and its requests name no topics: what was allowed when the session took a
// topic in may be denied now. The broker gives records that were acquired and
// never acknowledged to others when their lock times out.
func filterShareFetch(resp *kmsg.ShareFetchResponse, j Judge) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		code := topicCode(j, OpRead, true, "", t.TopicID)
		if code == codeNone {
			continue
		}
		for k := range t.Partitions {
			p := &t.Partitions[k]
			p.Records, p.AcquiredRecords = []byte{}, nil
			if p.ErrorCode == codeNone {
				p.ErrorCode, p.ErrorMessage = code, errorText(code)
			}
		}
	}
}

func virtualizeShareFetch(_ *kmsg.ShareFetchRequest, resp *kmsg.ShareFetchResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			virtualLeader(n, p.ErrorCode, &p.CurrentLeader.LeaderID, &p.CurrentLeader.LeaderEpoch)
		}
	}
	resp.NodeEndpoints = showBrokers(resp.NodeEndpoints, n, func(e *kmsg.ShareFetchResponseNodeEndpoint) (*int32, *string, *int32) {
		return &e.NodeID, &e.Host, &e.Port
	})
}

// virtualLeader rewrites the leader that a share answer names. The field is
// always there, but only an error 6 or 74 makes it mean anything (KIP-951);
// without, brokers leave it 0, and clients do not look.
func virtualLeader(n Nodes, code int16, leader, epoch *int32) {
	if code != codeNotLeaderOrFollower && code != codeFencedLeaderEpoch {
		*leader, *epoch = -1, -1
		return
	}
	showLeader(leader, epoch, n)
}

// splitShareAcknowledge: READ on the group and on each topic. As with ShareFetch,
// the broker gets the request even if no topic is left.
func splitShareAcknowledge(req *kmsg.ShareAcknowledgeRequest, j Judge) (*kmsg.ShareAcknowledgeResponse, bool) {
	resp := kmsg.NewPtrShareAcknowledgeResponse()
	if code := shareGroupCode(j, req.GroupID); code != codeNone {
		resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
		return resp, false
	}
	req.Topics, resp.Topics = refuse(req.Topics, func(t *kmsg.ShareAcknowledgeRequestTopic) int16 {
		return topicCode(j, OpRead, true, "", t.TopicID)
	}, refusedShareAcknowledge)
	if resp.Topics == nil {
		return nil, true
	}
	return resp, true
}

func refusedShareAcknowledge(t *kmsg.ShareAcknowledgeRequestTopic, code int16) kmsg.ShareAcknowledgeResponseTopic {
	a := kmsg.NewShareAcknowledgeResponseTopic()
	a.TopicID = t.TopicID
	a.Partitions = each(t.Partitions, func(p *kmsg.ShareAcknowledgeRequestTopicPartition) kmsg.ShareAcknowledgeResponseTopicPartition {
		r := kmsg.NewShareAcknowledgeResponseTopicPartition()
		r.Partition, r.ErrorCode, r.ErrorMessage = p.Partition, code, errorText(code)
		r.CurrentLeader.LeaderID, r.CurrentLeader.LeaderEpoch = -1, -1
		return r
	})
	return a
}

func mergeShareAcknowledge(resp, refused *kmsg.ShareAcknowledgeResponse) {
	if resp.ErrorCode == codeNone {
		resp.Topics = append(resp.Topics, refused.Topics...)
	}
}

func virtualizeShareAcknowledge(_ *kmsg.ShareAcknowledgeRequest, resp *kmsg.ShareAcknowledgeResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			virtualLeader(n, p.ErrorCode, &p.CurrentLeader.LeaderID, &p.CurrentLeader.LeaderEpoch)
		}
	}
	resp.NodeEndpoints = showBrokers(resp.NodeEndpoints, n, func(e *kmsg.ShareAcknowledgeResponseNodeEndpoint) (*int32, *string, *int32) {
		return &e.NodeID, &e.Host, &e.Port
	})
}

// splitDescribeShareGroupOffsets: DESCRIBE on each group and each topic. A group
// of which only some topics are refused stands in both parts.
func splitDescribeShareGroupOffsets(req *kmsg.DescribeShareGroupOffsetsRequest, j Judge) (*kmsg.DescribeShareGroupOffsetsResponse, bool) {
	resp := kmsg.NewPtrDescribeShareGroupOffsetsResponse()
	req.Groups = keep(req.Groups, func(g *kmsg.DescribeShareGroupOffsetsRequestGroup) bool {
		a := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		a.GroupID, a.ErrorCode = g.GroupID, codeOf(j, OpDescribe, Group, g.GroupID)
		if a.ErrorCode == codeNone && g.Topics != nil {
			g.Topics, a.Topics = refuse(g.Topics, func(t *kmsg.DescribeShareGroupOffsetsRequestGroupTopic) int16 {
				return codeOf(j, OpDescribe, Topic, t.Topic)
			}, refusedShareOffsets)
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

func refusedShareOffsets(t *kmsg.DescribeShareGroupOffsetsRequestGroupTopic, code int16) kmsg.DescribeShareGroupOffsetsResponseGroupTopic {
	a := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
	a.Topic = t.Topic
	a.Partitions = each(t.Partitions, func(p *int32) kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition {
		r := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
		r.Partition, r.StartOffset, r.ErrorCode, r.ErrorMessage = *p, -1, code, errorText(code)
		return r
	})
	return a
}

func mergeDescribeShareGroupOffsets(resp, refused *kmsg.DescribeShareGroupOffsetsResponse) {
	asked := len(resp.Groups)
groups:
	for _, g := range refused.Groups {
		for i := range resp.Groups[:asked] {
			if have := &resp.Groups[i]; g.ErrorCode == codeNone && have.GroupID == g.GroupID {
				if have.ErrorCode == codeNone {
					have.Topics = append(have.Topics, g.Topics...)
				}
				continue groups
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
}

// filterDescribeShareGroupOffsets leaves out the topics that the tenant may not
// describe, which null topics bring. It runs before the refused are merged.
func filterDescribeShareGroupOffsets(resp *kmsg.DescribeShareGroupOffsetsResponse, j Judge) {
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.Topics = keep(g.Topics, func(t *kmsg.DescribeShareGroupOffsetsResponseGroupTopic) bool {
			return j.Allowed(OpDescribe, Topic, t.Topic)
		})
	}
}
