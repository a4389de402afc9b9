package policy

import (
	"bytes"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// cursor is a place in the text that mostly moves forward, counting lines and
// characters as the YAML library does.
type cursor struct {
	text   []byte
	offset int
	at     pos // of the offset
}

// seek moves to a place, or to the end of the text if it has no such place, and
// returns the byte there; 0 at the end.
func (c *cursor) seek(to pos) byte {
	if to.line < c.at.line || to.line == c.at.line && to.column < c.at.column {
		c.offset, c.at = 0, pos{1, 1}
	}
	for c.offset < len(c.text) && (c.at.line < to.line || c.at.line == to.line && c.at.column < to.column) {
		c.next()
	}
	if c.offset == len(c.text) {
		return 0
	}
	return c.text[c.offset]
}

// next passes over one character. YAML 1.1 has three line breaks that editors do
// not have.
func (c *cursor) next() {
	r, size := utf8.DecodeRune(c.text[c.offset:])
	c.offset += size
	switch {
	case r == '\r' && bytes.HasPrefix(c.text[c.offset:], []byte("\n")):
		c.at.column++ // the line ends after it
	case r == '\n', r == '\r', r == '\u0085', r == '\u2028', r == '\u2029':
		c.at = pos{c.at.line + 1, 1}
	default:
		c.at.column++
	}
}

// questionMark finds the ? of an explicit key, of which the library's tree says
// nothing, before the key at the place.
func (c *cursor) questionMark(key pos) (pos, bool) {
	c.seek(key)
	before := bytes.TrimRight(c.text[:c.offset], " \t")
	if !bytes.HasSuffix(before, []byte("?")) || c.at != key {
		return pos{}, false
	}
	return pos{key.line, key.column - (c.offset - len(before)) - 1}, true
}

// syntaxError reports what the library says, with a hint at the mistake that
// patterns and IPv6 addresses invite. c is at the place.
func (y *yamlReader) syntaxError(err error, at pos, c cursor) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if line, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(line, "line ") {
		text = rest // its line is that of what the mistake is in, at times
	}
	hint := ""
	if c.offset > 0 && c.offset < len(c.text) {
		before, after := c.text[c.offset-1], c.text[c.offset]
		closed := (before == '}' || before == ']') && strings.HasPrefix(text, "did not find expected")
		if closed || before == '[' && after == ':' {
			hint = `; a value that begins with { or [ needs quotes, as in "{team}.{app}"`
		}
	}
	y.errorf(at, "YAML: %s%s", text, hint)
}

// errorPlace is where the mistake is that err reports. The library's own text has
// no column and often another line, but its parser knows the place: it is read
// from there. Were a field to go, the place would be the file's beginning and a
// test would fail.
func (y *yamlReader) errorPlace(decoder *yaml.Decoder, err error) pos {
	parser := inside(reflect.ValueOf(decoder), "parser")
	scanner := inside(parser, "parser")
	text, context := err.Error(), inside(scanner, "context")
	switch {
	case strings.Contains(text, "unknown anchor"):
		return markPlace(inside(parser, "event", "start_mark"))
	case strings.Contains(text, "control characters"):
		return y.offsetPlace(inside(scanner, "problem_offset"))
	case strings.HasSuffix(text, "unexpected end of stream"), // an open quote: where it begins
		context.Kind() == reflect.String && beginsThere[context.String()]:
		return markPlace(inside(scanner, "context_mark"))
	}
	return markPlace(inside(scanner, "problem_mark"))
}

// beginsThere are the constructs that are wrong as a whole: the place is where
// they begin.
var beginsThere = map[string]bool{
	"while scanning a simple key": true, "while scanning an alias": true, "while scanning an anchor": true,
	"while scanning a tag": true, "while parsing a tag": true, "while parsing a node": true,
}

// inside is a field of a field of v, through pointers; the zero Value if there is
// none.
func inside(v reflect.Value, path ...string) reflect.Value {
	for _, name := range path {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		v = v.FieldByName(name)
	}
	return v
}

// markPlace is the place of a mark of the library, which counts from 0.
func markPlace(mark reflect.Value) pos {
	line, column := inside(mark, "line"), inside(mark, "column")
	if !line.CanInt() || !column.CanInt() {
		return pos{1, 1}
	}
	return pos{int(line.Int()) + 1, int(column.Int()) + 1}
}

// offsetPlace is the place of a byte of the text.
func (y *yamlReader) offsetPlace(offset reflect.Value) pos {
	c := cursor{text: y.text, at: pos{1, 1}}
	for offset.CanInt() && c.offset < len(y.text) && int64(c.offset) < offset.Int() {
		c.next()
	}
	return c.at
}
