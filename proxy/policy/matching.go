package policy

import (
	"fmt"
	"slices"
	"strings"

	"sluice/protocol"
)

// RuleMatch is a rule of the file that has a say in a question.
type RuleMatch struct {
	// Line and Column are where the rule stands in Policy.File, from 1.
	Line, Column int
	// Text is the rule in the file's syntax, operations in Kafka's order.
	Text string
	// Deny: it denies; otherwise it allows.
	Deny bool
	// Default: it is one of defaults.rules.
	Default bool
	// Glob is the first of the rule's globs that matches; empty for the cluster and
	// for a rule on everything.
	Glob string
	// Effect says what the rule does to the operation, such as "allows WRITE" or
	// "allows DESCRIBE, which READ implies".
	Effect string
}

// Matching returns the rules that have a say in whether the tenant may do op on the
// resource of that name, in the order in which they stand: defaults.rules first.
// Allowed is true exactly when one of them allows and none denies.
func (t *Tenant) Matching(op protocol.Operation, r protocol.Resource, name string) []RuleMatch {
	return t.matching(op, r, func(g glob) bool { return g.matchName(name) })
}

// MatchingSome returns the rules about op on any name of a resource type, in order:
// those from which AllowedSome follows. A rule that denies takes back the whole only
// if it covers every allowed name.
func (t *Tenant) MatchingSome(op protocol.Operation, r protocol.Resource) []RuleMatch {
	return t.matching(op, r, func(glob) bool { return true })
}

func (t *Tenant) matching(op protocol.Operation, r protocol.Resource, touches func(glob) bool) []RuleMatch {
	if !known(op, r) {
		return nil
	}
	var matches []RuleMatch
	for n, rule := range slices.Concat(t.defaultRules, t.ownRules) {
		m := RuleMatch{Line: rule.at.line, Column: rule.at.column, Deny: rule.deny, Default: n < len(t.defaultRules)}
		about := rule.everything || rule.resource == r
		if !about || !rule.does(op) || rule.globs != nil && !rule.matchedGlob(touches, &m.Glob) {
			continue
		}
		m.Effect, m.Text = rule.effectOn(op), rule.String()
		matches = append(matches, m)
	}
	return matches
}

// does reports whether the rule allows, or denies, op on what it is about.
func (r *rule) does(op protocol.Operation) bool {
	m := r.effect()
	return (m.allow|m.deny)&bit(op) != 0
}

// matchedGlob finds the first of the rule's globs that touches what is asked.
func (r *rule) matchedGlob(touches func(glob) bool, text *string) bool {
	for i := range r.globs {
		if touches(r.globs[i].glob) {
			*text = r.globs[i].text
			return true
		}
	}
	return false
}

// effectOn says what the rule does to op, which it allows or denies.
func (r *rule) effectOn(op protocol.Operation) string {
	verb := "allows"
	if r.deny {
		verb = "denies"
	}
	if r.ops&bit(op) != 0 {
		return verb + " " + op.String()
	}
	if r.ops&bit(protocol.OpAll) != 0 {
		return verb + " ALL"
	}
	if r.deny { // only ALL is denied without being named
		return "denies part of ALL"
	}
	by := bits(protocol.OpRead, protocol.OpWrite, protocol.OpDelete, protocol.OpAlter)
	if op == protocol.OpDescribeConfigs {
		by = bit(protocol.OpAlterConfigs)
	}
	return fmt.Sprintf("allows %s, which %s implies", op, (r.ops & by).names()[0])
}

// String is the rule in the file's syntax.
func (r *rule) String() string {
	action := "allow"
	if r.deny {
		action = "deny"
	}
	return fmt.Sprintf("{%s: [%s], %s}", action, strings.Join(r.ops.names(), ", "), r.about())
}

// about is the part of a rule's text that names its resource.
func (r *rule) about() string {
	if r.everything {
		return "everything: true"
	}
	if r.globs == nil {
		return "cluster: true"
	}
	globs := make([]string, len(r.globs))
	for i, g := range r.globs {
		globs[i] = fmt.Sprintf("%q", g.text)
	}
	key := map[protocol.Resource]string{
		protocol.Topic: "topics", protocol.Group: "groups", protocol.TransactionalID: "transactional_ids",
	}[r.resource]
	return key + ": [" + strings.Join(globs, ", ") + "]"
}

// Identification is which tenant has a client ID, and why.
type Identification struct {
	// Tenant is what Identify returns.
	Tenant *Tenant
	// Matched is the client_ids that matched, in the file's syntax; empty if none
	// did and Tenant is the one that takes the unmatched, or nil.
	Matched string
	// Place is the position of the tenant in the file, from 1.
	Place int
	// Line and Column are where the tenant stands in Policy.File.
	Line, Column int
	// Later are the tenants that would match too, but stand behind, in file order.
	Later []string
	// FollowsPattern: the client ID follows client_ids.pattern; its parts are then
	// "team=payments" and so on.
	FollowsPattern bool
	Parts          []string
}

// WhoIs says which tenant has a client ID and why. It tries every tenant in file
// order, which Identify does not need to.
func (p *Policy) WhoIs(clientID string) Identification {
	var id Identification
	var parts [maxParts]string
	id.FollowsPattern = p.pattern != nil && p.pattern.split(clientID, &parts)
	if id.FollowsPattern {
		for i := range p.pattern.parts {
			id.Parts = append(id.Parts, p.pattern.parts[i].name+"="+parts[i])
		}
	}
	for n, t := range p.Tenants {
		for i := range t.matchers {
			if !t.matchers[i].matches(clientID, &parts, id.FollowsPattern) {
				continue
			}
			if id.Tenant == nil {
				id.Tenant, id.Place, id.Matched = t, n+1, t.matchers[i].describe(p.pattern)
			} else {
				id.Later = append(id.Later, t.Name)
			}
			break
		}
	}
	if id.Tenant == nil && p.Unmatched != nil {
		id.Tenant, id.Place = p.Unmatched, slices.Index(p.Tenants, p.Unmatched)+1
	}
	if id.Tenant != nil {
		id.Line, id.Column = id.Tenant.at.line, id.Tenant.at.column
	}
	return id
}

// describe is the matcher in the file's syntax.
func (m *matcher) describe(p *pattern) string {
	if m.parts == nil {
		return fmt.Sprintf("%q", m.whole.text)
	}
	parts := make([]string, len(m.parts))
	for i, g := range m.parts {
		parts[i] = p.parts[g.index].name + ": " + plainOrQuoted(g.text)
	}
	if len(parts) == 0 { // only parts that may be anything
		parts = []string{p.parts[0].name + `: "*"`}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// plainOrQuoted quotes what YAML would not take as a word.
func plainOrQuoted(s string) string {
	if isPart(s) {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// Format is the value of a limit as a person writes it: bytes with a unit and per
// second, or a plain number; "unlimited" for 0.
func (l Limit) Format(value float64) string {
	switch {
	case value == 0:
		return "unlimited"
	case l.bytes():
		return formatSize(value) + "/s"
	case l == connectionsLimit:
		return fmt.Sprintf("%g", value)
	}
	return fmt.Sprintf("%g/s", value)
}
