package proxy

import (
	"slices"
	"strings"

	"go.uber.org/zap"

	"sluice/protocol"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// maxTold bounds the names that are logged; those beyond are counted all the same.
const maxTold = 1000

// collisions finds topics that two slices of one tenant have by the same name. The one
// that the routes lead to is the tenant's; the other is hidden from it. The file cannot
// tell, so it is said when the slices' topics are known: each once, and counted.
type collisions struct {
	policy *policy.Policy
	topics map[string]*string // of each slice, the first of the names that were looked at
	told   map[string]bool    // tenant, slice and name
	shown  [][2]string        // labels that the metric has
}

// look looks again if the policy or a slice's topics are others than the last time.
func (x *collisions) look(g *Gateway, snap *snapshot) {
	changed := x.policy != snap.policy
	topics := map[string]*string{}
	for name, s := range snap.slices {
		if names := s.TopicNames(); len(names) > 0 {
			topics[name] = &names[0]
		}
		changed = changed || x.topics[name] != topics[name]
	}
	if !changed {
		return
	}
	x.policy, x.topics = snap.policy, topics
	twice := inSeveral(snap.slices)
	var shown [][2]string
	for _, t := range snap.policy.Tenants {
		if !t.Spans() {
			continue
		}
		for i, s := range t.Slices() {
			hidden := x.hidden(g, snap, t, i, twice)
			g.metrics.hidden.WithLabelValues(t.Name, s.Name).Set(float64(hidden))
			shown = append(shown, [2]string{t.Name, s.Name})
		}
	}
	for _, labels := range x.shown {
		if !slices.Contains(shown, labels) {
			g.metrics.hidden.DeleteLabelValues(labels[0], labels[1])
		}
	}
	x.shown = shown
}

// inSeveral are the topics that more than one slice has, but for those that each has
// for itself.
func inSeveral(of map[string]*slice.Slice) []string {
	seen := map[string]int{}
	for _, s := range of {
		for _, name := range s.TopicNames() {
			seen[name]++
		}
	}
	var twice []string
	for name, n := range seen {
		if n > 1 && !strings.HasPrefix(name, "__") {
			twice = append(twice, name)
		}
	}
	return twice
}

// hidden is how many of names a tenant does not see in one of its slices, because
// another one has them for it.
func (x *collisions) hidden(g *Gateway, snap *snapshot, t *policy.Tenant, in int, names []string) (n int) {
	s := snap.slices[t.Slices()[in].Name]
	for _, name := range names {
		owner := t.Owner(protocol.Topic, name).Name
		if owner == s.Name() || s.Partitions(name) == 0 || snap.slices[owner].Partitions(name) == 0 {
			continue
		}
		n++
		key := t.Name + "\x00" + s.Name() + "\x00" + name
		if x.told[key] || len(x.told) >= maxTold {
			continue
		}
		if x.told == nil {
			x.told = map[string]bool{}
		}
		x.told[key] = true
		g.log.Warn("two slices have a topic of the same name: the tenant sees only the one that its routes lead to",
			zap.String("topic", name), zap.String("tenant", t.Name), zap.String("seen_in", owner), zap.String("hidden_in", s.Name()))
	}
	return n
}
