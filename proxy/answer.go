package proxy

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/limiter"
	"sluice/protocol"
	"sluice/proxy/policy"
)

// pending is a request that waits for its answer: what the answer needs to know.
type pending struct {
	api         *protocol.API
	version     int16 // the client's
	sentVersion int16 // the broker's
	correlation int32
	req         kmsg.Request  // decoded, where the answer cannot be rewritten without it
	refused     kmsg.Response // to be merged into the answer
	local       []byte        // the whole answer, made here
	own         chan<- []byte // takes the answer to a request of the gateway's own; room for one
	denied      bool
	elsewhere   bool
	counted     bool // for each slice that was asked
	login       bool // of SASL, and the broker is the server
	sent        time.Time

	*standing                        // of the client when it asked
	limits      [2]limiter.Dimension // the limits that charged it, whose debt is announced
	nlimits     int
	waited      time.Duration
	fetching    atomic.Bool // charged by its answer, and not settled yet
	provisional float64
}

// pendings are used again: one is made for each request.
var pendings = sync.Pool{New: func() any { return new(pending) }}

// standing is what a connection is under one snapshot of the policy: who asks, and
// what is asked, for all that is in flight when the policy changes. Immutable.
type standing struct {
	answering *judge         // the tenant's rules
	judging   protocol.Judge // they, and what lives here: for topics that are asked for again and again
	filtering protocol.Judge // leaves out of answers what is not to be seen; nil: nothing
	rules     string         // the rules under which requests are judged
	nodes     protocol.Nodes
	account   *limiter.Account
	counters  *tenantMetrics
	durations *sliceMetrics
}

// announces notes a limit whose debt is told to the client with the answer.
func (p *pending) announces(d limiter.Dimension) {
	p.limits[p.nlimits] = d
	p.nlimits++
}

// throttle is the debt left in the limits that charged the request, in
// milliseconds, as far as it may be announced. A request that waited until no debt
// was left announces a trace, so that a client alone on its limit, whose every
// request waits just long enough, can read in its own metrics that it is held. More
// would make it wait twice.
func (p *pending) throttle(now time.Time) int32 {
	if p.nlimits == 0 || p.answering.tenant.Observe {
		return 0
	}
	longest := maxAnnounceOther
	if p.api.Key == protocol.KeyProduce {
		longest = maxAnnounceProduce
	}
	debt := min(p.waited, announceWaited)
	for _, d := range p.limits[:p.nlimits] {
		debt = max(debt, p.account.Debt(now, d))
	}
	return int32(min(debt, longest).Milliseconds())
}

// settle corrects the provisional charge of a Fetch once its answer's size is known,
// or that there will be none. A connection that ends does so while an answer may just
// be passing: the first of the two counts.
func (p *pending) settle(now time.Time, size float64) {
	if !p.fetching.CompareAndSwap(true, false) {
		return
	}
	if over := p.account.Settle(now, limitOut, p.provisional, size); over > 0 {
		p.counters.m.overrun.WithLabelValues(p.counters.tenant, policy.ConsumerByteRate.String()).Add(over)
	}
	p.account.Answered(limitOut)
}

// answers is the other half of the life of a request: it reads the broker's
// answers, which come in the order of the requests, and passes them on. It returns true
// when the next one has not come yet, and the loop will call it again.
func (c *conn) answers() bool {
	for {
		err := c.oneAnswer()
		if err == nil {
			continue
		}
		if errors.Is(err, errParked) {
			return true
		}
		var why *closing
		var unsent *unwritten
		switch {
		case errors.As(err, &why):
		case errors.As(err, &unsent):
			why = &closing{reason: reasonClientGone, quiet: true, text: "an answer could not be written: " + err.Error()}
		case errors.Is(err, errBeyondBuffer):
			why = &closing{reason: reasonBrokerAnswer, text: "the broker's answer: " + err.Error()}
		case c.sasl != nil && !c.sasl.proved():
			why = &closing{reason: reasonAuthentication, hold: true, text: "the broker closed the connection of a client that was authenticating: " + err.Error()}
		default:
			why = &closing{reason: reasonBrokerClosed, quiet: c.pairs.len() == 0, text: "the broker's connection ended: " + err.Error()}
		}
		_ = c.up.flush() // what was answered before is not lost
		c.up.release()
		c.kill(why)
		return false
	}
}

// recentAnswers are the sizes of the last answers to Fetch, as one goroutine sees
// them and the other asks.
type recentAnswers struct {
	mu sync.Mutex
	r  limiter.Recent
}

func (r *recentAnswers) add(size float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.Add(size)
}

func (r *recentAnswers) size() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.Size()
}

