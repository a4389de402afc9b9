package proxy

import (
	"fmt"
	"strings"
	"testing"

	"sluice/protocol"
)

const explainSpanning = `client_ids: {pattern: "{team}.{app}"}
slices:
  - {name: orders, slot: 0, bootstrap_servers: ["h:1"], limits: {producer_byte_rate: 200MiB}}
  - {name: clicks, slot: 1, bootstrap_servers: ["h:2"], limits: {producer_byte_rate: 300MiB}}
  - {name: logs, slot: 2, bootstrap_servers: ["h:3"]}
listeners:
  - name: edge
    address: "127.0.0.1:9092"
    broker_ports: {orders: {nodes: 1-3, ports: 9101-9103}, clicks: {nodes: 1-3, ports: 9111-9113}, logs: {nodes: 1-3, ports: 9121-9123}}
tenants:
  - name: web
    client_ids: {team: web}
    home: orders
    reach: [clicks]
    rules: [{allow: [ALL], topics: ["*"]}, {allow: [ALL], groups: ["*"]}, {allow: [ALL], transactional_ids: ["*"]}]
  - name: far
    client_ids: {team: far}
    home: orders
    reach: [logs]
    rules: [{allow: [ALL], everything: true}]
routes:
  - {topics: ["clicks.*"], groups: ["etl*"], slice: clicks}
  - {topics: ["*.log"], slice: logs}
`

func TestExplainPlaces(t *testing.T) {
	p := explainPolicyOf(t, explainSpanning)
	names := func(text string) protocol.Names {
		n := protocol.Names{}
		for _, pair := range strings.Fields(text) {
			kind, name, _ := strings.Cut(pair, "=")
			n[map[string]protocol.Resource{"topic": protocol.Topic, "group": protocol.Group, "id": protocol.TransactionalID}[kind]] = name
		}
		return n
	}
	for _, c := range []struct {
		client, api, names string
		slice, decision    string
		limit              string // of the slice
		code               int16
		reason             string
	}{
		{"web.a", "Produce", "topic=clicks.a", "clicks", "allow", "300MiB/s", 0, `topic "clicks.a" lives in clicks by the route at sluice.yaml:22:15: {topics: ["clicks.*"], groups: ["etl*"], slice: clicks}`},
		{"web.a", "Produce", "topic=a.log", "orders", "allow", "200MiB/s", 0, `topic "a.log": the route at sluice.yaml:23:15: {topics: ["*.log"], slice: logs} is passed over, since the tenant does not reach its slice`},
		{"web.a", "Produce", "topic=a.log", "orders", "allow", "200MiB/s", 0, `topic "a.log" lives in orders, the home: no route leads it elsewhere`},
		{"far.a", "Produce", "topic=a.log", "logs", "allow", "", 0, `topic "a.log" lives in logs by the route`},
		{"web.a", "Produce", "topic=clicks.a id=t", "clicks", "deny", "300MiB/s", 44, "lives in several slices"},
		{"web.a", "JoinGroup", "group=etl", "clicks", "allow", "", 0, `group "etl" lives in clicks`},
		{"web.a", "OffsetCommit", "group=g topic=clicks.a", "clicks", "allow", "", 0, "answered by clicks"},
		{"web.a", "ConsumerGroupHeartbeat", "group=g topic=clicks.a", "orders", "deny", "", 35, "cannot be done across them"},
		{"web.a", "Metadata", "topic=clicks.a", "orders", "allow", "", 0, "answered by orders and clicks"},
		{"web.a", "ApiVersions", "", "orders", "allow", "", 0, "reaches clicks too"},
	} {
		e := ask(p, c.client, c.api, names(c.names))
		var codes []int16
		for _, r := range e.Refusal {
			codes = append(codes, r.Code)
		}
		if e.Slice != c.slice || e.Decision != c.decision || c.code != 0 && fmt.Sprint(codes) != fmt.Sprint([]int16{c.code}) || c.code == 0 && codes != nil {
			t.Errorf("%s %s: %s", c.api, c.names, summary(e))
		}
		limit := ""
		for _, l := range e.Limits {
			if l.Level == "slice" {
				limit = l.Value
			}
		}
		if limit != c.limit {
			t.Errorf("%s %s: limit %s of the slice, want %s", c.api, c.names, limit, c.limit)
		}
		found := false
		for _, r := range e.Reasons {
			found = found || r.About == "slice" && strings.Contains(r.Text, c.reason)
		}
		if !found {
			t.Errorf("%s %s: no reason says %q: %+v", c.api, c.names, c.reason, e.Reasons)
		}
	}
	e := Explain(p, Question{ClientID: "web.a", API: protocol.LookupName("Metadata"), Names: names("topic=x"), Listener: "edge"})
	if n := strings.Count(fmt.Sprint(e.Reasons), "listener edge: bootstrap"); n != 2 {
		t.Errorf("%d places: %+v", n, e.Reasons)
	}
}
