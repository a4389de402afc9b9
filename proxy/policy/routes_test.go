package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/protocol"
)

// spanning is a file with three slices and the given tenants and routes.
func spanning(t *testing.T, tenants, routes string) *Policy {
	t.Helper()
	return mustParse(t, `slices:
  - {name: a, slot: 0, bootstrap_servers: ["h:1"]}
  - {name: b, slot: 1, bootstrap_servers: ["h:2"]}
  - {name: c, slot: 2, bootstrap_servers: ["h:3"]}
listeners:
  - name: l
    address: "127.0.0.1:9092"
    broker_ports: {a: {nodes: 0-1, ports: 9100-9101}, b: {nodes: 0-1, ports: 9102-9103}, c: {nodes: 0-1, ports: 9104-9105}}
defaults: {rules: [{allow: [ALL], everything: true}]}
tenants:
`+tenants+"routes:\n"+routes)
}

func TestOwner(t *testing.T) {
	p := spanning(t, `
  - {name: both, client_ids: [both], home: a, reach: [b]}
  - {name: all, client_ids: [all], home: b, reach: [c, a]}
  - {name: pinned, client_ids: [pinned], home: c}
`, `
  - {topics: ["x.home"], slice: a}
  - {topics: ["x.*", exact], groups: ["x.*"], slice: b}
  - {topics: ["*"], transactional_ids: ["t?"], slice: c}
  - {topics: ["__consumer_offsets"], groups: ["*"], slice: b}
`)
	for _, c := range []struct {
		tenant   string
		resource protocol.Resource
		name     string
		want     string
	}{
		{"both", protocol.Topic, "x.home", "a"},
		{"both", protocol.Topic, "x.other", "b"},
		{"both", protocol.Topic, "exact", "b"},
		{"both", protocol.Topic, "exactly", "a"}, // the route to c does not lead it
		{"both", protocol.Group, "x.g", "b"},
		{"both", protocol.Group, "g", "b"},
		{"both", protocol.TransactionalID, "t1", "a"},
		{"both", protocol.Topic, "__consumer_offsets", "b"},
		{"both", protocol.Topic, "__transaction_state", "a"},
		{"both", protocol.Cluster, "kafka-cluster", "a"},
		{"all", protocol.Topic, "x.home", "a"},
		{"all", protocol.Topic, "x.other", "b"},
		{"all", protocol.Topic, "exactly", "c"},
		{"all", protocol.TransactionalID, "t1", "c"},
		{"all", protocol.TransactionalID, "t12", "b"},
		{"pinned", protocol.Topic, "x.home", "c"},
		{"pinned", protocol.Group, "x.g", "c"},
	} {
		if got := p.Tenant(c.tenant).Owner(c.resource, c.name).Name; got != c.want {
			t.Errorf("%s: %s %s is in %s, want %s", c.tenant, c.resource, c.name, got, c.want)
		}
	}
	var names []string
	for _, s := range p.Tenant("all").Slices() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "b c a" || !p.Tenant("all").Spans() || p.Tenant("pinned").Spans() {
		t.Errorf("slices are %s", got)
	}
}

