package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds what administrators do to groups and their offsets.

// splitDeleteGroups refuses groups without DELETE.
func splitDeleteGroups(req *kmsg.DeleteGroupsRequest, j Judge) (*kmsg.DeleteGroupsResponse, bool) {
	rest, refused := refuse(req.Groups,
		func(group *string) int16 { return codeOf(j, OpDelete, Group, *group) },
		func(group *string, code int16) kmsg.DeleteGroupsResponseGroup {
			return kmsg.DeleteGroupsResponseGroup{Group: *group, ErrorCode: code}
		})
	if refused == nil {
		return nil, true
	}
	req.Groups = rest
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Groups = refused
	return resp, len(rest) > 0
}

func mergeDeleteGroups(resp, refused *kmsg.DeleteGroupsResponse) {
	resp.Groups = append(resp.Groups, refused.Groups...)
}

// splitOffsetDelete: DELETE on the group, READ on each topic. A request whose topics
// were all denied still goes to the broker, which may say more of the group.
func splitOffsetDelete(req *kmsg.OffsetDeleteRequest, j Judge) (*kmsg.OffsetDeleteResponse, bool) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	if resp.ErrorCode = codeOf(j, OpDelete, Group, req.Group); resp.ErrorCode != codeNone {
		return resp, false
	}
	req.Topics, resp.Topics = refuse(req.Topics,
		func(t *kmsg.OffsetDeleteRequestTopic) int16 { return codeOf(j, OpRead, Topic, t.Topic) },
		func(t *kmsg.OffsetDeleteRequestTopic, code int16) kmsg.OffsetDeleteResponseTopic {
			return kmsg.OffsetDeleteResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *kmsg.OffsetDeleteRequestTopicPartition) kmsg.OffsetDeleteResponseTopicPartition {
					return kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: code}
				}),
			}
		})
	if resp.Topics == nil {
		return nil, true
	}
	return resp, true
}

// mergeOffsetDelete: an answer that failed as a whole names no topics, as with Kafka.
func mergeOffsetDelete(resp, refused *kmsg.OffsetDeleteResponse) {
	if resp.ErrorCode == codeNone {
		resp.Topics = append(resp.Topics, refused.Topics...)
	}
}

// splitAlterShareGroupOffsets: READ on the group and on each topic. The ids of
// denied topics are not told.
func splitAlterShareGroupOffsets(req *kmsg.AlterShareGroupOffsetsRequest, j Judge) (*kmsg.AlterShareGroupOffsetsResponse, bool) {
	resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
	if code := codeOf(j, OpRead, Group, req.GroupID); code != codeNone {
		resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
		return resp, false
	}
	req.Topics, resp.Topics = refuse(req.Topics,
		func(t *kmsg.AlterShareGroupOffsetsRequestTopic) int16 { return codeOf(j, OpRead, Topic, t.Topic) },
		func(t *kmsg.AlterShareGroupOffsetsRequestTopic, code int16) kmsg.AlterShareGroupOffsetsResponseTopic {
			return kmsg.AlterShareGroupOffsetsResponseTopic{
				Topic: t.Topic,
				Partitions: each(t.Partitions, func(p *kmsg.AlterShareGroupOffsetsRequestTopicPartition) kmsg.AlterShareGroupOffsetsResponseTopicPartition {
					return kmsg.AlterShareGroupOffsetsResponseTopicPartition{Partition: p.Partition, ErrorCode: code, ErrorMessage: errorText(code)}
				}),
			}
		})
	if resp.Topics == nil {
		return nil, true
	}
	return resp, len(req.Topics) > 0
}

func mergeAlterShareGroupOffsets(resp, refused *kmsg.AlterShareGroupOffsetsResponse) {
	if resp.ErrorCode == codeNone {
		resp.Topics = append(resp.Topics, refused.Topics...)
	}
}

// splitDeleteShareGroupOffsets: DELETE on the group, READ on each topic.
func splitDeleteShareGroupOffsets(req *kmsg.DeleteShareGroupOffsetsRequest, j Judge) (*kmsg.DeleteShareGroupOffsetsResponse, bool) {
	resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
	if code := codeOf(j, OpDelete, Group, req.GroupID); code != codeNone {
		resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
		return resp, false
	}
	req.Topics, resp.Topics = refuse(req.Topics,
		func(t *kmsg.DeleteShareGroupOffsetsRequestTopic) int16 { return codeOf(j, OpRead, Topic, t.Topic) },
		func(t *kmsg.DeleteShareGroupOffsetsRequestTopic, code int16) kmsg.DeleteShareGroupOffsetsResponseTopic {
			return kmsg.DeleteShareGroupOffsetsResponseTopic{Topic: t.Topic, ErrorCode: code, ErrorMessage: errorText(code)}
		})
	if resp.Topics == nil {
		return nil, true
	}
	return resp, len(req.Topics) > 0
}

func mergeDeleteShareGroupOffsets(resp, refused *kmsg.DeleteShareGroupOffsetsResponse) {
	if resp.ErrorCode == codeNone {
		resp.Topics = append(resp.Topics, refused.Topics...)
	}
}