// oneAnswer passes one answer on.
func (c *conn) oneAnswer() error {
	if err := c.up.await(4); err != nil { // a bare token may be as short
		return err
	}
	p, err := c.pairs.head(c.up.block)
	if err != nil {
		return err
	}
	size, err := c.answerHead(p)
	if err != nil {
		return err
	}
	if 4+size <= wireBuffer { // else it streams
		if err := c.up.await(4 + size); err != nil {
			return err
		}
	}
	if p.own != nil {
		return c.ownAnswer(p, 4+size)
	}
	now := c.up.at
	p.durations.observe(p.api, now.Sub(p.sent).Seconds())
	if p.api.Key == protocol.KeyFetch || p.api.Key == protocol.KeyShareFetch {
		p.counters.out.Add(float64(4 + size))
		c.recent.add(float64(4 + size))
		p.settle(now, float64(4+size))
	}
	switch {
	case p.login:
		err = c.observeAnswer(p, 4+size)
	case p.api.Key == protocol.KeyFetch:
		err = c.relayFetch(p, 4+size, now)
	default:
		err = c.relayAnswer(p, 4+size, now)
	}
	if err != nil {
		return err
	}
	o := outcomeOK
	switch {
	case p.denied:
		o = outcomeDenied
	case p.refused != nil:
		o = outcomePartial
	}
	p.counters.count(p.api, o)
	c.watch.answered(now)
	popped, err := c.pairs.pop(c.up.flush, c.answerFromAnswers)
	if popped {
		*p = pending{}
		pendings.Put(p)
	}
	return err
}

func (c *conn) answerFromServe(p *pending) error   { return c.writeLocal(p, &c.in.half) }
func (c *conn) answerFromAnswers(p *pending) error { return c.writeLocal(p, &c.up.half) }

// writeLocal writes an answer made here, for one of the halves, which owns the head of
// the pairs.
func (c *conn) writeLocal(p *pending, h *half) error {
	if n, err := c.toClient.write(p.local, h); err != nil {
		return &unwritten{len(p.local) - n, err}
	}
	switch {
	case p.counted:
	case p.denied:
		p.counters.count(p.api, outcomeDenied)
	case p.elsewhere:
		p.counters.count(p.api, outcomeElsewhere)
	default:
		p.counters.count(p.api, outcomeOK)
	}
	return nil
}

// relayAnswer passes on an answer other than to a Fetch: as it comes, or held whole
// and rewritten.
func (c *conn) relayAnswer(p *pending, size int, now time.Time) error {
	throttle := p.throttle(now)
	if !c.mustRewrite(p, throttle) {
		if at, ok := protocol.ThrottleOffset(p.api.Key, p.version); ok && throttle > 0 {
			b, err := c.up.peek(min(size, at+4))
			if err != nil {
				return err
			}
			protocol.PatchThrottle(b[:min(size, len(b))], p.api.Key, p.version, throttle)
		}
		_, err := c.up.relay(size)
		return err
	}
	f, err := c.readAnswer(p, size)
	if err != nil {
		return err
	}
	defer f.release()
	if c.mayBePlain(p) && p.api.Plain(f.bytes, p.version, throttle) {
		return f.pass(c.up)
	}
	out, err := c.rewrite(p, f.bytes, throttle)
	if err != nil {
		return err
	}
	return c.up.write(out)
}

// mayBePlain reports whether only its brokers keep an answer from passing as it came,
// if it has any.
func (c *conn) mayBePlain(p *pending) bool {
	return p.api.Plain != nil && p.refused == nil && p.sentVersion == p.version
}

// mustRewrite: every other answer passes as opaque bytes, with at most its
// throttle_time_ms patched in place.
func (c *conn) mustRewrite(p *pending, throttle int32) bool {
	switch {
	case p.refused != nil, p.api.Virtualize != nil, p.sentVersion != p.version:
		return true
	case p.api.Filter != nil && p.filtering != nil:
		return true
	case throttle > 0:
		_, fixed := protocol.ThrottleOffset(p.api.Key, p.version)
		return !fixed
	}
	return false
}

// rewrite decodes an answer, merges what was refused, leaves out what the tenant
// may not see, and hides the brokers behind their virtual nodes.
func (c *conn) rewrite(p *pending, frame []byte, throttle int32) ([]byte, error) {
	resp, err := decodeAnswer(p.api, p.sentVersion, frame)
	if err != nil {
		return nil, err
	}
	resp.SetVersion(p.version)
	if m, ok := resp.(*kmsg.MetadataResponse); ok {
		c.upTo.Learn(m)
	}
	if p.api.Virtualize != nil {
		p.api.Virtualize(p.req, resp, p.nodes)
	}
	if p.api.Filter != nil && p.filtering != nil {
		if err := c.up.flush(); err != nil {
			return nil, err
		}
		c.up.block() // for a topic's name, perhaps
		p.answering.begin(p.api.Key)
		p.api.Filter(resp, p.filtering)
	}
	if p.refused != nil && p.api.Merge != nil {
		p.api.Merge(resp, p.refused)
	}
	announce(resp, throttle)
	return protocol.AppendResponse(nil, p.correlation, resp), nil
}

