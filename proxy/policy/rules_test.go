package policy

import (
	"strings"
	"testing"

	"sluice/protocol"
)

// tenantOf compiles a tenant with these rules, one a line.
func tenantOf(t testing.TB, defaults string, rules ...string) *Tenant {
	t.Helper()
	p := mustParse(t, fileOf("defaults: {rules: ["+defaults+"]}\ntenants:\n  - name: t\n    client_ids: [\"*\"]\n    home: a\n    rules: ["+strings.Join(rules, ", ")+"]\n"))
	return p.Tenants[0]
}

var resourceWords = map[string]protocol.Resource{
	"topic": protocol.Topic, "group": protocol.Group, "cluster": protocol.Cluster, "txn": protocol.TransactionalID,
}

// A case is "+OP resource name" (allowed) or "-OP resource name" (denied);
// without a name it asks AllowedSome.
func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		name, defaults string
		rules, cases   []string
	}{
		{"nothing", "", nil, []string{"-READ topic x", "-DESCRIBE cluster kafka-cluster", "-READ topic", "-ALL topic x"}},
		{
			"implied", "",
			[]string{`{allow: [READ], topics: [r]}`, `{allow: [WRITE], topics: [w]}`, `{allow: [DELETE], topics: [d]}`, `{allow: [ALTER], topics: [a]}`, `{allow: [ALTER_CONFIGS], topics: [ac]}`, `{allow: [CREATE], topics: [c]}`},
			[]string{
				"+READ topic r", "+DESCRIBE topic r", "-WRITE topic r", "+DESCRIBE topic w", "+DESCRIBE topic d", "+DESCRIBE topic a", "-DESCRIBE topic ac",
				"+DESCRIBE_CONFIGS topic ac", "-DESCRIBE_CONFIGS topic a", "-DESCRIBE topic c", "-IDEMPOTENT_WRITE cluster kafka-cluster", "+WRITE topic",
				"-READ group r", "-READ group", "+READ topic", "+DESCRIBE topic",
			},
		},
		{"a write to a transactional id is not idempotent write", "", []string{`{allow: [WRITE], transactional_ids: ["*"]}`}, []string{"-IDEMPOTENT_WRITE cluster kafka-cluster", "+DESCRIBE txn x", "+WRITE txn x"}},
		{"no write is left", "", []string{`{allow: [WRITE], topics: ["a.*", "b"]}`, `{deny: [WRITE], topics: ["*"]}`}, []string{"-IDEMPOTENT_WRITE cluster kafka-cluster", "-WRITE topic", "+DESCRIBE topic", "+DESCRIBE topic a.x"}},
		{"idempotent write denied", "", []string{`{allow: [WRITE], topics: [a]}`, `{deny: [IDEMPOTENT_WRITE], cluster: true}`}, []string{"-IDEMPOTENT_WRITE cluster kafka-cluster", "-IDEMPOTENT_WRITE cluster"}},
		{
			"deny wins, in any order, and implies nothing", "",
			[]string{`{deny: [READ], topics: ["a.b*"]}`, `{allow: [READ], topics: ["a.*"]}`, `{deny: [READ], topics: ["exact"]}`, `{allow: [READ], topics: [exact]}`},
			[]string{"+READ topic a.a", "-READ topic a.b", "-READ topic a.bc", "+DESCRIBE topic a.b", "-READ topic exact", "+DESCRIBE topic exact", "+READ topic"},
		},
		{"deny ALL is all", "", []string{`{allow: [ALL], topics: ["*"]}`, `{deny: [ALL], topics: ["x*"]}`}, []string{"+ALL topic a", "-ALL topic x", "-DESCRIBE topic x", "-READ topic xy", "+READ topic y"}},
		{"deny of one is deny of ALL", "", []string{`{allow: [ALL], topics: ["*"]}`, `{deny: [WRITE], topics: [x]}`}, []string{"-ALL topic x", "+READ topic x", "+ALL topic y"}},
		{
			"ALL", "",
			[]string{`{allow: [ALL], groups: ["g?"]}`},
			[]string{"+READ group g1", "+DELETE group g1", "+DESCRIBE group g1", "+ALTER_CONFIGS group g1", "-READ group g", "-READ group g12", "-READ topic g1"},
		},
		{
			"wildcards do not reach __", "",
			[]string{`{allow: [READ], topics: ["*", "?_x"]}`, `{allow: [WRITE], topics: ["__own*", "__a"]}`},
			[]string{"+READ topic _x", "-READ topic __x", "-READ topic __own1", "+WRITE topic __own1", "+WRITE topic __a", "-WRITE topic __b", "+READ topic a__"},
		},
		{"nor for groups", "", []string{`{allow: [READ], groups: ["*"]}`}, []string{"-READ group __g", "+READ group g", "+READ group _g"}},
		{
			"everything", "",
			[]string{`{allow: [ALL], everything: true}`},
			[]string{"+READ topic __consumer_offsets", "+ALL topic x", "+ALTER cluster kafka-cluster", "+CLUSTER_ACTION cluster kafka-cluster", "+WRITE txn __x", "+READ group", "+IDEMPOTENT_WRITE cluster"},
		},
		{
			"read everything", "",
			[]string{`{allow: [READ], everything: true}`, `{deny: [READ], topics: ["__*"]}`},
			[]string{"+READ topic x", "-READ topic __x", "+READ group g", "-WRITE topic x", "+READ topic", "+DESCRIBE cluster kafka-cluster"},
		},
		{"deny everything", "", []string{`{allow: [ALL], topics: ["*"]}`, `{deny: [DELETE], everything: true}`}, []string{"-DELETE topic x", "-DELETE topic", "+READ topic x"}},
		{"a narrower deny leaves some", "", []string{`{allow: [READ], topics: ["a*"]}`, `{deny: [READ], topics: ["ab*", "?"]}`}, []string{"+READ topic", "-READ topic a", "-READ topic ab", "+READ topic ac"}},
		{"an equal deny leaves none", "", []string{`{allow: [READ], topics: ["a*?", b]}`, `{deny: [READ], topics: ["a?*", b]}`}, []string{"-READ topic", "+DESCRIBE topic"}},
		{"a deny of * does not cover __", "", []string{`{allow: [READ], topics: ["__x"]}`, `{deny: [READ], topics: ["*"]}`}, []string{"+READ topic", "+READ topic __x"}},
		{"defaults come along", `{deny: [WRITE], topics: ["audit*"]}, {allow: [DESCRIBE], cluster: true}`, []string{`{allow: [WRITE], topics: ["*"]}`}, []string{"-WRITE topic audit1", "+WRITE topic x", "+DESCRIBE cluster kafka-cluster"}},
		{"two phase commit", "", []string{`{allow: [TWO_PHASE_COMMIT], transactional_ids: [x]}`}, []string{"+TWO_PHASE_COMMIT txn x", "-WRITE txn x", "-DESCRIBE txn x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tenant := tenantOf(t, c.defaults, c.rules...)
			for _, check := range c.cases {
				words := strings.Fields(check[1:])
				op, known := protocol.ParseOperation(words[0])
				resource := resourceWords[words[1]]
				if !known || resource == 0 {
					t.Fatalf("bad case %q", check)
				}
				var got bool
				if len(words) == 3 {
					got = tenant.Allowed(op, resource, words[2])
				} else {
					got = tenant.AllowedSome(op, resource)
				}
				if want := check[0] == '+'; got != want {
					t.Errorf("%s: %t", check, got)
				}
			}
		})
	}
}

