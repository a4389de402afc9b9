package limiter

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// turns is the bucket of a slice in one dimension, on which tenants take turns.
//
// The bucket alone would serve whoever comes first: behind a tenant with a
// hundred connections everybody waits. So its debt is divided among the tenants
// that made it (share.owed), and as it shrinks it shrinks equally for all of them:
// generalised processor sharing, as in fair queueing (Demers, Keshav and Shenker,
// 1989). A charge is due when a fair server would have served it, which is never
// later than the plain bucket says, and the debts add up to the bucket's, so that
// all together get the slice's rate and no more.
//
// A tenant that takes less than the others saves credit while they are served, up
// to its part of the slice's burst; while it has credit it does not wait, and with
// all its credit it does not wait whatever the size of the charge: then it owes the
// rest, and waits for that with the next one. What it takes on credit is served
// first, and pushes the backlog of the others.
//
// The bound of the debt holds for each tenant's own wait, so that one that has
// filled it leaves room for others. With k tenants the bucket's whole debt may
// then come to 1 + 1/2 + ... + 1/k times the bound.
type turns struct {
	bucket // its maxDebt bounds each tenant's own wait

	backlog []*share  // the shares that owe
	owed    float64   // by all of them; what the bucket owes beyond was taken on credit
	clock   float64   // units that each tenant in the backlog has been served: credit is saved by it
	synced  time.Time // when backlog and clock were true

	second       int64 // the tenants that came are counted second by second
	came, before int   // in this second, in the last one
}

// share is one tenant's part in a turns.
type share struct {
	owes   atomic.Bool  // owed > 0; read without the lock, for each answer
	second atomic.Int64 // in which it was last charged under the lock
	spent  atomic.Int64 // units charged without the lock that mark does not know of yet
	most   atomic.Int64 // bounds spent, as a till does for a bucket

	owed float64 // units due after those of a fair server
	mark float64 // clock reading at which the credit was zero
}

// newShare returns a share with all the credit it may have.
func newShare() *share {
	s := &share{mark: math.Inf(-1)}
	s.second.Store(-1)
	return s
}

// configure sets the limit; see bucket.configure.
func (t *turns) configure(now time.Time, l Limit, maxDebt time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limited.Load() {
		t.sync(t.at(now)) // what has passed until now passed at the old rate
	}
	t.set(now, l, maxDebt)
	if !t.limited.Load() {
		for _, s := range t.backlog {
			s.owed = 0
			s.owes.Store(false)
		}
		t.backlog, t.owed = nil, 0
	}
}

// active returns how many tenants an equal share is reckoned among: those charged
// within the last one to two seconds, or in debt.
func (t *turns) active() float64 {
	return float64(max(t.came, t.before, len(t.backlog), 1))
}

// depthOf returns how much credit each may save: all together about what the
// slice may save.
func (t *turns) depthOf() float64 {
	return max(float64(t.depth)/t.active(), 1)
}

// credit returns what s may take without waiting.
func (t *turns) credit(s *share) float64 {
	if s.owed > 0 {
		return 0
	}
	return max(min(t.clock-s.mark, t.depthOf()), 0)
}

// look is sync for one who looks at s: it takes from the credit what s has spent
// without the lock.
func (t *turns) look(now time.Time, s *share) float64 {
	tokens := t.sync(now)
	if spent := s.spent.Swap(0); spent != 0 && s.owed <= 0 {
		s.mark = t.clock - max(t.credit(s)-float64(spent), 0)
	}
	return tokens
}

// spend is bucket.spend for the tenant of s. Once a second a tenant takes the lock, to
// be counted.
func (t *turns) spend(now time.Time, s *share, n float64) bool {
	if !t.limited.Load() || s.second.Load() != t.secondOf(now) {
		return false
	}
	if s.spent.Load()+int64(n) > s.most.Load() || !t.bucket.spend(now, n) {
		return false
	}
	s.spent.Add(int64(n))
	return true
}

// secondOf returns the second of a time, as tenants are counted by.
func (t *turns) secondOf(now time.Time) int64 {
	return int64(now.Sub(t.base) / time.Second)
}

// sync brings backlog and clock to now and returns the bucket's level.
func (t *turns) sync(now time.Time) float64 {
	tokens := t.tokens(now)
	elapsed := now.Sub(t.synced).Seconds()
	if t.synced.IsZero() {
		elapsed = 0
	}
	t.synced = now
	served := t.serve(t.owed - max(-tokens, 0))
	// Credit grows as the others are served, and by an equal share at least: one
	// that takes no more than that never waits, whatever the others do.
	t.clock += max(served, elapsed*t.rate/t.active())
	if second := t.secondOf(now); second != t.second {
		if second != t.second+1 {
			t.came = 0
		}
		t.second, t.before, t.came = second, t.came, 0
	}
	return tokens
}