// decodeAnswer decodes a broker's answer, a whole frame.
func decodeAnswer(api *protocol.API, version int16, frame []byte) (kmsg.Response, error) {
	body := 4 + protocol.ResponseHeaderSize(api.Key, version)
	if len(frame) < body {
		return nil, &closing{reason: reasonBrokerAnswer, text: "the broker's answer to " + api.Name + " is too short"}
	}
	resp := kmsg.ResponseForKey(api.Key)
	resp.SetVersion(version)
	if err := resp.ReadFrom(frame[body:]); err != nil {
		return nil, &closing{reason: reasonBrokerAnswer, text: "the broker's answer to " + api.Name + " cannot be decoded: " + err.Error()}
	}
	return resp, nil
}

// announce raises throttle_time_ms to what is announced.
func announce(resp kmsg.Response, throttle int32) {
	if t, ok := resp.(kmsg.SetThrottleResponse); ok && throttle > 0 {
		if own, _ := resp.(kmsg.ThrottleResponse).Throttle(); own < throttle {
			t.SetThrottle(throttle)
		}
	}
}

const (
	// decodedAnswer is what an answer takes when it is decoded and encoded anew, in
	// multiples of its size. Metadata was measured to hold 3 to 6, and to leave some
	// garbage on the way.
	decodedAnswer = 8
	// decodedFree is how large an answer may be without reserving that.
	decodedFree = 16 << 10
)

// reserveAnswer waits for the memory of an answer that is rewritten, all of it at
// once: a part is never held while waiting for another. It takes a tenant's share at
// most, so that a large one passes alone.
func (c *conn) reserveAnswer(p *pending, size int) (release func(), err error) {
	m := c.gw.budget.answers
	n := 0
	if size > wireBuffer {
		n = size
	}
	if size > decodedFree {
		n = max(n, min(n+decodedAnswer*size, int(m.max/4)))
	}
	if n == 0 {
		return nil, nil
	}
	if err := c.up.flush(); err != nil {
		return nil, err
	}
	c.up.block()
	if release, err = m.reserve(c.ctx, p.counters.tenant, int64(n)); err != nil {
		return nil, &closing{reason: reasonTooLarge, text: "the broker's answer: " + err.Error()}
	}
	return release, nil
}

// readAnswer reads a whole answer, which waits for its memory first.
func (c *conn) readAnswer(p *pending, size int) (frame, error) {
	free, err := c.reserveAnswer(p, size)
	if err != nil {
		return frame{}, err
	}
	f, err := c.up.frame(size)
	if err != nil && free != nil {
		free()
	}
	f.free = free
	return f, err
}

// relayFetch passes the answer to a Fetch on as it streams, patching it in place.
// What was refused is written at its head.
func (c *conn) relayFetch(p *pending, size int, now time.Time) error {
	at := 4 + protocol.ResponseHeaderSize(p.api.Key, p.version)
	var head protocol.FetchHead
	for need := at; ; {
		b, err := c.up.peek(min(need, size))
		if err != nil {
			return err
		}
		b = b[:min(len(b), size)]
		h, more, err := protocol.ParseFetchHead(b[min(at, len(b)):], p.version)
		if err != nil {
			return &closing{reason: reasonBrokerAnswer, text: err.Error()}
		}
		if head = h; more == 0 {
			break
		}
		if len(b) == size {
			return &closing{reason: reasonBrokerAnswer, text: "the broker's answer to Fetch ends within its head"}
		}
		need = max(at+more, len(b)+1)
	}
	c.sessions.add(head.SessionID, p.rules)
	var w protocol.FetchWalk
	rest := size - at - head.Size
	w.Reset(p.version, rest, head.Topics, p.nodes)
	throttle := p.throttle(now)
	pos := at + head.Size // how much of the buffer is ready to be written
	if refused, ok := p.refused.(*kmsg.FetchResponse); ok && head.ErrorCode == 0 {
		head.ThrottleMillis = max(head.ThrottleMillis, throttle)
		out := append([]byte(nil), c.up.buffered()[:at]...)
		out = protocol.AppendFetchHead(out, p.version, head, refused)
		binary.BigEndian.PutUint32(out, uint32(len(out)+rest-4))
		if err := c.up.write(out); err != nil {
			return err
		}
		c.up.use(pos)
		pos = 0
	} else if throttle > 0 {
		protocol.PatchThrottle(c.up.buffered()[:pos], p.api.Key, p.version, throttle)
	}
	return c.relayWalked(&w, pos, rest)
}

// relayWalked walks the rest of the answer and writes it, beginning with the first
// pos bytes of the buffer, which need no walking.
func (c *conn) relayWalked(w *protocol.FetchWalk, pos, rest int) error {
	for {
		b := c.up.buffered()
		n, err := w.Next(b[pos:min(len(b), pos+rest)])
		if err != nil {
			return &closing{reason: reasonBrokerAnswer, text: err.Error()}
		}
		rest -= n
		if err := c.up.pass(pos + n); err != nil {
			return err
		}
		pos = 0
		if rest == 0 {
			return nil
		}
		if skip := w.Skip(); c.up.splices(skip) && !c.up.holds(1) {
			left, err := c.up.splice(skip)
			if err != nil {
				return err
			}
			w.Skipped(skip - left)
			rest -= skip - left
			continue
		}
		if _, err := c.up.peek(len(c.up.buffered()) + 1); err != nil {
			return unexpected(err)
		}
	}
}
