package policy

import (
	"cmp"
	"slices"
	"strings"
)

// anyValue stands for what a wildcard of client_ids may be.
const anyValue = "any0"

// maxPaired bounds the client_ids that are combined with one another.
const maxPaired = 200

// sample is a client ID that the matcher matches, and that few others do.
func (m *matcher) sample(p *pattern) string {
	text := m.whole.text
	if m.parts != nil {
		text = m.widest(p)
	}
	return strings.NewReplacer("*", anyValue, "?", "x").Replace(text)
}

// both is the matcher of what two with named parts match, as {team: a} and {app: b}
// both match {team: a, app: b}; false if they have a part in common or no parts.
func both(a, b *matcher) (*matcher, bool) {
	if len(a.parts) == 0 || len(b.parts) == 0 {
		return nil, false
	}
	for _, g := range a.parts {
		if slices.ContainsFunc(b.parts, func(other partGlob) bool { return other.index == g.index }) {
			return nil, false
		}
	}
	parts := slices.Concat(a.parts, b.parts)
	slices.SortFunc(parts, func(a, b partGlob) int { return cmp.Compare(a.index, b.index) })
	return &matcher{parts: parts}, true
}

// compareOwners says which client IDs belong to another tenant now. It asks both
// policies for an example of each of their client_ids, and of each two that overlap.
func (d *differ) compareOwners() {
	moved := make(map[string]bool)
	for _, p := range []*Policy{d.p, d.old} {
		var all []*matcher
		for _, t := range p.Tenants {
			for i := range t.matchers {
				all = append(all, &t.matchers[i])
				d.compareOwner(p, &t.matchers[i], moved)
			}
		}
		if len(all) > maxPaired {
			continue
		}
		for i, a := range all {
			for _, b := range all[:i] {
				if moved[a.describe(p.pattern)] || moved[b.describe(p.pattern)] {
					continue
				}
				if m, ok := both(a, b); ok {
					d.compareOwner(p, m, moved)
				}
			}
		}
	}
}

// compareOwner compares who has the client IDs of a matcher of p.
func (d *differ) compareOwner(p *Policy, m *matcher, moved map[string]bool) {
	id, text := m.sample(p.pattern), m.describe(p.pattern)
	was, is := d.old.Identify(id), d.p.Identify(id)
	if moved[text] || was == nil && is == nil || was != nil && is != nil && d.after(was) == is {
		return
	}
	moved[text] = true
	switch {
	case is == nil:
		d.tenant(was.Name, "client IDs %s no longer belong to it, and are refused", text)
	case was == nil:
		d.tenant(is.Name, "client IDs %s belong to it now, and were refused", text)
	default:
		d.tenant(is.Name, "client IDs %s belong to it now, and were of tenant %s", text, was.Name)
	}
}
