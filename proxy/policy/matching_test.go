package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/protocol"
)

// randomRules writes n rules over few names, so that they meet each other.
func randomRules(r *rand.Rand, n int) []string {
	globs := []string{"a", "a.b", "a.*", "*", "__x", "__*", "?.b", "a*b", "_*"}
	keys := map[string]operations{
		"topics": supported[protocol.Topic], "groups": supported[protocol.Group],
		"transactional_ids": supported[protocol.TransactionalID], "cluster": supported[protocol.Cluster], "everything": every,
	}
	var rules []string
	for range n {
		key := resourceKeys[r.IntN(len(resourceKeys))]
		can := (keys[key] | bit(protocol.OpAll)).names()
		ops := []string{can[r.IntN(len(can))]}
		if r.IntN(2) == 0 {
			ops = append(ops, can[r.IntN(len(can))])
		}
		about := "true"
		if key != "cluster" && key != "everything" {
			about = fmt.Sprintf("[%q, %q]", globs[r.IntN(len(globs))], globs[r.IntN(len(globs))])
		}
		action := "allow"
		if r.IntN(3) == 0 {
			action = "deny"
		}
		rules = append(rules, fmt.Sprintf("{%s: [%s], %s: %s}", action, strings.Join(ops, ", "), key, about))
	}
	return rules
}

// For every question, Allowed is what the matching rules say.
func TestMatchingAgreesWithAllowed(t *testing.T) {
	names := []string{"a", "a.b", "a.x", "b", "__x", "__y", "_z", "axb", ""}
	said := map[bool]int{}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 4))
		rules := randomRules(r, 1+r.IntN(6))
		tenant := tenantOf(t, rules[0], rules[1:]...)
		for _, res := range resources {
			for op := protocol.OpAll; op <= protocol.OpTwoPhaseCommit; op++ {
				for _, name := range names {
					allowed, denied := false, false
					for _, m := range tenant.Matching(op, res, name) {
						allowed, denied = allowed || !m.Deny, denied || m.Deny
					}
					want := tenant.Allowed(op, res, name)
					if said[want]++; want != (allowed && !denied) {
						t.Fatalf("%s %s %q is %t, but matching: %+v\nrules %v", op, res, name, want, tenant.Matching(op, res, name), rules)
					}
				}
				some := tenant.MatchingSome(op, res)
				if tenant.AllowedSome(op, res) && !slices.ContainsFunc(some, func(m RuleMatch) bool { return !m.Deny }) {
					t.Fatalf("some %s %s: %+v\nrules %v", op, res, some, rules)
				}
			}
		}
	}
	if said[true] < 1000 || said[false] < 1000 {
		t.Errorf("one-sided: %v", said)
	}
}

func TestMatchingSaysWhere(t *testing.T) {
	p := mustParse(t, fileOf(`defaults:
  rules:
    - {allow: [DESCRIBE], cluster: true}
    - {deny: [WRITE], topics: ["*.kept"]}
tenants:
  - name: t
    client_ids: ["*"]
    home: a
    rules:
      - {allow: [WRITE, READ], topics: ["x", "a.*"]}
      - {allow: [ALL], groups: ["g"]}
`))
	for _, c := range []struct {
		op   protocol.Operation
		r    protocol.Resource
		name string
		want []RuleMatch
	}{
		{protocol.OpWrite, protocol.Topic, "a.kept", []RuleMatch{
			{Line: 6, Column: 7, Text: `{deny: [WRITE], topics: ["*.kept"]}`, Deny: true, Default: true, Glob: "*.kept", Effect: "denies WRITE"},
			{Line: 12, Column: 9, Text: `{allow: [READ, WRITE], topics: ["x", "a.*"]}`, Glob: "a.*", Effect: "allows WRITE"},
		}},
		{protocol.OpDescribe, protocol.Topic, "x", []RuleMatch{
			{Line: 12, Column: 9, Text: `{allow: [READ, WRITE], topics: ["x", "a.*"]}`, Glob: "x", Effect: "allows DESCRIBE, which READ implies"},
		}},
		{protocol.OpRead, protocol.Group, "g", []RuleMatch{
			{Line: 13, Column: 9, Text: `{allow: [ALL], groups: ["g"]}`, Glob: "g", Effect: "allows ALL"},
		}},
		{protocol.OpIdempotentWrite, protocol.Cluster, protocol.ClusterName, nil}, // WRITE on a topic is asked for before
		{protocol.OpAll, protocol.Topic, "a.kept", []RuleMatch{
			{Line: 6, Column: 7, Text: `{deny: [WRITE], topics: ["*.kept"]}`, Deny: true, Default: true, Glob: "*.kept", Effect: "denies part of ALL"},
		}},
		{protocol.OpDelete, protocol.Topic, "a.b", nil},
	} {
		if got := p.Tenants[0].Matching(c.op, c.r, c.name); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s %s:\n got %+v\nwant %+v", c.op, c.r, c.name, got, c.want)
		}
	}
}

func TestWhoIs(t *testing.T) {
	p := mustParse(t, `client_ids: {pattern: "{team}.{app}", unmatched: rest}
`+fileOf(`tenants:
  - {name: one, client_ids: {team: pay, app: "x*"}, home: a}
  - {name: two, client_ids: ["pay.*", tool], home: a}
  - {name: three, client_ids: {team: "*"}, home: a}
  - {name: rest, home: a}
`))
	for _, c := range []struct{ id, want string }{
		{"pay.xy", `one 1 {app: "x*", team: pay} [two three] [team=pay app=xy]`},
		{"pay.y", `two 2 "pay.*" [three] [team=pay app=y]`},
		{"tool", `two 2 "tool" [] []`},
		{"a.b", `three 3 {team: "*"} [] [team=a app=b]`},
		{"none", `rest 4  [] []`},
	} {
		id := p.WhoIs(c.id)
		if got := fmt.Sprintf("%s %d %s %v %v", id.Tenant.Name, id.Place, id.Matched, id.Later, id.Parts); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.id, got, c.want)
		}
	}
}

// WhoIs and Identify never disagree.
func TestWhoIsAgreesWithIdentify(t *testing.T) {
	matchers := []string{"{team: a}", "{team: \"a*\", app: b}", "{app: \"?\"}", "[\"a.*\"]", "[\"*b\", x]", "{team: \"*\"}", "[\"a.b\"]"}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		tenants := ""
		for i := range 1 + r.IntN(5) {
			tenants += fmt.Sprintf("  - {name: t%d, client_ids: %s, home: a}\n", i, matchers[r.IntN(len(matchers))])
		}
		p := mustParse(t, "client_ids: {pattern: \"{team}.{app}\"}\n"+fileOf("tenants:\n"+tenants))
		for _, id := range []string{"a.b", "ab.b", "a.c", "x", "b", "", "c.d", "a.b.c", "zb"} {
			if got, want := p.WhoIs(id).Tenant, p.Identify(id); got != want {
				t.Fatalf("%q: %v, Identify says %v\n%s", id, got, want, tenants)
			}
		}
	}
}
