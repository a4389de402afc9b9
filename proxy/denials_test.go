package proxy

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sluice/protocol"
)

// deniedRig is a judge of a tenant that may do nothing, and its log.
func deniedRig(t *testing.T, enforcement string) (*judge, *observer.ObservedLogs) {
	t.Helper()
	p := explainPolicyOf(t, strings.Replace(explainPolicy, "enforcement: observe\n    rules: [{allow: [READ], topics: [a]}]",
		"enforcement: "+enforcement+"\n    rules: [{allow: [READ], topics: [a]}]", 1))
	core, logs := observer.New(zap.InfoLevel)
	m := newMetrics(prometheus.NewRegistry(), "test")
	return &judge{
		ctx: context.Background(), virtual: &virtual{tenant: p.Tenant("watched")}, counters: m.tenant("watched", "orders"), counting: true,
		clientID: "watched.app", log: zap.New(core), key: protocol.KeyProduce,
	}, logs
}

func TestDenialSamples(t *testing.T) {
	for _, c := range []struct{ enforcement, message string }{{"observe", "would have been denied"}, {"enforce", "denied"}} {
		t.Run(c.enforcement, func(t *testing.T) {
			j, logs := deniedRig(t, c.enforcement)
			start := time.Unix(1_700_000_000, 0)
			for i := range 1000 { // 100 s
				j.denied(protocol.OpWrite, protocol.Topic, "b", start.Add(time.Duration(i)*100*time.Millisecond))
			}
			j.denied(protocol.OpRead, protocol.Topic, "c", start)
			j.denied(protocol.OpRead, protocol.Group, strings.Repeat("g", 1000), start)
			entries := logs.All()
			if len(entries) != 4 { // WRITE twice, 60 s apart, and one of each other kind
				t.Fatalf("%d lines: %v", len(entries), entries)
			}
			want := map[string]any{
				"tenant": "watched", "client_id": "watched.app", "operation": "WRITE", "resource": "topic", "name": "b", "api": "Produce",
			}
			got := entries[0].ContextMap()
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s is %v, want %v", k, got[k], v)
				}
			}
			if entries[0].Message != c.message {
				t.Errorf("message %q", entries[0].Message)
			}
			if n := len(entries[3].ContextMap()["name"].(string)); n > 210 {
				t.Errorf("a name of %d bytes in the log", n)
			}
			var counted dto.Metric
			if err := j.counters.m.denied.WithLabelValues("watched", "topic", "WRITE", c.enforcement).Write(&counted); err != nil || value(&counted) != 1000 {
				t.Errorf("%v counted, %v", value(&counted), err)
			}
		})
	}
}

// Of connections that are denied at once, one logs.
func TestDenialSampleOnce(t *testing.T) {
	j, logs := deniedRig(t, "enforce")
	var wg sync.WaitGroup
	now := time.Now()
	for range 50 {
		wg.Go(func() { j.denied(protocol.OpWrite, protocol.Topic, "b", now) })
	}
	wg.Wait()
	if n := logs.Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
}

// What is allowed, what only leads to the next question, and what is left out of a
// listing is no denial.
func TestNoDenialLogged(t *testing.T) {
	j, logs := deniedRig(t, "enforce")
	j.Allowed(protocol.OpRead, protocol.Topic, "a")
	j.Allowed(protocol.OpCreate, protocol.Cluster, protocol.ClusterName)
	j.counting = false
	j.Allowed(protocol.OpRead, protocol.Topic, "b")
	if n := logs.Len(); n != 0 {
		t.Errorf("%v", logs.All())
	}
	j.counting = true
	j.Allowed(protocol.OpRead, protocol.Topic, "b")
	if logs.Len() != 1 {
		t.Error("a denial is not logged")
	}
}

// A denied Produce of an observed tenant passes, and its sample has all that is asked
// in the first minute of a rollout.
func TestObservedDenialIsLogged(t *testing.T) {
	tenants := strings.Replace(ruledTenant, "home: orders", "home: orders\n    enforcement: observe", 1)
	r := newRig(t, "", tenants, fakeCluster(t, "payments.a", "other"))
	c := r.raw("payments.app", "")
	for range 2 {
		c.send(produceReq(9, 1, 10, "other"))
	}
	const message = "would have been denied"
	eventually(t, 5*time.Second, "a denial in the log", func() bool { return r.logs.FilterMessage(message).Len() > 0 })
	eventually(t, 5*time.Second, "two counted", func() bool { return r.metric("denied_total", "mode", "observe") == 2 })
	if n := r.lines(message, map[string]string{
		"name": "other", "client_id": "payments.app", "operation": "WRITE", "resource": "topic", "api": "Produce", "tenant": "payments",
	}); n != 1 || r.logs.FilterMessage(message).Len() != 1 {
		t.Errorf("%d lines: %v", n, r.logs.FilterMessage(message).All())
	}
}
