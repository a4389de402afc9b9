package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/protocol"
)

// defaults is what each tenant starts from.
type defaults struct {
	observe             bool
	limits, perClientID limitSettings
	rules               []*rule
}

// tenantSource keeps what the warnings need to know of a tenant as written.
type tenantSource struct {
	tenant              *Tenant
	rulesAt             pos
	rules               []*rule
	limits, perClientID limitSettings
}

func (c *compiler) readDefaults(n *node) {
	o := c.object(n, "defaults", "enforcement", "limits", "limits_per_client_id", "rules")
	set(&c.reporter, o.get("enforcement"), "enforcement", parseEnforcement, &c.defaults.observe)
	c.defaults.limits = c.limits(o.get("limits"), "limits")
	c.defaults.perClientID = c.limits(o.get("limits_per_client_id"), "limits_per_client_id")
	c.defaults.rules = c.rules(o.get("rules"))
}

// parseEnforcement reads enforce or observe; true is observe.
func parseEnforcement(s string) (bool, error) {
	switch s {
	case "enforce", "observe":
		return s == "observe", nil
	}
	return false, fmt.Errorf("must be enforce or observe, not %q", s)
}

func (c *compiler) readTenants(file *object, unmatched *node) {
	items := c.list(file.get("tenants"), "tenants")
	if n := file.get("tenants"); n == nil || n.empty() {
		c.missing(file, file.place("tenants"), "no tenants: every client would be refused")
		c.tenantsUnsure = true
	}
	for _, item := range items {
		if item.kind == badKind {
			c.tenantsUnsure = true
			continue
		}
		c.tenant(item, unmatched)
	}
	if unmatched == nil {
		return
	}
	c.policy.Unmatched = c.tenants[unmatched.text]
	if c.policy.Unmatched == nil && !c.tenantsUnsure {
		known := append(slices.Sorted(maps.Keys(c.tenants)), "refuse")
		c.errorf(unmatched.at, "unmatched: unknown tenant %q%s", unmatched.text, suggest(unmatched.text, known))
	}
}

func (c *compiler) tenant(item *node, unmatched *node) {
	r := &c.reporter
	o := c.object(item, "a tenant", "name", "client_ids", "principals", "networks", "home", "reach", "enforcement",
		"limits", "limits_per_client_id", "rules")
	if item.kind == scalarKind || item.kind == listKind {
		c.tenantsUnsure = true
		return
	}
	t := &Tenant{at: o.place("name"), Observe: c.defaults.observe}
	if name, ok := required(r, o, "a tenant", "name", parseName); ok {
		t.Name, t.at = name, o.get("name").at
		c.nameTenant(t)
	} else {
		c.tenantsUnsure = true
	}
	t.matchers = c.matchers(o, unmatched != nil && unmatched.text == t.Name && t.Name != "")
	t.Home = c.home(o)
	c.reach(o, t)
	t.principals, t.networks = c.principals(o), c.networks(o, "networks")
	c.places[t] = o
	set(r, o.get("enforcement"), "enforcement", parseEnforcement, &t.Observe)
	s := &tenantSource{
		tenant: t, rulesAt: o.place("rules"), rules: c.rules(o.get("rules")),
		limits:      c.limits(o.get("limits"), "limits").over(c.defaults.limits),
		perClientID: c.limits(o.get("limits_per_client_id"), "limits_per_client_id").over(c.defaults.perClientID),
	}
	if o.get("rules") == nil {
		s.rulesAt = t.at
	}
	t.Limits, t.LimitsPerClientID = s.limits.compile(), s.perClientID.compile()
	t.defaultRules, t.ownRules = c.defaults.rules, s.rules
	t.rules = compileRules(c.defaults.rules, s.rules)
	t.rulesID = t.rules.id(t.Observe)
	c.policy.Tenants = append(c.policy.Tenants, t)
	c.sources = append(c.sources, s)
}

func (c *compiler) nameTenant(t *Tenant) {
	if t.Name == "unmatched" || t.Name == "refuse" {
		c.errorf(t.at, "a tenant cannot be named %s: the word has a meaning of its own", t.Name)
	}
	if first, twice := c.tenants[t.Name]; twice {
		c.errorf(t.at, "tenant %s is defined twice, first at line %d", t.Name, first.at.line)
		return
	}
	c.tenants[t.Name] = t
}

