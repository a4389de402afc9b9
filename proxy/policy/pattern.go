package policy

import (
	"fmt"
	"strings"
)

// maxParts bounds the parts of a client ID pattern, so that a split fits an
// array.
const maxParts = 16

// pattern is the naming convention of client IDs, as "{team}.{app}.{env}". A
// part matches one or more of [A-Za-z0-9_-] and ends where the text behind it
// first occurs; "{rest...}" at the end matches anything, nothing too.
type pattern struct {
	text  string
	parts []part
	// trail is the literal text after the last part.
	trail string
}

type part struct {
	before string // literal text before the part
	name   string
	rest   bool
}

// isPartByte reports whether a part of a client ID may contain c.
func isPartByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func isPart(s string) bool {
	for i := range len(s) {
		if !isPartByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// parsePattern reads client_ids.pattern.
func parsePattern(text string) (*pattern, error) {
	p := &pattern{text: text}
	rest := text
	for {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return nil, fmt.Errorf("%q has a } without a {", text)
		}
		if len(p.parts) > 0 && p.parts[len(p.parts)-1].rest && (found || literal != "") {
			return nil, fmt.Errorf("%q: only the last part may be {%s...}, with nothing behind it", text, p.parts[len(p.parts)-1].name)
		}
		if !found {
			p.trail = literal
			break
		}
		inner, behind, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q has a { without a }", text)
		}
		if len(p.parts) > 0 && literal == "" {
			return nil, fmt.Errorf("%q: {%s} needs something between it and the part before, as in {a}.{b}", text, inner)
		}
		name, isRest := strings.CutSuffix(inner, "...")
		if !isPart(name) {
			return nil, fmt.Errorf("%q: {%s} is not a part: a part's name has letters, digits, _ and -", text, inner)
		}
		if p.index(name) >= 0 {
			return nil, fmt.Errorf("%q has the part {%s} twice", text, name)
		}
		p.parts = append(p.parts, part{before: literal, name: name, rest: isRest})
		rest = behind
	}
	if len(p.parts) == 0 {
		return nil, fmt.Errorf(`%q names no part: write it as "{team}.{app}"`, text)
	}
	if len(p.parts) > maxParts {
		return nil, fmt.Errorf("%q has more than %d parts", text, maxParts)
	}
	return p, nil
}

// index is the place of the part with that name, or -1.
func (p *pattern) index(name string) int {
	for i := range p.parts {
		if p.parts[i].name == name {
			return i
		}
	}
	return -1
}

func (p *pattern) names() []string {
	names := make([]string, len(p.parts))
	for i := range p.parts {
		names[i] = p.parts[i].name
	}
	return names
}

// split cuts a client ID into the pattern's parts; false if it does not follow
// the pattern. A part takes as little as it can: whatever follows could begin
// later too, but then the next part could as well take what lies between, so
// nothing is missed and no backtracking is needed.
func (p *pattern) split(id string, out *[maxParts]string) bool {
	s, ok := strings.CutPrefix(id, p.parts[0].before)
	if !ok {
		return false
	}
	if s, ok = strings.CutSuffix(s, p.trail); !ok {
		return false
	}
	last := len(p.parts) - 1
	for i := range last {
		if s == "" {
			return false
		}
		next := p.parts[i+1].before
		end := 1 + strings.Index(s[1:], next)
		if end == 0 || !isPart(s[:end]) {
			return false
		}
		out[i] = s[:end]
		s = s[end+len(next):]
	}
	out[last] = s
	return p.parts[last].rest || isPart(s)
}

// impossible says why no client ID can have a part that matches g; "" if one can,
// as far as can be told.
func (p *pattern) impossible(i int, g glob) string {
	if p.parts[i].rest {
		return ""
	}
	for _, c := range g.text {
		if c >= 0x80 || !isPartByte(byte(c)) && !isWildcard(byte(c)) {
			return fmt.Sprintf("a part of a client ID has no %q", c)
		}
	}
	if i == len(p.parts)-1 || g.prefix == "" {
		return ""
	}
	if next := p.parts[i+1].before; strings.Contains(g.prefix[1:], next) {
		return fmt.Sprintf("the part ends at the first %q", next)
	}
	return ""
}
