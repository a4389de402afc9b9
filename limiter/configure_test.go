package limiter

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// Reloads under load change nothing about what passes.
func TestReloadGivesNoBurst(t *testing.T) {
	const rate = 5 * mb
	for _, level := range []Config{config(rate, 0, 0), config(0, rate, 0), config(0, 0, rate)} {
		s, l, m := newSim(), New(dimensions), &meter{}
		l.Configure(epoch, level)
		for i := range 6 {
			p := &producer{sim: s, account: l.Account(epoch, "s", "t", "c"), meter: m, frame: 64 * kib, inFlight: 5, rtt: time.Millisecond}
			s.after(time.Duration(i)*time.Millisecond, p.start)
		}
		for i := range 200 {
			s.after(time.Duration(i)*97*time.Millisecond, func() { l.Configure(s.now, level) })
		}
		s.run(30 * time.Second)
		m.smooth(t, rate, 2*time.Second, 30*time.Second)
		if got := m.between(0, time.Second); got > 2*rate+64*kib {
			t.Errorf("%.1f MB in the first second", got/mb)
		}
		if got := m.between(0, 30*time.Second); got > 31*rate+64*kib {
			t.Errorf("%.1f MB in all", got/mb)
		}
	}
}

func TestReloadKeepsDebt(t *testing.T) {
	for i, pick := range []func(rate float64) Config{
		func(rate float64) Config { return config(rate, 0, 0) },
		func(rate float64) Config { return config(0, rate, 0) },
		func(rate float64) Config { return config(0, 0, rate) },
	} {
		l := New(dimensions)
		l.Configure(epoch, pick(1000))
		a := l.Account(epoch, "s", "t", "c")
		a.Reserve(epoch, bytesIn, 5000) // 4000 units of debt
		for _, x := range []struct {
			at   time.Duration
			rate float64
			debt time.Duration
		}{
			{0, 1000, 4 * time.Second},
			{time.Second, 1000, 3 * time.Second}, // 3000 units
			{time.Second, 3000, time.Second},
			{time.Second, 100, 30 * time.Second}, // lowered and raised: nothing is forgiven
			{time.Second, 3000, time.Second},
			{1500 * time.Millisecond, 1000, 1500 * time.Millisecond}, // what has passed passed at the old rate
		} {
			l.Configure(at(x.at), pick(x.rate))
			if debt := a.Debt(at(x.at), bytesIn); (debt - x.debt).Abs() > time.Microsecond {
				t.Errorf("level %d, rate %v: debt %v, want %v", i, x.rate, debt, x.debt)
			}
		}
		// Longer than MaxDebt by a lowered rate: nothing is added, all is counted.
		l.Configure(at(1500*time.Millisecond), pick(100))
		if turn := a.Reserve(at(1500*time.Millisecond), bytesIn, 50); turn.Overrun != 50 || turn.Wait < 8*time.Second {
			t.Errorf("level %d: %+v beyond the bound", i, turn)
		}
	}
}

func TestLimitsComeAndGo(t *testing.T) {
	l := New(dimensions)
	a := l.Account(epoch, "s", "t", "c") // before anything is known of it
	if a.Limited(bytesIn) || a.Reserve(epoch, bytesIn, 1e9) != (Turn{}) {
		t.Error("limited without a limit")
	}
	for i, c := range []Config{config(1000, 0, 0), config(0, 1000, 0), config(0, 0, 1000)} {
		l.Configure(at(time.Hour), c)
		a.Reserve(at(time.Hour), bytesIn, 1)
		if turn := a.Reserve(at(time.Hour), bytesIn, 1999); turn.Wait != time.Second || turn.Level != Level(i) {
			t.Errorf("a limit newly set starts full: %+v", turn)
		}
	}
	l.Configure(at(time.Hour), config(0, 0, 0))
	if a.Limited(bytesIn) || a.Debt(at(time.Hour), bytesIn) != 0 {
		t.Error("limited after the limit was lifted")
	}
}

// A tenant or slice that vanishes from the configuration keeps limit and level
// until it is full again and nobody refers to it.
func TestVanished(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, config(1000, 1000, 1000))
	a := l.Account(epoch, "s", "t", "c")
	a.Reserve(epoch, bytesIn, 5000)
	l.Configure(epoch, Config{})
	if turn := a.Reserve(epoch, bytesIn, 1000); turn.Wait != 5*time.Second {
		t.Errorf("%+v after the tenant vanished", turn)
	}
	a.Close(at(time.Second))
	l.Configure(at(2*time.Second), config(1000, 1000, 1000))
	a = l.Account(at(2*time.Second), "s", "t", "c")
	if debt := a.Debt(at(2*time.Second), bytesIn); debt != 3*time.Second {
		t.Errorf("debt %v after the tenant came back", debt)
	}
	a.Close(at(2 * time.Second))
	l.Configure(at(7*time.Second), Config{})
	if len(l.tenants) != 0 || len(l.slices) != 0 {
		t.Errorf("%d tenants and %d slices left", len(l.tenants), len(l.slices))
	}
}

