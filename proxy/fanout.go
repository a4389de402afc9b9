package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/protocol"
	"sluice/proxy/slice"
)

// How long a slice may take for its part of a request. Requests that are pipelined
// behind wait as long, so that offsets, whose commits stand between heartbeats, are
// given less: the client's own time-out for those is tens of seconds, and its session's
// may be six.
const (
	partTimeout    = 5 * time.Second
	offsetsTimeout = 2 * time.Second
	// maxPartTimeout bounds what a request that says itself how long it may take, as
	// CreateTopics does, is given.
	maxPartTimeout = 30 * time.Second
)

// span is what a request meets whose tenant has several slices, or lives in another
// than the connection's. If the connection's broker answers all of it, done is false
// and it goes on like any other. Else each slice is asked for its part over its own
// client, and the answers are joined into one, which takes its place among the others.
func (c *conn) span(q *query, p *pending) (done bool, err error) {
	if q.req == nil {
		return false, nil // all of it was found to live here
	}
	var parts []protocol.Part
	switch {
	case q.api.Divide != nil:
		if err := c.ours(); err != nil { // for a topic's name, perhaps
			return false, err
		}
		parts = q.api.Divide(q.req, c.asking)
		c.theirs()
		if len(parts) == 1 && c.answersHere(parts[0]) {
			q.req, q.changed = parts[0].Req, true
			parts = nil
		}
	case c.stray: // nothing goes to a broker of a slice that is not the tenant's
		parts = []protocol.Part{{Slot: c.asking.slots[0], Node: -1, Req: q.req}}
	}
	if parts == nil {
		if q.api.Realize != nil {
			q.api.Realize(q.req, c.nodes)
			q.changed = true
		}
		return false, nil
	}
	p.counted = true
	free, err := c.reserve(c.gw.budget.answers, c.joinedSize(q, parts))
	if err != nil {
		return true, err
	}
	defer free()
	if err := c.ours(); err != nil {
		return true, err
	}
	resp := c.fanOut(q, parts)
	c.theirs()
	if c.ctx.Err() != nil {
		return true, errPairsClosed
	}
	announce(resp, p.throttle(time.Now()))
	return true, c.answer(p, resp)
}

// answersHere reports whether the connection's broker can answer a part. What is for a
// controller it cannot: the one that clients are shown is only the lowest node of all.
func (c *conn) answersHere(part protocol.Part) bool {
	_, admin := part.Req.(kmsg.AdminRequest)
	return part.Slot == c.slice.Slot() && !c.stray && !admin
}

// What the answers of several slices may take while they are joined: so much and a
// multiple of the request, which names what they are about.
const (
	joinedBase  = 64 << 10
	joinedTimes = 32
)

// joinedSize is the memory for which the answers to a divided request wait. Those that
// list all that a slice has take what its topology took.
func (c *conn) joinedSize(q *query, parts []protocol.Part) int64 {
	n := int64(joinedBase + joinedTimes*len(q.frame.bytes))
	if q.api.Route == protocol.ToAll {
		for _, p := range parts {
			n += c.asking.slice(p.Slot).ListingSize()
		}
	}
	return min(n, c.gw.budget.answers.max/4)
}

// fanOut asks each slice for its part, at once but for what must be known first, and
// joins the answers.
func (c *conn) fanOut(q *query, parts []protocol.Part) kmsg.Response {
	answers, parts := c.fence(q, parts)
	asked := make([]protocol.Answer, len(parts))
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() { asked[i] = protocol.Answer{Slot: parts[i].Slot, Resp: c.askPart(q, parts[i])} })
	}
	wg.Wait()
	answers = append(answers, asked...)
	resp := answers[0].Resp
	if q.api.Divide != nil {
		resp = q.api.Join(q.req, answers, c.asking)
	}
	resp.SetVersion(q.header.Version)
	if q.refused != nil && q.api.Merge != nil {
		q.api.Merge(resp, q.refused)
	}
	return resp
}

