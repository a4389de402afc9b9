package proxy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

type simEpoch struct {
	from   time.Time
	policy *simPolicy
}

type simPolicy struct {
	tenants []*simTenant
	slices  map[string]simLimits
}

type simTenant struct {
	name, home string
	reach      string // the other slice, in which its topics .far and .far2 live; "" if it is pinned
	observe    bool
	limits     simLimits
	perClient  simLimits
	denied     []string
}

type simLimits struct {
	in, out, requests float64
	burst             time.Duration
}

func (s *sim) newPolicy(r *rand.Rand) *simPolicy {
	rate := func(low, high float64) float64 { return float64(int(low + r.Float64()*r.Float64()*(high-low))) }
	limits := func(none int) simLimits {
		l := simLimits{burst: time.Duration(200+r.IntN(1500)) * time.Millisecond}
		if r.IntN(100) >= none {
			l.in = rate(100e3, 3e6)
		}
		if r.IntN(100) >= none {
			l.out = rate(200e3, 3e6)
		}
		if r.IntN(100) >= (none+100)/2 {
			l.requests = rate(50, 300)
		}
		return l
	}
	p := &simPolicy{slices: map[string]simLimits{}}
	for i := range 2 + r.IntN(3) {
		t := &simTenant{
			name: fmt.Sprint("t", i), home: s.clusters[i%2].name, observe: r.IntN(5) == 0,
			limits: limits(25), perClient: limits(70), denied: []string{"secret"},
		}
		if r.IntN(2) == 0 && !s.plain {
			t.reach = s.clusters[1-i%2].name
		}
		p.tenants = append(p.tenants, t)
	}
	for _, c := range s.clusters {
		p.slices[c.name] = limits(70)
	}
	if s.plain {
		clear(p.slices)
		for _, t := range p.tenants {
			t.perClient, t.limits.requests = simLimits{}, 0
		}
	}
	return p
}

func (p *simPolicy) changed(r *rand.Rand) *simPolicy {
	change := func(rate float64) float64 {
		switch r.IntN(5) {
		case 0:
			return rate
		case 1:
			return 0
		}
		return float64(int(max(rate, 100e3) * (0.4 + 2*r.Float64())))
	}
	next := &simPolicy{slices: p.slices}
	for _, t := range p.tenants {
		c := *t
		c.limits.in, c.limits.out = change(t.limits.in), change(t.limits.out)
		c.perClient.in = change(t.perClient.in)
		c.denied = pick(r, []string{"secret"}, []string{"secret", "b"}, []string{"a"})
		next.tenants = append(next.tenants, &c)
	}
	return next
}

func (l simLimits) yaml() string {
	if l == (simLimits{}) {
		return "{}"
	}
	all := []string{"burst: " + l.burst.String()}
	for name, rate := range map[string]float64{"producer_byte_rate": l.in, "consumer_byte_rate": l.out, "request_rate": l.requests} {
		if rate > 0 {
			all = append(all, fmt.Sprintf("%s: %.0f", name, rate))
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func (s *sim) write(p *simPolicy) {
	var b strings.Builder
	b.WriteString("admin: {address: 127.0.0.1:9644}\nclient_ids: {pattern: \"{team}.{app}\", unmatched: refuse}\nslices:\n")
	for _, c := range s.clusters {
		fmt.Fprintf(&b, "  - {name: %s, slot: %d, bootstrap_servers: [%s, %s], limits: %s}\n",
			c.name, c.slot, c.brokers[0].address(), c.brokers[1].address(), p.slices[c.name].yaml())
	}
	fmt.Fprintf(&b, "listeners:\n  - name: edge\n    address: %s\n    advertised_host: 127.0.0.1\n    broker_ports:\n", simBootstrap)
	for i, c := range s.clusters {
		fmt.Fprintf(&b, "      %s: {nodes: 1-3, ports: %d-%d}\n", c.name, 9100+10*i, 9102+10*i)
	}
	var routes strings.Builder
	b.WriteString("tenants:\n")
	for _, t := range p.tenants {
		mode := "enforce"
		if t.observe {
			mode = "observe"
		}
		var denied []string
		for _, d := range t.denied {
			denied = append(denied, t.name+"."+d)
		}
		fmt.Fprintf(&b, "  - name: %s\n    home: %s\n    enforcement: %s\n    client_ids: {team: %s}\n    limits: %s\n    limits_per_client_id: %s\n",
			t.name, t.home, mode, t.name, t.limits.yaml(), t.perClient.yaml())
		if t.reach != "" {
			fmt.Fprintf(&b, "    reach: [%s]\n", t.reach)
			fmt.Fprintf(&routes, "  - {topics: [%s.far, \"%s.far?\"], slice: %s}\n", t.name, t.name, t.reach)
		}
		fmt.Fprintf(&b, "    rules: [{allow: [READ, WRITE], topics: [\"%s.*\"]}, {allow: [READ], groups: [\"%s.*\"]}, {deny: [READ, WRITE], topics: [%s]}]\n",
			t.name, t.name, strings.Join(denied, ", "))
	}
	if routes.Len() > 0 {
		b.WriteString("routes:\n" + routes.String())
	}
	if err := os.WriteFile(s.path, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// owner is the slice in which a topic of the tenant lives.
func (t *simTenant) owner(topic string) string {
	if strings.HasPrefix(topic, t.name+".far") && t.reach != "" {
		return t.reach
	}
	return t.home
}

func (p *simPolicy) tenant(name string) *simTenant {
	for _, t := range p.tenants {
		if t.name == name {
			return t
		}
	}
	return nil
}
