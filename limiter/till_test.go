package limiter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// exact is a token bucket by the book: what the ones with a till are held against.
type exact struct {
	rate, depth, level float64
	at                 time.Duration
}

// configure sets the limit as [bucket.configure] does.
func (e *exact) configure(now time.Duration, rate, depth float64) {
	if e.advance(now); e.rate == 0 {
		e.level = depth
	}
	e.rate, e.depth, e.level = rate, depth, min(e.level, depth)
}

func (e *exact) advance(now time.Duration) {
	if now > e.at {
		e.level = min(e.level+e.rate*(now-e.at).Seconds(), e.depth)
		e.at = now
	}
}

func (e *exact) charge(now time.Duration, n float64) {
	e.advance(now)
	e.level = min(e.level-n, e.depth)
}

// world is a limiter with tenants t0 ... on slice s, each with client IDs c0 ...,
// beside exact buckets that are charged the same.
type world struct {
	t        *testing.T
	r        *rand.Rand
	l        *Limiter
	now      time.Duration
	accounts map[string]*Account
	exact    map[string]*exact // by path: s, s/t0, s/t0/c0
	deepest  float64
}

const (
	worldTenants = 3
	worldClients = 4
)

// each calls do with the path of every bucket, its level (a slice, a tenant, a client
// ID), and the bucket, nil if it has been collected.
func (w *world) each(do func(path string, level Level, b *bucket)) {
	do("s", Slice, &w.l.slices["s"].turns[bytesIn].bucket)
	for i := range worldTenants {
		tenant := fmt.Sprint("t", i)
		do("s/"+tenant, Tenant, w.l.tenants[tenant].buckets[bytesIn])
		for j := range worldClients {
			id := fmt.Sprint("c", j)
			var b *bucket
			if c := w.l.tenants[tenant].clients[id]; c != nil {
				b = c.buckets[bytesIn]
			}
			do("s/"+tenant+"/"+id, ClientID, b)
		}
	}
}

// configure draws new limits. A client ID that was forgotten, since its bucket was
// full, starts full at the new depth too.
func (w *world) configure(now time.Duration) {
	draw := func(most float64) Limit {
		return Limit{Rate: math.Ceil(most * (0.1 + w.r.Float64())), Burst: 100 * time.Millisecond * time.Duration(1+w.r.IntN(20))}
	}
	limits := map[Level]Limit{ClientID: draw(1e5), Tenant: draw(2e5), Slice: draw(4e5)}
	c := Config{MaxDebt: 1000 * time.Hour, Slices: map[string]Limits{"s": {limits[Slice]}}, Tenants: map[string]TenantLimits{}}
	for i := range worldTenants {
		c.Tenants[fmt.Sprint("t", i)] = TenantLimits{Tenant: Limits{limits[Tenant]}, PerClientID: Limits{limits[ClientID]}}
	}
	w.l.Configure(at(now), c)
	w.each(func(path string, level Level, b *bucket) {
		if b == nil || w.exact[path] == nil {
			w.exact[path] = &exact{}
		}
		depth := math.Floor(limits[level].Rate * limits[level].Burst.Seconds())
		w.exact[path].configure(now, limits[level].Rate, depth)
		w.deepest = max(w.deepest, depth)
	})
}

// account returns one of the accounts, and its path.
func (w *world) account(now time.Duration) (a *Account, tenant, path string) {
	tenant, id := fmt.Sprint("t", w.r.IntN(worldTenants)), fmt.Sprint("c", w.r.IntN(worldClients))
	path = "s/" + tenant + "/" + id
	if w.accounts[path] == nil {
		if w.l.tenants[tenant].clients[id] == nil { // forgotten: its bucket starts anew, at this time
			w.check()
			w.exact[path].at, w.exact[path].level = now, w.exact[path].depth
		}
		w.accounts[path] = w.l.Account(at(now), "s", tenant, id)
	}
	return w.accounts[path], "s/" + tenant, path
}

