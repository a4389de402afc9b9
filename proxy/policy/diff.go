package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Changes says in words what p changes over old, and for whom: one line each, first
// what concerns all, then tenant by tenant, in the order of their names. What a
// running process cannot apply is among them; CheckReload says which that is.
func (p *Policy) Changes(old *Policy) []string {
	d := &differ{old: old, p: p, renamed: renamed(old, p)}
	d.compareClientIDs()
	d.compareSlices()
	d.compareListeners()
	d.compareRoutes()
	general := d.lines
	d.lines = nil
	for _, t := range p.Tenants {
		d.compareTenant(d.before(t), t)
	}
	for _, t := range old.Tenants {
		if d.after(t) == nil {
			d.tenant(t.Name, "gone")
		}
	}
	d.compareOwners()
	slices.SortStableFunc(d.lines, func(a, b change) int { return strings.Compare(a.about, b.about) })
	var lines []string
	for _, c := range append(general, d.lines...) {
		lines = append(lines, c.about+": "+c.text)
	}
	return slices.Compact(lines)
}

// change is one line.
type change struct{ about, text string }

type differ struct {
	old, p  *Policy
	renamed map[string]string // the new name of a tenant, by its old one
	lines   []change
}

func (d *differ) add(about, format string, args ...any) {
	d.lines = append(d.lines, change{about, fmt.Sprintf(format, args...)})
}

func (d *differ) tenant(name, format string, args ...any) { d.add("tenant "+name, format, args...) }

// renamed finds the tenants that have another name and the same client IDs.
func renamed(old, p *Policy) map[string]string {
	gone := make(map[string]string)
	for _, t := range old.Tenants {
		if p.Tenant(t.Name) == nil && len(t.matchers) > 0 {
			gone[t.clientIDs(old)] = t.Name
		}
	}
	names := make(map[string]string)
	for _, t := range p.Tenants {
		if was, ok := gone[t.clientIDs(p)]; ok && old.Tenant(t.Name) == nil {
			names[was] = t.Name
			delete(gone, t.clientIDs(p))
		}
	}
	return names
}

// before is what a tenant was, nil if it is new.
func (d *differ) before(t *Tenant) *Tenant {
	for was, is := range d.renamed {
		if is == t.Name {
			return d.old.Tenant(was)
		}
	}
	return d.old.Tenant(t.Name)
}

// after is what a tenant of old has become, nil if it is gone.
func (d *differ) after(t *Tenant) *Tenant {
	if is, ok := d.renamed[t.Name]; ok {
		return d.p.Tenant(is)
	}
	return d.p.Tenant(t.Name)
}

// clientIDs is the tenant's client_ids in the file's syntax.
func (t *Tenant) clientIDs(p *Policy) string {
	texts := make([]string, len(t.matchers))
	for i := range t.matchers {
		texts[i] = t.matchers[i].describe(p.pattern)
	}
	return strings.Join(texts, ", ")
}

func (d *differ) compareTenant(was, is *Tenant) {
	name := is.Name
	if was == nil {
		how := "enforced"
		if is.Observe {
			how = "only observed"
		}
		d.tenant(name, "new, in slice %s, %s", is.Home.Name, how)
		was = &Tenant{Home: is.Home, slices: is.slices[:1], Observe: is.Observe, rules: compileRules(), Limits: Limits{Burst: defaultBurst}, LimitsPerClientID: Limits{Burst: defaultBurst}}
	} else if was.Name != name {
		d.tenant(name, "was named %s: its metrics and buckets begin anew", was.Name)
	}
	d.compareSlicesOf(was, is)
	switch {
	case is.Observe && !was.Observe:
		d.tenant(name, "is only observed now, was enforced")
	case was.Observe && !is.Observe:
		d.tenant(name, "is enforced now, was only observed")
	}
	d.compareLimits("tenant "+name, "", was.Limits, is.Limits)
	d.compareLimits("tenant "+name, "each client ID's ", was.LimitsPerClientID, is.LimitsPerClientID)
	d.compareTenantIdentity(name, was, is)
	for _, text := range ruleChanges(was, is) {
		d.tenant(name, "%s", text)
	}
}

