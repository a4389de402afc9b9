package policy

import (
	"cmp"
	"slices"
	"strings"

	"sluice/protocol"
)

// written is one operation set on one glob of a rule, or on all that the rule is
// about where glob is nil: the unit that the warnings about rules compare.
type written struct {
	rule  *rule
	glob  *placedGlob
	order int // of the rule among all that hold for the tenant
}

func (w written) at() pos {
	if w.glob != nil {
		return w.glob.at
	}
	return w.rule.at
}

// spread lists rules glob by glob.
func spread(rules []*rule) []written {
	var all []written
	for n, r := range rules {
		if r.globs == nil {
			all = append(all, written{r, nil, n})
		}
		for i := range r.globs {
			all = append(all, written{r, &r.globs[i], n})
		}
	}
	return all
}

// does is what the rule does, allowed or denied. That a deny of one operation is one
// of ALL too says nothing here.
func (w written) does() operations {
	m := w.rule.effect()
	if w.rule.deny && w.rule.ops&bit(protocol.OpAll) == 0 {
		m.deny &^= bit(protocol.OpAll)
	}
	return m.allow | m.deny
}

// coversNames reports whether w is about all that other is about.
func (w written) coversNames(other written) bool {
	switch {
	case w.rule.everything:
		return true
	case other.rule.everything || w.rule.resource != other.rule.resource:
		return false
	case w.glob == nil:
		return true // the cluster
	}
	return w.glob.coversNames(other.glob.glob)
}

// meets reports whether there may be a name that both are about.
func (w written) meets(other written) bool {
	switch {
	case w.rule.everything || other.rule.everything:
		return true
	case w.rule.resource != other.rule.resource:
		return false
	case w.glob == nil:
		return true
	}
	return w.glob.meetsName(other.glob.glob)
}

// maxCompared bounds the globs of a tenant that are compared with one another: more
// were not written by hand.
const maxCompared = 1000

// warnRules reports rules that do less, or more, than they seem to.
func (c *compiler) warnRules(s *tenantSource) {
	all := spread(slices.Concat(c.defaults.rules, s.rules))
	if len(all) > maxCompared {
		return
	}
	own := len(c.defaults.rules)
	c.warnRepeated(all, own)
	for _, w := range all {
		if w.rule.deny && w.order >= own {
			c.warnIdleDeny(w, all)
			c.warnLeftOpen(w, all)
		}
	}
}

// warnRepeated reports what another rule of the tenant says already. A rule of which
// all is repeated is one warning.
func (c *compiler) warnRepeated(all []written, own int) {
	repeats := make(map[*rule][]written) // what repeats, and beside it what it repeats
	for i, w := range all {
		if w.order < own {
			continue
		}
		for j, by := range all {
			if i != j && by.repeatedBy(w, j < i) {
				repeats[w.rule] = append(repeats[w.rule], w, by)
				break
			}
		}
	}
	for r, pairs := range repeats {
		verb := "allows"
		if r.deny {
			verb = "denies"
		}
		if len(pairs) == 2*max(len(r.globs), 1) && pairs[1].rule != r {
			c.warnf(r.at, "this rule adds nothing: the rule at line %d %s all of it already", pairs[1].rule.at.line, verb)
			continue
		}
		for i := 0; i < len(pairs); i += 2 {
			w, by := pairs[i], pairs[i+1]
			what := by.rule.about()
			if by.glob != nil {
				what = `"` + by.glob.text + `"`
			}
			c.warnf(w.at(), "%q adds nothing: %s at line %d %s it already", w.glob.text, what, by.at().line, verb)
		}
	}
}

// repeatedBy reports whether w, which stands before other or not, says all that other
// says. Of two that say the same the later repeats the earlier.
func (w written) repeatedBy(other written, before bool) bool {
	if w.rule.deny != other.rule.deny || other.does()&^w.does() != 0 || !w.coversNames(other) {
		return false
	}
	same := w.does() == other.does() && other.coversNames(w)
	return !same || before
}

// warnIdleDeny reports a deny where nothing is allowed: its glob is misspelt, or it
// stands at the wrong tenant. A rule on everything is a precaution, and means it.
func (c *compiler) warnIdleDeny(d written, all []written) {
	if d.rule.everything {
		return
	}
	for _, a := range all {
		if !a.rule.deny && a.does()&d.does() != 0 && a.meets(d) {
			return
		}
	}
	on := "the cluster"
	if d.glob != nil {
		on = `what "` + d.glob.text + `" matches`
	}
	c.warnf(d.at(), "this deny has no effect: no rule allows %s on %s; is it misspelt?", strings.Join(d.rule.ops.names(), " or "), on)
}