func (c *compiler) home(o *object) *Slice {
	name, ok := required(&c.reporter, o, "a tenant", "home", parseText)
	if !ok {
		return nil
	}
	return c.slice(o.get("home"), "home", name)
}

// slice looks a name up and reports it if there is no such slice.
func (c *compiler) slice(n *node, what, name string) *Slice {
	s := c.slices[name]
	if s == nil && !c.slicesUnsure {
		c.errorf(n.at, "%s: unknown slice %q%s", what, name, suggest(name, slices.Sorted(maps.Keys(c.slices))))
	}
	return s
}

// matchers reads a tenant's client_ids.
func (c *compiler) matchers(o *object, takesUnmatched bool) []matcher {
	n := o.get("client_ids")
	if n == nil {
		if !takesUnmatched && c.policy.IdentifyBy != ByPrincipal {
			c.missing(o, o.at, `a tenant needs client_ids: named parts as {team: payments}, or a list of globs as ["payments-*"]`)
		}
		return nil
	}
	switch n.kind {
	case mappingKind:
		if len(n.pairs) > 0 {
			return c.namedParts(c.object(n, "client_ids"))
		}
	case scalarKind:
		c.errorf(n.at, `client_ids must be named parts as {team: payments}, or a list of globs as [%q]`, n.text)
		return nil
	case badKind:
		return nil
	case nullKind, listKind:
	}
	if n.kind == mappingKind || n.empty() {
		c.errorf(o.place("client_ids"), "client_ids is empty: no client ID can reach the tenant")
		return nil
	}
	var matchers []matcher
	for _, item := range n.items {
		if text, ok := scalar(&c.reporter, item, "client_ids", parseText); ok {
			matchers = append(matchers, matcher{whole: compileGlob(text)})
		}
	}
	return matchers
}

func (c *compiler) namedParts(o *object) []matcher {
	p := c.policy.pattern
	if p == nil {
		if !c.patternBroken {
			c.errorf(o.at, "client_ids names parts, but the file has no client_ids.pattern to say where they stand")
		}
		return nil
	}
	m := matcher{parts: []partGlob{}}
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		f := o.fields[name]
		i := p.index(name)
		if i < 0 {
			c.errorf(f.key, "client_ids: the pattern %q has no part %q%s", p.text, name, suggest(name, p.names()))
		}
		text, ok := scalar(&c.reporter, f.value, name, parseText)
		if !ok || i < 0 {
			continue
		}
		g := compileGlob(text)
		if why := p.impossible(i, g); why != "" {
			c.errorf(f.value.at, "%s: no client ID can match %q: %s", name, text, why)
		}
		if g.text != "*" {
			m.parts = append(m.parts, partGlob{i, g})
		}
	}
	return []matcher{m}
}

