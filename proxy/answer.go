package proxy

import (
	"encoding/binary"
	"errors"
	"io"
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
	judge       *judge        // what the answer is filtered by
	rules       string        // the rules under which a Fetch was judged
	local       []byte        // the whole answer, made here
	denied      bool
	sent        time.Time

	nodes       protocol.Nodes
	account     *limiter.Account
	counters    *tenantMetrics
	durations   *sliceMetrics
	limits      [2]limiter.Dimension // the limits that charged it, whose debt is announced
	nlimits     int
	waited      time.Duration
	fetching    atomic.Bool // charged by its answer, and not settled yet
	provisional float64
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
	if p.nlimits == 0 || p.judge.tenant.Observe {
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
// answers, which come in the order of the requests, and passes them on.
func (c *conn) answers() {
	for {
		err := c.oneAnswer()
		if err == nil {
			continue
		}
		var why *closing
		switch {
		case errors.As(err, &why):
		case errors.Is(err, errBeyondBuffer):
			why = &closing{reason: reasonBrokerAnswer, text: "the broker's answer: " + err.Error()}
		default:
			why = &closing{reason: reasonBrokerClosed, quiet: c.pairs.len() == 0, text: "the broker's connection ended: " + err.Error()}
		}
		c.up.release()
		c.kill(why)
		return
	}
}

// gone is the end of a connection whose client does not take its answer.
func gone(err error) error {
	if err == nil {
		return nil
	}
	return &closing{reason: reasonClientGone, quiet: true, text: "an answer could not be written: " + err.Error()}
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
	b, err := c.up.peek(8)
	if err != nil {
		return err
	}
	size, correlation := int(int32(binary.BigEndian.Uint32(b))), int32(binary.BigEndian.Uint32(b[4:]))
	p, err := c.pairs.head()
	if err != nil {
		return err
	}
	switch {
	case correlation != p.correlation:
		return &closing{reason: reasonBrokerAnswer, text: "the broker answered request " + itoa(int(correlation)) + ", not " + itoa(int(p.correlation))}
	case size < 4:
		return &closing{reason: reasonBrokerAnswer, text: "the broker sent a frame of " + itoa(size) + " bytes"}
	}
	now := time.Now()
	p.durations.observe(p.api, now.Sub(p.sent).Seconds())
	if p.api.Key == protocol.KeyFetch || p.api.Key == protocol.KeyShareFetch {
		p.counters.out.Add(float64(4 + size))
		c.recent.add(float64(4 + size))
		p.settle(now, float64(4+size))
	}
	if p.api.Key == protocol.KeyFetch {
		err = c.relayFetch(p, 4+size, now)
	} else {
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
	return c.pairs.pop(c.writeLocal)
}

// writeLocal writes an answer made here. The caller owns the head of the pairs.
func (c *conn) writeLocal(p *pending) error {
	if _, err := c.toClient.Write(p.local); err != nil {
		return gone(err)
	}
	o := outcomeOK
	if p.denied {
		o = outcomeDenied
	}
	p.counters.count(p.api, o)
	return nil
}

// relayAnswer passes on an answer that is held whole: all but Fetch.
func (c *conn) relayAnswer(p *pending, size int, now time.Time) error {
	throttle := p.throttle(now)
	rewrites := c.mustRewrite(p, throttle)
	f, err := c.readAnswer(p, size, rewrites)
	if err != nil {
		return err
	}
	defer f.release()
	out := f.bytes
	if rewrites {
		if out, err = c.rewrite(p, f.bytes, throttle); err != nil {
			return err
		}
	} else if throttle > 0 {
		protocol.PatchThrottle(out, p.api.Key, p.version, throttle)
	}
	_, err = c.toClient.Write(out)
	return gone(err)
}

// mustRewrite: every other answer passes as opaque bytes, with at most its
// throttle_time_ms patched in place.
func (c *conn) mustRewrite(p *pending, throttle int32) bool {
	switch {
	case p.refused != nil, p.api.Virtualize != nil, p.sentVersion != p.version:
		return true
	case p.api.Filter != nil && !p.judge.tenant.Everything() && !p.judge.tenant.Observe:
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
	body := 4 + protocol.ResponseHeaderSize(p.api.Key, p.sentVersion)
	resp := kmsg.ResponseForKey(p.api.Key)
	resp.SetVersion(p.sentVersion)
	if len(frame) < body {
		return nil, &closing{reason: reasonBrokerAnswer, text: "the broker's answer to " + p.api.Name + " is too short"}
	}
	if err := resp.ReadFrom(frame[body:]); err != nil {
		return nil, &closing{reason: reasonBrokerAnswer, text: "the broker's answer to " + p.api.Name + " cannot be decoded: " + err.Error()}
	}
	resp.SetVersion(p.version)
	if m, ok := resp.(*kmsg.MetadataResponse); ok {
		p.judge.slice.Learn(m)
	}
	if p.api.Virtualize != nil {
		p.api.Virtualize(p.req, resp, p.nodes)
	}
	if p.api.Filter != nil && !p.judge.tenant.Everything() && !p.judge.tenant.Observe {
		p.api.Filter(resp, p.judge)
	}
	if p.refused != nil && p.api.Merge != nil {
		p.api.Merge(resp, p.refused)
	}
	if t, ok := resp.(kmsg.SetThrottleResponse); ok && throttle > 0 {
		if own, _ := resp.(kmsg.ThrottleResponse).Throttle(); own < throttle {
			t.SetThrottle(throttle)
		}
	}
	return protocol.AppendResponse(nil, p.correlation, resp), nil
}

const (
	// decodedAnswer is what an answer takes when it is decoded and encoded anew, in
	// multiples of its size. Metadata was measured to hold 3 to 6, and to leave some
	// garbage on the way.
	decodedAnswer = 8
	// decodedFree is how large an answer may be without reserving that.
	decodedFree = 16 << 10
)

// reserveAnswer waits for the memory of an answer, all of it at once: a part is
// never held while waiting for another. What is decoded takes a tenant's share at
// most, so that a large one passes alone.
func (c *conn) reserveAnswer(p *pending, size int, rewrites bool) (release func(), err error) {
	m := c.gw.budget.answers
	n := 0
	if size > wireBuffer {
		n = size
	}
	if rewrites && size > decodedFree {
		n = max(n, min(n+decodedAnswer*size, int(m.max/4)))
	}
	if n == 0 {
		return func() {}, nil
	}
	if release, err = m.reserve(c.ctx, p.counters.tenant, int64(n)); err != nil {
		return nil, &closing{reason: reasonTooLarge, text: "the broker's answer: " + err.Error()}
	}
	return release, nil
}

// readAnswer reads a whole answer, which waits for its memory first.
func (c *conn) readAnswer(p *pending, size int, rewrites bool) (frame, error) {
	free, err := c.reserveAnswer(p, size, rewrites)
	if err != nil {
		return frame{}, err
	}
	if size <= wireBuffer {
		b, err := c.up.peek(size)
		if err != nil {
			free()
			return frame{}, err
		}
		return frame{bytes: b[:size], release: func() { c.up.use(size); free() }}, nil
	}
	b := make([]byte, size)
	if err := c.up.readFull(b); err != nil {
		free()
		return frame{}, err
	}
	return frame{bytes: b, release: free}, nil
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
		if _, err := c.toClient.Write(out); err != nil {
			return gone(err)
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
		if ready := pos + n; ready > 0 {
			if _, err := c.toClient.Write(b[:ready]); err != nil {
				return gone(err)
			}
			c.up.use(ready)
			pos = 0
		}
		if rest == 0 {
			return nil
		}
		if _, err := c.up.peek(len(c.up.buffered()) + 1); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}