// fence asks a group's home, where there is something to be asked of others that only
// the home can allow. It returns the answers that there are then, and what may be sent.
func (c *conn) fence(q *query, parts []protocol.Part) ([]protocol.Answer, []protocol.Part) {
	if q.api.Divide == nil {
		return nil, parts
	}
	f := q.api.Fence(q.req, parts, c.asking)
	if f == nil {
		return nil, parts
	}
	for ask := f.Ask(); ask != nil; ask = f.Ask() {
		resp, _ := c.askSlice(q, *ask)
		if resp != nil && resp.Key() == q.header.Key {
			c.show(q, *ask, resp)
		}
		f.Answer(resp)
	}
	return f.Answers(), f.Parts()
}

// askPart is what one slice answers to its part, as the client is to see it.
func (c *conn) askPart(q *query, part protocol.Part) kmsg.Response {
	s := c.asking.slice(part.Slot)
	if q.api.Realize != nil {
		q.api.Realize(part.Req, c.nodesOf(part.Slot))
	}
	resp, err := c.askSlice(q, part)
	if err != nil {
		c.log().Debug("a slice did not answer its part", zap.String("api", q.api.Name), zap.Error(err))
		resp = q.api.Unavailable(part.Req, s.TopicNames())
		if s.Health().LastSuccess.IsZero() {
			c.gw.metrics.unknown.WithLabelValues(name(c.tenant), s.Name()).Inc()
		}
	} else if m, ok := resp.(*kmsg.MetadataResponse); ok {
		s.Learn(m)
	}
	c.show(q, part, resp)
	return resp
}

// show makes of a slice's answer what the client is to see of it.
func (c *conn) show(q *query, part protocol.Part, resp kmsg.Response) {
	nodes := c.nodesOf(part.Slot)
	resp.SetVersion(q.header.Version)
	if q.api.Virtualize != nil {
		q.api.Virtualize(part.Req, resp, nodes)
	}
	if q.api.Filter != nil {
		j := *c.asking // others are shown at the same time
		j.counting = false
		j.begin(q.header.Key)
		q.api.Filter(resp, &protocol.Guard{Judge: enforced(c.tenant, &j), Cluster: &j, Slot: part.Slot})
	}
}

// askSlice asks one slice, and counts it.
func (c *conn) askSlice(q *query, part protocol.Part) (kmsg.Response, error) {
	s := c.asking.slice(part.Slot)
	counters := c.gw.metrics.tenant(name(c.tenant), s.Name())
	if h := s.Health(); !h.Reachable {
		counters.count(q.api, outcomeError) // it is being tried all the time: nobody need wait for it
		return nil, &unreachable{s.Name(), h.Err}
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.partTimeout(part))
	defer cancel()
	begun := time.Now()
	resp, err := s.Request(ctx, slice.To{Node: part.Node, Group: part.Group}, part.Req)
	if err != nil {
		counters.count(q.api, outcomeError)
		return nil, err
	}
	c.gw.metrics.slice(s.Name()).observe(q.api, time.Since(begun).Seconds())
	counters.count(q.api, outcomeOK)
	return resp, nil
}

// unreachable says that a slice was not asked, since it has been down for a while.
type unreachable struct{ slice, why string }

func (e *unreachable) Error() string { return "slice " + e.slice + " cannot be reached: " + e.why }

// partTimeout is how long a slice may take for its part.
func (c *conn) partTimeout(part protocol.Part) time.Duration {
	if slow, ok := part.Req.(kmsg.TimeoutRequest); ok {
		own := time.Duration(slow.Timeout()) * time.Millisecond
		return min(max(own, partTimeout), maxPartTimeout)
	}
	if part.Group != "" && part.Slot != c.asking.Owner(protocol.Group, part.Group) {
		return offsetsTimeout
	}
	return partTimeout
}

// nodesOf is how the client sees the brokers of one of the tenant's slices.
func (c *conn) nodesOf(slot int) protocol.Nodes {
	return c.snap.nodes[viewKey{c.listener, c.asking.slice(slot).Name()}]
}
