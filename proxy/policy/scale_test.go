package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sluice/protocol"
)

var sizes = []int{1, 100, 1000}

// ownRules is a tenant with n rules, of every shape, and a few denies.
func ownRules(t testing.TB, n int) *Tenant {
	t.Helper()
	var rules []string
	for i := range n {
		glob := []string{"team%d.*", "*.team%d", "app%d.*.log", "name%d"}[i%4]
		rules = append(rules, fmt.Sprintf("{allow: [READ, WRITE], topics: [%q]}", fmt.Sprintf(glob, i)))
	}
	rules = append(rules, `{deny: [WRITE], topics: ["*.audit"]}`, `{allow: [READ, WRITE], topics: ["mine.*"]}`)
	return tenantOf(t, "", rules...)
}

// The rules of a tenant, its limits and how it is found are the same whoever else is
// in the file: nothing of others is ever looked at.
func TestOthersCostNothing(t *testing.T) {
	const name, clientID = "t0", "t0.checkout.prod"
	alone := mustParse(t, manyTenants(1))
	for _, n := range sizes {
		p := mustParse(t, manyTenants(n))
		if !reflect.DeepEqual(p.Tenant(name).rules, alone.Tenant(name).rules) || p.Tenant(name).rulesID != alone.Tenant(name).rulesID {
			t.Errorf("among %d tenants the compiled rules differ", n)
		}
		// What a lookup can try is filed under literal text of the client ID.
		tried := len(p.identity.others)
		for part, values := range p.identity.byPart {
			if part < 3 {
				tried += len(values[strings.Split(clientID, ".")[part]])
			}
		}
		p.identity.withPrefix(clientID, func(list []candidate) { tried += len(list) })
		if tried != 1 {
			t.Errorf("among %d tenants %d are tried", n, tried)
		}
		if allocs := testing.AllocsPerRun(10, func() {
			if found := p.Identify(clientID); found == nil || found.Allowed(protocol.OpWrite, protocol.Topic, "t0.audit") {
				t.Error("another decision")
			}
		}); allocs != 0 {
			t.Errorf("among %d tenants: %v allocations", n, allocs)
		}
	}
}

// Many rules of its own are looked up, not tried one by one.
func TestManyOwnRules(t *testing.T) {
	t.Parallel()
	tenant := ownRules(t, 1000)
	index := tenant.rules.tables[protocol.Topic].index
	if index == nil {
		t.Fatal("1,000 rules are not filed")
	}
	for _, name := range []string{"mine.orders", "team500.orders", "x.team501", "app502.a.log", "name503", "nobody", "team500.audit"} {
		if n := index.tried(name); n > 2 {
			t.Errorf("%s: %d globs are tried", name, n)
		}
	}
	if tenant.Allowed(protocol.OpWrite, protocol.Topic, "team500.audit") || !tenant.Allowed(protocol.OpRead, protocol.Topic, "team500.audit") || !tenant.Allowed(protocol.OpWrite, protocol.Topic, "x.team501") {
		t.Error("another decision")
	}
}

// tried is how many globs a lookup of the name tries.
func (x *globIndex) tried(name string) int {
	tried := 0
	for prefix, b := range x.byPrefix {
		for suffix, globs := range b.bySuffix {
			if len(prefix)+len(suffix) <= len(name) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
				tried += len(globs)
			}
		}
	}
	return tried
}

// Filed or tried one by one: the same decision, for globs and names of a small alphabet.
func TestGlobIndex(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, n int) string {
		b := make([]byte, rnd.IntN(n))
		for i := range b {
			b[i] = letters[rnd.IntN(len(letters))]
		}
		return string(b)
	}
	for round := range 200 {
		s := &ruleSet{}
		for range indexFrom + rnd.IntN(50) {
			r := &rule{resource: protocol.Topic, ops: operations(rnd.IntN(int(every))), deny: rnd.IntN(3) == 0}
			r.globs = []placedGlob{{glob: compileGlob(word("ab_*?", 6))}}
			s.add(r)
		}
		slow := *s
		fast := &s.tables[protocol.Topic]
		fast.index = indexGlobs(fast.globs)
		if len(fast.globs) < indexFrom {
			continue
		}
		slow.tables[protocol.Topic].index = nil
		for range 200 {
			name, op := word("ab_", 8), protocol.Operation(rnd.IntN(int(protocol.OpTwoPhaseCommit)+1))
			if got, want := s.allowed(op, protocol.Topic, name), slow.allowed(op, protocol.Topic, name); got != want {
				t.Fatalf("round %d: %s on %q is %v filed and %v tried", round, op, name, got, want)
			}
		}
	}
}

// BenchmarkIdentifyAmong finds a tenant among n.
func BenchmarkIdentifyAmong(b *testing.B) {
	for _, n := range sizes {
		p := mustParse(b, manyTenants(n))
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Identify("t0.checkout.prod") == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkAllowedAmong judges a tenant that has three rules, among n.
func BenchmarkAllowedAmong(b *testing.B) {
	for _, n := range sizes {
		tenant := mustParse(b, manyTenants(n)).Tenant("t0")
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !tenant.Allowed(protocol.OpWrite, protocol.Topic, "t0.orders.created") {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkAllowedOwn judges a tenant that has n rules.
func BenchmarkAllowedOwn(b *testing.B) {
	for _, n := range sizes {
		tenant := ownRules(b, n)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !tenant.Allowed(protocol.OpWrite, protocol.Topic, "mine.orders.created") {
					b.Fatal("denied")
				}
			}
		})
	}
}
