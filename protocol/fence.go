package protocol

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fence asks the home of a group whether the other slices may be asked what only they
// can do, but know nothing of the group's members: to commit or delete offsets, and to
// forget the group. It is asked before, so somebody who loses the group in between may
// still write (a home cannot hold the group meanwhile).
//
//	for ask := f.Ask(); ask != nil; ask = f.Ask() {
//		f.Answer(…)
//	}
//
// Then f.Parts() are what may be sent, and f.Answers() are those that there are already.
type Fence struct {
	api     *API
	slot    int    // the home's
	home    []Part // what the home is still to be asked
	foreign []Part // what waits for it
	answers []Answer
	// judge reads an answer of the home to ask, and changes the fence by it.
	judge func(f *Fence, ask Part, resp kmsg.Response)
}

// Fence is the fence of a divided request; nil if all its parts may be sent at once.
func (a *API) Fence(req kmsg.Request, parts []Part, v VirtualCluster) *Fence {
	if a.fence == nil {
		return nil
	}
	f := &Fence{api: a}
	a.fence(f, req, parts, v)
	if len(f.foreign) == 0 {
		return nil
	}
	return f
}

func fenceOffsetCommit(f *Fence, req *kmsg.OffsetCommitRequest, parts []Part, v VirtualCluster) {
	f.slot = ownerOf(v, Group, req.Group)
	f.take(parts, func(p *Part) bool { return p.Slot == f.slot })
	f.judge = judgeCommit(req)
	if len(f.home) == 0 {
		f.home = []Part{{Slot: f.slot, Node: -1, Group: req.Group, Req: commitFence(req)}}
	}
}

func fenceOffsetDelete(f *Fence, req *kmsg.OffsetDeleteRequest, parts []Part, v VirtualCluster) {
	f.slot = ownerOf(v, Group, req.Group)
	f.take(parts, func(p *Part) bool { return p.Slot == f.slot })
	f.judge = judgeOffsetDelete
	f.home = append(f.home, Part{Slot: f.slot, Node: -1, Group: req.Group, Req: describeGroup(req.Group)})
}

func fenceDeleteGroups(f *Fence, _ *kmsg.DeleteGroupsRequest, parts []Part, v VirtualCluster) {
	f.take(parts, func(p *Part) bool { return p.Slot == ownerOf(v, Group, p.Group) })
	f.judge = judgeDeleteGroups
}

func (f *Fence) take(parts []Part, isHome func(*Part) bool) {
	for i := range parts {
		if isHome(&parts[i]) {
			f.home = append(f.home, parts[i])
		} else {
			f.foreign = append(f.foreign, parts[i])
		}
	}
}

// Ask is what the home is to be asked next; nil if nothing more.
func (f *Fence) Ask() *Part {
	if len(f.home) == 0 {
		return nil
	}
	return &f.home[0]
}

// Answer takes the home's answer to what Ask said: in the version of the request, or,
// for a part of the client's own request, as for Join. nil if none came.
func (f *Fence) Answer(resp kmsg.Response) {
	ask := f.home[0]
	f.home = f.home[1:]
	if resp == nil {
		resp = f.unanswered(ask.Req)
	}
	if resp.Key() == f.api.Key {
		f.answers = append(f.answers, Answer{ask.Slot, resp})
	}
	f.judge(f, ask, resp)
}

// unanswered is the answer of a home that does not answer.
func (f *Fence) unanswered(req kmsg.Request) kmsg.Response {
	return Lookup(req.Key()).Unavailable(reused(req), nil)
}

// reused is a copy of a request: what answers it uses it up.
func reused(req kmsg.Request) kmsg.Request {
	c := kmsg.RequestForKey(req.Key())
	c.SetVersion(req.GetVersion())
	_ = c.ReadFrom(req.AppendTo(nil)) // it reads what it wrote
	return c
}

// Parts are what may be sent to the other slices.
func (f *Fence) Parts() []Part { return f.foreign }

// Answers are those of the home to its parts, and the fence's own for what may not be
// sent.
func (f *Fence) Answers() []Answer { return f.answers }

// refuse takes out of the foreign parts what split does, as [API.Split], in the name
// of the home.
func (f *Fence) refuse(split func(*Part) (refused kmsg.Response, rest bool)) {
	f.foreign = slices.DeleteFunc(f.foreign, func(p Part) bool {
		refused, rest := split(&p)
		if refused != nil {
			f.answers = append(f.answers, Answer{f.slot, refused})
		}
		return !rest
	})
}

// commitFence is how the home is asked whether somebody may commit who commits nothing
// there: a member by a heartbeat, a simple consumer by whether the group has members.
func commitFence(req *kmsg.OffsetCommitRequest) kmsg.Request {
	if req.Generation < 0 {
		return describeGroup(req.Group)
	}
	h := kmsg.NewPtrHeartbeatRequest()
	h.Version = 4
	h.Group, h.Generation, h.MemberID, h.InstanceID = req.Group, req.Generation, req.MemberID, req.InstanceID
	return h
}

func describeGroup(group string) kmsg.Request {
	d := kmsg.NewPtrDescribeGroupsRequest()
	d.Version = 5
	d.Groups = []string{group}
	return d
}

