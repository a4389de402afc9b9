package limiter

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// slot is about how long one answer takes of the rate while there is too little.
	slot = 100 * time.Millisecond
	// pace is the part of maxWait that the answers of all who ask may take, so that
	// the turns of all come within maxWait.
	pace = 0.75
	// rest is the part of the time left until then that one answer may take, so that
	// many who come at once do not fill it before they know of each other.
	rest = 0.25
	// light is the part of maxWait below which an answer is nothing to speak of.
	light = 0.001
	// asleep is how many requests with such answers take of the busy ones' time what
	// one of those takes.
	asleep = 64
)

// asks counts the requests that are out below one bucket: asked and not answered.
type asks struct {
	heavy, idle atomic.Int64
	exposed     atomic.Int64 // units that the answers may take beyond what was charged for them
}

// ask is one of them.
type ask struct {
	allow   float64
	exposed int64
	heavy   bool
}

// asked is what one account has out in one dimension.
type asked struct {
	out    []ask   // oldest first
	whole  float64 // the size of recent answers that were larger than allowed, 0 for none
	filled bool    // the last answer was as large as allowed: there is more where it came from
}

// offer is what one bucket has to give.
type offer struct {
	limited   bool
	available float64 // units nobody else has been promised
	low       float64 // what one may have while there is too little
	lowIdle   float64 // the same for one whose answers are nothing to speak of
	room      float64 // units until the debt reaches its bound
	rate      float64
}

// Ask is for requests that are charged by their answer. The client wants up to
// want units; recent is what answers on its connection have lately been (see
// [Recent]), below 0 if nothing is known. It says how large the answer may be, at
// least 1, and takes the turn with a provisional charge, which [Account.Settle]
// corrects at the answer. Each Ask is followed by one [Account.Answered], in the
// same order, or by Close. The caller waits min(Turn.Wait, maxWait).
//
// While a bucket has what is wanted, all of it is allowed. While it has not, the
// answer may be about a tenth of a second of the rate, and less when so many ask
// that their turns would not come within maxWait.
//
// The provisional charge is what the answer is expected to be: a long poll that
// lately returned nothing holds nothing that others need, one whose last answer
// filled what it was allowed is charged all it is allowed now, and one whose answers
// are larger than allowed (a broker returns one whole batch at least) that much.
func (a *Account) Ask(now time.Time, d Dimension, want, recent float64, maxWait time.Duration) (allow, provisional float64, t Turn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	plenty := max(want, a.asked[d].whole)
	offers := [...]offer{
		a.client.buckets[d].offer(now, plenty, maxWait),
		a.tenant.buckets[d].offer(now, plenty, maxWait),
		a.slice.turns[d].offer(now, a.member.shares[d], plenty, maxWait),
	}
	expected := recent
	if recent < 0 || a.asked[d].filled {
		expected = math.Inf(1)
	}
	allow, room, heavy := want, math.Inf(1), false
	for _, o := range offers {
		if o.limited {
			heavy = heavy || expected >= o.rate*maxWait.Seconds()*light
			room = min(room, o.room)
		}
	}
	for _, o := range offers {
		switch {
		case !o.limited:
		case heavy:
			allow = min(allow, max(o.available, o.low))
		default:
			allow = min(allow, max(o.available, o.lowIdle))
		}
	}
	allow = max(math.Floor(allow), 1)
	if math.IsInf(room, 1) { // no limit
		a.ask(d, ask{allow: allow})
		return allow, 0, Turn{}
	}
	provisional = min(max(allow, a.asked[d].whole), expected)
	provisional = math.Ceil(max(min(provisional, math.Floor(room)), 0))
	if provisional > 0 {
		t = a.Reserve(now, d, provisional)
	} else {
		t = a.debt(now, d)
	}
	a.ask(d, ask{allow: allow, exposed: int64(min(max(allow-provisional, 0), maxDepth)), heavy: heavy})
	return allow, provisional, t
}

// ask notes that x is out.
func (a *Account) ask(d Dimension, x ask) {
	a.asked[d].out = append(a.asked[d].out, x)
	for _, b := range a.above(int(d)) {
		b.asks.count(x, 1)
	}
}

// Answered says that the oldest [Account.Ask] that was out is out no more. Without
// one it does nothing.
func (a *Account) Answered(d Dimension) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered(int(d))
}

