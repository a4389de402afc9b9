package limiter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// at returns a moment of simulated time.
func at(d time.Duration) time.Time { return epoch.Add(d) }

func config(perClient, tenant, slice float64) Config {
	limit := func(rate float64) Limits { return Limits{bytesIn: {Rate: rate, Burst: time.Second}} }
	return Config{
		Slices:  map[string]Limits{"s": limit(slice)},
		Tenants: map[string]TenantLimits{"t": {Tenant: limit(tenant), PerClientID: limit(perClient)}},
	}
}

func TestLevels(t *testing.T) {
	for _, x := range []struct {
		perClient, tenant, slice float64
		level                    Level
		wait                     time.Duration
	}{
		{1000, 2000, 4000, ClientID, 3 * time.Second},
		{4000, 1000, 2000, Tenant, 3 * time.Second},
		{4000, 2000, 1000, Slice, 3 * time.Second},
		{0, 2000, 0, Tenant, time.Second},
		{0, 0, 1000, Slice, 3 * time.Second},
		{1000, 0, 0, ClientID, 3 * time.Second},
		{0, 0, 0, ClientID, 0},
	} {
		l := New(dimensions)
		l.Configure(epoch, config(x.perClient, x.tenant, x.slice))
		a := l.Account(epoch, "s", "t", "c")
		limited := x.perClient+x.tenant+x.slice > 0
		if a.Limited(bytesIn) != limited || a.Limited(bytesOut) {
			t.Errorf("%v: limited %v in, %v out", x, a.Limited(bytesIn), a.Limited(bytesOut))
		}
		if turn := a.Reserve(epoch, bytesIn, 1); turn != (Turn{}) {
			t.Errorf("%v: %+v within the burst", x, turn)
		}
		turn := a.Reserve(epoch, bytesIn, 3999)
		if turn.Wait != x.wait || turn.Level != x.level || turn.Overrun != 0 {
			t.Errorf("%v: %+v", x, turn)
		}
		if debt := a.Debt(epoch, bytesIn); debt != x.wait {
			t.Errorf("%v: debt %v", x, debt)
		}
		if debt := a.Debt(at(x.wait), bytesIn); debt != 0 {
			t.Errorf("%v: debt %v after the wait", x, debt)
		}
		a.Close(epoch)
	}
	for level, want := range map[Level]string{ClientID: "client_id", Tenant: "tenant", Slice: "slice", 7: "level(7)"} {
		if level.String() != want {
			t.Errorf("%d is %q", level, level)
		}
	}
}

// Two client IDs are held one by one and together.
func TestClientIDsUnderTenant(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, config(3*mb, 5*mb, 0))
	s := newSim()
	var meters []*meter
	for _, id := range []string{"a", "b"} {
		m := &meter{}
		meters = append(meters, m)
		p := &producer{sim: s, account: l.Account(epoch, "s", "t", id), meter: m, frame: 16 * kib, inFlight: 5, rtt: time.Millisecond}
		s.after(0, p.start)
		if id == "a" {
			s.run(10 * time.Second)
			m.smooth(t, 3*mb, 2*time.Second, 10*time.Second)
		}
	}
	s.run(30 * time.Second)
	for _, m := range meters {
		m.smooth(t, 2.5*mb, 15*time.Second, 30*time.Second)
	}
}

func TestBurstIsSavedAndSpent(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, Config{Tenants: map[string]TenantLimits{"t": {Tenant: Limits{{Rate: 1000, Burst: 3 * time.Second}, {Rate: 0.5}}}}})
	a := l.Account(epoch, "s", "t", "c")
	for _, x := range []struct {
		at   time.Duration
		d    Dimension
		n    float64
		wait time.Duration
	}{
		{0, bytesIn, 3000, 0},
		{0, bytesIn, 1, time.Millisecond},
		{1001 * time.Millisecond, bytesIn, 1000, 0},        // one second saved
		{time.Hour, bytesIn, 3500, time.Second / 2},        // never more than the burst
		{time.Hour, bytesIn, 0, 0},                         // nothing costs nothing
		{0, bytesOut, 1, 0},                                // a bucket holds one unit at least
		{0, bytesOut, 1, 2 * time.Second},                  // and fills at less than one a second
		{2 * time.Second, bytesOut, 0.25, 2 * time.Second}, // fractions count as one
		{0, requests, 1e12, 0},                             // no limit
	} {
		if turn := a.Reserve(at(x.at), x.d, x.n); turn.Wait != x.wait {
			t.Errorf("%+v: waits %v", x, turn.Wait)
		}
	}
}

