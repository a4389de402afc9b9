package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"sluice/protocol"
)

// routeKeys are the fields of a route that say what it leads, in the order in which
// texts have them.
var routeKeys = []string{"topics", "groups", "transactional_ids"}

// route says which names live in a slice other than their tenant's home.
type route struct {
	slice *Slice
	globs map[protocol.Resource][]placedGlob
	at    pos
}

// String is the route in the file's syntax.
func (r *route) String() string {
	var parts []string
	for _, key := range routeKeys {
		if globs := r.globs[resourceOf[key]]; globs != nil {
			texts := make([]string, len(globs))
			for i, g := range globs {
				texts[i] = fmt.Sprintf("%q", g.text)
			}
			parts = append(parts, key+": ["+strings.Join(texts, ", ")+"]")
		}
	}
	return "{" + strings.Join(append(parts, "slice: "+r.slice.Name), ", ") + "}"
}

// Spans reports whether the tenant's names may live in several slices.
func (t *Tenant) Spans() bool { return len(t.slices) > 1 }

// Slices are those that the tenant's names may live in, its home first, the others in
// the order of the file.
func (t *Tenant) Slices() []*Slice { return t.slices }

// Reaches reports whether names of the tenant may live in the slice of that name.
func (t *Tenant) Reaches(name string) bool {
	return slices.ContainsFunc(t.slices, func(s *Slice) bool { return s.Name == name })
}

// Owner is the slice in which a topic, group or transactional id of the tenant lives:
// that of the first route that leads there, else the home. Routes to slices that the
// tenant does not reach are as if they were not there. Wildcards do not reach names
// that begin with "__". The cluster resource belongs to the home.
func (t *Tenant) Owner(r protocol.Resource, name string) *Slice {
	if len(t.routes) == 0 || int(r) >= len(t.routing) {
		return t.Home
	}
	if i := t.routing[r].first(name, len(t.routes)); i < len(t.routes) {
		return t.routes[i].slice
	}
	return t.Home
}

// RoutesID names where the tenant's names live: it is the same in two snapshots exactly
// when its slices, by name, and the routes that lead it are.
func (t *Tenant) RoutesID() string { return t.routesID }

// RouteMatch is the route that leads a name.
type RouteMatch struct {
	// Line and Column are where the route stands in Policy.File, from 1.
	Line, Column int
	// Text is the route in the file's syntax.
	Text string
	// Glob is the first of its globs that matches.
	Glob string
	// Applies is false where the tenant does not reach the route's slice, so that it
	// is passed over.
	Applies bool
}

// Routes are the routes whose globs match a name, in order, as far as the first that
// applies to the tenant: that one leads it.
func (p *Policy) Routes(t *Tenant, r protocol.Resource, name string) []RouteMatch {
	var matches []RouteMatch
	for _, way := range p.routes {
		for _, g := range way.globs[r] {
			if !g.matchName(name) {
				continue
			}
			m := RouteMatch{g.at.line, g.at.column, way.String(), g.text, slices.Contains(t.slices, way.slice)}
			if matches = append(matches, m); m.Applies {
				return matches
			}
			break
		}
	}
	return matches
}

// routing finds the first of a tenant's routes that leads a name.
type routing struct {
	exact    map[string]int
	byPrefix map[string][]orderedGlob
	lengths  []int // of the prefixes, ascending
}

type orderedGlob struct {
	glob
	order int // of the route
}

// first is the index of the first route that matches the name, or none.
func (x *routing) first(name string, none int) int {
	best := none
	if i, ok := x.exact[name]; ok {
		best = i
	}
	for _, n := range x.lengths {
		if n > len(name) {
			break
		}
		for _, g := range x.byPrefix[name[:n]] {
			if g.order >= best {
				break
			}
			if g.matchName(name) {
				best = g.order
				break
			}
		}
	}
	return best
}

// add files the globs of the route that comes next.
func (x *routing) add(globs []placedGlob, order int) {
	for _, g := range globs {
		if g.exact() {
			if x.exact == nil {
				x.exact = make(map[string]int)
			}
			if _, taken := x.exact[g.text]; !taken {
				x.exact[g.text] = order
			}
			continue
		}
		if x.byPrefix == nil {
			x.byPrefix = make(map[string][]orderedGlob)
		}
		x.byPrefix[g.prefix] = append(x.byPrefix[g.prefix], orderedGlob{g.glob, order})
		x.lengths = withLength(x.lengths, len(g.prefix))
	}
}

// route gives the tenant the routes that lead it.
func (t *Tenant) route(all []*route) {
	var id strings.Builder
	for _, s := range t.slices {
		fmt.Fprintf(&id, "%s\n", s.Name)
	}
	if t.Spans() {
		for _, r := range all {
			if !slices.Contains(t.slices, r.slice) {
				continue
			}
			for _, key := range routeKeys {
				t.routing[resourceOf[key]].add(r.globs[resourceOf[key]], len(t.routes))
			}
			t.routes = append(t.routes, r)
			fmt.Fprintf(&id, "%s\n", r)
		}
	}
	sum := sha256.Sum256([]byte(id.String()))
	t.routesID = hex.EncodeToString(sum[:8])
}

