package limiter

import (
	"container/heap"
	"math"
	"slices"
	"testing"
	"time"
)

// epoch is where simulated time begins.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	bytesIn Dimension = iota
	bytesOut
	requests
	dimensions = iota
)

const (
	mb  = 1e6
	kib = 1024.0
	mib = 1024 * 1024.0
)

// sim runs events in the order of their time.
type sim struct {
	now    time.Time
	events events
	seq    int
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func newSim() *sim { return &sim{now: epoch} }

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, event{at: s.now.Add(d), seq: s.seq, do: do})
}

// run runs until that much time has passed since the epoch.
func (s *sim) run(until time.Duration) {
	end := epoch.Add(until)
	for len(s.events) > 0 && !s.events[0].at.After(end) {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
	s.now = end
}

// meter records what passed when.
type meter struct {
	at      []time.Duration
	size    []float64
	sum     []float64 // of the sizes so far
	overrun float64
	waited  time.Duration // the longest
}

func (m *meter) add(now time.Time, n float64) {
	m.sum = append(m.sum, n+m.before(now.Sub(epoch)+1))
	m.at = append(m.at, now.Sub(epoch))
	m.size = append(m.size, n)
}

// before sums what passed before a time.
func (m *meter) before(at time.Duration) float64 {
	if i, _ := slices.BinarySearch(m.at, at); i > 0 {
		return m.sum[i-1]
	}
	return 0
}

// largest is the largest request in a time.
func (m *meter) largest(from, to time.Duration) float64 {
	n := 0.0
	for i, at := range m.at {
		if at >= from && at < to {
			n = max(n, m.size[i])
		}
	}
	return n
}

// between sums what passed from one time to before another.
func (m *meter) between(from, to time.Duration) float64 {
	return m.before(to) - m.before(from)
}

func (m *meter) rate(from, to time.Duration) float64 {
	return m.between(from, to) / (to - from).Seconds()
}

// smooth checks every two seconds: 95 to 105 % of the rate, give or take one
// request.
func (m *meter) smooth(t *testing.T, rate float64, from, to time.Duration) {
	t.Helper()
	low, high, largest := math.Inf(1), 0.0, m.largest(from, to)
	for at := from; at+2*time.Second <= to; at += 100 * time.Millisecond {
		n := m.between(at, at+2*time.Second)
		low, high = min(low, n), max(high, n)
		if n < 0.95*2*rate-largest || n > 1.05*2*rate+largest {
			t.Errorf("two seconds from %v: %.2f MB/s, want %.2f ± 5 %% ± one request of %.0f", at, n/2/mb, rate/mb, largest)
			return
		}
	}
	t.Logf("%.2f to %.2f MB/s over two seconds, largest request %.0f, longest wait %v", low/2/mb, high/2/mb, largest, m.waited)
}

// producer sends frames as fast as it may: so many in flight, on one TCP
// connection, so that what is behind a waiting frame waits too.
type producer struct {
	*sim
	account  *Account
	meter    *meter
	frame    float64
	inFlight int // at most
	rtt      time.Duration
	pause    time.Duration // between an answer and the next frame
	ready    int
	busy     bool
}

func (p *producer) start() {
	p.ready = p.inFlight
	p.next()
}

func (p *producer) next() {
	if p.busy || p.ready == 0 {
		return
	}
	p.busy = true
	p.ready--
	turn := p.account.Reserve(p.now, bytesIn, p.frame)
	p.meter.overrun += turn.Overrun
	wait := min(turn.Wait, 8*time.Second)
	p.meter.waited = max(p.meter.waited, wait)
	p.after(wait, func() {
		p.meter.add(p.now, p.frame)
		p.busy = false
		p.after(p.rtt+p.pause, func() { p.ready++; p.next() })
		p.next()
	})
}

// consumer fetches again and again. The broker answers with what fits, but with
// one whole batch at least.
type consumer struct {
	*sim
	account *Account
	meter   *meter
	batch   float64
	rtt     time.Duration
	idle    func() bool // then the broker answers after 500 ms, with nothing
	trickle float64     // if not 0, what there is to read each 100 ms
	recent  Recent
}

func (c *consumer) next() {
	const want = 50 * mb
	allow, provisional, turn := c.account.Ask(c.now, bytesOut, want, c.recent.Size(), 2*time.Second)
	wait := min(turn.Wait, 2*time.Second)
	c.meter.waited = max(c.meter.waited, wait)
	c.after(wait, func() {
		actual, rtt := max(math.Floor(allow/c.batch), 1)*c.batch, c.rtt
		switch {
		case c.idle != nil && c.idle():
			actual, rtt = 120, 500*time.Millisecond
		case c.trickle > 0:
			actual, rtt = c.trickle, 100*time.Millisecond
		}
		c.after(rtt, func() {
			c.meter.add(c.now, actual)
			c.meter.overrun += turn.Overrun + c.account.Settle(c.now, bytesOut, provisional, actual)
			c.account.Answered(bytesOut)
			c.recent.Add(actual)
			c.after(time.Millisecond, c.next)
		})
	})
}

// tenantOnly limits one tenant to a rate in and out.
func tenantOnly(rate float64) *Limiter {
	l := New(dimensions)
	l.Configure(epoch, Config{Tenants: map[string]TenantLimits{"t": {Tenant: Limits{
		bytesIn: {Rate: rate, Burst: time.Second}, bytesOut: {Rate: rate, Burst: time.Second},
	}}}})
	return l
}