func TestAllowedOutOfRange(t *testing.T) {
	tenant := tenantOf(t, "", `{allow: [ALL], everything: true}`)
	for _, op := range []protocol.Operation{-1, 0, 1, 16, 127} {
		if tenant.Allowed(op, protocol.Topic, "x") || tenant.AllowedSome(op, protocol.Topic) {
			t.Errorf("operation %d is allowed", op)
		}
	}
	for _, r := range []protocol.Resource{-1, 0, 1, 6, 127} {
		if tenant.Allowed(protocol.OpRead, r, "x") || tenant.AllowedSome(protocol.OpRead, r) {
			t.Errorf("resource %d is allowed", r)
		}
	}
}

func TestEverything(t *testing.T) {
	all := `{allow: [ALL], everything: true}`
	for _, c := range []struct {
		defaults string
		rules    []string
		want     bool
	}{
		{"", []string{all}, true},
		{"", []string{all, `{allow: [READ], topics: [x]}`}, true},
		{all, nil, true},
		{"", nil, false},
		{"", []string{`{allow: [READ, WRITE], everything: true}`}, false},
		{"", []string{`{allow: [ALL], topics: ["*", "__*"]}`, `{allow: [ALL], groups: ["*"]}`}, false},
		{"", []string{all, `{deny: [READ], topics: [x]}`}, false},
		{"", []string{all, `{deny: [READ], groups: ["x*"]}`}, false},
		{`{deny: [ALTER], cluster: true}`, []string{all}, false},
		{"", []string{all, `{deny: [CREATE_TOKENS], everything: true}`}, false},
	} {
		if got := tenantOf(t, c.defaults, c.rules...).Everything(); got != c.want {
			t.Errorf("%s %s: %t", c.defaults, c.rules, got)
		}
	}
}

func TestRulesID(t *testing.T) {
	read, write, deny := `{allow: [READ], topics: [a, "b*"]}`, `{allow: [WRITE], topics: ["c*"]}`, `{deny: [WRITE], topics: [c]}`
	base := tenantOf(t, "", read, write, deny).RulesID()
	for _, same := range [][]string{
		{"", deny, write, read},
		{deny, read, write},
		{"", read, write, deny, read},
		{"", `{allow: [READ], topics: ["b*"]}`, `{allow: [READ, DESCRIBE], topics: [a]}`, write, deny},
	} {
		if tenantOf(t, same[0], same[1:]...).RulesID() != base {
			t.Errorf("differs: %s", same)
		}
	}
	seen := map[string][]string{base: {"base"}}
	for _, other := range [][]string{
		{"", read, write},
		{"", read, deny},
		{"", read, write, `{deny: [WRITE], topics: ["c?"]}`},
		{"", read, write, `{deny: [READ], topics: [c]}`},
		{"", read, `{allow: [READ], groups: ["c*"]}`, deny},
		{`{allow: [DESCRIBE], cluster: true}`, read, write, deny},
		{`{allow: [DESCRIBE], everything: true}`, read, write, deny},
	} {
		id := tenantOf(t, other[0], other[1:]...).RulesID()
		if was, taken := seen[id]; taken {
			t.Errorf("%s has the id of %s", other, was)
		}
		seen[id] = other
	}
	observing := mustParse(t, fileOf(`tenants: [{name: t, client_ids: ["*"], home: a, enforcement: observe, rules: [`+read+`, `+write+`, `+deny+`]}]`))
	if observing.Tenants[0].RulesID() == base {
		t.Error("what observe let pass would stay authorised under enforce")
	}
}

func BenchmarkAllowed(b *testing.B) {
	tenant := tenantOf(b, "", `{allow: [READ, WRITE, CREATE], topics: ["payments.*", "shared", "other-*"]}`, `{deny: [WRITE], topics: [payments.audit]}`)
	b.ReportAllocs()
	for b.Loop() {
		if !tenant.Allowed(protocol.OpWrite, protocol.Topic, "payments.orders.created") {
			b.Fatal("denied")
		}
	}
}
