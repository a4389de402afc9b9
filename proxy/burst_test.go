package proxy

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sluice/proxy/policy"
)

// Clients that come all at once, as after a restart, wait for their brokers without a
// read buffer each.
func TestWhoWaitsForABrokerHoldsNoLargeBuffer(t *testing.T) {
	t.Parallel()
	const clients = 20
	cluster := fakeCluster(t, "payments.a")
	r := newRig(t, "", openTenant, cluster)
	r.Drain(context.Background())
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatal(problems)
	}
	var held atomic.Bool
	dialling, gate := make(chan struct{}, clients), make(chan struct{})
	var err error
	if r.Gateway, err = Start(p, Options{Path: r.path, RefreshEvery: time.Hour, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if held.Load() {
			dialling <- struct{}{}
			<-gate
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Drain(context.Background()) })
	leader := r.brokerPort(0, cluster.LeaderFor("payments.a", 0))
	if got := produced(r.raw("payments.app", leader).ask(produceReq(9, 1, 100, "payments.a")))["payments.a"]; got != 0 {
		t.Fatal(got) // the slice is known now
	}
	held.Store(true)
	var all []*raw
	for range clients {
		c := r.raw("payments.app", leader)
		c.send(produceReq(9, 1, 500, "payments.a"))
		all = append(all, c)
	}
	for range clients {
		<-dialling
	}
	for _, c := range r.connections() {
		if c.up == nil && c.in.pooled != nil {
			t.Errorf("it waits with a buffer of %d bytes for a request of %d", len(c.in.buf), c.in.w-c.in.r)
		}
	}
	close(gate)
	for _, c := range all {
		_, resp, err := c.recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := produced(resp)["payments.a"]; got != 0 {
			t.Error(got)
		}
	}
}
