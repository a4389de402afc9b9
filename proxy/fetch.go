package proxy

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// maxSessions bounds how many fetch sessions of one connection are remembered. A
// client has one for each broker, and one connection goes to one broker.
const maxSessions = 64

// maxFetchHold is how long the answer to a Fetch of which all was refused is held,
// as a broker with nothing to return would; maxMovedHold where its client is to look
// elsewhere, which most did within a second or two.
const (
	maxFetchHold = time.Second
	maxMovedHold = 200 * time.Millisecond
)

// fetchSessions are the sessions (KIP-227) that a broker opened on one connection,
// each with the rules under which its partitions were judged. Brokers do not bind
// a session to a connection or principal; without this, who guesses an id could
// fetch what another was allowed to.
type fetchSessions struct {
	mu  sync.Mutex
	ids map[int32]string // session id -> policy.Tenant.RulesID
}

// add remembers a session that the broker has answered with.
func (s *fetchSessions) add(id int32, rules string) {
	if id == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[id] == rules {
		return
	}
	if s.ids == nil {
		s.ids = map[int32]string{}
	}
	if len(s.ids) >= maxSessions {
		clear(s.ids) // those clients start anew, with one error 70
	}
	s.ids[id] = rules
}

// valid reports whether the connection has that session under those rules.
func (s *fetchSessions) valid(id int32, rules string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, ok := s.ids[id]
	return ok && got == rules
}

// lookAtFetch judges a Fetch without decoding it, if all of it may pass as it is: the
// session that it names is the connection's, and all topics may be read. Else it must
// be decoded.
func (c *conn) lookAtFetch(q *query) bool {
	var l protocol.FetchLook
	l.Reset(q.header.Version, q.frame.bytes[q.header.Body:])
	if c.stray || l.SessionID != 0 && !c.sessions.valid(l.SessionID, c.rules) && !c.unheld() {
		return false
	}
	for all := c.unjudged(); l.Next(); {
		if !all && !c.mayTopic(protocol.OpRead, l.TopicName, l.TopicID) {
			return false
		}
	}
	q.wanted = l.MaxBytes
	return l.Plain()
}

// unheld: rules are only observed, and nothing lives elsewhere.
func (c *conn) unheld() bool { return c.guard == nil && c.tenant.Observe }

// planFetch judges a Fetch. What a session holds was judged when it was added, so
// an incremental fetch needs only its new topics judged, and answers need no
// second judgement. A Fetch with something refused goes without a session.
func (c *conn) planFetch(q *query, req *kmsg.FetchRequest, judged bool) {
	if c.unheld() {
		return
	}
	if req.Version >= 7 && req.SessionID != 0 && !c.sessions.valid(req.SessionID, c.rules) {
		if req.SessionEpoch > 0 {
			q.refused, q.local = protocol.FetchSessionNotFound(req.Version), true
			return
		}
		// A full fetch only says with the id which session it gives up: franz-go does,
		// on a new connection. That one is not for this connection to end; the fetch
		// itself is fine, and error 70 to it would never stop.
		req.SessionID, q.changed = 0, true
	}
	if !judged && !protocol.IsFollowerFetch(req) {
		return
	}
	c.split(q)
	if q.refused == nil {
		return
	}
	switch {
	case req.Version >= 7 && req.SessionEpoch > 0:
		// The broker knows partitions of this session that the request does not
		// name, so it cannot go on without one: the client starts anew.
		q.refused, q.local, q.denied = protocol.FetchSessionNotFound(req.Version), true, false
	case q.local:
		longest := maxFetchHold
		if q.elsewhere {
			longest = maxMovedHold
		}
		q.hold = min(time.Duration(req.MaxWaitMillis)*time.Millisecond, longest)
	default:
		req.SessionID, req.SessionEpoch = 0, -1
		q.changed = true
	}
}
