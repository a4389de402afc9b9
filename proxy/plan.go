package proxy

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// query is a request that is read whole, on its way to a broker.
type query struct {
	header protocol.Header
	api    *protocol.API
	frame  frame        // as it came; patched in place
	req    kmsg.Request // decoded, where a rule, a node id or a limit asks for it
	now    time.Time

	wanted  int32         // bytes that a Fetch or ShareFetch asks for at most
	changed bool          // the broker gets req, encoded anew, instead of frame
	refused kmsg.Response // what was taken out of req; the whole answer if local is set
	local   bool          // nothing is left to ask a broker
	denied  bool          // all that it asked for was refused
	// elsewhere: all of it lives in another slice than the connection's, to which its
	// answer sends the client.
	elsewhere bool
	hold      time.Duration // how long a refusal is held before it is answered
}

// done lets go of the frame and of all that was made of it: an idle connection must
// not keep in memory what is not reserved any more.
func (q *query) done() {
	q.frame.release()
	*q = query{}
}

// plan decides what the broker gets: the bytes as they came, a message with
// something taken out or replaced, or nothing at all.
func (c *conn) plan(q *query) error {
	if !c.mustDecode(q.api) || q.header.Key == protocol.KeyFetch && c.lookAtFetch(q) {
		return nil
	}
	if err := c.in.flush(); err != nil {
		return err
	}
	c.in.block() // for a topic's name, perhaps
	judged := q.api.Split != nil && !c.unjudged()
	if judged && c.tenant.Observe && !c.tenant.Everything() {
		// Counted, then forgotten: another copy is judged, and what the broker gets
		// is what the client sent.
		copied, err := c.decode(q)
		if err != nil {
			return err
		}
		q.api.Split(copied, c.asking)
		judged = c.guard != nil
	}
	req, err := c.decode(q)
	if err != nil {
		return err
	}
	q.req = req
	q.wanted = protocol.FetchMaxBytes(req)
	if q.header.Key == protocol.KeyFetch {
		c.planFetch(q, req.(*kmsg.FetchRequest), judged)
		return nil
	}
	if judged {
		if r, ok := req.(*kmsg.ShareFetchRequest); ok {
			c.planShareFetch(q, r)
		} else {
			c.split(q)
		}
		q.changed = true
	}
	if q.api.Realize != nil && !q.local && c.guard == nil { // else when it is divided
		q.api.Realize(req, c.nodes)
		q.changed = true
	}
	return nil
}

// judge is who judges requests.
func (c *conn) judge() protocol.Judge {
	if c.guard != nil {
		return c.guard
	}
	return c.asking
}

// split takes out of a decoded request what the rules refuse.
func (c *conn) split(q *query) {
	refused, rest := q.api.Split(q.req, c.judge())
	q.refused, q.local = refused, !rest
	q.denied = refused != nil && (!rest || protocol.Emptied(q.req))
	if c.guard != nil && !c.asking.denies {
		q.denied, q.elsewhere = false, q.denied
	}
}

// mustDecode: everything else passes as opaque bytes.
func (c *conn) mustDecode(a *protocol.API) bool {
	switch {
	case a.Decode, a.Realize != nil, a.Split != nil && !c.unjudged(), a.Divide != nil && c.guard != nil, c.stray:
		return true
	case a.Key == protocol.KeyFetch, a.Key == protocol.KeyShareFetch:
		return true
	}
	return ownLimit(a.Key) == limitMutations && c.account.Limited(limitMutations)
}

// decodeFree is what a request may decode to beyond the size of its frame without
// reserving it: all but a few stay far below.
const decodeFree = 1 << 20

// decode decodes a request, once it is known that its bytes hold what they claim
// and there is memory for it. It gives back the memory of what was decoded before,
// which must not be used any more; that of the last goes with the request.
func (c *conn) decode(q *query) (kmsg.Request, error) {
	c.freeDecoded()
	body := q.frame.bytes[q.header.Body:]
	size, err := protocol.CheckRequest(q.header.Key, q.header.Version, body)
	if err != nil {
		return nil, malformed(q.api.Name, err)
	}
	if len(q.frame.bytes) > wireBuffer {
		size -= len(q.frame.bytes) // reserved when it was read
	}
	if size > decodeFree {
		if c.decoded, err = c.reserve(c.gw.budget.decoded, int64(size)); err != nil {
			return nil, err
		}
	}
	req := kmsg.RequestForKey(q.header.Key)
	req.SetVersion(q.header.Version)
	if err := req.ReadFrom(body); err != nil {
		return nil, malformed(q.api.Name, err)
	}
	return req, nil
}

func (c *conn) freeDecoded() {
	if c.decoded != nil {
		c.decoded()
		c.decoded = nil
	}
}

// readFrame reads a whole request. One that does not fit the read buffer waits
// for its memory first.
func (c *conn) readFrame(h *protocol.Header) (frame, error) {
	size := 4 + int(h.Size)
	if size <= wireBuffer {
		return c.in.frame(size)
	}
	free, err := c.reserve(c.gw.budget.frames, int64(size))
	if err != nil {
		return frame{}, err
	}
	f, err := c.in.frame(size)
	if err != nil {
		free()
	}
	f.free = free
	return f, err
}

// reserve waits for n bytes of the memory for held frames, or for decoded ones.
func (c *conn) reserve(m *memory, n int64) (func(), error) {
	if err := c.ours(); err != nil {
		return nil, err
	}
	defer c.theirs()
	free, err := m.reserve(c.ctx, name(c.tenant), n)
	if err != nil {
		return nil, &closing{reason: reasonTooLarge, hold: true, text: err.Error()}
	}
	return free, nil
}
