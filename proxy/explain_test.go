package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/protocol"
	"sluice/proxy/policy"
)

const explainPolicy = `client_ids: {pattern: "{team}.{app}"}
slices:
  - {name: orders, slot: 0, bootstrap_servers: ["h:1"], limits: {producer_byte_rate: 200MiB}}
listeners:
  - {name: edge, address: "127.0.0.1:9092", broker_ports: {orders: {nodes: 1-3, ports: 9101-9103}}}
defaults: {limits: {request_rate: 100}}
tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    limits: {producer_byte_rate: 20MiB, consumer_byte_rate: 30MiB, controller_mutation_rate: 5, connections: 10}
    limits_per_client_id: {producer_byte_rate: 10MiB}
    rules:
      - {allow: [READ, WRITE, CREATE], topics: ["payments.*"]}
      - {deny: [WRITE], topics: ["payments.audit"]}
      - {allow: [READ], groups: ["payments.*"]}
  - name: watched
    client_ids: {team: watched}
    home: orders
    enforcement: observe
    rules: [{allow: [READ], topics: [a]}]
  - name: platform
    client_ids: {team: "*"}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

func explainPolicyOf(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, problems := policy.Parse("sluice.yaml", []byte(text))
	if p == nil {
		t.Fatal(problems)
	}
	return p
}

func ask(p *policy.Policy, clientID, api string, names protocol.Names) *Explanation {
	return Explain(p, Question{ClientID: clientID, API: protocol.LookupName(api), Names: names})
}

// summary is what tests compare: decision, rule, codes, limits.
func summary(e *Explanation) string {
	rule := "-"
	if e.Rule != nil {
		rule = fmt.Sprintf("%d:%d", e.Rule.Line, e.Rule.Column)
	}
	s := fmt.Sprintf("%s/%s %s%s rule %s", e.Tenant, e.Slice, e.Decision, strings.Join(append([]string{""}, strings.Fields(e.Observed)...), " observed "), rule)
	for _, r := range e.Refusal {
		s += fmt.Sprintf("; %d %s at %s", r.Code, r.Name, r.Place)
	}
	for _, l := range e.Limits {
		s += fmt.Sprintf("; %s %s %s", l.Limit, l.Level, l.Value)
	}
	return s
}

func TestExplain(t *testing.T) {
	p := explainPolicyOf(t, explainPolicy)
	const requests = "; request_rate tenant 100/s"
	for _, c := range []struct {
		clientID, api string
		names         protocol.Names
		want          string
	}{
		{
			"payments.a", "Produce",
			protocol.Names{protocol.Topic: "payments.x"},
			"payments/orders allow rule 14:9" + requests + "; producer_byte_rate client_id 10MiB/s; producer_byte_rate tenant 20MiB/s; producer_byte_rate slice 200MiB/s",
		},
		{
			"payments.a", "Produce",
			protocol.Names{protocol.Topic: "payments.audit"},
			"payments/orders deny rule 15:9; 29 TOPIC_AUTHORIZATION_FAILED at Topics[].Partitions[].ErrorCode" + requests + "; producer_byte_rate client_id 10MiB/s; producer_byte_rate tenant 20MiB/s; producer_byte_rate slice 200MiB/s",
		},
		{
			"payments.a", "Fetch",
			protocol.Names{protocol.Topic: "__consumer_offsets"},
			"payments/orders deny rule -; 29 TOPIC_AUTHORIZATION_FAILED at Topics[].Partitions[].ErrorCode" + requests + "; consumer_byte_rate tenant 30MiB/s",
		},
		{"payments.a", "Heartbeat", protocol.Names{protocol.Group: "payments.g"}, "payments/orders allow rule 16:9" + requests},
		{"payments.a", "InitProducerId", protocol.Names{}, "payments/orders allow rule 14:9" + requests},
		{"payments.a", "InitProducerId", protocol.Names{protocol.TransactionalID: "x"}, "payments/orders deny rule -; 53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED at ErrorCode" + requests},
		{"payments.a", "CreateTopics", protocol.Names{protocol.Topic: "payments.x"}, "payments/orders allow rule 14:9" + requests + "; controller_mutation_rate tenant 5/s"},
		{"payments.a", "ListGroups", protocol.Names{protocol.Group: "other"}, "payments/orders deny rule -" + requests},
		{"payments.a", "Vote", protocol.Names{}, "payments/orders deny rule -"},
		{"payments.a", "ApiVersions", protocol.Names{}, "payments/orders allow rule -" + requests},
		{"watched.a", "JoinGroup", protocol.Names{protocol.Group: "g"}, "watched/orders allow observed deny rule -; 30 GROUP_AUTHORIZATION_FAILED at ErrorCode" + requests},
		{"watched.a", "ListOffsets", protocol.Names{protocol.Topic: "a"}, "watched/orders allow rule 21:13" + requests},
		{"other.a", "ListOffsets", protocol.Names{protocol.Topic: "__x"}, "platform/orders allow rule 25:13" + requests},
		{"nobody", "Produce", protocol.Names{protocol.Topic: "x"}, "/ deny rule -; 44 POLICY_VIOLATION at Topics[].Partitions[].ErrorCode"},
		{"nobody", "JoinGroup", protocol.Names{protocol.Group: "x"}, "/ deny rule -; 30 GROUP_AUTHORIZATION_FAILED at ErrorCode"},
		{"nobody", "InitProducerId", protocol.Names{}, "/ deny rule -"},
		{internalClientID, "Fetch", protocol.Names{protocol.Topic: "x"}, "/ deny rule -; 29 TOPIC_AUTHORIZATION_FAILED at Topics[].Partitions[].ErrorCode"},
	} {
		e := ask(p, c.clientID, c.api, c.names)
		if got := summary(e); got != c.want {
			t.Errorf("%s %s %v:\n got %s\nwant %s", c.clientID, c.api, c.names, got, c.want)
		}
		if len(e.Reasons) < 2 {
			t.Errorf("%s %s: reasons %+v", c.clientID, c.api, e.Reasons)
		}
	}
}

// Whatever is asked, the JSON has the same keys.
func TestExplanationKeys(t *testing.T) {
	p := explainPolicyOf(t, explainPolicy)
	for _, id := range []string{"payments.a", "nobody", "watched.a"} {
		b, err := json.Marshal(ask(p, id, "Produce", protocol.Names{protocol.Topic: "t"}))
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		want := []string{"decision", "limits", "observed", "reasons", "refusal", "rule", "slice", "tenant"}
		if got := slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) || m["limits"] == nil || m["reasons"] == nil || m["refusal"] == nil {
			t.Errorf("%s: %v %s", id, got, b)
		}
	}
}

// What explain says of a request is what a client of the gateway gets for it.
func TestExplainAgreesWithTheGateway(t *testing.T) {
	r := newRig(t, "", ruledTenant, fakeCluster(t, "payments.a", "other"))
	text, err := os.ReadFile(filepath.Clean(r.path))
	if err != nil {
		t.Fatal(err)
	}
	p := explainPolicyOf(t, string(text))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	compared := map[string]int{}
	for _, api := range protocol.APIs() {
		if api.Access != protocol.Pass || api.Key == protocol.KeyFetch { // its sessions are the client's own
			continue
		}
		for _, name := range []string{"payments.a", "other"} {
			names := protocol.Names{}
			for _, res := range api.Uses() {
				names[res] = name
				if res == protocol.Cluster {
					names[res] = protocol.ClusterName
				}
			}
			for len(names) > 0 { // what does not go together
				var e *protocol.NamesError
				if !errors.As(api.CheckNames(names), &e) {
					break
				}
				delete(names, e.Unused)
			}
			req := api.Sample(names)
			if strings.Contains(fmt.Sprintf("%+v", req), "[115 97 109 112") {
				continue // it names the topic by an id that this slice does not have
			}
			e := Explain(p, Question{ClientID: "payments.app", API: api, Names: names})
			// A client of its own: a refused one waits longer and longer.
			resp, err := r.client("payments.app").SeedBrokers()[0].Request(ctx, req)
			if err != nil {
				if ctx.Err() != nil {
					t.Fatal(err)
				}
				continue // the fake cluster does not know it
			}
			want := codesOf(e.Refusal)
			got := []int16{}
			for _, at := range protocol.ErrorsIn(resp) {
				if slices.Contains(authorizationCodes, at.Code) && !slices.Contains(got, at.Code) {
					got = append(got, at.Code)
				}
			}
			slices.Sort(got)
			compared[e.Decision]++
			if !slices.Equal(got, want) {
				t.Errorf("%s %v: the gateway answers %v, explain says %v (%s)", api.Name, names, got, want, e.Decision)
			}
		}
	}
	if compared[DecisionDeny] < 15 || compared[DecisionAllow] < 8 {
		t.Errorf("compared %v", compared)
	}
}

var authorizationCodes = []int16{
	kerr.TopicAuthorizationFailed.Code, kerr.GroupAuthorizationFailed.Code, kerr.ClusterAuthorizationFailed.Code, kerr.TransactionalIDAuthorizationFailed.Code,
}

func codesOf(refusals []Refusal) []int16 {
	codes := []int16{}
	for _, r := range refusals {
		if !slices.Contains(codes, r.Code) {
			codes = append(codes, r.Code)
		}
	}
	slices.Sort(codes)
	return codes
}