// warnLeftOpen reports a deny that leaves open what its reader will think is shut,
// since a deny implies nothing.
func (c *compiler) warnLeftOpen(d written, all []written) {
	if d.glob == nil && !d.rule.everything {
		return
	}
	left := func(ops operations) operations {
		var open operations
		for _, w := range all {
			if !w.rule.deny && w.meets(d) {
				open |= w.does() & ops
			}
		}
		for _, w := range all {
			if w.rule.deny && w.coversNames(d) {
				open &^= w.does()
			}
		}
		return open
	}
	about := d.rule.resource
	if d.does() == bit(protocol.OpDescribe) {
		if open := left(bits(protocol.OpRead, protocol.OpWrite, protocol.OpDelete, protocol.OpAlter)); open != 0 {
			c.warnf(d.at(), "a deny implies nothing: it still allows %s; name those too, or deny ALL", strings.Join(open.names(), ", "))
		}
	}
	if d.does()&bit(protocol.OpWrite) != 0 && about == protocol.Topic && !d.rule.everything && left(bit(protocol.OpDelete)) != 0 {
		c.warnf(d.at(), "a deny implies nothing: who may not WRITE here may still DELETE records and topics; deny DELETE too")
	}
	c.warnInternal(d, all)
}

// warnInternal reports a deny of "*" beside a rule that allows internal names: the
// one does not reach them.
func (c *compiler) warnInternal(d written, all []written) {
	if d.glob == nil || d.glob.text != "*" {
		return
	}
	internal := compileGlob(internalPrefix + "*")
	for _, w := range all {
		if w.rule.deny && w.does()&d.does() == d.does() && (w.rule.everything || w.rule.resource == d.rule.resource && w.glob.coversNames(internal)) {
			return
		}
	}
	for _, a := range all {
		if a.rule.deny || a.does()&d.does() == 0 {
			continue
		}
		if a.rule.everything || a.rule.resource == d.rule.resource && strings.HasPrefix(a.glob.prefix, internalPrefix) {
			c.warnf(d.at(), `this deny does not reach names that begin with "__", which the rule at line %d allows: add "__*"`, a.rule.at.line)
			return
		}
	}
}

// owned is a name or glob that a tenant has for its own.
type owned struct {
	home   *Slice
	prefix string
	tenant *Tenant
	glob   *placedGlob
}

// taking are the operations with which a tenant takes what is another's: to write or
// delete its topics, to join its groups, to go on with its transactions.
var taking = map[protocol.Resource]operations{
	protocol.Topic:           bits(protocol.OpWrite, protocol.OpDelete, protocol.OpAlter),
	protocol.Group:           bits(protocol.OpRead, protocol.OpDelete),
	protocol.TransactionalID: bits(protocol.OpWrite),
}

// warnReach reports globs that reach names which another tenant of the same slice has
// for its own and that look as if they did not: "*", and one that ends in the middle
// of a word, as "pay*", which reaches "payroll.x" too.
func (c *compiler) warnReach() {
	byResource := make(map[protocol.Resource][]owned)
	for _, s := range c.sources {
		for _, w := range spread(s.rules) {
			if w.glob != nil && !w.rule.deny && w.does()&taking[w.rule.resource] != 0 && w.glob.prefix != "" {
				byResource[w.rule.resource] = append(byResource[w.rule.resource], owned{s.tenant.Home, w.glob.prefix, s.tenant, w.glob})
			}
		}
	}
	for _, list := range byResource {
		slices.SortStableFunc(list, func(a, b owned) int {
			return cmp.Or(strings.Compare(a.home.Name, b.home.Name), strings.Compare(a.prefix, b.prefix))
		})
	}
	for _, s := range c.sources {
		all := spread(slices.Concat(c.defaults.rules, s.rules))
		for _, w := range spread(s.rules) {
			if w.glob != nil && !w.rule.deny && w.glob.middle == "*" && w.glob.suffix == "" {
				c.warnReaches(s, w, all, byResource[w.rule.resource])
			}
		}
	}
}

// warnReaches reports the first name of another tenant that w reaches by accident.
func (c *compiler) warnReaches(s *tenantSource, w written, all []written, list []owned) {
	ops, prefix, home := w.does()&taking[w.rule.resource], w.glob.prefix, s.tenant.Home.Name
	if ops == 0 || prefix != "" && !isWordByte(prefix[len(prefix)-1]) {
		return
	}
	if slices.ContainsFunc(all, func(o written) bool { return o.rule.everything && !o.rule.deny && ops&^o.does() == 0 }) {
		return // it may do that everywhere, and says so
	}
	first, _ := slices.BinarySearchFunc(list, prefix, func(o owned, prefix string) int {
		return cmp.Or(strings.Compare(o.home.Name, home), strings.Compare(o.prefix, prefix))
	})
	for _, o := range list[first:] {
		if o.home.Name != home || !strings.HasPrefix(o.prefix, prefix) {
			return
		}
		if o.tenant == s.tenant || len(o.prefix) == len(prefix) || prefix != "" && o.prefix[len(prefix)] == '.' || !w.glob.coversNames(o.glob.glob) {
			continue
		}
		theirs := written{&rule{resource: w.rule.resource}, o.glob, 0}
		left := ops
		for _, d := range all {
			if d.rule.deny && d.coversNames(theirs) {
				left &^= d.does()
			}
		}
		if left == 0 {
			continue
		}
		hint := `end the glob with a separator, as "` + prefix + `.*"`
		if prefix == "" {
			hint = "name the tenant's own prefix; if it may do that everywhere, everything: true says so"
		}
		c.warnf(w.at(), "%q reaches what is tenant %s's too, %q at line %d, and allows %s there: %s",
			w.glob.text, o.tenant.Name, o.glob.text, o.glob.at.line, strings.Join(left.names(), ", "), hint)
		return
	}
}

// isWordByte reports whether a name goes on in the same word after c.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