// step does one thing, with a time that may be a little early.
func (w *world) step() {
	now := max(w.now-time.Duration(w.r.Int64N(int64(3*time.Millisecond))), 0)
	a, tenant, client := w.account(now)
	charge := func(n float64) {
		for _, path := range []string{"s", tenant, client} {
			w.exact[path].charge(now, n)
		}
	}
	n := float64(1 + w.r.IntN(300))
	if w.r.IntN(50) == 0 {
		n *= 100
	}
	switch x := w.r.IntN(1000); {
	case x < 600:
		a.Reserve(at(now), bytesIn, n)
		charge(n)
		if w.r.IntN(4) == 0 {
			a.Settle(at(now), bytesIn, n, math.Floor(n/2))
			charge(math.Floor(n/2) - n)
		}
	case x < 900:
		actual := math.Floor(n * w.r.Float64() * 2)
		_, provisional, _ := a.Ask(at(now), bytesIn, n, n, time.Second)
		charge(provisional)
		a.Settle(at(now), bytesIn, provisional, actual)
		charge(actual - provisional)
		a.Answered(bytesIn)
	case x < 920:
		if a.TryTake(at(now), bytesIn, n) {
			charge(n)
		}
	case x < 960:
		a.Close(at(now))
		delete(w.accounts, client)
	case x < 963:
		w.check()
		w.configure(now)
	}
}

// check holds every level against the exact one: never above, and below by no more
// than a till.
func (w *world) check() {
	w.each(func(path string, _ Level, b *bucket) {
		e := w.exact[path]
		if b == nil {
			e = new(*e) // nobody has told it the time
		}
		e.advance(w.now)
		level := e.depth // what a new bucket starts with
		if b != nil {
			b.mu.Lock()
			level = b.tokens(b.at(at(w.now)))
			b.mu.Unlock()
		}
		if level > e.level+1 || level < e.level-w.deepest/64-1 {
			w.t.Fatalf("%v: %s has %.1f of %.0f, want %.1f", w.now, path, level, e.depth, e.level)
		}
	})
}

// Whatever is charged, given back, reloaded, closed and opened again, and with times
// slightly out of order: every bucket has at most what it would have if each charge
// went to it at once.
func TestTillsNeverGiveMore(t *testing.T) {
	for seed := range uint64(30) {
		w := &world{t: t, r: rand.New(rand.NewPCG(seed, 2)), l: New(dimensions), accounts: map[string]*Account{}, exact: map[string]*exact{}}
		w.configure(0)
		pace := time.Millisecond
		for range 5000 {
			if w.r.IntN(200) == 0 { // plenty for a while, or too little
				pace = time.Duration(w.r.Int64N(int64(4*time.Millisecond))) + time.Microsecond
			}
			w.now += time.Duration(w.r.Int64N(int64(pace)))
			if w.r.IntN(1000) == 0 {
				w.now += time.Duration(w.r.Int64N(int64(3 * time.Second)))
			}
			if w.step(); w.r.IntN(40) == 0 {
				w.check()
			}
		}
		w.check()
	}
}