// What passes never exceeds rate × time + burst, for any frame size, burst and
// order of times that callers on several threads may hand in.
func TestNeverMoreThanRateAndBurst(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		rate, burst := 100+r.Float64()*1e6, time.Duration(r.Int64N(int64(2*time.Second)))
		l := New(dimensions)
		l.Configure(epoch, Config{Tenants: map[string]TenantLimits{"t": {Tenant: Limits{{Rate: rate, Burst: burst}}}}})
		a := l.Account(epoch, "s", "t", "c")
		now, sum := time.Duration(0), 0.0
		for range 2000 {
			now += time.Duration(r.Int64N(int64(100 * time.Millisecond)))
			seen := max(now-time.Duration(r.Int64N(int64(time.Millisecond))), 0) // read a little earlier
			n := math.Ceil(r.Float64() * rate / 10)
			turn := a.Reserve(at(seen), bytesIn, n)
			sum += n - turn.Overrun
			due := seen + turn.Wait
			if most := rate*(due+time.Millisecond).Seconds() + max(rate*burst.Seconds(), 1); sum > most+1 {
				t.Fatalf("seed %d: %.0f units due by %v, at most %.0f may be", seed, sum, due, most)
			}
		}
	}
}

// A thread that read the clock a little earlier than another does not turn it back.
func TestEarlierTimes(t *testing.T) {
	for i, c := range []Config{config(1000, 0, 0), config(0, 1000, 0), config(0, 0, 1000)} {
		l := New(dimensions)
		l.Configure(epoch, c)
		a := l.Account(epoch, "s", "t", "c")
		for range 500 {
			a.Reserve(at(time.Second), bytesIn, 5)
			a.Reserve(at(990*time.Millisecond), bytesIn, 5)
		}
		if debt := a.Debt(at(time.Second), bytesIn); debt != 4*time.Second {
			t.Errorf("level %d: debt %v, want 4s", i, debt)
		}
	}
}

// Observe mode charges and does not wait: Added counts each charge once.
func TestAdded(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, config(0, 1000, 0))
	a := l.Account(epoch, "s", "t", "c")
	a.Reserve(epoch, bytesIn, 900)
	for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond} {
		if turn := a.Reserve(epoch, bytesIn, 200); turn.Added != want || turn.Wait < turn.Added {
			t.Errorf("charge %d adds %v, want %v (waits %v)", i, turn.Added, want, turn.Wait)
		}
	}
	// A minute at twice the rate would have taken two.
	sum := time.Duration(0)
	for i := range 600 {
		sum += a.Reserve(at(time.Duration(i)*100*time.Millisecond), bytesIn, 200).Added
	}
	if sum != 600*200*time.Millisecond {
		t.Errorf("added %v in all", sum)
	}
}

func TestDebtIsBounded(t *testing.T) {
	l := New(dimensions)
	c := config(0, 1000, 0)
	c.MaxDebt = 3 * time.Second
	l.Configure(epoch, c)
	a := l.Account(epoch, "s", "t", "c")
	turn := a.Reserve(epoch, bytesIn, 10000)
	if turn.Wait != 3*time.Second || turn.Overrun != 6000 {
		t.Errorf("%+v, want 1000 of burst, 3000 of debt, 6000 overrun", turn)
	}
	if overrun := a.Settle(at(time.Second), bytesIn, 0, 1500); overrun != 500 {
		t.Errorf("settling overruns by %v, want 500", overrun)
	}
}

func TestSettle(t *testing.T) {
	for _, level := range []Config{config(1000, 0, 0), config(0, 1000, 0), config(0, 0, 1000)} {
		l := New(dimensions)
		l.Configure(epoch, level)
		a := l.Account(epoch, "s", "t", "c")
		a.Reserve(epoch, bytesIn, 3000) // 2000 of debt
		for _, x := range []struct {
			provisional, actual float64
			debt                time.Duration
		}{{1000, 1000, 2 * time.Second}, {500, 1500, 3 * time.Second}, {1500, 0, 1500 * time.Millisecond}, {9000, 0, 0}} {
			if overrun := a.Settle(epoch, bytesIn, x.provisional, x.actual); overrun != 0 {
				t.Errorf("overrun %v", overrun)
			}
			if debt := a.Debt(epoch, bytesIn); debt != x.debt {
				t.Errorf("%v: settling %v to %v leaves a debt of %v, want %v", level, x.provisional, x.actual, debt, x.debt)
			}
		}
		// What was given back too much is cut off at the depth.
		a.Reserve(epoch, bytesIn, 1)
		if turn := a.Reserve(epoch, bytesIn, 1999); turn.Wait != time.Second {
			t.Errorf("%v: %+v after giving back more than the bucket holds", level, turn)
		}
	}
}

