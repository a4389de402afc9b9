package limiter

import "sync/atomic"

// tillPart is the part of a bucket's depth that its till holds.
const tillPart = 1.0 / 64

// till is what may be spent of one bucket without its lock, while there is plenty.
//
// A charge of x/time/rate is arithmetic under two locks, and a request has six buckets
// above it. So a bucket that is at least half full opens its till, and a charge that
// fits into it is one atomic addition. Whoever takes the lock closes the till first
// and charges what was spent, as of the latest time at which any of it can have been:
// under the lock everything is as if there were no tills, and a bucket that is low or
// in debt has none.
//
// No charge is reckoned earlier than it was made, so rate × time + burst holds as it
// does without. What is lost is at most a till's worth of the burst: a bucket that is
// full does not refill what was spent before it was reckoned.
type till struct {
	size  atomic.Int64 // units it holds; 0 while there has never been a limit
	spent atomic.Int64 // of them; below 0 while it is closed
	spare atomic.Int64 // units left in the bucket if all of it is spent, as of when it was opened
}

// resize fits a closed till to a bucket.
func (t *till) resize(depth int) {
	t.size.Store(int64(float64(depth) * tillPart))
}

// open opens the till of a bucket that has so many units.
func (t *till) open(units float64) {
	t.spare.Store(int64(units) - t.size.Load())
	t.spent.Store(0)
}

// close closes it and returns what was spent.
func (t *till) close() int {
	if t.spent.Load() < 0 {
		return 0
	}
	return int(t.spent.Swap(-1))
}

// fits reports whether n units can be spent on top, or a negative n given back: no
// more of that than was spent, so that nothing comes to lie above the bucket's depth.
func (t *till) fits(spent, n int64) bool {
	return spent >= 0 && spent+n >= 0 && spent+n <= t.size.Load()
}

// spend takes n units, or gives back a negative n. It does nothing and returns false
// if the till is closed or n does not fit.
func (t *till) spend(n int64) bool {
	for {
		spent := t.spent.Load()
		if !t.fits(spent, n) {
			return false
		}
		if t.spent.CompareAndSwap(spent, spent+n) {
			return true
		}
	}
}

// atLeast returns a number of units that the bucket is known to have: 0 while the
// till is closed.
func (t *till) atLeast() float64 {
	if t.spent.Load() < 0 {
		return 0
	}
	return float64(t.spare.Load())
}

// latest is the latest time seen, in nanoseconds.
type latest struct{ atomic.Int64 }

// see takes in a time and returns the latest.
func (l *latest) see(now int64) int64 {
	for {
		seen := l.Load()
		if now <= seen {
			return seen
		}
		if l.CompareAndSwap(seen, now) {
			return now
		}
	}
}
