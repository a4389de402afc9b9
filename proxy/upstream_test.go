package proxy

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/proxy/policy"
)

func TestBrokerUnreachable(t *testing.T) {
	t.Parallel()
	r, cluster, _, c := leaderRig(t, "", openTenant)
	c.ask(apiVersionsReq(3))
	cluster.Close()
	c.send(metadataReq(9, "payments.a"))
	if took := c.ended(5 * time.Second); took < holdBrief-100*time.Millisecond {
		t.Errorf("held for %v", took)
	}
	if got := r.metric("refused_connections_total", "reason", reasonUnreachable); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if n := r.lines("connection closed", map[string]string{"reason": reasonUnreachable, "tenant": "payments"}); n != 1 {
		t.Errorf("%d log lines", n)
	}
	eventually(t, 5*time.Second, "/readyz says so", func() bool {
		status, body := r.get("/readyz")
		return status == 503 && strings.Contains(body, "slice orders: unreachable")
	})
	eventually(t, 5*time.Second, "the metric says so", func() bool { return r.metric("slice_reachable", "slice", "orders") == 0 })
}

// A broker that goes away takes its clients with it, in the middle of an answer too.
func TestBrokerCloses(t *testing.T) {
	t.Parallel()
	r, cluster, tap, c := leaderRig(t, "", openTenant)
	c.ask(produceReq(9, 1, 500_000, "payments.a"))
	cluster.ControlKey(3, func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("gone"), true
	})
	c.send(metadataReq(9, "payments.a"))
	within(t, "the end", 0, 2*time.Second, func() { c.ended(5 * time.Second) })
	if got := r.metric("refused_connections_total", "reason", reasonBrokerClosed); got != 1 {
		t.Errorf("counted %v times", got)
	}
	eventually(t, time.Second, "the request has an outcome", func() bool {
		return r.metric("requests_total", "tenant", "payments", "slice", "orders", "api", "Metadata", "outcome", "error") == 1
	})
	// In the middle of an answer.
	c = r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	c.ask(metadataReq(9, "payments.a"))
	tap.mu.Lock()
	tap.cut = 100_000
	tap.mu.Unlock()
	c.send(fetchReq(11, 0, "payments.a"))
	if _, _, err := c.recv(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client saw %v", err)
	}
	if got := r.metric("refused_connections_total", "reason", reasonBrokerClosed); got != 2 {
		t.Errorf("counted %v times", got)
	}
	if n := r.lines("connection closed", map[string]string{"reason": reasonBrokerClosed}); n != 2 {
		t.Errorf("%d log lines", n)
	}
}

// An idle connection that the broker closes is closed without a warning.
func TestBrokerClosesIdle(t *testing.T) {
	t.Parallel()
	r, _, tap, c := leaderRig(t, "", openTenant)
	c.ask(metadataReq(9, "payments.a"))
	_ = tap.connections("payments.app")[0].Close()
	within(t, "the end", 0, 2*time.Second, func() { c.ended(5 * time.Second) })
	for _, e := range r.logs.FilterMessage("connection closed").All() {
		if e.Level > 0 {
			t.Errorf("%s: %v", e.Level, e.ContextMap())
		}
	}
}

// A broker whose answers make no sense is not passed on.
func TestBrokerAnswersNonsense(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]byte{
		"another correlation id": {0, 0, 0, 6, 0, 0, 0, 99, 0, 0},
		"a negative length":      {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2},
		"too short":              {0, 0, 0, 4, 0, 0, 0, 2},
		"not decodable":          {0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff},
		"too large to hold":      {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, tap, c := leaderRig(t, "", openTenant)
			c.ask(metadataReq(9, "payments.a"))
			tap.mu.Lock()
			tap.instead = bad
			tap.mu.Unlock()
			c.send(metadataReq(9, "payments.a"))
			within(t, "the end", 0, 2*time.Second, func() { c.ended(5 * time.Second) })
			got := r.metric("refused_connections_total", "reason", reasonBrokerAnswer) + r.metric("refused_connections_total", "reason", reasonTooLarge)
			if got != 1 {
				t.Errorf("counted %v times", got)
			}
		})
	}
}

// A slice that cannot be reached at the start: the gateway is not ready, clients
// wait a moment; and all is well as soon as it comes.
func TestSliceUnreachableAtStart(t *testing.T) {
	t.Parallel()
	base := freePorts(t, 2)
	ports := kfake.Ports(base, base+1)
	seeds := []kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(1, "payments.a"), ports}
	before, err := kfake.NewCluster(seeds...)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "", openTenant, before)
	r.Drain(context.Background())
	before.Close()
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatal(problems)
	}
	if r.Gateway, err = Start(p, Options{Path: r.path, RefreshEvery: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Drain(context.Background()) })
	if status, body := r.get("/readyz"); status != 503 || !strings.Contains(body, "no slice can be reached") {
		t.Errorf("/readyz %d: %s", status, body)
	}
	if status, _ := r.get("/healthz"); status != 200 {
		t.Errorf("/healthz %d", status)
	}
	c := r.raw("payments.app", "")
	c.send(apiVersionsReq(3))
	if took := c.ended(10 * time.Second); took < versionsTimeout || took > versionsTimeout+3*time.Second {
		t.Errorf("a client waited %v", took)
	}
	c = r.raw("payments.app", "")
	c.send(apiVersionsReq(3))
	time.Sleep(100 * time.Millisecond)
	alive, err := kfake.NewCluster(seeds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alive.Close)
	if _, _, err := c.recv(); err != nil {
		t.Errorf("a client that waited when the slice came: %v", err)
	}
	if m := metadataOf(c.ask(metadataReq(9, "payments.a"))); m.Topics[0].ErrorCode != 0 {
		t.Errorf("%+v", m.Topics)
	}
	eventually(t, 5*time.Second, "it is ready", func() bool { status, _ := r.get("/readyz"); return status == 200 })
}