// reach reads the further slices of a tenant.
func (c *compiler) reach(o *object, t *Tenant) {
	if t.Home != nil {
		t.slices = []*Slice{t.Home}
	}
	seen := make(map[string]bool)
	for _, item := range c.list(o.get("reach"), "reach") {
		name, ok := scalar(&c.reporter, item, "reach", parseText)
		if !ok {
			continue
		}
		switch s := c.slice(item, "reach", name); {
		case s != nil && s == t.Home:
			c.errorf(item.at, "reach: %s is the tenant's home already", name)
		case seen[name]:
			c.errorf(item.at, "reach: %s is given twice", name)
		case s != nil:
			t.slices = append(t.slices, s)
			t.reachAt = append(t.reachAt, item.at)
		}
		seen[name] = true
	}
}

// readRoutes reads the routes and gives each tenant those that lead it.
func (c *compiler) readRoutes(file *object) {
	for _, item := range c.list(file.get("routes"), "routes") {
		o := c.object(item, "a route", append([]string{"slice"}, routeKeys...)...)
		if item.kind != mappingKind {
			continue
		}
		r := &route{at: item.at, globs: make(map[protocol.Resource][]placedGlob)}
		for _, key := range routeKeys {
			if o.get(key) != nil {
				r.globs[resourceOf[key]] = c.globs(o, "a route", key, resourceOf[key])
			}
		}
		if len(r.globs) == 0 {
			c.missing(o, item.at, "a route needs topics, groups or transactional_ids: a list of globs, as topics: [\"clicks.*\"]")
		}
		if name, ok := required(&c.reporter, o, "a route", "slice", parseText); ok {
			r.slice = c.slice(o.get("slice"), "slice", name)
		}
		if r.slice != nil {
			c.policy.routes = append(c.policy.routes, r)
		}
	}
	for _, t := range c.policy.Tenants {
		t.route(c.policy.routes)
	}
}

// warnRoutes reports routes that lead nobody, or nothing that is left for them, and
// slices that a tenant reaches for nothing.
func (c *compiler) warnRoutes() {
	for n, r := range c.policy.routes {
		led := c.led(r.slice)
		if led == nil {
			c.warnf(r.at, "the route to %s leads nobody: no tenant has it in its reach", r.slice.Name)
			continue
		}
		for _, key := range routeKeys {
			for _, g := range r.globs[resourceOf[key]] {
				if by := c.shadowing(n, resourceOf[key], g, led); by != nil {
					c.warnf(g.at, "%s: %q is never asked here: the route at line %d takes all its names to %s first", key, g.text, by.at.line, by.slice.Name)
				}
			}
		}
	}
	for _, t := range c.policy.Tenants {
		for i, s := range t.slices[1:] {
			if !slices.ContainsFunc(t.routes, func(r *route) bool { return r.slice == s }) {
				c.warnf(t.reachAt[i], "reach: no route leads to %s, so that tenant %s has nothing there", s.Name, t.Name)
			}
		}
	}
}

// led are the spanning tenants that a route to the slice leads.
func (c *compiler) led(s *Slice) []*Tenant {
	var led []*Tenant
	for _, t := range c.policy.Tenants {
		if t.Spans() && slices.Contains(t.slices, s) {
			led = append(led, t)
		}
	}
	return led
}

// shadowing is a route before the nth that takes all names of a glob for all tenants
// that the nth leads; nil if none is known.
func (c *compiler) shadowing(n int, res protocol.Resource, g placedGlob, led []*Tenant) *route {
	for _, earlier := range c.policy.routes[:n] {
		if !slices.ContainsFunc(earlier.globs[res], func(wide placedGlob) bool { return wide.coversNames(g.glob) }) {
			continue
		}
		if !slices.ContainsFunc(led, func(t *Tenant) bool { return !slices.Contains(t.slices, earlier.slice) }) {
			return earlier
		}
	}
	return nil
}

// compareRoutes says which routes have come and gone.
func (d *differ) compareRoutes() {
	texts := func(p *Policy) (all []string) {
		for _, r := range p.routes {
			all = append(all, r.String())
		}
		return all
	}
	was, is := texts(d.old), texts(d.p)
	changed := false
	for _, text := range was {
		if !slices.Contains(is, text) {
			d.add("routes", "%s is gone", text)
			changed = true
		}
	}
	for _, text := range is {
		if !slices.Contains(was, text) {
			d.add("routes", "%s is new: topics and offsets do not move", text)
			changed = true
		}
	}
	if !changed && !slices.Equal(was, is) {
		d.add("routes", "their order has changed; the first that matches leads a name")
	}
}

// compareSlicesOf says which slices a tenant reaches now, or does not reach any more.
func (d *differ) compareSlicesOf(was, is *Tenant) {
	if was.Home.Name != is.Home.Name {
		d.tenant(is.Name, "home is %s, was %s: its clients are sent there; topics and offsets do not move", is.Home.Name, was.Home.Name)
	}
	for _, s := range is.slices[1:] {
		if !was.Reaches(s.Name) {
			d.tenant(is.Name, "reaches slice %s now, as far as routes lead there", s.Name)
		}
	}
	for _, s := range was.slices {
		if !is.Reaches(s.Name) && (was.Spans() || is.Spans()) {
			d.tenant(is.Name, "no longer reaches slice %s: what lived there is looked for elsewhere", s.Name)
		}
	}
}
