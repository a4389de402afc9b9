package matrix

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Resources are named by their prefix: sets of rules differ in what they say of
// "shut."; "open." is where the others may do everything; no set but "everything"
// ever speaks of "other.".
const (
	open = "open."
	shut = "shut."
)

// kinds are Kafka's resource types with the operations that each knows
// (AclEntry.supportedOperations), in the words of ACLs.
var kinds = []struct {
	name, key string // as an ACL and as a rule of the file names it
	acl       kmsg.ACLResourceType
	ops       []string
}{
	{"TOPIC", "topics", kmsg.ACLResourceTypeTopic, []string{"READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}},
	{"GROUP", "groups", kmsg.ACLResourceTypeGroup, []string{"READ", "DESCRIBE", "DELETE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}},
	{"TRANSACTIONAL_ID", "transactional_ids", kmsg.ACLResourceTypeTransactionalId, []string{"DESCRIBE", "WRITE"}},
	{"CLUSTER", "cluster", kmsg.ACLResourceTypeCluster, []string{"CREATE", "CLUSTER_ACTION", "DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE", "ALTER", "DESCRIBE"}},
}

// implying are the operations that allow another one with them.
var implying = map[string][]string{
	"DESCRIBE":         {"READ", "WRITE", "DELETE", "ALTER"},
	"DESCRIBE_CONFIGS": {"ALTER_CONFIGS"},
}

// rule is one ACL or rule: the operations on all names of a prefix.
type rule struct {
	deny   bool
	kind   int // of kinds
	prefix string
	ops    []string
}

// ruleSet is what one user of the oracle and the tenant of the same name may do.
type ruleSet struct {
	name       string
	everything bool
	rules      []rule
	when       string // in reports: before or after a change of its rules
}

// full allows everything on open. and shut., but for the kind that is given.
func full(but int) []rule {
	var rules []rule
	for k := range kinds {
		if k == but {
			continue
		}
		for _, prefix := range prefixes(k) {
			ops := []string{"ALL"}
			if prefix == "" {
				ops = kinds[k].ops // ALL holds DELETE too, with which no topic's own is asked for
			}
			rules = append(rules, rule{kind: k, prefix: prefix, ops: ops})
		}
	}
	return rules
}

func prefixes(kind int) []string {
	if kinds[kind].name == "CLUSTER" {
		return []string{""}
	}
	return []string{open, shut}
}

// ruleSets are: everything; all of open. and shut.; nothing; and for each operation
// on each kind of resource: all but that one (and what implies it), that one
// denied although all is allowed, and no other than that one.
func ruleSets() []ruleSet {
	sets := []ruleSet{{name: "everything", everything: true}, {name: "all", rules: full(-1)}, {name: "none"}}
	for k, kind := range kinds {
		closed := prefixes(k)[len(prefixes(k))-1]
		for _, op := range kind.ops {
			left := slices.DeleteFunc(slices.Clone(kind.ops), func(o string) bool { return o == op || slices.Contains(implying[op], o) })
			without := append(full(k), rule{kind: k, prefix: closed, ops: left})
			if closed != "" {
				without = append(without, rule{kind: k, prefix: open, ops: []string{"ALL"}})
			}
			only := full(k)
			for _, prefix := range prefixes(k) {
				only = append(only, rule{kind: k, prefix: prefix, ops: []string{op}})
			}
			denied := append(full(-1), rule{deny: true, kind: k, prefix: closed, ops: []string{op}})
			if kind.name == "TOPIC" && op == "CREATE" { // the cluster's goes before it
				noCreate := rule{deny: true, kind: len(kinds) - 1, ops: []string{"CREATE"}}
				without, denied, only = append(without, noCreate), append(denied, noCreate), append(only, noCreate)
			}
			name := kind.name + "-" + op
			sets = append(sets,
				ruleSet{name: "without-" + name, rules: without},
				ruleSet{name: "deny-" + name, rules: denied},
				ruleSet{name: "only-" + name, rules: only})
		}
	}
	return sets
}

// clientID is that of the tenant.
func (s ruleSet) clientID() string { return s.name + ".app" }

// tenant is the set in the file's words.
func (s ruleSet) tenant() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %s\n    client_ids: {team: %s}\n    home: orders\n    rules:\n", s.name, s.name)
	if s.everything {
		b.WriteString("      - {allow: [ALL], everything: true}\n")
	}
	for _, r := range s.rules {
		if len(r.ops) == 0 {
			continue // nothing is left of it
		}
		action, resource := "allow", "true"
		if r.deny {
			action = "deny"
		}
		if r.prefix != "" {
			resource = `["` + r.prefix + `*"]`
		}
		fmt.Fprintf(&b, "      - {%s: [%s], %s: %s}\n", action, strings.Join(r.ops, ", "), kinds[r.kind].key, resource)
	}
	if len(s.rules) == 0 && !s.everything {
		b.WriteString("      []\n")
	}
	return b.String()
}

// tenants is the file's text from "tenants:" on.
func tenants(sets []ruleSet) string {
	var b strings.Builder
	b.WriteString("tenants:\n")
	for _, s := range sets {
		b.WriteString(s.tenant())
	}
	return b.String()
}

// acls are the set as ACLs of the user of its name.
func (s ruleSet) acls(t testing.TB) []kmsg.CreateACLsRequestCreation {
	t.Helper()
	var acls []kmsg.CreateACLsRequestCreation
	add := func(deny bool, kind kmsg.ACLResourceType, pattern kmsg.ACLResourcePatternType, name, op string) {
		a := kmsg.NewCreateACLsRequestCreation()
		a.ResourceType, a.ResourceName, a.ResourcePatternType = kind, name, pattern
		a.Principal, a.Host, a.PermissionType = "User:"+s.name, "*", kmsg.ACLPermissionTypeAllow
		if deny {
			a.PermissionType = kmsg.ACLPermissionTypeDeny
		}
		operation, err := kmsg.ParseACLOperation(op)
		if err != nil {
			t.Fatal(err)
		}
		a.Operation = operation
		acls = append(acls, a)
	}
	if s.everything {
		for _, kind := range kinds {
			name := "*"
			if kind.name == "CLUSTER" {
				name = "kafka-cluster"
			}
			add(false, kind.acl, kmsg.ACLResourcePatternTypeLiteral, name, "ALL")
		}
	}
	for _, r := range s.rules {
		for _, op := range r.ops {
			if r.prefix == "" {
				add(r.deny, kinds[r.kind].acl, kmsg.ACLResourcePatternTypeLiteral, "kafka-cluster", op)
			} else {
				add(r.deny, kinds[r.kind].acl, kmsg.ACLResourcePatternTypePrefixed, r.prefix, op)
			}
		}
	}
	return acls
}

// createACLs makes the sets' ACLs on a broker.
func createACLs(t testing.TB, admin *kgo.Client, sets ...ruleSet) {
	t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, s := range sets {
		req.Creations = append(req.Creations, s.acls(t)...)
	}
	resp, err := req.RequestWith(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range resp.Results {
		if r.ErrorCode != 0 {
			t.Fatalf("ACL %+v: error %d", req.Creations[i], r.ErrorCode)
		}
	}
}
