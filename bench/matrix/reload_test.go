package matrix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// turningSet is a set whose rules change: on the gateway by a reload, on the oracle
// by other ACLs of the same user.
type turningSet struct {
	before ruleSet
	after  []rule
}

// turningSets lose and gain each operation on each kind of resource: all but the last
// comes and goes, once by a deny, once by the allow that is missing.
func turningSets() []turningSet {
	byName := map[string]ruleSet{}
	for _, s := range ruleSets() {
		byName[s.name] = s
	}
	all := byName["all"].rules
	var sets []turningSet
	for _, kind := range kinds {
		for _, op := range kind.ops {
			name := kind.name + "-" + op
			sets = append(sets,
				turningSet{ruleSet{name: "lose-" + name, rules: all}, byName["deny-"+name].rules},
				turningSet{ruleSet{name: "gain-" + name, rules: byName["without-"+name].rules}, all})
		}
	}
	return sets
}

func (s turningSet) changed() ruleSet {
	return ruleSet{name: s.before.name, rules: s.after, when: " after"}
}

func befores(sets []turningSet) []ruleSet {
	return each(sets, func(s turningSet) ruleSet { return s.before })
}

// reload asks both sides, changes the rules, and asks again on the same connections,
// in the same sessions.
func (m *matrix) reload() {
	n := len(m.turning)
	theirs, ours := make([]*conn, n), make([]*conn, n)
	for i, s := range m.turning {
		theirs[i], ours[i] = m.connections(s.before)
		defer theirs[i].close()
		defer ours[i].close()
	}
	first := 2_000_000
	entries := func(changes, after bool) {
		first += n * 10_000 // tokens are used once
		parallel(n, func(i int) {
			s := m.turning[i].before
			s.when = " before"
			if after {
				s = m.turning[i].changed()
			}
			m.set(s, theirs[i], ours[i], first+i*10_000, func(e *entry) bool { return e.changes == changes && concerns(s, e.needs) })
		})
	}
	entries(false, false)
	talks := m.turningTalks(50_000_000)
	parallel(len(talks), func(i int) {
		m.steps(talks[i], 0, talks[i].turn)
	})
	m.turnRules()
	entries(false, true)
	parallel(len(talks), func(i int) {
		defer talks[i].close()
		talks[i].set.when = " after"
		m.steps(talks[i], talks[i].turn, len(talks[i].talk.steps))
	})
	entries(true, true)
}

// turningTalks are all talks under the sets that change what they need.
func (m *matrix) turningTalks(first int) []*talking {
	var all []*talking
	for i := range m.talks {
		tk := &m.talks[i]
		for _, v := range m.versionsOf(tk.key, tk.min, tk.max) {
			for _, s := range m.turning {
				if concerns(s.before, tk.needs) {
					all = append(all, m.talking(tk, v, s.before, token(first+len(all))))
					all[len(all)-1].set.when = " before"
				}
			}
		}
	}
	return all
}

// turnRules changes the rules on both sides and waits until they hold.
func (m *matrix) turnRules() {
	changed := each(m.turning, turningSet.changed)
	m.gateway.Write("", tenants(append(slices.Clone(m.sets), changed...)))
	m.gateway.Reload()
	remove := kmsg.NewPtrDeleteACLsRequest()
	for _, s := range changed {
		f := kmsg.NewDeleteACLsRequestFilter()
		principal := "User:" + s.name
		f.ResourceType, f.ResourcePatternType, f.Principal = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, &principal
		f.Operation, f.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		remove.Filters = append(remove.Filters, f)
	}
	for _, r := range do[*kmsg.DeleteACLsResponse](m.t, m.oracle, remove).Results {
		if r.ErrorCode != 0 {
			m.t.Fatalf("the ACLs are not removed: error %d", r.ErrorCode)
		}
	}
	createACLs(m.t, m.oracle.admin, changed...)
	for _, s := range changed {
		until(m.t, "ACLs of "+s.name, func() (int16, bool) { return 0, slices.Equal(m.oracle.acls(m.t, s), aclTexts(s.acls(m.t))) })
	}
}

// acls are those of a user as the broker's authorizer has them.
func (s *side) acls(t testing.TB, set ruleSet) []string {
	t.Helper()
	req := kmsg.NewPtrDescribeACLsRequest()
	principal := "User:" + set.name
	req.ResourceType, req.ResourcePatternType, req.Principal = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, &principal
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	var all []kmsg.CreateACLsRequestCreation
	for _, r := range do[*kmsg.DescribeACLsResponse](t, s, req).Resources {
		for _, a := range r.ACLs {
			all = append(all, kmsg.CreateACLsRequestCreation{
				ResourceType: r.ResourceType, ResourceName: r.ResourceName, ResourcePatternType: r.ResourcePatternType,
				Operation: a.Operation, PermissionType: a.PermissionType,
			})
		}
	}
	return aclTexts(all)
}

// aclTexts are ACLs in an order, each once.
func aclTexts(acls []kmsg.CreateACLsRequestCreation) []string {
	texts := each(acls, func(a kmsg.CreateACLsRequestCreation) string {
		return fmt.Sprintf("%v %v %s %v %v", a.PermissionType, a.ResourceType, a.ResourceName, a.ResourcePatternType, a.Operation)
	})
	slices.Sort(texts)
	return slices.Compact(texts)
}

// heldReload holds the oracle to its change: who loses what an entry needs is
// answered otherwise.
func (m *matrix) heldReload() {
	for i := range m.entries {
		e := &m.entries[i]
		versions := m.versionsOf(e.key, e.min, e.max)
		if e.changes || len(versions) == 0 {
			continue
		}
		for _, s := range m.turning {
			if !strings.HasPrefix(s.before.name, "lose-") || !concerns(s.before, e.needs) {
				continue
			}
			newest := versions[len(versions)-1]
			before, after := m.oracles[caseName(e.name, newest, s.before.name+" before")], m.oracles[caseName(e.name, newest, s.before.name+" after")]
			if len(difference(before, after)) == 0 {
				m.t.Errorf("%s v%d %s: the oracle answers as before", e.name, newest, s.before.name)
			}
		}
	}
}