// judgeCommit: what keeps a member from committing at home keeps it from committing
// elsewhere. The home's answer may say nothing of that, where it knows none of the
// topics: then the home is asked.
func judgeCommit(req *kmsg.OffsetCommitRequest) func(*Fence, Part, kmsg.Response) {
	return func(f *Fence, ask Part, resp kmsg.Response) {
		code := codeNone
		switch r := resp.(type) {
		case *kmsg.OffsetCommitResponse:
			var told bool
			if code, told = commitVerdict(r); !told {
				f.home = append(f.home, Part{Slot: ask.Slot, Node: -1, Group: ask.Group, Req: commitFence(req)})
				return
			}
		case *kmsg.HeartbeatResponse:
			if code = r.ErrorCode; code == codeRebalanceInProgress {
				code = codeNone // commits are taken while members rejoin
			}
		case *kmsg.DescribeGroupsResponse:
			code = emptyVerdict(r)
		}
		if code == codeNone {
			return
		}
		f.refuse(func(p *Part) (kmsg.Response, bool) {
			part := p.Req.(*kmsg.OffsetCommitRequest)
			a := kmsg.NewPtrOffsetCommitResponse()
			a.Topics = each(part.Topics, func(t *kmsg.OffsetCommitRequestTopic) kmsg.OffsetCommitResponseTopic {
				return refusedCommit(t, code)
			})
			return refusedTopics(part, a, len(a.Topics), 0)
		})
	}
}

// commitVerdict is what a home's answer to a commit says of the group and its member;
// not told if it is only about topics, which brokers look at first.
func commitVerdict(resp *kmsg.OffsetCommitResponse) (code int16, told bool) {
	const metadataTooLarge = 12 // found after the member was
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			switch c := resp.Topics[i].Partitions[k].ErrorCode; c {
			case codeNone, metadataTooLarge:
				told = true
			case codeUnknownTopicOrPartition, codeUnknownTopicID, codeTopicAuthorizationFailed, codeLeaderNotAvailable:
			default:
				return c, true
			}
		}
	}
	return codeNone, told
}

// emptyVerdict: a simple consumer may commit for a group that has no members or does
// not exist.
func emptyVerdict(resp *kmsg.DescribeGroupsResponse) int16 {
	if len(resp.Groups) != 1 {
		return codeCoordinatorNotAvailable
	}
	switch g := &resp.Groups[0]; {
	case g.ErrorCode == codeGroupIDNotFound:
		return codeNone
	case g.ErrorCode != codeNone:
		return g.ErrorCode
	case g.State == "Empty", g.State == "Dead":
		return codeNone
	}
	return codeUnknownMemberID // as a broker says to who is no member
}

// judgeOffsetDelete: offsets of topics that the group is subscribed to stay. What the
// home says to its own part does not matter: it may know no offsets of the group.
func judgeOffsetDelete(f *Fence, _ Part, resp kmsg.Response) {
	described, ok := resp.(*kmsg.DescribeGroupsResponse)
	if !ok {
		return
	}
	code, subscribed := subscriptionOf(described)
	f.refuse(func(p *Part) (refused kmsg.Response, rest bool) {
		part := p.Req.(*kmsg.OffsetDeleteRequest)
		a := kmsg.NewPtrOffsetDeleteResponse()
		part.Topics, a.Topics = refuse(part.Topics, func(t *kmsg.OffsetDeleteRequestTopic) int16 {
			if code == codeNone && subscribed(t.Topic) {
				return codeGroupSubscribedToTopic
			}
			return code
		}, refusedOffsetDelete)
		return refusedTopics(part, a, len(a.Topics), len(part.Topics))
	})
}

// subscriptionOf says of a group what keeps its offsets from being deleted: an error,
// or which topics it reads. Like ClassicGroup.isSubscribedToTopic of Kafka, all of them
// if a member does not say.
func subscriptionOf(resp *kmsg.DescribeGroupsResponse) (code int16, subscribed func(topic string) bool) {
	none := func(string) bool { return false }
	if code = emptyVerdict(resp); code != codeUnknownMemberID {
		return code, none
	}
	g := &resp.Groups[0]
	if g.ProtocolType != "consumer" {
		return codeNonEmptyGroup, none
	}
	var topics []string
	for i := range g.Members {
		m := kmsg.NewConsumerMemberMetadata()
		if err := m.ReadFrom(g.Members[i].ProtocolMetadata); err != nil {
			return codeNone, func(string) bool { return true }
		}
		topics = append(topics, m.Topics...)
	}
	return codeNone, func(topic string) bool { return slices.Contains(topics, topic) }
}

// judgeDeleteGroups: a group that is not deleted at home is not elsewhere.
func judgeDeleteGroups(f *Fence, ask Part, resp kmsg.Response) {
	for _, g := range resp.(*kmsg.DeleteGroupsResponse).Groups {
		if g.ErrorCode != codeNone && g.ErrorCode != codeGroupIDNotFound {
			f.foreign = slices.DeleteFunc(f.foreign, func(p Part) bool { return p.Group == ask.Group })
		}
	}
}
