package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const identities = `client_ids: {pattern: "{team}.{app}.{env}", unmatched: %s}
tenants:
  - {name: prod-pay, client_ids: {team: payments, env: prod}, home: a, rules: []}
  - {name: pay, client_ids: {team: payments}, home: a, rules: []}
  - {name: tools, client_ids: ["kafka-ui", "console-*", "web.special.x"], home: a, rules: []}
  - {name: web, client_ids: {team: "web*", app: "?hop"}, home: a, rules: []}
  - {name: dev, client_ids: {env: dev}, home: a, rules: []}
  - {name: any, client_ids: {team: "*", env: "stag*"}, home: a, rules: []}
  - {name: others, home: a, rules: []}
`

func TestIdentify(t *testing.T) {
	before, _, _ := strings.Cut(fmt.Sprintf(identities, "refuse"), "  - {name: others")
	p := mustParse(t, fileOf(before))
	taking := mustParse(t, fileOf(fmt.Sprintf(identities, "others")))
	for id, want := range map[string]string{
		"payments.x.prod":      "prod-pay",
		"payments.x.dev":       "pay",
		"payments.x":           "",
		"payments.x.y.z":       "",
		"payments..y":          "",
		"Payments.x.y":         "",
		"payments.ü.y":         "",
		"kafka-ui":             "tools",
		"kafka-ui2":            "",
		"console-":             "tools",
		"console-a.b.c":        "tools",
		"web.special.x":        "tools",
		"web.special.y":        "",
		"webshop.shop.x":       "web",
		"web.chop.dev":         "web",
		"web.hop.dev":          "dev",
		"x.y.staging":          "any",
		"x.y.stag":             "any",
		"x.y.sta":              "",
		"":                     "",
		"payments.x.prod\x00":  "",
		"rdkafka":              "",
		"consumer-g-1-0a1b2c3": "",
	} {
		got := ""
		if tenant := p.Identify(id); tenant != nil {
			got = tenant.Name
		}
		if got != want {
			t.Errorf("%q is %q, want %q", id, got, want)
		}
		if want == "" {
			want = "others"
		}
		if got := taking.Identify(id); got == nil || got.Name != want {
			t.Errorf("%q is %v, want %q", id, got, want)
		}
	}
}

// The index finds what trying every tenant in order finds.
func TestIdentifyLikeInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var b strings.Builder
		b.WriteString("client_ids: {pattern: \"{x}.{y}.{z}\"}\ntenants:\n")
		for i := range 12 {
			ids := fmt.Sprintf("[%q, %q]", "a"+word(r, "ab.*?", 4), "b"+word(r, "ab.", 4))
			if r.IntN(3) > 0 {
				ids = fmt.Sprintf("{x: %q, %s: %q}", "a"+word(r, "ab*?", 2), []string{"y", "z"}[r.IntN(2)], "b"+word(r, "b", 1))
			}
			fmt.Fprintf(&b, "  - {name: t%d, client_ids: %s, home: a, rules: []}\n", i, ids)
		}
		p := mustParse(t, fileOf(b.String()))
		for range 300 {
			id := word(r, "ab", 2) + "." + word(r, "ab", 2) + "." + word(r, "ab", 2)
			var parts [maxParts]string
			split := p.pattern.split(id, &parts)
			var want *Tenant
			for _, tenant := range p.Tenants {
				for i := range tenant.matchers {
					if want == nil && tenant.matchers[i].matches(id, &parts, split) {
						want = tenant
					}
				}
			}
			if got := p.Identify(id); got != want {
				t.Fatalf("%q is %v, want %v, in\n%s", id, got, want, b.String())
			}
			// What is said to be shadowed is never found.
			if want != nil && strings.Contains(shadowed(p), " "+want.Name+" ") {
				t.Fatalf("%q finds %s, which is said to be shadowed, in\n%s", id, want.Name, b.String())
			}
		}
	}
}

// shadowed lists the tenants whose every matcher is shadowed.
func shadowed(p *Policy) string {
	names := " "
	for n, tenant := range p.Tenants {
		all := true
		for i := range tenant.matchers {
			_, hidden := p.shadow(n, &tenant.matchers[i])
			all = all && hidden
		}
		if all {
			names += tenant.Name + " "
		}
	}
	return names
}

func BenchmarkIdentify(b *testing.B) {
	p := mustParse(b, manyTenants(5000))
	b.ReportAllocs()
	for b.Loop() {
		if p.Identify("t4999.checkout.prod") == nil {
			b.Fatal("not found")
		}
	}
}