// No charge is lost between connections that charge at the same time, while limits
// are set again and what is left is looked at.
func TestTillsInParallel(t *testing.T) {
	const depth, each, workers = 2e6, 20000, 4
	limits := Limits{{Rate: 1000, Burst: depth / 1000 * time.Second}}
	c := Config{Slices: map[string]Limits{"s": limits}, Tenants: map[string]TenantLimits{"t": {Tenant: limits, PerClientID: limits}}}
	l := New(dimensions)
	l.Configure(epoch, c)
	var wg sync.WaitGroup
	sums := make([]float64, workers)
	for i := range workers {
		wg.Go(func() {
			a, r := l.Account(epoch, "s", "t", "c"), rand.New(rand.NewPCG(uint64(i), 3))
			for j := range each {
				n := float64(1 + r.IntN(40))
				a.Reserve(epoch, bytesIn, n)
				sums[i] += n
				switch {
				case j%5 == 0:
					a.Settle(epoch, bytesIn, n, 1)
					sums[i] -= n - 1
				case j%50 == 1:
					l.Configure(epoch, c)
				case j%50 == 2:
					a.TryTake(epoch, bytesIn, 1)
					sums[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0.0
	for _, n := range sums {
		sum += n
	}
	a := l.Account(epoch, "s", "t", "c")
	for level, b := range a.above(int(bytesIn)) {
		if left := b.tokens(b.at(epoch)); left != depth-sum {
			t.Errorf("%v: %.0f left of %.0f after %.0f were charged", Level(level), left, depth, sum)
		}
	}
	if s := a.slice.turns[bytesIn]; s.credit(a.member.shares[bytesIn]) > depth-sum {
		t.Errorf("a credit of %.0f", s.credit(a.member.shares[bytesIn]))
	}
}

// While there is plenty no bucket's lock is taken.
func TestPlentyTakesNoLock(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, config(1e9, 1e9, 1e9))
	a := l.Account(epoch, "s", "t", "c")
	a.Reserve(epoch, bytesIn, 1)
	for _, b := range a.above(int(bytesIn)) {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	for i := range 1000 { // or stands still
		now := at(time.Duration(i) * 900 * time.Microsecond)
		if turn := a.Reserve(now, bytesIn, 900); turn != (Turn{}) {
			t.Fatalf("%+v", turn)
		}
		allow, provisional, turn := a.Ask(now, bytesIn, 5e7, 900, 2*time.Second)
		if allow != 5e7 || provisional != 900 || turn != (Turn{}) {
			t.Fatalf("allowed %v, charged %v: %+v", allow, provisional, turn)
		}
		a.Settle(now, bytesIn, provisional, 800)
		a.Answered(bytesIn)
		if a.Debt(now, bytesIn) != 0 {
			t.Fatal("in debt")
		}
	}
}

// A tenant that lives on tills keeps its place on the slice: the credit it has when
// things get tight is what it would have had, but for a till.
func TestTillsLeaveCredit(t *testing.T) {
	const rate = 1e6
	for _, part := range []float64{0.2, 0.8, 1.5} { // of an equal share
		l := New(dimensions)
		l.Configure(epoch, Config{Slices: map[string]Limits{"s": {{Rate: rate, Burst: 100 * time.Millisecond}}}})
		quiet, other := l.Account(epoch, "s", "quiet", "c"), l.Account(epoch, "s", "other", "c")
		now := time.Duration(0)
		for range 4990 {
			now += time.Millisecond
			quiet.Reserve(at(now), bytesIn, part*rate/2*0.001)
			other.Reserve(at(now), bytesIn, 1)
			other.Ask(at(now), bytesIn, rate, 0, time.Second) // more than there is: the till is opened anew
			other.Answered(bytesIn)
		}
		s, share := quiet.slice.turns[bytesIn], quiet.member.shares[bytesIn]
		s.look(s.at(at(now)), share)
		got, most := s.credit(share), s.depthOf()
		if part < 1 && got < most*0.95 || part > 1 && got > most*0.05 {
			t.Errorf("%.1f of a share: a credit of %.0f of %.0f", part, got, most)
		}
	}
}

// What is spent while others open and close the till is counted once.
func TestTillCountsAll(t *testing.T) {
	const each, workers = 200000, 4
	x := &till{}
	x.close()
	x.resize(64 * 1000)
	var wg sync.WaitGroup
	var spent, done atomic.Int64
	counted := int64(0)
	for range workers {
		wg.Go(func() {
			n := int64(0)
			for range each {
				if x.spend(1) {
					n++
				}
			}
			spent.Add(n)
			done.Add(1)
		})
	}
	for done.Load() < workers {
		counted += int64(x.close())
		x.open(1e6)
	}
	wg.Wait()
	if counted += int64(x.close()); counted != spent.Load() || counted == 0 {
		t.Errorf("%d spent, %d counted", spent.Load(), counted)
	}
}