// rules reads a list of rules. A rule with a mistake is reported and left out.
func (c *compiler) rules(n *node) []*rule {
	var rules []*rule
	for _, item := range c.list(n, "rules") {
		if r := c.rule(item); r != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// resourceKeys are the fields of a rule that say what it is about.
var resourceKeys = []string{"topics", "groups", "transactional_ids", "cluster", "everything"}

var resourceOf = map[string]protocol.Resource{
	"topics": protocol.Topic, "groups": protocol.Group, "transactional_ids": protocol.TransactionalID, "cluster": protocol.Cluster,
}

func (c *compiler) rule(item *node) *rule {
	before := len(c.problems)
	o := c.object(item, "a rule", append([]string{"allow", "deny"}, resourceKeys...)...)
	if item.kind != mappingKind {
		if item.kind == nullKind {
			c.errorf(item.at, "a rule needs allow or deny, and a resource")
		}
		return nil
	}
	r := &rule{at: item.at}
	action := "allow"
	switch allow, deny := o.get("allow"), o.get("deny"); {
	case allow != nil && deny != nil:
		c.errorf(o.place("deny"), "a rule has allow or deny, not both: make it two rules")
	case deny != nil:
		action, r.deny = "deny", true
	case allow == nil:
		c.missing(o, item.at, "a rule needs allow or deny, with a list of operations")
		action = ""
	}
	var given []string
	for _, key := range resourceKeys {
		if o.get(key) != nil {
			given = append(given, key)
		}
	}
	resource := ""
	switch len(given) {
	case 1:
		resource = given[0]
		c.ruleResource(r, o, resource)
	case 0:
		c.missing(o, item.at, "a rule needs a resource: one of %s", strings.Join(resourceKeys, ", "))
	default:
		c.errorf(o.place(given[1]), "a rule has one resource, this one has %s: make it %d rules", strings.Join(given, " and "), len(given))
	}
	if action != "" {
		r.ops = c.operations(o, action, resource)
	}
	if c.problems[before:].Failed() {
		return nil
	}
	return r
}

func (c *compiler) ruleResource(r *rule, o *object, key string) {
	switch key {
	case "cluster", "everything":
		r.resource, r.everything = resourceOf[key], key == "everything"
		if yes, ok := scalar(&c.reporter, o.get(key), key, parseBool); ok && !yes {
			c.errorf(o.get(key).at, "%s: write true, or leave the rule out", key)
		}
	default:
		r.resource = resourceOf[key]
		r.globs = c.globs(o, "a rule", key, r.resource)
	}
}

// operations reads the operations of a rule and checks that they make sense on its
// resource, if that is known.
func (c *compiler) operations(o *object, action, resource string) operations {
	n := o.get(action)
	var ops operations
	for _, item := range c.list(n, action) {
		word, ok := scalar(&c.reporter, item, action, parseText)
		if !ok {
			continue
		}
		op, ok := protocol.ParseOperation(word)
		if !ok {
			c.errorf(item.at, "%s: unknown operation %q%s", action, word, suggest(word, every.names()))
			continue
		}
		if can, limited := supported[resourceOf[resource]]; limited && op != protocol.OpAll && can&bit(op) == 0 {
			c.errorf(item.at, "%s: %s has no meaning for %s, which know %s", action, op, resource, strings.Join((can|bit(protocol.OpAll)).names(), ", "))
			continue
		}
		ops |= bit(op)
	}
	if n.empty() {
		c.errorf(o.place(action), "%s is empty: name operations, as [READ, WRITE]", action)
	}
	return ops
}

// globs reads a list of globs over names of a resource.
func (c *compiler) globs(o *object, what, key string, resource protocol.Resource) []placedGlob {
	n := o.get(key)
	if n == nil || n.empty() {
		c.missing(o, o.place(key), `%s needs %s: a list of globs, as ["payments.*"]`, what, key)
		return nil
	}
	var globs []placedGlob
	for _, item := range c.list(n, key) {
		text, ok := scalar(&c.reporter, item, key, parseText)
		if !ok {
			continue
		}
		g := compileGlob(text)
		if resource == protocol.Topic {
			if why := impossibleTopic(g); why != "" {
				c.errorf(item.at, "%s: no topic can match %q: %s", key, text, why)
			}
		}
		if g.prefix == "_" && !g.exact() {
			c.warnf(item.at, `%s: %q does not reach names that begin with "__"; for those write "__*"`, key, text)
		}
		globs = append(globs, placedGlob{g, item.at})
	}
	return globs
}

// maxTopicName is the length of the longest topic name (Topic.MAX_NAME_LENGTH of
// Kafka).
const maxTopicName = 249

// impossibleTopic says why no topic can match g; "" if one can.
func impossibleTopic(g glob) string {
	for _, r := range g.text {
		if r >= 0x80 || !isPartByte(byte(r)) && r != '.' && !isWildcard(byte(r)) {
			if strings.ContainsRune(`\[](){}^$|+`, r) {
				return "it is a glob (* and ?), not a regular expression"
			}
			return "topic names have letters, digits, . _ and - only"
		}
	}
	if len(strings.ReplaceAll(g.text, "*", "")) > maxTopicName {
		return "topic names have at most 249 characters"
	}
	if g.text == "." || g.text == ".." {
		return "it is not a legal topic name"
	}
	return ""
}
