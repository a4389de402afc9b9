package proxy

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/limiter"
)

// What no broker gets is not charged.
func TestWhatNoBrokerGetsIsNotCharged(t *testing.T) {
	t.Parallel()
	t.Run("a Produce whose broker cannot be found", func(t *testing.T) {
		t.Parallel()
		r, _, _, _ := leaderRig(t, "", limited("producer_byte_rate: 200, burst: 10s"))
		r.raw("payments.lost", r.brokerPort(0, 3)).send(produceReq(9, 1, 1500, "payments.a"))
		eventually(t, 5*time.Second, "it has failed", func() bool {
			return r.metric("refused_connections_total", "reason", reasonUnreachable) == 1
		})
		a := r.limiter.Account(time.Now(), "orders", "payments", "payments.other")
		defer a.Close(time.Now())
		if wait := a.Reserve(time.Now(), limitIn, 2000).Wait; wait > 0 {
			t.Errorf("the next 2000 bytes of a burst of 2000 wait for %v", wait)
		}
	})
	t.Run("the rest of a Produce whose client stopped in the middle", func(t *testing.T) {
		t.Parallel()
		for name, req := range map[string]kmsg.Request{
			"one topic": produceReq(9, 1, 90_000, "payments.a"), "several": produceReq(9, 1, 45_000, "payments.a", "payments.b"),
		} {
			r := newRig(t, "", ruledTenant+"    limits: {producer_byte_rate: 1kB, burst: 100s}\n", fakeCluster(t, "payments.a", "payments.b"))
			c := r.raw("payments.app", "")
			frame := c.frame(req)
			c.write(frame[:len(frame)-10_000])
			a := r.limiter.Account(time.Now(), "orders", "payments", "payments.other")
			defer a.Close(time.Now())
			eventually(t, 2*time.Second, name+": it was charged", func() bool { return r.metric("bytes_total", "direction", "in") > 90_000 })
			_ = c.Close()
			eventually(t, 2*time.Second, name+": its connection is gone", func() bool { return len(r.connections()) == 0 })
			// About 20 kB of the burst are left: 10 kB that were never charged and 10 kB
			// that never came.
			if wait := a.Reserve(time.Now(), limitIn, 18_000).Wait; wait > 0 {
				t.Errorf("%s: 18 kB wait for %v", name, wait)
			}
			if wait := a.Reserve(time.Now(), limitIn, 10_000).Wait; wait == 0 {
				t.Errorf("%s: what came was not charged", name)
			}
		}
	})
	t.Run("a Fetch whose client gave up before its turn came", func(t *testing.T) {
		t.Parallel()
		r, _, _, c := leaderRig(t, "", limited("consumer_byte_rate: 20kB, burst: 100ms"))
		a := r.limiter.Account(time.Now(), "orders", "payments", "payments.other")
		defer a.Close(time.Now())
		a.Reserve(time.Now(), limitOut, 12_000)
		c.send(fetchReq(11, 0, "payments.a")) // is promised 2000 bytes, in about 600 ms
		eventually(t, time.Second, "it waits", func() bool {
			return r.metric("throttled_requests_total", "limit", "consumer_byte_rate") == 1
		})
		_ = c.Close()
		eventually(t, 4*time.Second, "its connection is gone", func() bool { return len(r.connections()) == 0 })
		if wait := a.Reserve(time.Now(), limitOut, 20_000).Wait; wait > 930*time.Millisecond {
			t.Errorf("20000 bytes wait for %v, with a burst of 2000 and 20 kB/s", wait)
		}
	})
}

// A connection that ends while an answer passes settles the Fetch once.
func TestSettledOnce(t *testing.T) {
	now := time.Now()
	l := limiter.New(int(limitMutations) + 1)
	limits := make(limiter.Limits, limitMutations+1)
	limits[limitOut] = limiter.Limit{Rate: 1000, Burst: time.Second}
	l.Configure(now, limiter.Config{Tenants: map[string]limiter.TenantLimits{"payments": {Tenant: limits}}})
	a := l.Account(now, "orders", "payments", "payments.app")
	for i := range 200 {
		now = now.Add(time.Hour) // the bucket is full
		a.Reserve(now, limitOut, 4000)
		p := &pending{standing: &standing{account: a}, provisional: 1000}
		p.fetching.Store(true)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { p.settle(now, 0) })
		}
		wg.Wait()
		if debt := a.Debt(now, limitOut); debt != 2*time.Second {
			t.Fatalf("round %d: a debt of %v is left of 3s when 1s is given back", i, debt)
		}
	}
}

// Observing counts the topics that enforcing would not have let be created.
func TestAutoCreationObserved(t *testing.T) {
	t.Parallel()
	r, _, tap, c := leaderRig(t, "", limited("controller_mutation_rate: 1, burst: 1s")+"    enforcement: observe\n")
	req := metadataReq(9, "payments.new1", "payments.new2", "payments.new3")
	req.AllowAutoTopicCreation = true
	c.ask(req)
	c.ask(req)
	if n := r.metric("throttled_requests_total", "limit", "controller_mutation_rate", "mode", "observe"); n != 1 {
		t.Errorf("%v were counted, want 1", n)
	}
	for _, got := range tap.requests("payments.app", 3) {
		if !got.decoded(t).(*kmsg.MetadataRequest).AllowAutoTopicCreation {
			t.Error("observing forbade to create")
		}
	}
}
