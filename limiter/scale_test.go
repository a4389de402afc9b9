package limiter

import (
	"fmt"
	"testing"
	"time"
)

// among is the account of one of n tenants that all have limits and are all on one
// slice that has one too.
func among(now time.Time, n int) *Account {
	l := New(1)
	c := Config{MaxDebt: 8 * time.Second, Slices: map[string]Limits{"s": {{Rate: 1e12, Burst: time.Second}}}, Tenants: map[string]TenantLimits{}}
	for i := range n {
		limits := Limits{{Rate: 1e12, Burst: time.Second}}
		c.Tenants[fmt.Sprint("t", i)] = TenantLimits{Tenant: limits, PerClientID: limits}
	}
	l.Configure(now, c)
	for i := range n {
		l.Account(now, "s", fmt.Sprint("t", i), "c").Reserve(now, 0, 1)
	}
	return l.Account(now, "s", "t0", "c")
}

// A charge touches the buckets of its own tenant and the slice's, which has one share
// for each tenant that owes: others that owe nothing are not looked at.
func TestOthersCostNothing(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, n := range []int{1, 100, 1000} {
		a := among(now, n)
		if allocs := testing.AllocsPerRun(100, func() {
			now = now.Add(time.Millisecond)
			if turn := a.Reserve(now, 0, 1000); turn.Wait > 0 {
				t.Fatalf("among %d tenants: waits %v", n, turn.Wait)
			}
		}); allocs != 0 {
			t.Errorf("among %d tenants: %v allocations", n, allocs)
		}
		if owing := len(a.slice.turns[0].backlog); owing != 0 {
			t.Errorf("among %d tenants: %d owe", n, owing)
		}
	}
}

// BenchmarkReserveAmong charges one of n tenants.
func BenchmarkReserveAmong(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		now := time.Unix(1_700_000_000, 0)
		a := among(now, n)
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Millisecond)
				a.Reserve(now, 0, 1000)
			}
		})
	}
}
