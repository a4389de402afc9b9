package limiter

import (
	"fmt"
	"testing"
	"time"
)

func TestProduceIsSmooth(t *testing.T) {
	const rate = 5 * mb
	for _, connections := range []int{1, 6, 30, 200} {
		for _, frame := range []float64{16 * kib, 100 * kib, mib} {
			for _, inFlight := range []int{1, 5} {
				if float64(connections)*frame > 8*rate {
					continue // see TestTooManyConnections
				}
				t.Run(fmt.Sprintf("%d connections %.0f KiB %d in flight", connections, frame/kib, inFlight), func(t *testing.T) {
					s, l, m := newSim(), tenantOnly(rate), &meter{}
					for i := range connections {
						p := &producer{
							sim: s, account: l.Account(epoch, "s", "t", fmt.Sprint(i)), meter: m,
							frame: frame, inFlight: inFlight, rtt: 2 * time.Millisecond,
						}
						s.after(time.Duration(i)*137*time.Microsecond, p.start)
					}
					s.run(30 * time.Second)
					m.smooth(t, rate, 2*time.Second, 30*time.Second)
					if m.overrun > 0 {
						t.Errorf("overrun %.0f", m.overrun)
					}
					if burst := m.between(0, time.Second); burst > 2*rate+frame {
						t.Errorf("%.0f in the first second, more than rate and burst", burst)
					}
				})
			}
		}
	}
}

func TestFetchIsSmooth(t *testing.T) {
	const rate = 5 * mb
	for _, connections := range []int{1, 6, 30, 200} {
		for _, batch := range []float64{1000, 16 * kib, 37 * kib, 300 * kib, mib} {
			for _, rtt := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
				if float64(connections)*batch > 2*rate*pace {
					continue
				}
				t.Run(fmt.Sprintf("%d connections batches of %.0f rtt %v", connections, batch, rtt), func(t *testing.T) {
					s, l, m := newSim(), tenantOnly(rate), &meter{}
					for i := range connections {
						c := &consumer{sim: s, account: l.Account(epoch, "s", "t", fmt.Sprint(i)), meter: m, batch: batch, rtt: rtt}
						s.after(time.Duration(i)*137*time.Microsecond, c.next)
					}
					s.run(30 * time.Second)
					m.smooth(t, rate, 5*time.Second, 30*time.Second) // the burst, and the first answers that tell how large a batch is
					if m.overrun > 0 {
						t.Errorf("overrun %.0f", m.overrun)
					}
					if m.waited >= 2*time.Second {
						t.Errorf("a turn was %v away", m.waited)
					}
					if m.between(0, 3*time.Second) > 4*rate*1.05+m.largest(0, 3*time.Second) {
						t.Errorf("%.0f in the first three seconds, more than rate and burst", m.between(0, 3*time.Second))
					}
				})
			}
		}
	}
}

// Long polls that return nothing hold nothing: those who have something to read
// get the rate.
func TestIdleLongPollsTakeNothing(t *testing.T) {
	const rate = 5 * mb
	for _, idle := range []int{1, 30, 200, 1000} {
		for _, busy := range []int{1, 6} {
			for _, rtt := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
				t.Run(fmt.Sprintf("%d idle %d busy rtt %v", idle, busy, rtt), func(t *testing.T) {
					s, l, m := newSim(), tenantOnly(rate), &meter{}
					for i := range idle + busy {
						c := &consumer{sim: s, account: l.Account(epoch, "s", "t", fmt.Sprint(i)), meter: m, batch: 16 * kib, rtt: rtt}
						if i >= busy {
							c.meter = &meter{}
							c.idle = func() bool { return true }
						}
						s.after(time.Duration(i)*137*time.Microsecond, c.next)
					}
					s.run(30 * time.Second)
					if got := m.rate(5*time.Second, 30*time.Second); got < 0.95*rate || got > 1.05*rate {
						t.Errorf("the busy get %.2f MB/s of %.2f", got/mb, rate/mb)
					}
					m.smooth(t, rate, 8*time.Second, 30*time.Second)
				})
			}
		}
	}
}

// Consumers that wake up all at once beside a full bucket.
func TestIdleLongPollsWakeUp(t *testing.T) {
	const rate = 5 * mb
	for _, connections := range []int{1, 6, 30, 200} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			s, l, m := newSim(), tenantOnly(rate), &meter{}
			for i := range connections {
				c := &consumer{
					sim: s, account: l.Account(epoch, "s", "t", fmt.Sprint(i)), meter: m, batch: 1000, rtt: 2 * time.Millisecond,
					idle: func() bool { return s.now.Before(epoch.Add(10 * time.Second)) },
				}
				s.after(time.Duration(i)*137*time.Microsecond, c.next)
			}
			s.run(40 * time.Second)
			t.Logf("first second %.1f MB, two seconds each: %.1f %.1f %.1f %.1f", m.between(10*time.Second, 11*time.Second)/mb, m.rate(11*time.Second, 13*time.Second)/mb,
				m.rate(13*time.Second, 15*time.Second)/mb, m.rate(15*time.Second, 17*time.Second)/mb, m.rate(17*time.Second, 19*time.Second)/mb)
			if got := m.between(10*time.Second, 11*time.Second); got > 4.5*rate {
				t.Errorf("%.1f MB at once", got/mb)
			}
			m.smooth(t, rate, 16*time.Second, 40*time.Second)
		})
	}
}

// Where more connections send than the longest wait can hold, all are held as
// long as may be, the rest is counted, and the debt stays bounded.
func TestTooManyConnections(t *testing.T) {
	const rate = 5 * mb
	s, l, m := newSim(), tenantOnly(rate), &meter{}
	var a *Account
	for i := range 200 {
		a = l.Account(epoch, "s", "t", fmt.Sprint(i))
		p := &producer{sim: s, account: a, meter: m, frame: mib, inFlight: 5, rtt: 2 * time.Millisecond}
		s.after(time.Duration(i)*137*time.Microsecond, p.start)
	}
	worst := time.Duration(0)
	var watch func()
	watch = func() { worst = max(worst, a.Debt(s.now, bytesIn)); s.after(50*time.Millisecond, watch) }
	watch()
	s.run(60 * time.Second)
	if worst > 8*time.Second || worst < 7*time.Second {
		t.Errorf("debt of %v, want it close to 8s and not above", worst)
	}
	passed := m.between(0, 61*time.Second)
	if charged := passed - m.overrun; charged > 61*rate+8*rate || charged < 60*rate-200*mib {
		t.Errorf("%.0f MB passed, %.0f MB of them overrun", passed/mb, m.overrun/mb)
	}
	if got := m.rate(20*time.Second, 60*time.Second); got < 0.9*200*mib/8 || got > 1.1*200*mib/8 {
		t.Errorf("%.1f MB/s, want one frame of each connection in 8 s: %.1f", got/mb, 200*mib/8/mb)
	}
}