func (d *differ) compareLimits(about, whose string, was, is Limits) {
	value := func(l Limits, i Limit) float64 {
		if i == connectionsLimit {
			return float64(l.Connections)
		}
		return l.Rates[i]
	}
	limited := false
	for l := Limit(0); l <= connectionsLimit; l++ {
		before, now := value(was, l), value(is, l)
		limited = limited || l != connectionsLimit && before > 0 && now > 0
		switch {
		case before == now:
		case before == 0:
			d.add(about, "%s%s is new: %s", whose, l, l.Format(now))
		case now == 0:
			d.add(about, "%s%s is lifted, was %s", whose, l, l.Format(before))
		default:
			d.add(about, "%s%s goes %s to %s, from %s", whose, l, direction(before, now), l.Format(now), l.Format(before))
		}
	}
	if limited && was.Burst != is.Burst {
		d.add(about, "%sburst goes %s to %s, from %s", whose, direction(was.Burst, is.Burst), formatDuration(is.Burst), formatDuration(was.Burst))
	}
}

func direction[N float64 | time.Duration](before, now N) string {
	if now > before {
		return "up"
	}
	return "down"
}

func (d *differ) compareClientIDs() {
	if is, was := d.p.PatternText(), d.old.PatternText(); is != was {
		d.add("client IDs", "the pattern is %q, was %q", is, was)
	}
	if is, was := d.p.IdentifyBy, d.old.IdentifyBy; is != was {
		d.add("client IDs", "tenants are found by %s, before by %s", is, was)
	}
	taker := func(t *Tenant, names map[string]string) string {
		if t == nil {
			return "nobody (refused)"
		}
		return "tenant " + cmp.Or(names[t.Name], t.Name)
	}
	if is, was := taker(d.p.Unmatched, nil), taker(d.old.Unmatched, d.renamed); is != was {
		d.add("client IDs", "those that no tenant matches belong to %s; before, to %s", is, was)
	}
}

func (d *differ) compareSlices() {
	for _, s := range d.p.Slices {
		about := "slice " + s.Name
		was := d.old.Slice(s.Name)
		if was == nil {
			d.add(about, "new, with slot %d", s.Slot)
			continue
		}
		if was.Slot != s.Slot {
			d.add(about, "slot is %d, was %d", s.Slot, was.Slot)
		}
		if !slices.Equal(was.BootstrapServers, s.BootstrapServers) {
			d.add(about, "bootstrap_servers are [%s], were [%s]", strings.Join(s.BootstrapServers, ", "), strings.Join(was.BootstrapServers, ", "))
		}
		d.compareLimits(about, "", was.Limits, s.Limits)
		d.compareSliceSecurity(about, was, s)
	}
	for _, s := range d.old.Slices {
		if d.p.Slice(s.Name) == nil {
			d.add("slice "+s.Name, "gone")
		}
	}
}

func (d *differ) compareListeners() {
	for _, l := range d.p.Listeners {
		about := "listener " + l.Name
		was := d.old.Listener(l.Name)
		if was == nil {
			d.add(about, "new, at %s", l.Address)
			continue
		}
		if was.Address != l.Address {
			d.add(about, "address is %s, was %s", l.Address, was.Address)
		}
		if is, before := l.advertised(), was.advertised(); is != before {
			d.add(about, "clients are told %s, were told %s", is, before)
		}
		d.compareListenerSecurity(about, was, l)
		for _, name := range slices.Sorted(maps.Keys(l.BrokerPorts)) {
			is := l.BrokerPorts[name]
			switch before, ok := was.BrokerPorts[name]; {
			case !ok:
				d.add(about, "serves slice %s now: %s", name, is)
			case is != before:
				d.add(about, "slice %s has %s, had %s", name, is, before)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(was.BrokerPorts)) {
			if _, ok := l.BrokerPorts[name]; !ok {
				d.add(about, "no longer serves slice %s", name)
			}
		}
	}
	for _, l := range d.old.Listeners {
		if d.p.Listener(l.Name) == nil {
			d.add("listener "+l.Name, "gone")
		}
	}
}

func (l *Listener) advertised() string {
	return fmt.Sprintf("%s:%d", l.AdvertisedHost, l.AdvertisedPort)
}

// String is the range in words.
func (r PortRange) String() string {
	more := int(r.LastNode - r.FirstNode)
	s := fmt.Sprintf("nodes %v at ports %v", span{int(r.FirstNode), int(r.LastNode)}, span{r.FirstPort, r.FirstPort + more})
	if r.AdvertisedFirstPort != r.FirstPort {
		s += fmt.Sprintf(" (advertised %v)", span{r.AdvertisedFirstPort, r.AdvertisedFirstPort + more})
	}
	return s
}
