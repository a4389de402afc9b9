package slice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// To says which broker a request is for.
type To struct {
	// Node is the broker's own id; -1: any broker will do.
	Node int32
	// Group is the group whose coordinator is asked; "": none.
	Group string
}

// Errors of Request.
var (
	errNotAsked = errors.New("the slice has not been reached yet")
	errVersion  = errors.New("the broker does not know the request in that version")
)

// pinned makes franz-go send a request in the version that it has: it takes the highest
// that both know. Nor does it see through it what kind of request it is, so that it
// takes no part of it elsewhere and repeats nothing.
//
// The request is encoded beforehand: franz-go may still be about to write it when its
// caller has given up and goes on to use it otherwise.
type pinned struct {
	key, version int16
	sent         int16 // the version that franz-go decided on
	flexible     bool
	body         []byte
}

func (p *pinned) Key() int16              { return p.key }
func (p *pinned) MaxVersion() int16       { return p.version }
func (p *pinned) SetVersion(v int16)      { p.sent = v }
func (p *pinned) GetVersion() int16       { return p.sent }
func (p *pinned) ReadFrom(b []byte) error { p.body = b; return nil }

func (p *pinned) IsFlexible() bool {
	if p.sent == p.version {
		return p.flexible
	}
	return p.other().IsFlexible()
}

func (p *pinned) AppendTo(b []byte) []byte {
	if p.sent == p.version {
		return append(b, p.body...)
	}
	return p.other().AppendTo(b)
}

func (p *pinned) ResponseKind() kmsg.Response {
	resp := kmsg.ResponseForKey(p.key)
	resp.SetVersion(p.sent)
	return resp
}

// other is the request in the lower version that an older broker knows. Its answer is
// not taken.
func (p *pinned) other() kmsg.Request {
	req := kmsg.RequestForKey(p.key)
	req.SetVersion(p.version)
	_ = req.ReadFrom(p.body) // it reads what was written
	req.SetVersion(p.sent)
	return req
}

// pinnedSlow is one that may take long, and that franz-go therefore sends over a
// connection of its own.
type pinnedSlow struct {
	*pinned
	timeout int32
}

func (p pinnedSlow) Timeout() int32 { return p.timeout }

func pin(req kmsg.Request) kmsg.Request {
	p := &pinned{key: req.Key(), version: req.GetVersion(), sent: req.GetVersion(), flexible: req.IsFlexible(), body: req.AppendTo(nil)}
	if slow, ok := req.(kmsg.TimeoutRequest); ok {
		return pinnedSlow{p, slow.Timeout()}
	}
	return p
}

// Request asks the cluster, over the slice's own client, in the version that req has.
// The answer is of that version. Nothing is asked twice, but for what has never
// reached a broker, and for a group whose coordinator turns out to be another broker.
// Requests that only a controller answers go there.
func (s *Slice) Request(ctx context.Context, to To, req kmsg.Request) (kmsg.Response, error) {
	cl := s.client.Load()
	if cl == nil || len(s.Brokers()) == 0 {
		return nil, fmt.Errorf("slice %s: %w", s.o.Name, errNotAsked)
	}
	var resp kmsg.Response
	var err error
	switch {
	case to.Group != "":
		resp, err = s.requestCoordinator(ctx, cl, to.Group, req)
	case to.Node >= 0:
		resp, err = s.requestNode(ctx, cl, to.Node, req)
	default:
		resp, err = s.requestAny(ctx, cl, req)
	}
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			s.refreshing.want() // the next caller should know whether it is down
		}
		return nil, fmt.Errorf("slice %s: %w", s.o.Name, err)
	}
	return resp, nil
}

func (s *Slice) requestNode(ctx context.Context, cl *kgo.Client, node int32, req kmsg.Request) (kmsg.Response, error) {
	version := req.GetVersion()
	resp, err := cl.Broker(int(node)).Request(ctx, pin(req))
	if err != nil {
		return nil, fmt.Errorf("broker %d: %w", node, err)
	}
	if resp.GetVersion() != version {
		return nil, fmt.Errorf("broker %d: %s %d: %w", node, kmsg.NameForKey(req.Key()), version, errVersion)
	}
	return resp, nil
}

// requestAny asks one broker after the other until one can be connected to, each
// caller beginning with another one; the controller first, where it is for that.
func (s *Slice) requestAny(ctx context.Context, cl *kgo.Client, req kmsg.Request) (kmsg.Response, error) {
	t := s.topology.Load()
	first := int(s.turn.Add(1) % uint32(len(t.nodes)))
	nodes := append(append(make([]int32, 0, len(t.nodes)+1), t.nodes[first:]...), t.nodes[:first]...)
	_, admin := req.(kmsg.AdminRequest)
	if _, lives := t.addresses[t.controller]; admin && lives {
		nodes = append([]int32{t.controller}, nodes...)
	}
	var err error
	for _, node := range nodes {
		var resp kmsg.Response
		if resp, err = s.requestNode(ctx, cl, node, req); err == nil || !neverSent(err) || ctx.Err() != nil {
			return resp, err
		}
	}
	return nil, err
}

// neverSent reports whether a request failed before a broker could see any of it.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// requestCoordinator asks the coordinator of a group. A broker that is none any more
// has done nothing with the request.
func (s *Slice) requestCoordinator(ctx context.Context, cl *kgo.Client, group string, req kmsg.Request) (kmsg.Response, error) {
	for again := false; ; again = true {
		node, err := s.coordinator(ctx, cl, group)
		if err != nil {
			return nil, fmt.Errorf("coordinator of the group: %w", err)
		}
		resp, err := s.requestNode(ctx, cl, node, req)
		if err != nil {
			s.coordinators.forget(group)
			return nil, err
		}
		if !notCoordinator(resp) {
			return resp, nil
		}
		if s.coordinators.forget(group); again {
			return resp, nil
		}
	}
}

func notCoordinator(resp kmsg.Response) bool {
	for _, e := range protocol.ErrorsIn(resp) {
		if e.Code == kerr.NotCoordinator.Code || e.Code == kerr.CoordinatorNotAvailable.Code {
			return true
		}
	}
	return false
}

// coordinatorPause is the time between two questions for a coordinator that a cluster
// does not have yet, as when it makes the topic for groups.
const coordinatorPause = 100 * time.Millisecond

// coordinator is the broker that coordinates a group.
func (s *Slice) coordinator(ctx context.Context, cl *kgo.Client, group string) (int32, error) {
	if node, ok := s.coordinators.get(group); ok {
		return node, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = 1, group
	for {
		resp, err := s.requestAny(ctx, cl, req)
		if err != nil {
			return -1, err
		}
		found := resp.(*kmsg.FindCoordinatorResponse)
		switch err := kerr.ErrorForCode(found.ErrorCode); {
		case err == nil:
			s.coordinators.put(group, found.NodeID)
			return found.NodeID, nil
		case !kerr.IsRetriable(err):
			return -1, err
		}
		select {
		case <-time.After(coordinatorPause):
		case <-ctx.Done():
			return -1, ctx.Err()
		}
	}
}

// coordinatorsMax bounds the groups whose coordinators are remembered.
const coordinatorsMax = 10_000

// coordinators are the brokers that were found to coordinate groups.
type coordinators struct {
	mu    sync.Mutex
	nodes map[string]int32
}

func (c *coordinators) get(group string) (int32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node, ok := c.nodes[group]
	return node, ok
}

func (c *coordinators) put(group string, node int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil || len(c.nodes) >= coordinatorsMax {
		c.nodes = make(map[string]int32)
	}
	c.nodes[group] = node
}

func (c *coordinators) forget(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, group)
}
