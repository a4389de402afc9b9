package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/protocol"
)

// operations is a set of operations, one bit each.
type operations uint16

func bit(op protocol.Operation) operations { return 1 << op }

func bits(ops ...protocol.Operation) operations {
	var set operations
	for _, op := range ops {
		set |= bit(op)
	}
	return set
}

// every is all of Kafka's operations, ALL itself included.
const every operations = 1<<(protocol.OpTwoPhaseCommit+1) - 1<<protocol.OpAll

// supported are the operations that make sense on a resource type, as in
// AclEntry.supportedOperations of Kafka. ALL always does.
var supported = map[protocol.Resource]operations{
	protocol.Topic: bits(protocol.OpRead, protocol.OpWrite, protocol.OpCreate, protocol.OpDelete, protocol.OpAlter,
		protocol.OpDescribe, protocol.OpDescribeConfigs, protocol.OpAlterConfigs),
	protocol.Group: bits(protocol.OpRead, protocol.OpDescribe, protocol.OpDelete, protocol.OpDescribeConfigs, protocol.OpAlterConfigs),
	protocol.Cluster: bits(protocol.OpCreate, protocol.OpClusterAction, protocol.OpDescribeConfigs, protocol.OpAlterConfigs,
		protocol.OpIdempotentWrite, protocol.OpAlter, protocol.OpDescribe),
	protocol.TransactionalID: bits(protocol.OpDescribe, protocol.OpWrite, protocol.OpTwoPhaseCommit),
}

// resources are the resource types that rules speak of.
var resources = [...]protocol.Resource{protocol.Topic, protocol.Group, protocol.Cluster, protocol.TransactionalID}

// names lists a set of operations as the file writes them.
func (o operations) names() []string {
	var names []string
	for op := protocol.OpAll; op <= protocol.OpTwoPhaseCommit; op++ {
		if o&bit(op) != 0 {
			names = append(names, op.String())
		}
	}
	return names
}

// rule is one rule of the file.
type rule struct {
	at   pos
	deny bool
	ops  operations
	// everything and cluster rules have no globs; the others have a resource.
	everything bool
	resource   protocol.Resource
	globs      []placedGlob
}

type placedGlob struct {
	glob
	at pos
}

// effect is what the rule does to each operation: implied ones are added to an
// allow, a deny implies nothing, ALL is all.
func (r *rule) effect() mask {
	ops := r.ops
	if ops&bit(protocol.OpAll) != 0 {
		ops = every
	}
	if r.deny {
		return mask{deny: ops | bit(protocol.OpAll)} // who may not do one may not do all
	}
	if ops&bits(protocol.OpRead, protocol.OpWrite, protocol.OpDelete, protocol.OpAlter) != 0 {
		ops |= bit(protocol.OpDescribe)
	}
	if ops&bit(protocol.OpAlterConfigs) != 0 {
		ops |= bit(protocol.OpDescribeConfigs)
	}
	return mask{allow: ops}
}

// mask is what rules say about one name or glob.
type mask struct{ allow, deny operations }

func (m mask) or(n mask) mask { return mask{m.allow | n.allow, m.deny | n.deny} }

// table holds the rules for one resource type.
type table struct {
	all   mask            // on every name
	exact map[string]mask // on one name
	globs []globMask      // on the names of a glob; each glob once
	index *globIndex      // of globs, where they are many
	some  operations      // allowed on one name at least
}

type globMask struct {
	glob
	mask
}

// ruleSet is the compiled rules of a tenant, by resource type.
type ruleSet struct {
	tables     [protocol.TransactionalID + 1]table
	everything bool
}

// Allowed reports whether the tenant may do op on the resource of that name: a
// rule allows it and none denies it. It does not look at Observe: to let through
// what is only observed is the caller's matter.
func (t *Tenant) Allowed(op protocol.Operation, r protocol.Resource, name string) bool {
	return t.rules.allowed(op, r, name)
}

// AllowedSome reports whether there is a name on which the tenant may do op, as
// far as can be told: an allow for it that no single deny covers
// (Authorizer.authorizeByResourceType of Kafka). As for Allowed, Observe is the
// caller's matter.
func (t *Tenant) AllowedSome(op protocol.Operation, r protocol.Resource) bool {
	return known(op, r) && t.rules.tables[r].some&bit(op) != 0
}

// Everything reports whether the tenant may do everything, so that nothing needs
// to be judged: it is allowed ALL on everything and denied nothing. As for Allowed,
// Observe is the caller's matter: it makes no tenant one that may do everything.
func (t *Tenant) Everything() bool { return t.rules.everything }