func TestClientIDsAreBounded(t *testing.T) {
	l := New(dimensions)
	c := config(1000, 0, 0)
	c.MaxClientIDs = 10
	l.Configure(epoch, c)
	tenant := l.tenants["t"]
	open := func(now time.Time, id string) *Account { return l.Account(now, "s", "t", id) }
	for i := range 100 { // rotating: each leaves a bucket that is not full
		a := open(epoch, fmt.Sprint(i))
		turn := a.Reserve(epoch, bytesIn, 1000)
		if own := i < 10 || i == 10; (turn.Wait == 0) != own {
			t.Errorf("client ID %d waits %v", i, turn.Wait)
		}
		a.Close(epoch)
	}
	if len(tenant.clients) != 10 || tenant.overflow == nil {
		t.Errorf("%d client IDs, overflow %v", len(tenant.clients), tenant.overflow)
	}
	a := open(at(500*time.Millisecond), "0")
	if debt := a.Reserve(at(500*time.Millisecond), bytesIn, 1000).Wait; debt != 500*time.Millisecond {
		t.Errorf("one that comes back finds a wait of %v, want its own bucket", debt)
	}
	b := open(at(time.Minute), "new") // the others are full again and collected
	if len(tenant.clients) != 2 || tenant.overflow != nil {
		t.Errorf("%d client IDs after a minute, want 0 and new; overflow %v", len(tenant.clients), tenant.overflow)
	}
	a.Close(at(time.Minute))
	b.Close(at(time.Minute))
	if len(tenant.clients) != 0 || len(l.slices["s"].tenants) != 0 {
		t.Errorf("%d client IDs, %d shares left", len(tenant.clients), len(l.slices["s"].tenants))
	}
}

// Everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	l := New(dimensions)
	l.Configure(epoch, config(1e6, 2e6, 3e6))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				now := at(time.Duration(j) * time.Millisecond)
				a := l.Account(now, "s", []string{"t", "u"}[i%2], fmt.Sprint(j%20))
				a.Limited(bytesIn)
				a.Reserve(now, bytesIn, 5000)
				a.TryTake(now, bytesIn, 10)
				allow, provisional, _ := a.Ask(now, bytesIn, 1e6, -1, time.Second)
				a.Settle(now, bytesIn, provisional, allow/2)
				if j%3 > 0 {
					a.Answered(bytesIn)
				}
				a.Debt(now, bytesIn)
				a.Close(now)
				if i == 0 && j%10 == 0 {
					l.Configure(now, config(1e6+float64(j), 2e6, 3e6*float64(j%20)))
				}
			}
		})
	}
	wg.Wait()
	for _, s := range l.slices {
		if got := &s.turns[bytesIn].asks; got.heavy.Load() != 0 || got.idle.Load() != 0 || got.exposed.Load() != 0 {
			t.Errorf("%+v left", got)
		}
	}
}

func benchmark(b *testing.B, c Config, parallel bool) {
	l := New(dimensions)
	l.Configure(epoch, c)
	b.ReportAllocs()
	if !parallel {
		a := l.Account(epoch, "s", "t", "c")
		for i := 0; b.Loop(); i++ {
			a.Reserve(at(time.Duration(i)*time.Microsecond), bytesIn, 900)
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		a := l.Account(epoch, "s", "t", "c")
		for i := 0; pb.Next(); i++ {
			a.Reserve(at(time.Duration(i)*time.Microsecond), bytesIn, 900)
		}
	})
}

func BenchmarkReserve1(b *testing.B)        { benchmark(b, config(0, 1e9, 0), false) }
func BenchmarkReserve2(b *testing.B)        { benchmark(b, config(1e9, 1e9, 0), false) }
func BenchmarkReserve3(b *testing.B)        { benchmark(b, config(1e9, 1e9, 1e9), false) }
func BenchmarkReserveInDebt(b *testing.B)   { benchmark(b, config(5e8, 5e8, 5e8), false) }
func BenchmarkReserveParallel(b *testing.B) { benchmark(b, config(1e9, 1e9, 1e9), true) }
func BenchmarkAsk(b *testing.B) {
	l := New(dimensions)
	l.Configure(epoch, config(1e9, 1e9, 1e9))
	a := l.Account(epoch, "s", "t", "c")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now := at(time.Duration(i) * time.Microsecond)
		_, p, _ := a.Ask(now, bytesIn, 5e7, 900, 2*time.Second)
		a.Settle(now, bytesIn, p, 800)
		a.Answered(bytesIn)
	}
}
