package policy

import "slices"

// matcher is one way to belong to a tenant: named parts of the pattern that must
// match, or a glob over the whole client ID.
type matcher struct {
	whole glob // when parts is nil
	parts []partGlob
}

type partGlob struct {
	index int // into the pattern's parts
	glob
}

// matches reports whether a client ID matches, given its parts if it follows the
// pattern.
func (m *matcher) matches(id string, parts *[maxParts]string, split bool) bool {
	if m.parts == nil {
		return m.whole.match(id)
	}
	if !split {
		return false
	}
	for i := range m.parts {
		if !m.parts[i].match(parts[m.parts[i].index]) {
			return false
		}
	}
	return true
}

// covers reports whether m matches every client ID that other does, as far as can
// be told.
func (m *matcher) covers(other *matcher, p *pattern) bool {
	if m.parts == nil {
		if other.parts == nil {
			return m.whole.covers(other.whole)
		}
		return m.whole.covers(compileGlob(other.widest(p)))
	}
	if other.parts == nil {
		return false // but for "{rest...}" alone, other also matches what does not follow the pattern
	}
	for i := range m.parts {
		if !coversPart(&m.parts[i], other.parts) {
			return false
		}
	}
	return true
}

func coversPart(want *partGlob, parts []partGlob) bool {
	if want.text == "*" {
		return true
	}
	for i := range parts {
		if parts[i].index == want.index {
			return want.covers(parts[i].glob)
		}
	}
	return false
}

// widest is a glob over whole client IDs that matches at least what m does.
func (m *matcher) widest(p *pattern) string {
	text := ""
	for i := range p.parts {
		value := "*"
		for _, g := range m.parts {
			if g.index == i {
				value = g.text
			}
		}
		text += p.parts[i].before + value
	}
	return text + p.trail
}

// identity finds the tenant of a client ID. Each matcher is filed under one thing
// that a client ID must have literally, so that a lookup tries only the few that
// can match.
type identity struct {
	byName map[string]*Tenant
	exact  map[string]int                   // whole client ID -> first tenant
	byPart [maxParts]map[string][]candidate // literal value of a part, file order
	// Globs over whole client IDs, by the literal text they begin with, and the
	// lengths that such beginnings have, ascending.
	byPrefix map[string][]candidate
	lengths  []int
	others   []candidate // named parts with wildcards only, file order
}

// withPrefix calls try with the globs whose beginning s begins with, too.
func (id *identity) withPrefix(s string, try func([]candidate)) {
	for _, n := range id.lengths {
		if n > len(s) {
			return
		}
		if list := id.byPrefix[s[:n]]; list != nil {
			try(list)
		}
	}
}

type candidate struct {
	tenant  int // index into Policy.Tenants
	matcher *matcher
}

// index files the matchers of all tenants.
func (p *Policy) index() {
	type literal struct {
		part int
		text string
	}
	uses := make(map[literal]int)
	id := identity{
		byName: make(map[string]*Tenant, len(p.Tenants)), exact: make(map[string]int), byPrefix: make(map[string][]candidate),
	}
	for _, t := range p.Tenants {
		id.byName[t.Name] = t
		for i := range t.matchers {
			for _, g := range t.matchers[i].parts {
				if g.exact() {
					uses[literal{g.index, g.text}]++
				}
			}
		}
	}
	for n, t := range p.Tenants {
		for i := range t.matchers {
			m := &t.matchers[i]
			if m.parts == nil {
				id.addWhole(n, m)
				continue
			}
			var rarest *partGlob
			for j := range m.parts {
				g := &m.parts[j]
				if g.exact() && (rarest == nil || uses[literal{g.index, g.text}] < uses[literal{rarest.index, rarest.text}]) {
					rarest = g
				}
			}
			if rarest == nil {
				id.others = append(id.others, candidate{n, m})
				continue
			}
			if id.byPart[rarest.index] == nil {
				id.byPart[rarest.index] = make(map[string][]candidate)
			}
			id.byPart[rarest.index][rarest.text] = append(id.byPart[rarest.index][rarest.text], candidate{n, m})
		}
	}
	p.identity = id
}

// addWhole files a matcher over whole client IDs.
func (id *identity) addWhole(tenant int, m *matcher) {
	if m.whole.exact() {
		if _, taken := id.exact[m.whole.text]; !taken {
			id.exact[m.whole.text] = tenant
		}
		return
	}
	prefix := m.whole.prefix
	id.byPrefix[prefix] = append(id.byPrefix[prefix], candidate{tenant, m})
	if i, found := slices.BinarySearch(id.lengths, len(prefix)); !found {
		id.lengths = slices.Insert(id.lengths, i, len(prefix))
	}
}

// Identify returns the tenant of a client ID: the first in file order that matches
// it, else the one that takes the unmatched, else nil.
func (p *Policy) Identify(clientID string) *Tenant {
	if first := p.first(clientID); first < len(p.Tenants) {
		return p.Tenants[first]
	}
	return p.Unmatched
}

// first is the index of the first tenant that matches, or len(p.Tenants).
func (p *Policy) first(clientID string) int {
	best := len(p.Tenants)
	if n, ok := p.identity.exact[clientID]; ok {
		best = n
	}
	var parts [maxParts]string
	split := p.pattern != nil && p.pattern.split(clientID, &parts)
	try := func(list []candidate) {
		for _, c := range list {
			if c.tenant >= best {
				return
			}
			if c.matcher.matches(clientID, &parts, split) {
				best = c.tenant
				return
			}
		}
	}
	if split {
		for i := range p.pattern.parts {
			if values := p.identity.byPart[i]; values != nil {
				try(values[parts[i]])
			}
		}
	}
	p.identity.withPrefix(clientID, try)
	if split {
		try(p.identity.others)
	}
	return best
}

// shadow returns the index of an earlier tenant that matches all that the matcher
// of tenant n does; false if none is known.
func (p *Policy) shadow(n int, m *matcher) (int, bool) {
	if m.parts == nil && m.whole.exact() {
		first := p.first(m.whole.text)
		return first, first < n
	}
	by, found := 0, false
	try := func(list []candidate) {
		for _, c := range list {
			if found || c.tenant >= n {
				return
			}
			if c.matcher.covers(m, p.pattern) {
				by, found = c.tenant, true
			}
		}
	}
	if m.parts == nil { // see covers
		p.identity.withPrefix(m.whole.prefix, try)
		return by, found
	}
	for _, g := range m.parts {
		if g.exact() {
			try(p.identity.byPart[g.index][g.text])
		}
	}
	p.identity.withPrefix(compileGlob(m.widest(p.pattern)).prefix, try)
	try(p.identity.others)
	return by, found
}
