package proxy

import (
	"strings"
	"testing"
	"time"
)

const perClient = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    limits_per_client_id: {%}
    rules: [{allow: [ALL], everything: true}]
`

// A connection cannot take a client ID for which a new one would be refused.
func TestChangeOfClientID(t *testing.T) {
	t.Parallel()
	for limit, reason := range map[string]string{
		"connections: 1":                         reasonConnections,
		"connection_creation_rate: 1, burst: 1s": reasonCreationRate,
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", strings.Replace(perClient, "%", limit, 1), fakeCluster(t, "payments.a"))
			r.raw("payments.a", "").ask(apiVersionsReq(3))
			n := 0
			change := func(to string) *raw {
				n++
				c := r.raw("payments.before-"+itoa(n), "")
				first := c.frame(apiVersionsReq(3))
				id := "payments." + to
				c.clientID = &id
				c.write(append(first, c.frame(apiVersionsReq(3))...))
				return c
			}
			free := change("b")
			for range 2 {
				if _, _, err := free.recv(); err != nil {
					t.Errorf("to one that is free: %v", err)
				}
			}
			var taken []*raw
			for range 30 { // at 1 per second four may wait for their turn
				taken = append(taken, change("a"))
			}
			eventually(t, 10*time.Second, "it is refused", func() bool { return r.metric("refused_connections_total", "reason", reason) >= 10 })
			ended := 0
			for _, c := range taken {
				if _, _, err := c.recv(); err != nil {
					t.Errorf("before the change: %v", err)
				}
				if _, _, err := c.recv(); err != nil {
					ended++
				}
			}
			if n := r.metric("refused_connections_total", "reason", reason); ended < 10 || ended != int(n) {
				t.Errorf("%d of 30 were ended, %v are counted as refused", ended, n)
			}
		})
	}
}

// A reload turns nobody out who was let in, and lets nobody in unchecked who was not.
func TestReloadAndConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", openTenant, fakeCluster(t, "payments.a"))
	var admitted []*raw
	for range 3 {
		c := r.raw("payments.app", "")
		c.ask(apiVersionsReq(3))
		admitted = append(admitted, c)
	}
	var unmatched []*raw
	for range 2 {
		c := r.raw("others.app", "")
		c.ask(apiVersionsReq(3))
		unmatched = append(unmatched, c)
	}
	more := `  - name: others
    client_ids: {team: others}
    home: orders
    limits: {connections: 1}
    rules: [{allow: [ALL], everything: true}]
`
	r.write("", openTenant+"    limits: {connections: 1}\n"+more)
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	for _, c := range admitted {
		c.ask(apiVersionsReq(3))
	}
	unmatched[0].ask(apiVersionsReq(3))
	unmatched[1].send(apiVersionsReq(3))
	if took := unmatched[1].ended(7 * time.Second); took < 3500*time.Millisecond {
		t.Errorf("held for %v", took)
	}
	if n := r.metric("refused_connections_total", "reason", reasonConnections); n != 1 {
		t.Errorf("%v connections were refused", n)
	}
}

// What a slice that is gone was is told no more.
func TestMetricOfARemovedSlice(t *testing.T) {
	t.Parallel()
	orders, clicks := fakeCluster(t, "payments.a"), fakeCluster(t, "payments.b")
	r := newRig(t, "", openTenant, orders, clicks)
	series := func(slice string) bool {
		_, body := r.get("/metrics")
		return strings.Contains(body, `sluice_slice_reachable{slice="`+slice+`"}`)
	}
	eventually(t, 5*time.Second, "both are told", func() bool { return series("orders") && series("clicks") })
	r.clusters = r.clusters[:1]
	r.write("", openTenant)
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	eventually(t, 5*time.Second, "clicks is forgotten", func() bool { return !series("clicks") })
	if !series("orders") {
		t.Error("orders is forgotten too")
	}
}

// Names that cannot be seen at once end the connection, and the log says why.
func TestNamesBeyondTheBuffer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", ruledTenant, fakeCluster(t, "payments.a"))
	for i, c := range []*raw{r.raw("payments.app", ""), r.raw("payments.app", "")} {
		req := produceReq(8, 1, 10, "payments."+strings.Repeat("n", 32_758))
		id := "payments." + strings.Repeat("i", 32_758)
		req.TransactionID = &id
		if i == 0 {
			c.ask(apiVersionsReq(3))
		}
		c.send(req)
		if took := c.ended(7 * time.Second); took < 3500*time.Millisecond {
			t.Errorf("held for %v", took)
		}
	}
	if n := r.lines("connection closed", map[string]string{"reason": reasonMalformed, "why": "names longer than 65536 bytes"}); n != 2 {
		t.Errorf("%d log lines", n)
	}
}
