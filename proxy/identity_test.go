package proxy

import (
	"strings"
	"testing"
	"time"
)

const twoTenants = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], everything: true}]
  - name: search
    client_ids: {team: search}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

func TestAnotherTenantOnTheSameConnection(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, "", twoTenants, cluster)
	c := r.raw("payments.app", "")
	c.ask(metadataReq(9, "payments.a"))
	other := "payments.another" // the same tenant's
	c.clientID = &other
	c.ask(metadataReq(9, "payments.a"))
	other = "search.app"
	c.send(metadataReq(9, "payments.a"))
	if took := c.ended(7 * time.Second); took < holdMin-200*time.Millisecond || took > holdMin+holdJitter+time.Second {
		t.Errorf("held for %v, want 4 to 5 s", took)
	}
	if got := r.metric("refused_connections_total", "reason", reasonOtherTenant); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if n := r.lines("connection closed", map[string]string{"reason": reasonOtherTenant, "why": "search.app"}); n != 1 {
		t.Errorf("%d log lines, want 1", n)
	}
	if len(tap.requests("payments.another")) != 1 || len(tap.requests("search.app")) != 0 {
		t.Error("the wrong requests reached the broker")
	}
	eventually(t, time.Second, "it is no longer counted", func() bool { return r.metric("connections") == 0 })
}

// A reload between two requests does not let the second one change the tenant.
func TestReloadDoesNotChangeTheTenant(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "", twoTenants, cluster)
	c := r.raw("payments.app", "")
	c.ask(metadataReq(9, "payments.a"))
	r.write("", twoTenants+"    limits: {request_rate: 100}\n")
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	other := "search.app"
	c.clientID = &other
	c.send(metadataReq(9, "payments.a"))
	eventually(t, time.Second, "it is refused", func() bool {
		return r.metric("refused_connections_total", "reason", reasonOtherTenant) == 1
	})
}

func TestWhoIsWho(t *testing.T) {
	t.Parallel()
	const taken = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], everything: true}]
  - name: rest
    client_ids: ["*"]
    home: orders
    rules: [{allow: [ALL], everything: true}]
`
	long := strings.Repeat("x", 9000)
	for _, c := range []struct {
		name, policy, unmatched, clientID string
		null                              bool
		tenant                            string // "" is refused
	}{
		{name: "by pattern", policy: openTenant, clientID: "payments.app", tenant: "payments"},
		{name: "no pattern", policy: openTenant, clientID: "payments", tenant: ""},
		{name: "internal, though a glob takes it", policy: taken, clientID: "__admin_client", tenant: ""},
		{name: "internal, though unmatched are taken", policy: openTenant, unmatched: "payments", clientID: "__admin_client", tenant: ""},
		{name: "unmatched are taken", policy: openTenant, unmatched: "payments", clientID: "whatever", tenant: "payments"},
		{name: "null, refused", policy: openTenant, null: true, tenant: ""},
		{name: "null, taken", policy: openTenant, unmatched: "payments", null: true, tenant: "payments"},
		{name: "empty, taken", policy: openTenant, unmatched: "payments", clientID: "", tenant: "payments"},
		{name: "long", policy: openTenant, unmatched: "payments", clientID: long, tenant: "payments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster, tap := tappedCluster(t, "payments.a")
			r := newRig(t, "", c.policy, cluster)
			if c.unmatched != "" {
				r.rewrite("unmatched: refuse", "unmatched: "+c.unmatched)
			}
			conn := r.raw(c.clientID, "")
			if c.null {
				conn.clientID = nil
			}
			conn.ask(apiVersionsReq(3))
			resp := metadataOf(conn.ask(metadataReq(9, "payments.a")))
			refused := resp.Brokers[0].NodeID == 512<<20
			if refused != (c.tenant == "") {
				t.Errorf("refused: %v", refused)
			}
			label := c.tenant
			if label == "" {
				label = unmatched
			}
			if got := r.metric("connections", "tenant", label, "listener", "edge"); got != 1 {
				t.Errorf("%v connections of %s", got, label)
			}
			if got, want := len(tap.strangers()), 1; !refused && got != want || refused && got != 0 {
				t.Errorf("%d requests reached the broker", got)
			}
			for _, s := range tap.strangers() {
				if s.NullClientID != c.null || s.ClientID != c.clientID {
					t.Errorf("the broker saw client id %.20q, null %v", s.ClientID, s.NullClientID)
				}
			}
		})
	}
}
