package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/protocol"
)

// ruleChanges says what a tenant may do now, or no longer.
func ruleChanges(was, is *Tenant) []string {
	if was.rules.id(false) == is.rules.id(false) {
		return nil
	}
	before, now := was.everything(), is.everything()
	c := rulesDiff{was: was, is: is, gainedAll: now &^ before, lostAll: before &^ now}
	c.say("may no longer do", c.lostAll, "everything")
	c.say("may now do", c.gainedAll, "everything")
	for _, r := range resources {
		c.compare(r)
	}
	if c.lines == nil {
		return []string{"rules are written otherwise, to the same effect"}
	}
	return c.lines
}

type rulesDiff struct {
	was, is            *Tenant
	gainedAll, lostAll operations // by rules on everything
	lines              []string
}

func (c *rulesDiff) say(verb string, ops operations, on string) {
	if ops != 0 {
		c.lines = append(c.lines, fmt.Sprintf("%s %s on %s", verb, strings.Join(ops.briefly(every), ", "), on))
	}
}

// everything is what the tenant's rules on everything allow and do not deny.
func (t *Tenant) everything() operations {
	var m mask
	for _, r := range slices.Concat(t.defaultRules, t.ownRules) {
		if r.everything {
			m = m.or(r.effect())
		}
	}
	return m.allow &^ m.deny
}

// briefly are the names of the operations without those that others imply; ALL if
// they are all that can be.
func (o operations) briefly(all operations) []string {
	if all&^bit(protocol.OpAll)&^o == 0 {
		return []string{protocol.OpAll.String()}
	}
	o &^= bit(protocol.OpAll)
	if o&bits(protocol.OpRead, protocol.OpWrite, protocol.OpDelete, protocol.OpAlter) != 0 {
		o &^= bit(protocol.OpDescribe)
	}
	if o&bit(protocol.OpAlterConfigs) != 0 {
		o &^= bit(protocol.OpDescribeConfigs)
	}
	return o.names()
}

// inWords is the operations as a verb before a resource.
func inWords(ops, all operations) string {
	names := ops.briefly(all)
	if names[0] == protocol.OpAll.String() {
		return "do ALL on"
	}
	return strings.Join(names, ", ")
}

// on is what the rules allow on all names of a glob, as far as single rules tell.
func (t *table) on(g glob) operations {
	m := t.all
	for name, e := range t.exact {
		if g.exact() && g.text == name {
			m = m.or(e)
		}
	}
	for _, wide := range t.globs {
		if wide.coversNames(g) {
			m = m.or(wide.mask)
		}
	}
	return m.allow &^ m.deny
}

// deniedOn is what is denied on all names of a glob.
func (t *table) deniedOn(g glob) operations {
	denied := t.all.deny
	if g.exact() {
		denied |= t.exact[g.text].deny
	}
	for _, wide := range t.globs {
		if wide.coversNames(g) {
			denied |= wide.deny
		}
	}
	return denied
}

// metBy is what may be allowed on some name of a glob.
func (t *table) metBy(g glob) operations {
	allowed := t.all.allow
	for name, e := range t.exact {
		if g.matchName(name) {
			allowed |= e.allow
		}
	}
	for _, other := range t.globs {
		if other.allow&^allowed != 0 && other.meetsName(g) {
			allowed |= other.allow
		}
	}
	return allowed &^ t.all.deny
}

// written adds the globs of a table, exact names too, by their text.
func (t *table) written(into map[string]glob) {
	for name := range t.exact {
		into[name] = glob{text: name, prefix: name}
	}
	for _, g := range t.globs {
		into[g.text] = g.glob
	}
}

// compare says what has changed on a resource type: on each glob of either policy,
// but for what a wider one of them says already.
func (c *rulesDiff) compare(r protocol.Resource) {
	before, now := &c.was.rules.tables[r], &c.is.rules.tables[r]
	if r == protocol.Cluster {
		c.compareCluster(before.all, now.all)
		return
	}
	globs := make(map[string]glob)
	before.written(globs)
	now.written(globs)
	gained, lost := make(map[string]operations), make(map[string]operations)
	for text, g := range globs {
		is, was := now.on(g)&supported[r], before.on(g)&supported[r]
		gained[text] = is &^ was &^ c.gainedAll
		lost[text] = was &^ is &^ c.lostAll
		// A deny takes back, or gives, only what an allow that meets it allows.
		denied, was := now.deniedOn(g), before.deniedOn(g)
		lost[text] |= denied &^ was & before.metBy(g) & supported[r]
		gained[text] |= was &^ denied & now.metBy(g) & supported[r]
	}
	c.sayGlobs(r, "may no longer", globs, lost)
	c.sayGlobs(r, "may now", globs, gained)
}

// sayGlobs writes one line for all globs with the same operations.
func (c *rulesDiff) sayGlobs(r protocol.Resource, verb string, globs map[string]glob, ops map[string]operations) {
	byOps := make(map[operations][]string)
	for _, text := range slices.Sorted(maps.Keys(globs)) {
		own := ops[text]
		for wider, g := range globs {
			if own != 0 && wider != text && g.coversNames(globs[text]) {
				own &^= ops[wider]
			}
		}
		if own != 0 {
			byOps[own] = append(byOps[own], text)
		}
	}
	for _, set := range slices.Sorted(maps.Keys(byOps)) {
		texts := byOps[set]
		what := strings.ReplaceAll(r.String(), "_", " ")
		if g := globs[texts[0]]; len(texts) > 1 || !g.exact() {
			what += "s"
		}
		for i, text := range texts {
			if g := globs[text]; !g.exact() {
				texts[i] = `"` + text + `"`
			}
		}
		c.lines = append(c.lines, fmt.Sprintf("%s %s %s %s", verb, inWords(set, supported[r]), what, strings.Join(texts, ", ")))
	}
}

// compareCluster says what has changed on the cluster.
func (c *rulesDiff) compareCluster(before, now mask) {
	was, is := before.allow&^before.deny&supported[protocol.Cluster], now.allow&^now.deny&supported[protocol.Cluster]
	for _, change := range []struct {
		verb string
		ops  operations
	}{{"may no longer", was &^ is &^ c.lostAll}, {"may now", is &^ was &^ c.gainedAll}} {
		if change.ops != 0 {
			c.lines = append(c.lines, change.verb+" "+inWords(change.ops, supported[protocol.Cluster])+" the cluster")
		}
	}
}
