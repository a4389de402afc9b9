package protocol

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Dividing what asks for coordinators, and what groups have committed. The members of a
// group are known to its home alone. The offsets of a topic are kept in the topic's own
// slice, for a broker takes none for topics that it does not have: there the group has
// no members, and what is asked about it names none.

// divideFindCoordinator asks for each key in the slice where it lives.
func divideFindCoordinator(req *kmsg.FindCoordinatorRequest, v VirtualCluster) []Part {
	owner := func(v VirtualCluster, req *kmsg.FindCoordinatorRequest, key *string) int {
		switch req.CoordinatorType {
		case coordinatorOfGroup:
			return ownerOf(v, Group, *key)
		case coordinatorOfTransaction:
			return ownerOf(v, TransactionalID, *key)
		}
		return homeOf(v)
	}
	if req.Version < 4 {
		return whole(req, owner(v, req, &req.CoordinatorKey))
	}
	return byList(func(r *kmsg.FindCoordinatorRequest) *[]string { return &r.CoordinatorKeys }, owner, false)(req, v)
}

// toCoordinators says of the parts of a group's request that its coordinators are asked.
func toCoordinators(all []Part, group string) []Part {
	for i := range all {
		all[i].Group = group
	}
	return all
}

// divideOffsetCommit divides by the topics' owners. Whoever is not the group's home gets
// the commit of a simple consumer, which has no generation and is no member. See [API.Fence].
func divideOffsetCommit(req *kmsg.OffsetCommitRequest, v VirtualCluster) []Part {
	home := ownerOf(v, Group, req.Group)
	owner := func(t *kmsg.OffsetCommitRequestTopic) int {
		if req.Version >= 10 {
			return ownerOfTopicID(v, t.TopicID, home)
		}
		return ownerOf(v, Topic, t.Topic)
	}
	if slot, one := soleOwner(req.Topics, home, owner); one && slot == home {
		return toCoordinators(whole(req, home), req.Group)
	}
	all := byOwner(req, func(r *kmsg.OffsetCommitRequest) *[]kmsg.OffsetCommitRequestTopic { return &r.Topics }, owner, home)
	for _, p := range all {
		if part := p.Req.(*kmsg.OffsetCommitRequest); p.Slot != home {
			part.Generation, part.MemberID, part.InstanceID = -1, "", nil
		}
	}
	return toCoordinators(all, req.Group)
}

// ownerOfTopicID is [ownerOfTopic] for topics that are named by their id alone.
func ownerOfTopicID(v VirtualCluster, id [16]byte, unknown int) int {
	name, ok := v.TopicName(id)
	if !ok {
		return unknown
	}
	return ownerOf(v, Topic, name)
}

// divideOffsetDelete divides by the topics' owners. See [API.Fence].
func divideOffsetDelete(req *kmsg.OffsetDeleteRequest, v VirtualCluster) []Part {
	home := ownerOf(v, Group, req.Group)
	owner := func(t *kmsg.OffsetDeleteRequestTopic) int { return ownerOf(v, Topic, t.Topic) }
	if slot, one := soleOwner(req.Topics, home, owner); one && slot == home {
		return toCoordinators(whole(req, home), req.Group)
	}
	all := byOwner(req, func(r *kmsg.OffsetDeleteRequest) *[]kmsg.OffsetDeleteRequestTopic { return &r.Topics }, owner, home)
	return toCoordinators(all, req.Group)
}

// divideDeleteGroups asks the home of each group first, and then all others for what
// they have of its offsets: they would be found again by a new group of that name.
func divideDeleteGroups(req *kmsg.DeleteGroupsRequest, v VirtualCluster) []Part {
	if len(req.Groups) == 0 {
		return toHome(req, v)
	}
	var first, then []Part
	for _, group := range req.Groups {
		home := ownerOf(v, Group, group)
		for _, slot := range v.Slots() {
			c := *req
			c.Groups = []string{group}
			part := Part{Slot: slot, Node: -1, Group: group, Req: &c}
			if slot == home {
				first = append(first, part)
			} else {
				then = append(then, part)
			}
		}
	}
	return append(first, then...)
}

// divideOffsetFetch divides by group and by the topics' owners; all topics are asked of
// all slices.
func divideOffsetFetch(req *kmsg.OffsetFetchRequest, v VirtualCluster) []Part {
	if req.Version >= 8 {
		return divideOffsetFetchGroups(req, v)
	}
	home := ownerOf(v, Group, req.Group)
	if req.Topics == nil && len(v.Slots()) > 1 {
		return toCoordinators(homeFirst(toAll(req, v), home), req.Group)
	}
	owner := func(t *kmsg.OffsetFetchRequestTopic) int { return ownerOf(v, Topic, t.Topic) }
	if slot, one := soleOwner(req.Topics, home, owner); one {
		return toCoordinators(whole(req, slot), req.Group)
	}
	all := byOwner(req, func(r *kmsg.OffsetFetchRequest) *[]kmsg.OffsetFetchRequestTopic { return &r.Topics }, owner, home)
	return toCoordinators(all, req.Group)
}

// homeFirst moves the home's part to the front.
func homeFirst(all []Part, home int) []Part {
	if at := slices.IndexFunc(all, func(p Part) bool { return p.Slot == home }); at > 0 {
		part := all[at]
		copy(all[1:], all[:at])
		all[0] = part
	}
	return all
}

// divideOffsetFetchGroups divides version 8 and later, which ask for several groups:
// each part is about one, unless all of it is one slice's.
func divideOffsetFetchGroups(req *kmsg.OffsetFetchRequest, v VirtualCluster) []Part {
	var all []Part
	homes := 0
	for i := range req.Groups {
		g := &req.Groups[i]
		home := ownerOf(v, Group, g.Group)
		for _, slot := range homeAndOthers(v, home) {
			part, any := offsetsIn(req, g, v, home, slot)
			if !any {
				continue
			}
			c := *req
			c.Groups = []kmsg.OffsetFetchRequestGroup{part}
			all = append(all, Part{Slot: slot, Node: -1, Group: g.Group, Req: &c})
			if slot == home {
				homes++
			}
		}
	}
	one := !slices.ContainsFunc(all, func(p Part) bool { return p.Slot != all[0].Slot })
	switch {
	case len(all) == 0:
		return toHome(req, v)
	case one && len(all) == 1 && homes == 1:
		all[0].Req = req
	case one && homes == len(all):
		return whole(req, all[0].Slot)
	}
	return all
}

func homeAndOthers(v VirtualCluster, home int) []int {
	slots := []int{home}
	for _, slot := range v.Slots() {
		if slot != home {
			slots = append(slots, slot)
		}
	}
	return slots
}

// offsetsIn is what a slice is asked of a group; false if nothing. A group of which
// nothing is asked is its home's.
func offsetsIn(req *kmsg.OffsetFetchRequest, g *kmsg.OffsetFetchRequestGroup, v VirtualCluster, home, slot int) (part kmsg.OffsetFetchRequestGroup, any bool) {
	part = *g
	if slot != home {
		part.MemberID, part.MemberEpoch = nil, -1
	}
	if g.Topics == nil {
		return part, true
	}
	part.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	for i := range g.Topics {
		t := &g.Topics[i]
		owner := 0
		if req.Version >= 10 {
			owner = ownerOfTopicID(v, t.TopicID, home)
		} else {
			owner = ownerOf(v, Topic, t.Topic)
		}
		if owner == slot {
			part.Topics = append(part.Topics, *t)
		}
	}
	return part, len(part.Topics) > 0 || slot == home && len(g.Topics) == 0
}