// answered is Answered with the lock held. It reports whether one was out.
func (a *Account) answered(d int) bool {
	q := &a.asked[d]
	if len(q.out) == 0 {
		return false
	}
	x := q.out[0]
	q.out = append(q.out[:0], q.out[1:]...)
	for _, b := range a.above(d) {
		b.asks.count(x, -1)
	}
	return true
}

// learn notes how the answer to the oldest Ask compares to what was allowed.
func (a *Account) learn(d Dimension, actual float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := &a.asked[d]
	if len(q.out) == 0 {
		return
	}
	q.filled = actual >= q.out[0].allow/2
	if actual > q.out[0].allow {
		q.whole = max(actual, q.whole/2)
	} else {
		q.whole /= 2
	}
}

// above returns the buckets above the account, in the order of locking.
func (a *Account) above(d int) [3]*bucket {
	return [3]*bucket{a.client.buckets[d], a.tenant.buckets[d], &a.slice.turns[d].bucket}
}

func (s *asks) count(x ask, sign int64) {
	if x.exposed > 0 {
		s.exposed.Add(sign * x.exposed)
	}
	if x.heavy {
		s.heavy.Add(sign)
	} else {
		s.idle.Add(sign)
	}
}

// slots fills in how much one answer may take while the bucket is low: a slot at
// most, and so little that everyone's turn comes within maxWait. Those whose answers
// are nothing to speak of are reckoned among all, so that they take no more than
// that even if they all wake up at once; the busy ones hardly notice them.
func (o *offer) slots(s *asks, longest, maxWait, debt time.Duration) {
	all := pace * maxWait.Seconds()
	heavy, idle := float64(s.heavy.Load()), float64(s.idle.Load())
	most := min(longest.Seconds(), max(rest*(all-debt.Seconds()), 0))
	o.low = o.rate * min(most, all/(1+heavy+idle/asleep))
	o.lowIdle = o.rate * min(most, all/(1+heavy+idle))
}

// offer says what there is for one who takes up to plenty.
func (b *bucket) offer(now time.Time, plenty float64, maxWait time.Duration) offer {
	if o := b.offerOf(b.till.atLeast()); !o.limited || o.available >= plenty {
		return o
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.limited.Load() {
		return offer{}
	}
	now = b.at(now)
	defer b.open(now)
	tokens := b.tokens(now)
	o := b.offerOf(tokens)
	o.room = max(tokens+b.maxDebt, 0)
	o.slots(&b.asks, slot, maxWait, seconds(-tokens/b.rate))
	return o
}

// offerOf is the offer of a bucket with so many units, as far as it can be told
// without the lock; that is enough while there is plenty.
func (b *bucket) offerOf(tokens float64) offer {
	return offer{
		limited:   b.limited.Load(),
		available: tokens - float64(b.asks.exposed.Load()),
		room:      max(tokens, 0),
		rate:      math.Float64frombits(b.rateBits.Load()),
	}
}

// offer is bucket.offer for the tenant of s.
func (t *turns) offer(now time.Time, s *share, plenty float64, maxWait time.Duration) offer {
	if o := t.offerOf(t.till.atLeast()); !o.limited || o.available >= plenty {
		return o
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.limited.Load() {
		return offer{}
	}
	now = t.at(now)
	defer t.open(now)
	tokens := t.look(now, s)
	debt, wait := max(-tokens, 0), time.Duration(0)
	if s.owed > 0 {
		wait = seconds(t.ahead(s, s.owed, debt) / t.rate)
	}
	o := t.offerOf(tokens)
	o.room = t.within(s, t.maxDebt, debt) + t.credit(s) + max(tokens, 0)
	o.slots(&t.asks, slot/time.Duration(t.active()), maxWait, wait)
	return o
}

// Recent is what the answers on one connection have lately been: a maximum that
// falls by half with each smaller answer. The zero value knows nothing.
type Recent struct {
	size  float64
	known bool
}

// Add takes in the size of an answer.
func (r *Recent) Add(size float64) {
	r.size, r.known = max(size, r.size/2), true
}

// Size returns what to expect of the next answer, for [Account.Ask]: below 0 if
// there was no answer yet.
func (r *Recent) Size() float64 {
	if !r.known {
		return -1
	}
	return r.size
}