func TestTryTake(t *testing.T) {
	for _, level := range []Config{config(10, 0, 0), config(0, 10, 0), config(0, 0, 10)} {
		l := New(dimensions)
		l.Configure(epoch, level)
		a := l.Account(epoch, "s", "t", "c")
		for i, want := range []struct {
			at   time.Duration
			n    float64
			took bool
		}{{0, 10, true}, {0, 20, true}, {0, 1, false}, {1900 * time.Millisecond, 1, false}, {2 * time.Second, 1, true}, {2 * time.Second, 1, false}, {2100 * time.Millisecond, 0, true}} {
			if took := a.TryTake(at(want.at), bytesIn, want.n); took != want.took {
				t.Errorf("%v: step %d: %v", level, i, took)
			}
		}
		if !a.TryTake(epoch, bytesOut, 1e9) {
			t.Error("refused without a limit")
		}
	}
}

// A pipelined fetch without a limit is allowed all it wants and charged nothing.
func TestAskWithoutLimit(t *testing.T) {
	a := New(dimensions).Account(epoch, "s", "t", "c")
	allow, provisional, turn := a.Ask(epoch, bytesOut, 5e7, -1, 2*time.Second)
	if allow != 5e7 || provisional != 0 || turn != (Turn{}) {
		t.Errorf("%v %v %+v", allow, provisional, turn)
	}
	a.Answered(bytesOut)
	a.Answered(bytesOut)
	a.Close(epoch)
	a.Close(epoch)
}

// What is allowed is what nobody else has been allowed already; what is charged is
// what can be expected.
func TestAsk(t *testing.T) {
	const rate, want, maxWait = 5 * mb, 50 * mb, 2 * time.Second
	for name, l := range map[string]*Limiter{"tenant": tenantOnly(rate), "slice": sliceOnly(rate)} {
		a, b := l.Account(epoch, "s", "t", "a"), l.Account(epoch, "s", "t", "b")
		ask := func(a *Account, recent, allow, provisional float64) {
			t.Helper()
			gotAllow, gotProvisional, _ := a.Ask(epoch, bytesOut, want, recent, maxWait)
			if gotAllow != allow || gotProvisional != provisional {
				t.Errorf("%s: allowed %.0f and charged %.0f, want %.0f and %.0f", name, gotAllow, gotProvisional, allow, provisional)
			}
		}
		answer := func(a *Account, provisional, actual float64) {
			a.Settle(epoch, bytesOut, provisional, actual)
			a.Answered(bytesOut)
		}
		ask(a, 120, rate, 120)         // idle, the bucket is full
		ask(b, -1, 0.1*rate, 0.1*rate) // what is in it has been allowed to a
		answer(a, 120, 120)
		answer(b, 0.1*rate, 0.2*rate)  // one whole batch, larger than allowed
		ask(a, 120, 0.8*rate-120, 120) // a tenth and a batch are gone
		answer(a, 120, 0)
		a.Settle(epoch, bytesOut, 0, 0.8*rate) // now it is empty
		ask(b, 0.2*rate, 0.1*rate, 0.2*rate)   // as large as the batch before
		answer(b, 0.2*rate, 0)
		ask(b, 0.1*rate, 0.1*rate, 0.1*rate) // the batch is half forgotten
	}
}

// Closing an account forgets what it had asked for.
func TestCloseForgetsAsks(t *testing.T) {
	l := tenantOnly(1000)
	b := l.Account(epoch, "s", "t", "other")
	for i := range 10 {
		a := l.Account(epoch, "s", "t", fmt.Sprint(i))
		a.Ask(epoch, bytesOut, 5e7, 0, 2*time.Second)
		a.Ask(epoch, bytesOut, 5e7, -1, 2*time.Second)
		if i%2 == 0 {
			a.Answered(bytesOut)
		}
		a.Close(epoch)
	}
	if got := &b.tenant.buckets[bytesOut].asks; got.heavy.Load() != 0 || got.idle.Load() != 0 || got.exposed.Load() != 0 {
		t.Errorf("%+v left", got)
	}
}

func TestRecent(t *testing.T) {
	var r Recent
	if r.Size() >= 0 {
		t.Error("knows something before the first answer")
	}
	for _, x := range [][2]float64{{800, 800}, {100, 400}, {0, 200}, {1000, 1000}} {
		if r.Add(x[0]); r.Size() != x[1] {
			t.Errorf("after %v: %v, want %v", x[0], r.Size(), x[1])
		}
	}
}

// What comes slightly out of order is not told of a debt that there never was.
func TestNoDebtBeforeACharge(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, config(1e9, 1e9, 1e9))
	a := l.Account(epoch, "s", "t", "c")
	a.Reserve(at(time.Second), bytesIn, 900)
	if d := a.Debt(at(900*time.Millisecond), bytesIn); d != 0 {
		t.Errorf("a debt of %v", d)
	}
}
