package proxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/proxy/policy"
)

// What a connection is waiting for, as the janitor sees it.
const (
	phaseFirst int32 = iota // the first request's header
	phaseIdle               // the first byte of the next request
	phaseFrame              // the rest of a request
	phaseOurs               // a turn, memory, a name or a broker: the client is not to blame
)

// minPace is what a frame's sender must keep up beyond frame_timeout, and whoever is
// sent something, in bytes per second.
const minPace = 1 << 20

// watch is what the janitor looks at, since a deadline set on the socket for each
// request would cost more than the rest of its handling.
type watch struct {
	phase    atomic.Int32
	since    atomic.Int64 // when the phase began, unix nanoseconds
	expected atomic.Int64 // bytes of the frame
	heard    atomic.Int64 // when the last answer went out
	paused   time.Time
	before   int32 // the phase that ours interrupted
}

func (w *watch) start() { w.since.Store(time.Now().UnixNano()) }

// idle: the next request may come when it likes; from a client that has yet to prove
// who it is, as soon as its first.
func (w *watch) idle(now time.Time, unproved bool) {
	next := phaseIdle
	if unproved {
		next = phaseFirst
	}
	if w.phase.Load() != phaseFirst {
		w.since.Store(now.UnixNano())
		w.phase.Store(next)
	}
}

// frame: a request has begun. The first one's clock runs since the connection does.
func (w *watch) frame(now time.Time) {
	if phase := w.phase.Load(); phase != phaseFirst && phase != phaseFrame {
		w.expected.Store(0)
		w.since.Store(now.UnixNano())
		w.phase.Store(phaseFrame)
	}
}

// size: the header has come, and n bytes of the request in all.
func (w *watch) size(now time.Time, n int64) {
	w.expected.Store(n)
	if w.phase.Load() != phaseFrame {
		w.since.Store(now.UnixNano())
		w.phase.Store(phaseFrame)
	}
}

// whole: nothing of the request is missing.
func (w *watch) whole() {
	if w.phase.Load() != phaseOurs {
		w.phase.Store(phaseOurs)
	}
}

// ours stops the client's clock, theirs lets it go on.
func (w *watch) ours() {
	w.paused, w.before = time.Now(), w.phase.Load()
	w.phase.Store(phaseOurs)
}

func (w *watch) theirs(now time.Time) {
	w.since.Add(int64(now.Sub(w.paused)))
	w.phase.Store(w.before)
}

func (w *watch) answered(now time.Time) { w.heard.Store(now.UnixNano()) }

// stalled says who has stopped reading what is written to it, nil for nobody. before
// is the look before this one: as the time at which a write began is known to one
// period only, it is judged one period later, and never too soon.
func (c *conn) stalled(before int64) *closing {
	for _, side := range []struct {
		to           *outlet
		reason, text string
	}{
		{&c.toClient, reasonClientStalled, "the client does not read its answers: "},
		{&c.toBroker, reasonBrokerStalled, "the broker does not read its requests: "},
	} {
		size := side.to.size.Load()
		allowed := allowance(&c.gw.settings, size)
		if side.to.underway(before) > allowed {
			return &closing{reason: side.reason, text: side.text + itoa(int(size)) + " bytes were not taken within " + allowed.Round(time.Millisecond).String()}
		}
	}
	return nil
}

// allowance is how long a frame, or a write, of so many bytes may take.
func allowance(s *policy.Gateway, bytes int64) time.Duration {
	return s.FrameTimeout + time.Duration(bytes)*time.Second/minPace
}

// late says which of the client's time limits has passed, nil for none.
func (c *conn) late(now time.Time) *closing {
	s := &c.gw.settings
	age := func(since int64) time.Duration { return time.Duration(now.UnixNano() - since) }
	switch c.watch.phase.Load() {
	case phaseFirst:
		if age(c.watch.since.Load()) > s.FirstFrameTimeout {
			return &closing{reason: reasonFirstFrame, noise: true, text: "no request within " + s.FirstFrameTimeout.String()}
		}
	case phaseIdle:
		// An open long poll is not idle.
		if age(max(c.watch.since.Load(), c.watch.heard.Load())) > s.IdleTimeout && c.pairs.len() == 0 {
			return &closing{reason: reasonIdle, quiet: true, text: "no request for " + s.IdleTimeout.String()}
		}
	case phaseFrame:
		allowed := allowance(s, c.watch.expected.Load())
		// What the broker takes long to read is added to since when it is read, so the
		// write is looked at first: seen twice it does no harm.
		writing := c.toBroker.underway(now.UnixNano())
		if age(c.watch.since.Load())-writing > allowed {
			return &closing{reason: reasonFrame, text: "a request did not come whole within " + allowed.Round(time.Millisecond).String()}
		}
	}
	return nil
}

// period is how often the janitor looks.
func period(s *policy.Gateway) time.Duration {
	return max(min(time.Second, s.FirstFrameTimeout/4, s.FrameTimeout/4, s.IdleTimeout/4), 10*time.Millisecond)
}

// janitor ends the connections whose time is over, and moves the gateway's clock on.
func (g *Gateway) janitor() {
	ticker := time.NewTicker(period(&g.settings))
	defer ticker.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-ticker.C:
			before := g.clock.Swap(now.UnixNano())
			for _, c := range g.connections() {
				why := c.stalled(before)
				if why == nil {
					why = c.late(now)
				}
				if why != nil {
					c.kill(why)
				}
			}
			g.noise.forget(now)
			g.logins.forget(now)
		}
	}
}

// noise remembers which sources have been told of in the log.
type noise struct {
	most int // lines for each source and minute; 0 is one

	mu   sync.Mutex
	told map[string]told
}

// told is how many lines a source has had, and when the first of them was.
type told struct {
	since time.Time
	lines int
}

const (
	noiseEvery      = time.Minute
	maxNoiseSources = 1000
	// loginLines leaves room for some clients behind one address, each set up wrongly.
	loginLines = 5
)

// first reports whether this source's noise is worth a line: the first ones of a
// minute.
func (n *noise) first(a net.Addr, now time.Time) bool {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		host = a.String()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, ok := n.told[host]; ok && now.Sub(t.since) < noiseEvery {
		if t.lines >= n.most {
			return false
		}
		n.told[host] = told{t.since, t.lines + 1}
		return true
	}
	if len(n.told) >= maxNoiseSources {
		return false
	}
	if n.told == nil {
		n.told = map[string]told{}
	}
	n.told[host] = told{now, 1}
	return true
}

func (n *noise) forget(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for host, t := range n.told {
		if now.Sub(t.since) >= noiseEvery {
			delete(n.told, host)
		}
	}
}