// serve takes n units off the backlog, equally from all, and returns how many
// from each that was still there at the end.
func (t *turns) serve(n float64) (each float64) {
	for n > 0 && len(t.backlog) > 0 {
		step := n / float64(len(t.backlog))
		for _, s := range t.backlog {
			step = min(step, s.owed)
		}
		each += step
		n -= step * float64(len(t.backlog))
		t.owed = 0
		t.backlog = slices.DeleteFunc(t.backlog, func(s *share) bool {
			s.owed -= step
			if s.owed > 1e-6 { // a millionth of a unit is rounding
				t.owed += s.owed
				return false
			}
			s.owed, s.mark = 0, t.clock+each
			s.owes.Store(false)
			return true
		})
		if step == 0 {
			break
		}
	}
	return each
}

// ahead returns how many units a fair server serves until it has served s, if s
// owed so much and the bucket's debt were debt.
func (t *turns) ahead(s *share, owed, debt float64) float64 {
	sum := owed + max(debt-t.owed, 0)
	for _, other := range t.backlog {
		if other != s {
			sum += min(other.owed, owed)
		}
	}
	return sum
}

// charge is bucket.charge for the tenant of s.
func (t *turns) charge(now time.Time, s *share, n float64) charged {
	if t.spend(now, s, n) || !t.limited.Load() {
		return charged{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.limited.Load() {
		return charged{}
	}
	return t.chargeLocked(now, s, n)
}

func (t *turns) chargeLocked(now time.Time, s *share, n float64) charged {
	now = t.at(now)
	defer t.open(now)
	tokens := t.look(now, s)
	if n <= 0 {
		t.giveBack(now, s, -n)
		return charged{}
	}
	if s.second.Load() != t.second {
		s.second.Store(t.second)
		t.came++
	}
	s.most.Store(int64(t.depthOf() * tillPart))
	credit := t.credit(s)
	atOnce := s.owed <= 0 && credit >= min(n, t.depthOf())
	onCredit := min(n, credit)
	debt := max(-tokens, 0)
	more := n - min(n, max(tokens, 0)) // that the bucket will owe; the rest nobody else wanted
	own := min(n-onCredit, more)
	overrun := 0.0
	if own > 0 {
		granted := t.within(s, own, debt+more-own)
		overrun = min(n, math.Ceil(own-granted))
		t.owe(s, granted)
	}
	if n > overrun {
		t.take(now, units(n-overrun))
	}
	if s.owed <= 0 {
		s.mark = t.clock - (credit - onCredit)
	}
	c := charged{overrun: overrun, rate: t.rate}
	switch {
	case atOnce || own == 0 && s.owed <= 0:
	case overrun > 0:
		c.wait = seconds(max(t.ahead(s, s.owed, debt+more-overrun), t.maxDebt) / t.rate)
	default:
		c.wait = seconds(t.ahead(s, s.owed, debt+more) / t.rate)
	}
	return c
}

// owe adds n units to what s owes.
func (t *turns) owe(s *share, n float64) {
	if n > 0 && s.owed <= 0 {
		t.backlog = append(t.backlog, s)
		s.owes.Store(true)
	}
	s.owed += n
	t.owed += n
}

// within returns how much of n units s may owe on top, so that it need not wait
// longer than the bound of the debt.
func (t *turns) within(s *share, n, debt float64) float64 {
	if t.ahead(s, s.owed, debt)+n*float64(len(t.backlog)+1) <= t.maxDebt {
		return n // whoever else owes how much
	}
	low, high := 0.0, n
	if t.ahead(s, s.owed+high, debt) <= t.maxDebt {
		return n
	}
	for high-low > 0.5 { // ahead grows with what s owes
		middle := (low + high) / 2
		if t.ahead(s, s.owed+middle, debt) <= t.maxDebt {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Floor(low)
}

// giveBack returns n units to the bucket and to s.
func (t *turns) giveBack(now time.Time, s *share, n float64) {
	t.take(now, units(-n))
	credit := t.credit(s)
	if s.owed > n {
		s.owed -= n
		t.owed -= n
		return
	}
	if s.owed > 0 {
		n -= s.owed
		t.owed -= s.owed
		s.owed = 0
		s.owes.Store(false)
		t.backlog = slices.DeleteFunc(t.backlog, func(other *share) bool { return other == s })
	}
	s.mark = t.clock - credit - n
}

// debt returns how long until s is out of debt: 0 for one that has credit,
// whatever the others owe.
func (t *turns) debt(now time.Time, s *share) time.Duration {
	if !s.owes.Load() {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.limited.Load() {
		return 0
	}
	return t.debtLocked(now, s)
}

func (t *turns) debtLocked(now time.Time, s *share) time.Duration {
	tokens := t.sync(t.at(now))
	if s.owed <= 0 {
		return 0
	}
	return seconds(t.ahead(s, s.owed, max(-tokens, 0)) / t.rate)
}

// idle reports whether forgetting s would change nothing.
func (t *turns) idle(now time.Time, s *share) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.limited.Load() {
		return true
	}
	t.look(t.at(now), s)
	return s.owed <= 0 && t.credit(s) >= t.depthOf()
}
