package limiter

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// sliceOnly limits one slice to a rate in and out, for all tenants together.
func sliceOnly(rate float64) *Limiter {
	l := New(dimensions)
	l.Configure(epoch, Config{Slices: map[string]Limits{"s": {
		bytesIn: {Rate: rate, Burst: time.Second}, bytesOut: {Rate: rate, Burst: time.Second},
	}}})
	return l
}

// noisy starts connections that send all they can.
func noisy(s *sim, l *Limiter, tenant string, connections int, frame float64) *meter {
	m := &meter{}
	for i := range connections {
		p := &producer{sim: s, account: l.Account(s.now, "s", tenant, fmt.Sprint(i)), meter: m, frame: frame, inFlight: 5, rtt: 2 * time.Millisecond}
		s.after(time.Duration(i)*137*time.Microsecond, p.start)
	}
	return m
}

// steady starts one connection that sends frame after frame at a rate.
func steady(s *sim, l *Limiter, tenant string, rate, frame float64) *meter {
	m := &meter{}
	p := &producer{
		sim: s, account: l.Account(s.now, "s", tenant, "steady"), meter: m, frame: frame, inFlight: 1,
		pause: time.Duration(frame / rate * float64(time.Second)),
	}
	s.after(0, p.start)
	return m
}

// A tenant below an equal share never waits, however many connections the others
// have and however large its own frames are.
func TestQuietTenantNeverWaits(t *testing.T) {
	const rate = 5 * mb
	for _, others := range []int{1, 2, 9} {
		for _, frame := range []float64{500, 16 * kib, mib} {
			for _, part := range []float64{0.1, 0.9} {
				t.Run(fmt.Sprintf("%d noisy, %.0f byte frames, %.1f of a share", others, frame, part), func(t *testing.T) {
					s, l := newSim(), sliceOnly(rate)
					var loud []*meter
					for i := range others {
						loud = append(loud, noisy(s, l, fmt.Sprint("noisy", i), 20, 64*kib))
					}
					s.run(10 * time.Second)
					share := rate / float64(others+1)
					m := steady(s, l, "quiet", part*share, frame)
					s.run(40 * time.Second)
					if m.waited > 0 {
						t.Errorf("waited up to %v", m.waited)
					}
					if got := m.rate(10*time.Second, 40*time.Second); got < 0.9*part*share {
						t.Errorf("%.2f MB/s, want %.2f", got/mb, part*share/mb)
					}
					all := m.rate(20*time.Second, 40*time.Second)
					for _, m := range loud {
						all += m.rate(20*time.Second, 40*time.Second)
					}
					if all < 0.97*rate || all > 1.03*rate {
						t.Errorf("all together %.2f MB/s of %.2f", all/mb, rate/mb)
					}
				})
			}
		}
	}
}

// Max-min fairness: what the quiet leave over the noisy share equally, whatever
// their numbers of connections.
func TestMaxMinFairness(t *testing.T) {
	const rate = 5 * mb
	s, l := newSim(), sliceOnly(rate)
	quiet := steady(s, l, "quiet", 0.1*rate, 16*kib)
	few, many := noisy(s, l, "few", 1, 64*kib), noisy(s, l, "many", 50, 64*kib)
	const from, to = 10 * time.Second, 60 * time.Second
	s.run(to)
	for _, x := range []struct {
		name string
		m    *meter
		want float64
	}{{"quiet", quiet, 0.1}, {"few", few, 0.45}, {"many", many, 0.45}} {
		if got := x.m.rate(from, to) / rate; math.Abs(got-x.want) > 0.03 {
			t.Errorf("%s gets %.3f of the slice, want %.2f", x.name, got, x.want)
		}
	}
	if quiet.waited > 0 {
		t.Errorf("the quiet one waited %v", quiet.waited)
	}
}

// A noisy tenant alone gets the whole slice, smoothly, and no second burst.
func TestNoisyTenantAlone(t *testing.T) {
	const rate = 5 * mb
	for _, connections := range []int{1, 6, 30, 200} {
		s, l := newSim(), sliceOnly(rate)
		m := noisy(s, l, "noisy", connections, 64*kib)
		s.run(30 * time.Second)
		m.smooth(t, rate, 2*time.Second, 30*time.Second)
		if got := m.between(0, time.Second); got > 2*rate+64*kib {
			t.Errorf("%d connections: %.1f MB in the first second", connections, got/mb)
		}
	}
}

// Two noisy tenants get half each, also while fetching; when one leaves, the other
// gets all.
func TestTwoNoisyTenants(t *testing.T) {
	const rate = 5 * mb
	s, l := newSim(), sliceOnly(rate)
	fetch := func(tenant string, connections int, stop time.Duration) *meter {
		m := &meter{}
		for i := range connections {
			c := &consumer{
				sim: s, account: l.Account(epoch, "s", tenant, fmt.Sprint(i)), meter: m, batch: 16 * kib, rtt: 2 * time.Millisecond,
				idle: func() bool { return s.now.Sub(epoch) > stop },
			}
			s.after(time.Duration(i)*time.Millisecond, c.next)
		}
		return m
	}
	a, b := fetch("a", 1, 40*time.Second), fetch("b", 30, time.Hour)
	s.run(70 * time.Second)
	if got := a.rate(10*time.Second, 40*time.Second) / rate; math.Abs(got-0.5) > 0.03 {
		t.Errorf("one consumer beside thirty gets %.3f of the slice, want half", got)
	}
	if got := b.rate(10*time.Second, 40*time.Second) / rate; math.Abs(got-0.5) > 0.03 {
		t.Errorf("thirty consumers beside one get %.3f of the slice, want half", got)
	}
	if got := b.rate(50*time.Second, 70*time.Second) / rate; math.Abs(got-1) > 0.03 {
		t.Errorf("alone they get %.3f of the slice", got)
	}
}