// RulesID names what the tenant is held to: it is the same in two snapshots
// exactly when the compiled rules (defaults.rules included) and the enforcement
// are. What was authorised under one id need not be judged again under it.
func (t *Tenant) RulesID() string { return t.rulesID }

func known(op protocol.Operation, r protocol.Resource) bool {
	return op >= protocol.OpAll && op <= protocol.OpTwoPhaseCommit && r >= protocol.Topic && r <= protocol.TransactionalID
}

func (s *ruleSet) allowed(op protocol.Operation, r protocol.Resource, name string) bool {
	if !known(op, r) {
		return false
	}
	t, want := &s.tables[r], bit(op)
	m := t.all.or(t.exact[name])
	if m.deny&want != 0 {
		return false
	}
	allowed := m.allow&want != 0
	if t.index != nil {
		return t.index.allowed(allowed, want, name)
	}
	allowed, denied := judge(t.globs, allowed, want, name)
	return allowed && !denied
}

// judge goes on with globs after others have allowed the name or not.
func judge(globs []globMask, allowedBefore bool, want operations, name string) (allowed, denied bool) {
	allowed = allowedBefore
	for i := range globs {
		g := &globs[i]
		if g.deny&want == 0 && (allowed || g.allow&want == 0) || !g.matchName(name) {
			continue
		}
		if g.deny&want != 0 {
			return false, true
		}
		allowed = true
	}
	return allowed, false
}

// compileRules merges rules, in any order, into tables.
func compileRules(lists ...[]*rule) *ruleSet {
	s := &ruleSet{}
	for _, rules := range lists {
		for _, r := range rules {
			s.add(r)
		}
	}
	for i := range s.tables {
		s.tables[i].findSome()
		s.tables[i].index = indexGlobs(s.tables[i].globs)
	}
	s.everything = true
	for _, r := range resources {
		t := &s.tables[r]
		s.everything = s.everything && t.all.allow == every && !t.denies()
	}
	return s
}

func (s *ruleSet) add(r *rule) {
	m := r.effect()
	if r.everything {
		for _, res := range resources {
			s.tables[res].all = s.tables[res].all.or(m)
		}
		return
	}
	t := &s.tables[r.resource]
	if r.resource == protocol.Cluster {
		t.all = t.all.or(m) // there is one cluster, so every name is its name
		return
	}
	for _, g := range r.globs {
		if g.exact() {
			if t.exact == nil {
				t.exact = make(map[string]mask)
			}
			t.exact[g.text] = t.exact[g.text].or(m)
			continue
		}
		i := slices.IndexFunc(t.globs, func(have globMask) bool { return have.text == g.text })
		if i < 0 {
			i = len(t.globs)
			t.globs = append(t.globs, globMask{glob: g.glob})
		}
		t.globs[i].mask = t.globs[i].or(m)
	}
}

// findSome computes which operations are allowed on some name.
func (t *table) findSome() {
	t.some = t.all.allow &^ t.all.deny
	var denying []globMask
	for _, g := range t.globs {
		if g.deny != 0 {
			denying = append(denying, g)
		}
	}
	leftOf := func(m mask, g glob, covers func(wide, narrow glob) bool) operations {
		left := m.allow &^ (m.deny | t.all.deny)
		for _, d := range denying {
			if left&^t.some == 0 {
				return 0 // nothing new to learn
			}
			if left&d.deny != 0 && covers(d.glob, g) {
				left &^= d.deny
			}
		}
		return left
	}
	for name, m := range t.exact {
		t.some |= leftOf(m, glob{text: name, prefix: name}, func(wide, narrow glob) bool { return wide.matchName(narrow.text) })
	}
	for _, g := range t.globs {
		t.some |= leftOf(g.mask, g.glob, glob.coversNames)
	}
}

func (t *table) denies() bool {
	if t.all.deny != 0 {
		return true
	}
	for _, m := range t.exact {
		if m.deny != 0 {
			return true
		}
	}
	return slices.ContainsFunc(t.globs, func(g globMask) bool { return g.deny != 0 })
}

// id is a digest of the tables, whatever order the rules stood in.
func (s *ruleSet) id(observe bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "observe %v\n", observe)
	for _, r := range resources {
		t := &s.tables[r]
		fmt.Fprintf(&b, "%s all %x/%x\n", r, t.all.allow, t.all.deny)
		for _, name := range slices.Sorted(maps.Keys(t.exact)) {
			fmt.Fprintf(&b, "= %q %x/%x\n", name, t.exact[name].allow, t.exact[name].deny)
		}
		globs := slices.Clone(t.globs)
		slices.SortFunc(globs, func(a, b globMask) int { return strings.Compare(a.text, b.text) })
		for _, g := range globs {
			fmt.Fprintf(&b, "~ %q %x/%x\n", g.text, g.allow, g.deny)
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}
