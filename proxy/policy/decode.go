package policy

import (
	"errors"
	"fmt"
	"strings"
)

// object is a mapping whose keys were checked.
type object struct {
	at     pos
	fields map[string]field
	// unsure: a field is misspelt, so one that seems to be missing may be there.
	unsure bool
}

type field struct {
	key   pos
	value *node
}

// get returns the value of a key, nil if the file does not have it.
func (o *object) get(key string) *node { return o.fields[key].value }

// place is where a key stands, or where the object begins if it is absent.
func (o *object) place(key string) pos {
	if f, ok := o.fields[key]; ok {
		return f.key
	}
	return o.at
}

// object checks that n is a mapping with known keys, each once. An absent or
// empty n is an object without fields; one of another type is reported.
func (r *reporter) object(n *node, what string, known ...string) *object {
	if n == nil {
		return &object{}
	}
	o := &object{at: n.at, fields: make(map[string]field, len(n.pairs))}
	switch n.kind {
	case mappingKind:
	case scalarKind, listKind:
		r.errorf(n.at, "%s must be a mapping (key: value), not %s", what, n.describe())
		return o
	default:
		return o
	}
	for _, p := range n.pairs {
		name := p.key.text
		if first, twice := o.fields[name]; twice {
			r.errorf(p.key.at, "%s is given twice in %s, first at line %d", name, what, first.key.line)
			continue
		}
		if len(known) > 0 && !contains(known, name) {
			r.errorf(p.key.at, "unknown field %q in %s%s", name, what, suggest(name, known))
			o.unsure = true
			continue
		}
		o.fields[name] = field{p.key.at, p.value}
	}
	return o
}

// list returns the items of a list. Absent or empty is no items; another type is
// reported.
func (r *reporter) list(n *node, what string) []*node {
	if n == nil {
		return nil
	}
	if n.kind == scalarKind || n.kind == mappingKind {
		r.errorf(n.at, "%s must be a list, not %s", what, n.describe())
	}
	return n.items
}

// scalar decodes a single value. False if it is absent or was reported.
func scalar[T any](r *reporter, n *node, what string, parse func(string) (T, error)) (T, bool) {
	var none T
	if n == nil || n.kind == badKind {
		return none, false
	}
	if n.kind != scalarKind {
		r.errorf(n.at, "%s must be a single value, not %s", what, n.describe())
		return none, false
	}
	v, err := parse(n.text)
	if err != nil {
		r.errorf(n.at, "%s: %v", what, err)
		return none, false
	}
	return v, true
}

// set decodes a single value into to, which keeps its default otherwise.
func set[T any](r *reporter, n *node, what string, parse func(string) (T, error), to *T) bool {
	v, ok := scalar(r, n, what, parse)
	if ok {
		*to = v
	}
	return ok
}

// required decodes the value of a key that must be there.
func required[T any](r *reporter, o *object, what, key string, parse func(string) (T, error)) (T, bool) {
	n := o.get(key)
	if n == nil {
		r.missing(o, o.at, "%s needs %s", what, key)
	}
	return scalar(r, n, key, parse)
}

// missing reports that o lacks something, unless a misspelt field may be it.
func (r *reporter) missing(o *object, at pos, format string, args ...any) {
	if !o.unsure {
		r.errorf(at, format, args...)
	}
}

// parseBool decodes true or false, as YAML 1.2 has them; no yes, no on.
func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("must be true or false, not %q", s)
}

func parseText(s string) (string, error) {
	if s == "" {
		return "", errors.New("must not be empty")
	}
	return s, nil
}

// maxName keeps names usable as metric labels and in host names.
const maxName = 63

// parseName checks a name of a slice, listener or tenant.
func parseName(s string) (string, error) {
	const more = "use letters, digits, . _ and -, beginning with a letter or digit, at most 63"
	if s == "" || len(s) > maxName {
		return "", fmt.Errorf("%q is not a name: %s", s, more)
	}
	for i := range len(s) {
		if c := s[i]; !isPartByte(c) && c != '.' || i == 0 && (c == '.' || c == '_' || c == '-') {
			return "", fmt.Errorf("%q is not a name: %s", s, more)
		}
	}
	return s, nil
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// suggest is `: did you mean "x"?` for the known word nearest to what was
// written, or the list of all where none is near.
func suggest(word string, known []string) string {
	best, bestDistance := "", max(2, len(word)*2/5)+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(": did you mean %q?", best)
	case len(known) > 0 && len(known) <= 20:
		return ": it can be " + strings.Join(known, ", ")
	}
	return ""
}

// distance is the Levenshtein distance. Long words are not compared.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Suggest is `: did you mean "x"?` for the known word nearest to what was written,
// the list of all where none is near and they are few, or nothing.
func Suggest(word string, known []string) string { return suggest(word, known) }
