package limiter

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// maxDepth bounds a bucket so that every level is a whole number in a float64.
const maxDepth = 1 << 53

// bucket is one token bucket. Its tokens may go below zero: that is debt, and
// the places in time already given out.
type bucket struct {
	// For the hot path, without the lock.
	limited  atomic.Bool
	due      atomic.Int64  // when it is out of debt, after base
	rateBits atomic.Uint64 // rate
	base     time.Time     // set once, before limited
	seen     latest        // after base
	till     till
	asks     asks

	mu      sync.Mutex    // guards what follows, and opens and closes the till
	lim     *rate.Limiter // nil while it has never been limited
	rate    float64       // units per second
	burst   time.Duration
	depth   int
	longest time.Duration // the bound of the debt
	maxDebt float64       // the same in units
}

// configure sets the limit. The level stays as it is, unless there was no limit
// before: then the bucket starts full.
func (b *bucket) configure(now time.Time, l Limit, maxDebt time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(now, l, maxDebt)
}

// set is configure with the lock held.
func (b *bucket) set(now time.Time, l Limit, maxDebt time.Duration) {
	if b.base.IsZero() {
		b.base = now
	}
	now = b.at(now)
	if !(l.Rate > 0) || math.IsInf(l.Rate, 1) {
		b.limited.Store(false)
		return
	}
	defer func() { b.owes(now, seconds(-b.tokens(now)/b.rate)) }()
	b.rate, b.burst = l.Rate, l.Burst
	b.depth = int(min(max(l.Rate*l.Burst.Seconds(), 1), maxDepth))
	b.longest, b.maxDebt = maxDebt, l.Rate*maxDebt.Seconds()
	b.rateBits.Store(math.Float64bits(l.Rate))
	b.till.resize(b.depth)
	if b.limited.Load() {
		b.lim.SetLimitAt(now, rate.Limit(l.Rate)) // first: what has passed until now passed at the old rate
		b.lim.SetBurstAt(now, b.depth)
		return
	}
	b.lim = rate.NewLimiter(rate.Limit(l.Rate), b.depth)
	b.limited.Store(true)
}

// at comes first whenever the lock has been taken: it charges what has been spent
// without, and returns the time to calculate with.
//
// rate.Limiter turns its clock back when it is handed an earlier time, and would then
// fill the same moment twice; callers on several threads do hand in times that are
// slightly out of order.
func (b *bucket) at(now time.Time) time.Time {
	if spent := b.till.close(); spent > 0 {
		last := b.base.Add(time.Duration(b.seen.Load()))
		b.owes(last, b.take(last, spent))
	}
	since := int64(now.Sub(b.base))
	if seen := b.seen.see(since); seen > since {
		return b.base.Add(time.Duration(seen))
	}
	return now
}

// open opens the till, if there is plenty at a time that came from at.
func (b *bucket) open(now time.Time) {
	if tokens := b.tokens(now); tokens >= float64(b.depth)/2 {
		b.till.open(tokens)
	}
}

// spend charges n whole units, or gives back a negative n, if that can be done without
// the lock.
func (b *bucket) spend(now time.Time, n float64) bool {
	if !b.till.fits(b.till.spent.Load(), int64(n)) {
		return false
	}
	if n > 0 { // what is given back may count from earlier: it is no more than was spent by then
		b.seen.see(int64(now.Sub(b.base)))
	}
	return b.till.spend(int64(n))
}

// owes notes that the bucket is out of debt after wait. Who asks with an earlier time
// than that of the charge is not told of a debt that there never was.
func (b *bucket) owes(now time.Time, wait time.Duration) {
	if wait <= 0 {
		b.due.Store(0)
		return
	}
	b.due.Store(int64(min(now.Sub(b.base), math.MaxInt64-wait) + wait))
}

// tokens returns the level at a time that came from at.
func (b *bucket) tokens(now time.Time) float64 {
	return b.lim.TokensAt(now)
}

// take moves the level down by n whole units, or up by a negative n, and returns
// how long until the bucket is out of debt.
//
// ReserveN refuses n > burst, so the depth is raised for the moment of a larger
// charge (which takes the same from the bucket as charging in pieces, in constant
// time). It accepts a negative n, and adds it; what then lies above the depth is
// cut off when the bucket is next looked at.
func (b *bucket) take(now time.Time, n int) time.Duration {
	if n <= b.depth {
		return b.lim.ReserveN(now, n).DelayFrom(now)
	}
	b.lim.SetBurstAt(now, n)
	wait := b.lim.ReserveN(now, n).DelayFrom(now)
	b.lim.SetBurstAt(now, b.depth)
	return wait
}

// charge takes n whole units, as far as the debt stays within its bound, and says
// how long until this place in time is due. A negative n gives back.
func (b *bucket) charge(now time.Time, n float64) charged {
	if b.spend(now, n) || !b.limited.Load() {
		return charged{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.limited.Load() {
		return charged{}
	}
	return b.chargeLocked(now, n)
}

func (b *bucket) chargeLocked(now time.Time, n float64) charged {
	now = b.at(now)
	wait := b.take(now, units(n))
	b.owes(now, wait)
	if wait == 0 {
		b.open(now)
	}
	if n <= 0 {
		return charged{}
	}
	if wait <= b.longest {
		return charged{wait: wait, rate: b.rate}
	}
	tokens := b.tokens(now) // beyond the bound: what is too much is not charged
	overrun := min(n, max(math.Ceil(-tokens-b.maxDebt), 0))
	b.take(now, units(-overrun))
	wait = seconds(-(tokens + overrun) / b.rate)
	b.owes(now, wait)
	return charged{wait: wait, overrun: overrun, rate: b.rate}
}

// debt returns how long until the bucket is out of debt.
func (b *bucket) debt(now time.Time) time.Duration {
	if !b.limited.Load() {
		return 0
	}
	return max(time.Duration(b.due.Load())-now.Sub(b.base), 0)
}

// full reports whether forgetting the bucket would change nothing.
func (b *bucket) full(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.limited.Load() || b.tokens(b.at(now)) >= float64(b.depth)
}

// charged is what came of charging one bucket.
type charged struct {
	wait    time.Duration
	overrun float64 // units beyond the bound of the debt
	rate    float64 // of the bucket, units per second
}

// units rounds up to whole units, which is what rate.Limiter counts in.
func units(n float64) int {
	return int(max(min(math.Ceil(n), maxDepth), -maxDepth))
}

// seconds converts to a Duration, nothing below 0 and nothing that overflows.
func seconds(s float64) time.Duration {
	switch {
	case !(s > 0):
		return 0
	case s > float64(math.MaxInt64/time.Second-1):
		return math.MaxInt64
	default:
		return time.Duration(s * float64(time.Second))
	}
}
