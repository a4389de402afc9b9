package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep lists and mappings may nest; the file's syntax needs
// six. The library itself stops at 10,000.
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
	if at, ok := directive(data); ok {
		r.errorf(at, "%s", needsQuotes('%'))
		return nil
	}
	y := &yamlReader{reporter: r, text: bytes.Clone(data), masked: make(map[pos]bool)}
	bodies, ok := y.parse()
	if !ok {
		return nil
	}
	if len(bodies) == 0 {
		r.errorf(pos{1, 1}, "the file is empty")
		return nil
	}
	if len(bodies) > 1 {
		r.errorf(placeOf(bodies[1]), "a second YAML document: the file is one document")
	}
	y.cursor = cursor{text: y.text, at: pos{1, 1}}
	if root = y.convert(bodies[0], 0); y.stop {
		return nil
	}
	return root
}

// yamlReader turns one text into a tree.
type yamlReader struct {
	*reporter
	text   []byte       // with what y masks
	masked map[pos]bool // what was reported and made a plain letter
	cursor cursor       // in the text, for convert
	stop   bool         // the tree holds what the file's syntax has no use for
}

// parse returns the bodies of the first two documents that have one. A value that
// begins with a character that means something in YAML, as *.x, would end parsing:
// it is reported and masked to find the next of them. As that begins anew each
// time, all times together read no more than one file of the greatest size, and
// find no more than what is shown.
func (y *yamlReader) parse() (bodies []*yaml.Node, ok bool) {
	for budget := maxFileSize; ; {
		decoder := yaml.NewDecoder(bytes.NewReader(y.text))
		bodies, err := decodeBodies(decoder)
		if err == nil {
			return bodies, true
		}
		at := y.errorPlace(decoder, err)
		c := cursor{text: y.text, at: pos{1, 1}}
		sign := c.seek(at)
		if sign == 0 || !bytes.ContainsRune([]byte("*&!@`%"), rune(sign)) {
			y.syntaxError(err, at, c)
			return nil, false
		}
		y.errorf(at, "%s", needsQuotes(sign))
		y.text[c.offset] = '_'
		y.masked[at] = true
		if budget -= len(y.text); budget < 0 || len(y.masked) > maxProblems {
			return nil, false
		}
	}
}

// decodeBodies reads up to two documents that are not empty.
func decodeBodies(decoder *yaml.Decoder) ([]*yaml.Node, error) {
	var bodies []*yaml.Node
	for len(bodies) < 2 {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, body := range doc.Content {
			if body.Kind != yaml.ScalarNode || body.Value != "" || body.Style != 0 || body.Anchor != "" {
				bodies = append(bodies, body)
			}
		}
	}
	return bodies, nil
}

// convert turns the library's tree into ours. It never follows an alias, so the
// tree is no larger than the text.
func (y *yamlReader) convert(n *yaml.Node, depth int) *node {
	out := &node{kind: badKind, at: placeOf(n)}
	if y.stop && depth > maxDepth {
		return out
	}
	if depth > maxDepth {
		y.refuse(out.at, "nested too deeply")
		return out
	}
	if n.Anchor != "" {
		y.refuse(out.at, needsQuotes('&'))
	} else if n.Style&yaml.TaggedStyle != 0 || n.Kind == yaml.ScalarNode && y.cursor.seek(out.at) == '!' {
		y.refuse(out.at, needsQuotes('!')) // of a lone ! the library says nothing
	}
	switch n.Kind {
	case yaml.AliasNode:
		y.errorf(out.at, "%s", needsQuotes('*'))
	case yaml.ScalarNode:
		if y.masked[out.at] {
			break
		}
		if out.kind = scalarKind; n.Style == 0 && n.ShortTag() == "!!null" {
			out.kind = nullKind
		}
		out.text = n.Value
	case yaml.SequenceNode:
		out.kind = listKind
		for _, item := range n.Content {
			out.items = append(out.items, y.convert(item, depth+1))
		}
	case yaml.MappingNode:
		out.kind = mappingKind
		for i := 0; i+1 < len(n.Content); i += 2 {
			y.convertPair(out, n.Content[i], n.Content[i+1], depth)
		}
	}
	return out
}

// convertPair adds a key and its value to a mapping.
func (y *yamlReader) convertPair(mapping *node, k, v *yaml.Node, depth int) {
	if at, ok := y.cursor.questionMark(placeOf(k)); ok {
		y.refuse(at, needsQuotes('?'))
	}
	key := y.convert(k, depth+1)
	value := y.convert(v, depth+1)
	switch {
	case k.Style == 0 && k.Value == "<<":
		y.errorf(key.at, "YAML merge keys are not supported: use defaults, or write it out")
	case key.kind == scalarKind:
		mapping.pairs = append(mapping.pairs, pair{key, value})
	case key.kind != badKind:
		y.errorf(key.at, "a key must be a word")
	}
}

// refuse reports a part of YAML that the file does not use. What the rest of the
// tree means is then anyone's guess.
func (y *yamlReader) refuse(at pos, text string) {
	y.errorf(at, "%s", text)
	y.stop = true
}

// needsQuotes says what is wrong with an unquoted value that begins with sign.
func needsQuotes(sign byte) string {
	switch sign {
	case '*':
		return `a value that begins with * needs quotes, as in "*.x" (YAML aliases are not supported)`
	case '&':
		return "YAML anchors are not supported: use defaults, or write it out; a value that begins with & needs quotes"
	case '!':
		return "YAML tags are not supported; a value that begins with ! needs quotes"
	case '%':
		return "YAML directives are not supported; a value that begins with % needs quotes"
	case '?':
		return "a key or value that begins with ? needs quotes"
	}
	return fmt.Sprintf("a value that begins with %c needs quotes", sign)
}

// placeOf is where a node begins: a block mapping at its first key.
func placeOf(n *yaml.Node) pos { return pos{n.Line, n.Column} }

// directive finds the %YAML or %TAG that a document may begin with.
func directive(data []byte) (pos, bool) {
	line := 1
	for text := range bytes.Lines(data) {
		switch trimmed := bytes.TrimSpace(text); {
		case text[0] == '%':
			return pos{line, 1}, true
		case len(trimmed) > 0 && trimmed[0] != '#':
			return pos{}, false
		}
		line++
	}
	return pos{}, false
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
