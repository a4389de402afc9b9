package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds how deep lists and mappings may nest; the file's syntax needs
// six. The YAML parser recurses, so this is checked on the tokens, before it.
const maxDepth = 32

// kind is what a YAML node is, as far as the file's syntax cares.
type kind uint8

const (
	nullKind kind = iota
	scalarKind
	listKind
	mappingKind
	badKind // reported already; decoding passes over it in silence
)

// node is a YAML value with its place. Anchors, aliases and tags are not part of
// the file's syntax: `defaults` is there to save repetition.
type node struct {
	kind  kind
	at    pos
	text  string  // of a scalar
	plain bool    // a scalar without quotes
	items []*node // of a list
	pairs []pair  // of a mapping, in file order, duplicates included
}

type pair struct{ key, value *node }

// readYAML parses the file into a tree. A nil node means that there is nothing
// to decode: the file is empty, or its syntax is broken and reported.
func (r *reporter) readYAML(data []byte) (root *node) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if at, ok := firstInvalidUTF8(data); !ok {
		r.errorf(at, "not UTF-8 text")
		return nil
	}
	defer func() {
		if p := recover(); p != nil { // the YAML library met what it did not expect
			r.errorf(pos{1, 1}, "not valid YAML: %v", p)
			root = nil
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if !r.acceptTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err, data)
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		r.errorf(pos{1, 1}, "the file is empty")
		return nil
	}
	if len(bodies) > 1 {
		r.errorf(placeOf(bodies[1]), "a second YAML document: the file is one document")
	}
	return r.convert(bodies[0])
}

// acceptTokens refuses, before the parser recurses into them, the parts of YAML
// that the file does not use, and nesting without end.
func (r *reporter) acceptTokens(tokens token.Tokens) bool {
	ok := true
	depth, line, entries := 0, 0, 0
	for _, t := range tokens {
		at := pos{t.Position.Line, t.Position.Column}
		if at.line != line {
			line, entries = at.line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			entries++
		case token.AnchorType:
			r.errorf(at, "YAML anchors are not supported: use defaults, or write it out; a value that begins with & needs quotes")
			ok = false
		case token.TagType:
			r.errorf(at, "YAML tags are not supported; a value that begins with ! needs quotes")
			ok = false
		case token.MappingKeyType:
			r.errorf(at, "a key or value that begins with ? needs quotes")
			ok = false
		case token.DirectiveType:
			r.errorf(at, "YAML directives are not supported; a value that begins with %% needs quotes")
			ok = false
		}
		if depth > maxDepth || entries > maxDepth {
			r.errorf(at, "nested too deeply")
			return false
		}
	}
	return ok
}

// syntaxError reports what the parser says, with a hint at the two mistakes that
// globs and patterns invite.
func (r *reporter) syntaxError(err error, data []byte) {
	at := pos{1, 1}
	text := err.Error()
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		text = syntax.Message
		if t := syntax.Token; t != nil && t.Position != nil {
			at = pos{t.Position.Line, t.Position.Column}
		}
	}
	hint := ""
	if lines := strings.Split(string(data), "\n"); at.line >= 1 && at.line <= len(lines) {
		line := lines[at.line-1]
		for _, start := range []string{" *", "[*", ",*", ": {", ": @", ": `"} {
			if strings.Contains(line, start) {
				hint = `; a value that begins with * { @ or ` + "`" + ` needs quotes, as in "*.x"`
			}
		}
	}
	r.errorf(at, "YAML: %s%s", text, hint)
}

// convert turns the library's tree into ours.
func (r *reporter) convert(n ast.Node) *node {
	switch n := n.(type) {
	case nil:
		return &node{kind: badKind, at: pos{1, 1}}
	case *ast.NullNode:
		return &node{kind: nullKind, at: placeOf(n)}
	case *ast.LiteralNode:
		return &node{kind: scalarKind, at: placeOf(n), text: n.Value.Value}
	case *ast.MappingNode:
		return r.convertPairs(n, n.Values)
	case *ast.MappingValueNode:
		return r.convertPairs(n, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		list := &node{kind: listKind, at: placeOf(n)}
		for _, item := range n.Values {
			list.items = append(list.items, r.convert(item))
		}
		return list
	case *ast.AliasNode:
		r.errorf(placeOf(n), `a value that begins with * needs quotes, as in "*.x" (YAML aliases are not supported)`)
		return &node{kind: badKind, at: placeOf(n)}
	case ast.ScalarNode:
		t := n.GetToken()
		quoted := t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType
		return &node{kind: scalarKind, at: placeOf(n), text: t.Value, plain: !quoted}
	}
	r.errorf(placeOf(n), "YAML: a %s is not supported here", n.Type().YAMLName())
	return &node{kind: badKind, at: placeOf(n)}
}

func (r *reporter) convertPairs(n ast.Node, values []*ast.MappingValueNode) *node {
	m := &node{kind: mappingKind, at: placeOf(n)}
	for _, v := range values {
		if v.Key.IsMergeKey() {
			r.errorf(placeOf(v.Key), "YAML merge keys are not supported: use defaults, or write it out")
			continue
		}
		key := r.convert(v.Key)
		if key.kind != scalarKind {
			if key.kind != badKind {
				r.errorf(key.at, "a key must be a word")
			}
			continue
		}
		m.pairs = append(m.pairs, pair{key, r.convert(v.Value)})
	}
	return m
}

// placeOf is where a node begins. A block mapping begins at its first key; the
// library says at the first colon.
func placeOf(n ast.Node) pos {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return placeOf(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(m.Key)
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return pos{1, 1}
	}
	return pos{t.Position.Line, t.Position.Column}
}

func firstInvalidUTF8(data []byte) (pos, bool) {
	if utf8.Valid(data) {
		return pos{}, true
	}
	at := pos{1, 1}
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		if c == utf8.RuneError && size == 1 {
			break
		}
		at.column++
		if c == '\n' {
			at = pos{at.line + 1, 1}
		}
		data = data[size:]
	}
	return at, false
}

// describe says what a node is, for a text that wanted something else.
func (n *node) describe() string {
	switch n.kind {
	case nullKind:
		return "nothing"
	case listKind:
		return "a list"
	case mappingKind:
		return "a mapping"
	default:
		return fmt.Sprintf("%q", n.text)
	}
}
