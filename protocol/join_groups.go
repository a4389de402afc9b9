package protocol

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Joining what groups have committed: the home says how it stands with the group, the
// others only keep offsets.

const (
	codeCoordinatorLoadInProgress int16 = 14
	codeIllegalGeneration         int16 = 22
	codeUnknownMemberID           int16 = 25
	codeRebalanceInProgress       int16 = 27
	codeNonEmptyGroup             int16 = 68
	codeGroupIDNotFound           int16 = 69
	codeFencedInstanceID          int16 = 82
	codeGroupSubscribedToTopic    int16 = 86
	codeUnstableOffsetCommit      int16 = 88
	codeFencedMemberEpoch         int16 = 110
	codeStaleMemberEpoch          int16 = 113
)

// isUnready reports whether an error says that a coordinator cannot answer now.
func isUnready(code int16) bool {
	return code == codeCoordinatorLoadInProgress || code == codeCoordinatorNotAvailable || code == codeNotCoordinator
}

// foreignCommitCode is what a member is told of the error of another slice than its
// group's home. That coordinator is none that the client knows, so nothing may say that
// the client should look for another one (it would leave the good one), nor that it has
// lost its membership: if a group there has members, somebody uses its name.
func foreignCommitCode(code int16) int16 {
	switch code {
	case codeCoordinatorNotAvailable, codeNotCoordinator:
		return codeCoordinatorLoadInProgress
	case codeIllegalGeneration, codeUnknownMemberID, codeRebalanceInProgress, codeGroupIDNotFound,
		codeFencedInstanceID, codeFencedMemberEpoch, codeStaleMemberEpoch:
		return codePolicyViolation
	}
	return code
}

func joinOffsetCommit(req *kmsg.OffsetCommitRequest, answers []slotAnswer[*kmsg.OffsetCommitResponse], v VirtualCluster) *kmsg.OffsetCommitResponse {
	home := ownerOf(v, Group, req.Group)
	resp := answers[0].resp
	for i, a := range answers {
		if a.slot != home {
			for t := range a.resp.Topics {
				for p := range a.resp.Topics[t].Partitions {
					code := &a.resp.Topics[t].Partitions[p].ErrorCode
					*code = foreignCommitCode(*code)
				}
			}
		}
		if i > 0 {
			mergeOffsetCommit(resp, a.resp)
		}
	}
	return resp
}

// joinOffsetDelete: an error for all of a slice's part is one of its partitions, unless
// it is the home's: that is about the group. Where the group does not exist there is
// nothing to delete, unless it exists nowhere.
func joinOffsetDelete(req *kmsg.OffsetDeleteRequest, answers []slotAnswer[*kmsg.OffsetDeleteResponse], v VirtualCluster) *kmsg.OffsetDeleteResponse {
	home := ownerOf(v, Group, req.Group)
	exists := slices.ContainsFunc(answers, func(a slotAnswer[*kmsg.OffsetDeleteResponse]) bool { return a.resp.ErrorCode == codeNone })
	resp := kmsg.NewPtrOffsetDeleteResponse()
	resp.Version = answers[0].resp.Version
	for _, a := range answers {
		code := a.resp.ErrorCode
		switch {
		case code == codeNone:
			resp.Topics = append(resp.Topics, a.resp.Topics...)
			continue
		case code == codeGroupIDNotFound && exists:
			code = codeNone
		case a.slot == home || code == codeGroupIDNotFound:
			resp.ErrorCode = code
			continue
		}
		for i := range req.Topics {
			if t := &req.Topics[i]; ownerOf(v, Topic, t.Topic) == a.slot {
				resp.Topics = append(resp.Topics, refusedOffsetDelete(t, code))
			}
		}
	}
	if resp.ErrorCode != codeNone {
		resp.Topics = nil // as with Kafka
	}
	return resp
}

func refusedOffsetDelete(t *kmsg.OffsetDeleteRequestTopic, code int16) kmsg.OffsetDeleteResponseTopic {
	return kmsg.OffsetDeleteResponseTopic{
		Topic: t.Topic,
		Partitions: each(t.Partitions, func(p *kmsg.OffsetDeleteRequestTopicPartition) kmsg.OffsetDeleteResponseTopicPartition {
			return kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: code}
		}),
	}
}

// joinDeleteGroups: what the home says of a group counts, unless it is gone there and
// not elsewhere, or was only elsewhere.
func joinDeleteGroups(req *kmsg.DeleteGroupsRequest, answers []slotAnswer[*kmsg.DeleteGroupsResponse], v VirtualCluster) *kmsg.DeleteGroupsResponse {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Version = answers[0].resp.Version
	for _, group := range req.Groups {
		home, rest, deleted := codeNone, codeNone, false
		for _, a := range answers {
			for _, g := range a.resp.Groups {
				switch {
				case g.Group != group:
				case a.slot == ownerOf(v, Group, group):
					home = g.ErrorCode
				case g.ErrorCode == codeNone:
					deleted = true
				case g.ErrorCode != codeGroupIDNotFound && rest == codeNone:
					rest = g.ErrorCode
				}
			}
		}
		if home == codeGroupIDNotFound && deleted {
			home = codeNone
		}
		if (home == codeNone || home == codeGroupIDNotFound) && rest != codeNone {
			home = rest
		}
		resp.Groups = append(resp.Groups, kmsg.DeleteGroupsResponseGroup{Group: group, ErrorCode: home})
	}
	return resp
}

