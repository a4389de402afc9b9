package protocol

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// How requests to a virtual cluster are divided: mostly by the elements of one list,
// each of which belongs to one slice.

// parts are those of a request that is being divided, one for each slice, in the order
// in which they came up.
type parts[Q kmsg.Request] struct {
	slots []int
	reqs  []Q
}

// of is the part of a slice, made if there is none yet.
func (p *parts[Q]) of(slot int, make func() Q) Q {
	if i := slices.Index(p.slots, slot); i >= 0 {
		return p.reqs[i]
	}
	p.slots, p.reqs = append(p.slots, slot), append(p.reqs, make())
	return p.reqs[len(p.reqs)-1]
}

// list are the parts, the given slice's first.
func (p *parts[Q]) list(first int) []Part {
	all := make([]Part, 0, len(p.slots))
	for i, slot := range p.slots {
		all = append(all, Part{Slot: slot, Node: -1, Req: p.reqs[i]})
	}
	rank := func(p Part) int {
		if p.Slot == first {
			return -1
		}
		return p.Slot
	}
	slices.SortFunc(all, func(a, b Part) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// whole is a request that one slice answers.
func whole(req kmsg.Request, slot int) []Part {
	return []Part{{Slot: slot, Node: -1, Req: req}}
}

// requestTo is a kmsg request, so that one can be copied: Q is *T.
type requestTo[T any] interface {
	*T
	kmsg.Request
}

// byList divides a request by the owners of the elements of a list. An empty list is
// for the home; a null one too, unless all asks all slices for it.
func byList[Q requestTo[T], T, E any](list func(Q) *[]E, owner func(VirtualCluster, Q, *E) int, nullIsAll bool) func(Q, VirtualCluster) []Part {
	return func(req Q, v VirtualCluster) []Part {
		elements := *list(req)
		if elements == nil && nullIsAll {
			return toAll[Q](req, v)
		}
		if slot, one := soleOwner(elements, homeOf(v), func(e *E) int { return owner(v, req, e) }); one {
			return whole(req, slot)
		}
		return byOwner(req, list, func(e *E) int { return owner(v, req, e) }, homeOf(v))
	}
}

// byOwner makes a copy of a request for each owner of elements of a list, with its
// elements alone; the part of the slice first comes first.
func byOwner[Q requestTo[T], T, E any](req Q, list func(Q) *[]E, owner func(*E) int, first int) []Part {
	var p parts[Q]
	elements := *list(req)
	for i := range elements {
		part := p.of(owner(&elements[i]), func() Q {
			c := *req
			*list(&c) = nil
			return &c
		})
		*list(part) = append(*list(part), elements[i])
	}
	return p.list(first)
}

// soleOwner is the slot in which all elements live, that of none if there are none.
func soleOwner[E any](elements []E, none int, owner func(*E) int) (slot int, one bool) {
	slot = none
	for i := range elements {
		at := owner(&elements[i])
		if i > 0 && at != slot {
			return none, false
		}
		slot = at
	}
	return slot, true
}

// byTopic is [byList] for topics that are named.
func byTopic[Q requestTo[T], T, E any](list func(Q) *[]E, name func(*E) string) func(Q, VirtualCluster) []Part {
	return byList(list, func(v VirtualCluster, _ Q, e *E) int { return ownerOf(v, Topic, name(e)) }, false)
}

// byTopicOrAll is [byTopic] where null means all topics.
func byTopicOrAll[Q requestTo[T], T, E any](list func(Q) *[]E, name func(*E) string) func(Q, VirtualCluster) []Part {
	return byList(list, func(v VirtualCluster, _ Q, e *E) int { return ownerOf(v, Topic, name(e)) }, true)
}

// toAll asks all slices the same. What Realize changes in place must not be in such a
// request.
func toAll[Q requestTo[T], T any](req Q, v VirtualCluster) []Part {
	slots := v.Slots()
	all := make([]Part, 0, len(slots))
	for _, slot := range slots {
		c := *req
		all = append(all, Part{Slot: slot, Node: -1, Req: Q(&c)})
	}
	return all
}

// toHome asks the home alone.
func toHome[Q kmsg.Request](req Q, v VirtualCluster) []Part { return whole(req, homeOf(v)) }

// byBroker asks the slice of the broker that the request names.
func byBroker[Q kmsg.Request](node func(Q) int32) func(Q, VirtualCluster) []Part {
	return func(req Q, v VirtualCluster) []Part { return whole(req, slotOfNode(v, node(req))) }
}