// A consumer that reads what trickles in does not wait behind one that reads a
// backlog with thirty connections.
func TestQuietConsumerNeverWaits(t *testing.T) {
	const rate = 5 * mb
	s, l, quiet, loud := newSim(), sliceOnly(rate), &meter{}, &meter{}
	for i := range 30 {
		c := &consumer{sim: s, account: l.Account(epoch, "s", "noisy", fmt.Sprint(i)), meter: loud, batch: 16 * kib, rtt: 2 * time.Millisecond}
		s.after(time.Duration(i)*time.Millisecond, c.next)
	}
	s.run(5 * time.Second)
	c := &consumer{sim: s, account: l.Account(s.now, "s", "quiet", "c"), meter: quiet, trickle: 100 * kib}
	s.after(0, c.next)
	s.run(60 * time.Second)
	if quiet.waited > 0 {
		t.Errorf("waited up to %v", quiet.waited)
	}
	got := quiet.rate(10*time.Second, 60*time.Second)
	if got < 0.95*1000*kib {
		t.Errorf("%.2f MB/s", got/mb)
	}
	if got += loud.rate(10*time.Second, 60*time.Second); math.Abs(got-rate) > 0.03*rate {
		t.Errorf("all together %.2f MB/s of %.2f", got/mb, rate/mb)
	}
}

// Consumers under all three levels: each client ID, their tenant, the slice.
func TestFetchUnderThreeLevels(t *testing.T) {
	limit := func(rate float64) Limits { return Limits{bytesOut: {Rate: rate, Burst: time.Second}} }
	l := New(dimensions)
	l.Configure(epoch, Config{
		Slices: map[string]Limits{"s": limit(5 * mb)},
		Tenants: map[string]TenantLimits{
			"t": {Tenant: limit(3 * mb), PerClientID: limit(2 * mb)},
			"u": {PerClientID: limit(1 * mb)},
			"v": {},
		},
	})
	s := newSim()
	meters := map[string]*meter{}
	for _, who := range []string{"t/a", "t/b", "u/a", "v/a"} {
		meters[who] = &meter{}
		for i := range 6 {
			c := &consumer{sim: s, account: l.Account(epoch, "s", who[:1], who[2:]), meter: meters[who], batch: 16 * kib, rtt: 2 * time.Millisecond}
			s.after(time.Duration(i)*time.Millisecond, c.next)
		}
	}
	s.run(60 * time.Second)
	// The slice leaves t and v an equal part of what u does not take.
	for who, want := range map[string]float64{"t/a": 1, "t/b": 1, "u/a": 1, "v/a": 2} {
		if got := meters[who].rate(10*time.Second, 60*time.Second) / mb; math.Abs(got-want) > 0.05*want {
			t.Errorf("%s gets %.2f MB/s, want %.2f", who, got, want)
		}
	}
}

// The shares always owe what the bucket owes, or less by what was taken on credit.
func TestSharesAddUp(t *testing.T) {
	const rate = 5 * mb
	s, l := newSim(), sliceOnly(rate)
	for i := range 5 {
		noisy(s, l, fmt.Sprint("noisy", i), 1+i*3, 64*kib)
		steady(s, l, fmt.Sprint("steady", i), rate/20, 30*kib)
	}
	x := l.slices["s"].turns[bytesIn]
	for at := 100 * time.Millisecond; at < 20*time.Second; at += 100 * time.Millisecond {
		s.run(at)
		tokens, sum := x.sync(x.at(s.now)), 0.0
		for _, share := range x.backlog {
			sum += share.owed
		}
		if math.Abs(sum-x.owed) > 1 || x.owed > max(-tokens, 0)+1 {
			t.Fatalf("at %v: shares owe %.0f, counted %.0f, the bucket owes %.0f", at, sum, x.owed, -tokens)
		}
		if onCredit := max(-tokens, 0) - x.owed; onCredit > 3*rate {
			t.Fatalf("at %v: %.0f taken on credit", at, onCredit)
		}
	}
}

// Debt at the slice is bounded for each tenant by its own wait, and a tenant that
// fills it leaves room for the others.
func TestSliceDebtIsBounded(t *testing.T) {
	const rate = 5 * mb
	s, l := newSim(), sliceOnly(rate)
	loud := noisy(s, l, "noisy", 200, mib)
	s.run(20 * time.Second)
	other := noisy(s, l, "other", 4, 64*kib)
	s.run(60 * time.Second)
	if loud.overrun == 0 {
		t.Error("no overrun counted")
	}
	if other.overrun > 0 {
		t.Errorf("overrun %.0f counted for one who did not cause it", other.overrun)
	}
	if got := other.rate(30*time.Second, 60*time.Second) / rate; math.Abs(got-0.5) > 0.05 {
		t.Errorf("the other gets %.3f of the slice, want half", got)
	}
	if debt := -l.slices["s"].turns[bytesIn].tokens(s.now); debt > 2*8*rate {
		t.Errorf("debt of %.0f", debt)
	}
}