// joinOffsetFetch: offsets that another slice than the home cannot tell now are
// UNSTABLE_OFFSET_COMMIT, which clients of version 7 and later wait for; with a missing
// offset a consumer would begin anew. Older ones wait for the whole answer.
func joinOffsetFetch(req *kmsg.OffsetFetchRequest, answers []slotAnswer[*kmsg.OffsetFetchResponse], v VirtualCluster) *kmsg.OffsetFetchResponse {
	if req.Version >= 8 {
		return joinOffsetFetchGroups(req, answers, v)
	}
	home := ownerOf(v, Group, req.Group)
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.Version = answers[0].resp.Version
	for _, a := range answers {
		code := a.resp.ErrorCode
		switch {
		case code == codeNone:
			resp.Topics = append(resp.Topics, a.resp.Topics...)
		case a.slot != home && isForeignTopic(code, req.Version, req.Topics == nil):
			for i := range req.Topics {
				if t := &req.Topics[i]; ownerOf(v, Topic, t.Topic) == a.slot {
					resp.Topics = append(resp.Topics, refusedOffsets(t, foreignTopicCode(code)))
				}
			}
		case resp.ErrorCode == codeNone:
			resp.ErrorCode = foreignOffsetsCode(code, a.slot == home)
		}
	}
	if resp.ErrorCode != codeNone {
		resp.Topics = nil // as with Kafka
	}
	return resp
}

// isForeignTopic reports whether what another slice than the home says of a group as a
// whole becomes a matter of each topic: that it cannot tell now, where clients have a
// code for it and know which topics are missing; and that it has no such group.
func isForeignTopic(code, version int16, all bool) bool {
	return code == codeGroupIDNotFound || isUnready(code) && version >= 7 && !all
}

// foreignTopicCode is its code. A group that is not there has committed nothing, which
// is offset -1 and no error.
func foreignTopicCode(code int16) int16 {
	if code == codeGroupIDNotFound {
		return codeNone
	}
	return codeUnstableOffsetCommit
}

// foreignOffsetsCode is the code for a whole group whose offsets a slice cannot tell:
// the client does not know the other coordinators, and must not look for them.
func foreignOffsetsCode(code int16, home bool) int16 {
	if !home && isUnready(code) {
		return codeCoordinatorLoadInProgress
	}
	return code
}

func joinOffsetFetchGroups(req *kmsg.OffsetFetchRequest, answers []slotAnswer[*kmsg.OffsetFetchResponse], v VirtualCluster) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.Version = answers[0].resp.Version
	for _, a := range answers {
		for _, g := range a.resp.Groups {
			at := slices.IndexFunc(resp.Groups, func(have kmsg.OffsetFetchResponseGroup) bool { return have.Group == g.Group })
			if at < 0 {
				at = len(resp.Groups)
				have := kmsg.NewOffsetFetchResponseGroup()
				have.Group = g.Group
				resp.Groups = append(resp.Groups, have)
			}
			takeOffsets(req, &resp.Groups[at], &g, a.slot, v)
		}
	}
	return resp
}

// takeOffsets puts what one slice says of a group to what others said.
func takeOffsets(req *kmsg.OffsetFetchRequest, have, g *kmsg.OffsetFetchResponseGroup, slot int, v VirtualCluster) {
	isHome := slot == ownerOf(v, Group, g.Group)
	var asked []kmsg.OffsetFetchRequestGroupTopic
	if at := slices.IndexFunc(req.Groups, func(q kmsg.OffsetFetchRequestGroup) bool { return q.Group == g.Group }); at >= 0 {
		asked = req.Groups[at].Topics
	}
	switch {
	case have.ErrorCode != codeNone: // as with Kafka, it names no topics
	case g.ErrorCode == codeNone:
		have.Topics = append(have.Topics, g.Topics...)
	case !isHome && isForeignTopic(g.ErrorCode, req.Version, asked == nil):
		for i := range asked {
			t := &asked[i]
			name := t.Topic
			if req.Version >= 10 {
				name, _ = v.TopicName(t.TopicID)
			}
			if ownerOf(v, Topic, name) == slot {
				have.Topics = append(have.Topics, refusedGroupOffsets(t, foreignTopicCode(g.ErrorCode)))
			}
		}
	default:
		have.ErrorCode, have.Topics = foreignOffsetsCode(g.ErrorCode, isHome), nil
	}
}
