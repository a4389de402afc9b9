package policy

import (
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"sluice/protocol"
)

// testdata/diff has a file, what became of it, and what that changes.
func TestChangesGolden(t *testing.T) {
	old, problems := Load("testdata/diff/old.yaml")
	if old == nil {
		t.Fatal(problems)
	}
	p, problems := Load("testdata/diff/new.yaml")
	if p == nil {
		t.Fatal(problems)
	}
	want, err := os.ReadFile("testdata/diff/changes.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Changes(old), "\n") + "\n"; got != string(want) {
		t.Errorf("got:\n%s", got)
	}
	for _, same := range []*Policy{old, p} {
		if lines := same.Changes(same); lines != nil {
			t.Errorf("over itself: %q", lines)
		}
	}
}

// changed compiles two files that differ in their tenants, and compares them.
func changed(t *testing.T, old, p string) []string {
	t.Helper()
	const head = "client_ids: {pattern: \"{team}.{app}\"}\n"
	return mustParse(t, head+fileOf("tenants:\n"+p)).Changes(mustParse(t, head+fileOf("tenants:\n"+old)))
}

func TestChanges(t *testing.T) {
	tenant := func(name, ids, rules string) string {
		return "  - {name: " + name + ", client_ids: " + ids + ", home: a, rules: [" + rules + "]}\n"
	}
	one := func(rules string) string { return tenant("t", "{team: t}", rules) }
	x, y := tenant("x", "{team: a}", ""), tenant("y", "{app: b}", "")
	for _, c := range []struct {
		name, old, p string
		want         []string
	}{
		{"nothing", x + y, x + y, nil},
		{"order", x + y, y + x, []string{"tenant y: client IDs {team: a, app: b} belong to it now, and were of tenant x"}},
		{"split off", tenant("x", `["a-*"]`, ""), tenant("z", `["a-b*"]`, "") + tenant("x", `["a-*"]`, ""), []string{
			"tenant z: new, in slice a, enforced", `tenant z: client IDs "a-b*" belong to it now, and were of tenant x`,
		}},
		{"refused", tenant("x", `["a-*", b]`, ""), tenant("x", `["a-*"]`, ""), []string{`tenant x: client IDs "b" no longer belong to it, and are refused`}},
		{"no longer refused", tenant("x", `[b]`, ""), tenant("x", `["a-*", b]`, ""), []string{`tenant x: client IDs "a-*" belong to it now, and were refused`}},
		{"renamed", x, tenant("z", "{team: a}", ""), []string{"tenant z: was named x: its metrics and buckets begin anew"}},
		{"same rules", one(`{allow: [READ], topics: [a, b]}`), one(`{allow: [READ], topics: [b]}, {allow: [READ], topics: [a]}`), nil},
		{"same effect", one(`{allow: [READ], topics: ["a*"]}`), one(`{allow: [READ], topics: ["a*", "ab"]}`), []string{"tenant t: rules are written otherwise, to the same effect"}},
		{
			"a deny", one(`{allow: [READ, WRITE], topics: ["a.*"]}`), one(`{allow: [READ, WRITE], topics: ["a.*"]}, {deny: [WRITE], topics: [a.b]}`),
			[]string{"tenant t: may no longer WRITE topic a.b"},
		},
		{
			"a deny across", one(`{allow: [READ, WRITE], topics: ["a.*"]}`), one(`{allow: [READ, WRITE], topics: ["a.*"]}, {deny: [WRITE], topics: ["*.b"]}`),
			[]string{`tenant t: may no longer WRITE topics "*.b"`},
		},
		{
			"a deny less", one(`{allow: [READ, WRITE], topics: ["a.*"]}, {deny: [WRITE], topics: ["*.b"]}`), one(`{allow: [READ, WRITE], topics: ["a.*"]}`),
			[]string{`tenant t: may now WRITE topics "*.b"`},
		},
		{
			"narrower", one(`{allow: [ALL], groups: ["*"]}`), one(`{allow: [READ], groups: ["g.*"]}`),
			[]string{`tenant t: may no longer do ALL on groups "*"`},
		},
		{
			"implied", one(`{allow: [DESCRIBE], topics: [a]}`), one(`{allow: [WRITE], topics: [a]}, {allow: [ALTER_CONFIGS], topics: [b]}`),
			[]string{"tenant t: may now WRITE topic a", "tenant t: may now ALTER_CONFIGS topic b"},
		},
		{"everything", one(`{allow: [READ], topics: [a]}`), one(`{allow: [ALL], everything: true}`), []string{"tenant t: may now do ALL on everything"}},
		{
			"the cluster", one(`{allow: [ALL], cluster: true}`), one(`{allow: [DESCRIBE], cluster: true}`),
			[]string{"tenant t: may no longer CREATE, ALTER, CLUSTER_ACTION, ALTER_CONFIGS, IDEMPOTENT_WRITE the cluster"},
		},
		{"gone", x + y, y, []string{"tenant x: client IDs {team: a} no longer belong to it, and are refused", "tenant x: gone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := changed(t, c.old, c.p)
			if c.name == "gone" { // both lines are about x; the order is not the point
				if len(got) != 2 {
					t.Errorf("%q", got)
				}
				return
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

// Where a comparison says that nothing has changed, nothing has.
func TestNoChangeIsMissed(t *testing.T) {
	names := []string{"a", "a.b", "a.x", "b", "__x", "__y", "_z", "axb", "aab"}
	silent, told := 0, 0
	for seed := range uint64(1200) {
		r := rand.New(rand.NewPCG(seed, 6))
		rules := randomRules(r, 1+r.IntN(4))
		was := tenantOf(t, "", rules...)
		rules[r.IntN(len(rules))] = randomRules(r, 1)[0]
		is := tenantOf(t, "", rules...)
		if lines := ruleChanges(was, is); lines != nil && !strings.Contains(lines[0], "same effect") {
			told++
			continue
		}
		silent++
		for _, res := range resources {
			for op := protocol.OpRead; op <= protocol.OpTwoPhaseCommit; op++ {
				for _, name := range names {
					if supported[res]&bit(op) != 0 && was.Allowed(op, res, name) != is.Allowed(op, res, name) {
						t.Fatalf("%s %s %q goes to %t unsaid\nrules %v", op, res, name, is.Allowed(op, res, name), rules)
					}
				}
			}
		}
	}
	if silent < 30 || told < 400 {
		t.Errorf("%d silent, %d told", silent, told)
	}
}