// What the index finds is what reading the routes from the top finds, and what explain
// says.
func TestOwnerIsTheFirstRoute(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	pieces := []string{"a", "b", ".", "*", "?", "__", "ab"}
	text := func() string {
		s := ""
		for range 1 + rnd.IntN(3) {
			s += pieces[rnd.IntN(len(pieces))]
		}
		return s
	}
	for range 300 {
		var routes strings.Builder
		for range 1 + rnd.IntN(6) {
			fmt.Fprintf(&routes, "  - {groups: [%q, %q], slice: %c}\n", text(), text(), 'a'+rune(rnd.IntN(3)))
		}
		p := spanning(t, "  - {name: t, client_ids: [t], home: a, reach: [b]}\n", routes.String())
		tenant := p.Tenant("t")
		for range 20 {
			name := strings.NewReplacer("*", "z", "?", "y").Replace(text())
			want := tenant.Home
			for _, r := range p.routes {
				if r.slice.Name != "c" && slices.ContainsFunc(r.globs[protocol.Group], func(g placedGlob) bool { return g.matchName(name) }) {
					want = r.slice
					break
				}
			}
			got := tenant.Owner(protocol.Group, name)
			if got != want {
				t.Fatalf("%q is in %s, want %s, by\n%s", name, got.Name, want.Name, &routes)
			}
			matches := p.Routes(tenant, protocol.Group, name)
			led := len(matches) > 0 && matches[len(matches)-1].Applies
			if led && !strings.HasSuffix(matches[len(matches)-1].Text, "slice: "+got.Name+"}") || !led && got != tenant.Home {
				t.Fatalf("%q is in %s, and the routes say %+v", name, got.Name, matches)
			}
		}
	}
}

func TestRoutesID(t *testing.T) {
	const tenant = "  - {name: t, client_ids: [t], home: a, reach: [b]}\n"
	id := func(tenants, routes string) string { return spanning(t, tenants, routes).Tenant("t").RoutesID() }
	base := id(tenant, "  - {topics: [x], slice: b}\n")
	for routes, same := range map[string]bool{
		"  - {topics: [x], slice: b}\n  - {topics: [y], slice: c}\n": true, // it does not reach c
		"  - {topics: [x, y], slice: b}\n":                           false,
		"  - {groups: [x], slice: b}\n":                              false,
		"  - {topics: [x], slice: a}\n":                              false,
	} {
		if got := id(tenant, routes); got == base != same {
			t.Errorf("%s: same is %t", routes, got == base)
		}
	}
	pinned := id("  - {name: t, client_ids: [t], home: a}\n", "  - {topics: [x], slice: b}\n")
	if pinned != id("  - {name: t, client_ids: [t], home: a}\n", "  - {topics: [y], slice: b}\n") {
		t.Error("routes change a pinned tenant")
	}
	if pinned == id("  - {name: t, client_ids: [t], home: b}\n", "  - {topics: [x], slice: b}\n") {
		t.Error("the home does not count")
	}
}

func TestChangesOfRoutes(t *testing.T) {
	old := spanning(t, "  - {name: t, client_ids: [t], home: a, reach: [b]}\n", "  - {topics: [x], slice: b}\n  - {groups: [x], slice: b}\n")
	for _, c := range []struct {
		tenant, routes string
		want           []string
	}{
		{
			"  - {name: t, client_ids: [t], home: b, reach: [c]}\n", "  - {topics: [x], slice: c}\n  - {groups: [x], slice: b}\n",
			[]string{
				`routes: {topics: ["x"], slice: b} is gone`,
				`routes: {topics: ["x"], slice: c} is new: topics and offsets do not move`,
				"tenant t: home is b, was a: its clients are sent there; topics and offsets do not move",
				"tenant t: reaches slice c now, as far as routes lead there",
				"tenant t: no longer reaches slice a: what lived there is looked for elsewhere",
			},
		},
		{
			"  - {name: t, client_ids: [t], home: a, reach: [b]}\n", "  - {groups: [x], slice: b}\n  - {topics: [x], slice: b}\n",
			[]string{"routes: their order has changed; the first that matches leads a name"},
		},
	} {
		if got := spanning(t, c.tenant, c.routes).Changes(old); !slices.Equal(got, c.want) {
			t.Errorf("got %q\nwant %q", got, c.want)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	var routes strings.Builder
	for i := range 200 {
		fmt.Fprintf(&routes, "  - {topics: [\"team%d.*\"], slice: b}\n", i)
	}
	p := spanning(&testing.T{}, "  - {name: t, client_ids: [t], home: a, reach: [b]}\n", routes.String())
	tenant := p.Tenant("t")
	for b.Loop() {
		tenant.Owner(protocol.Topic, "team77.orders")
	}
}
