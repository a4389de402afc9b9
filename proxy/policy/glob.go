package policy

import (
	"strings"
	"unicode/utf8"
)

// internalPrefix begins the names that a wildcard does not reach:
// __consumer_offsets, __transaction_state and their kind.
const internalPrefix = "__"

// glob is a compiled pattern: `*` stands for any run of characters, `?` for one,
// all else for itself. Matching allocates nothing. It is linear for globs with
// one `*`, else at most the name's length times the longest piece between two
// stars.
type glob struct {
	// text is the glob with each run of wildcards in one canonical order, so that
	// equal globs have equal texts.
	text string
	// prefix and suffix are the literal text before the first and after the last
	// wildcard, middle what lies between; all of it is prefix if there is none.
	prefix, middle, suffix string
}

func compileGlob(text string) glob {
	text = canonical(text)
	first := strings.IndexAny(text, "*?")
	if first < 0 {
		return glob{text: text, prefix: text}
	}
	last := strings.LastIndexAny(text, "*?")
	return glob{text: text, prefix: text[:first], middle: text[first : last+1], suffix: text[last+1:]}
}

// canonical writes each run of wildcards that has a `*` as its `?`s and one `*`.
func canonical(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		run := i
		for run < len(text) && (text[run] == '*' || text[run] == '?') {
			run++
		}
		if run == i {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteString(strings.Repeat("?", strings.Count(text[i:run], "?")))
		if strings.Contains(text[i:run], "*") {
			b.WriteByte('*')
		}
		i = run
	}
	return b.String()
}

// exact reports whether the glob is a plain name.
func (g glob) exact() bool { return g.middle == "" }

// match reports whether the glob matches the whole of s.
func (g glob) match(s string) bool {
	if g.middle == "" {
		return s == g.prefix
	}
	if len(s) < len(g.prefix)+len(g.suffix) || !strings.HasPrefix(s, g.prefix) || !strings.HasSuffix(s, g.suffix) {
		return false
	}
	return g.middle == "*" || wildcards(g.middle, s[len(g.prefix):len(s)-len(g.suffix)], false)
}

// matchName is match for names of Kafka's resources: wildcards do not reach a
// name that begins with "__", unless the glob itself spells that beginning.
func (g glob) matchName(s string) bool {
	if strings.HasPrefix(s, internalPrefix) && !strings.HasPrefix(g.prefix, internalPrefix) {
		return false
	}
	return g.match(s)
}

// covers reports whether g matches everything that other matches. Since each
// run of wildcards is in canonical order, reading other as text that only `*`
// can swallow whole decides it.
func (g glob) covers(other glob) bool {
	if other.exact() {
		return g.match(other.text)
	}
	if g.exact() || !strings.HasPrefix(other.prefix, g.prefix) || !strings.HasSuffix(other.suffix, g.suffix) {
		return false
	}
	return g.middle == "*" || wildcards(g.text, other.text, true)
}

// coversNames is covers for names of Kafka's resources.
func (g glob) coversNames(other glob) bool {
	if strings.HasPrefix(other.prefix, internalPrefix) && !strings.HasPrefix(g.prefix, internalPrefix) {
		return false
	}
	return g.covers(other)
}

// wildcards matches pattern against all of s. On a mismatch only the last star
// takes one character more, so there is no exponential case. With globs, s is a
// glob too, and its own `*` is matched by nothing but a `*`.
func wildcards(pattern, s string, globs bool) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		size := 1
		if s[i] >= utf8.RuneSelf {
			_, size = utf8.DecodeRuneInString(s[i:])
		}
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == '?' && !(globs && s[i] == '*'):
			p++
			i += size
		case p < len(pattern) && pattern[p] != '?' && strings.HasPrefix(pattern[p:], s[i:i+size]) && !(globs && isWildcard(s[i])):
			p += size
			i += size
		case star >= 0:
			step := 1
			if s[mark] >= utf8.RuneSelf {
				_, step = utf8.DecodeRuneInString(s[mark:])
			}
			mark += step
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func isWildcard(c byte) bool { return c == '*' || c == '?' }

// maxMeeting bounds the work of [glob.meetsName]: globs that are longer together are
// taken to meet.
const maxMeeting = 1 << 16

// meetsName reports whether there may be a name of Kafka's resources that both globs
// match. It is exact but for names outside ASCII and for very long globs.
func (g glob) meetsName(h glob) bool {
	if strings.HasPrefix(g.prefix, internalPrefix) != strings.HasPrefix(h.prefix, internalPrefix) {
		return false
	}
	if len(g.text)*len(h.text) > maxMeeting || !isASCII(g.text) || !isASCII(h.text) {
		return true
	}
	// row[j] says whether the rests of g from i on and of h from j on can match the
	// same text; row is that of i+1 until j has passed.
	row := make([]bool, len(h.text)+1)
	for j := range row {
		row[j] = strings.Trim(h.text[j:], "*") == ""
	}
	for i := len(g.text) - 1; i >= 0; i-- {
		next := row[len(h.text)] // of i+1, j+1
		row[len(h.text)] = strings.Trim(g.text[i:], "*") == ""
		for j := len(h.text) - 1; j >= 0; j-- {
			a, b, below := g.text[i], h.text[j], row[j]
			switch {
			case a == '*' || b == '*':
				row[j] = below || row[j+1] // the star is empty, or takes one of the other
			default:
				row[j] = (a == b || a == '?' || b == '?') && next
			}
			next = below
		}
	}
	return row[0]
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
