package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// NameRules are rules in the syntax of Kafka's ssl.principal.mapping.rules
// (KIP-371): RULE:pattern/replacement/[LU] and DEFAULT, separated by commas. The
// first whose pattern matches the whole name makes a principal of it. They never
// change.
//
// Patterns are RE2, not Java's: without look-around and back-references.
type NameRules struct{ rules []nameRule }

type nameRule struct {
	pattern     *regexp.Regexp // nil: DEFAULT
	whole, tail *regexp.Regexp // it matches all; it matches an empty end
	replacement []piece
	lower       bool
	upper       bool
}

// piece is part of a replacement: a text, or a group of the pattern.
type piece struct {
	text  string
	group int // -1: the text
}

// maxRules bounds the text of the rules, in bytes.
const maxRules = 16 << 10

// ruleSyntax is how Kafka splits rules (SslPrincipalMapper).
const ruleSyntax = `(DEFAULT)|RULE:((?:\\.|[^\\/])*)/((?:\\.|[^\\/])*)/([LU]?).*?|(.*?)`

var (
	ruleSplitter = regexp.MustCompile(`\s*(` + ruleSyntax + `)\s*(?:,\s*|$)`)
	ruleParser   = regexp.MustCompile(`^(?:` + ruleSyntax + `)`)
)

// ParseNameRules reads rules. The empty text has none, so that no name passes:
// DEFAULT is what Kafka has where nothing is said.
func ParseNameRules(text string) (*NameRules, error) {
	if len(text) > maxRules {
		return nil, fmt.Errorf("the rules have more than %d characters", maxRules)
	}
	var rules NameRules
	for _, m := range ruleSplitter.FindAllStringSubmatch(strings.TrimSpace(text), -1) {
		word := m[1]
		if word == "" {
			continue
		}
		parsed := ruleParser.FindStringSubmatch(word)
		if len(parsed[0]) != len(word) {
			return nil, fmt.Errorf("%q is no rule: it is RULE:pattern/replacement/, the same with L or U behind it, or DEFAULT; a / within is written \\/", word)
		}
		if parsed[1] != "" {
			rules.rules = append(rules.rules, nameRule{})
			continue
		}
		rule, err := newNameRule(parsed[2], parsed[3], parsed[4])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		rules.rules = append(rules.rules, rule)
	}
	return &rules, nil
}

func newNameRule(pattern, replacement, letter string) (nameRule, error) {
	r := nameRule{lower: letter == "L", upper: letter == "U"}
	var err error
	if r.pattern, err = regexp.Compile(pattern); err != nil {
		return r, fmt.Errorf("the pattern is not RE2: %w", err)
	}
	if r.whole, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err != nil {
		return r, fmt.Errorf("the pattern is not RE2: %w", err)
	}
	if r.tail, err = regexp.Compile(`\A(?s:.*)((?:` + pattern + `))\z`); err != nil {
		return r, fmt.Errorf("the pattern is not RE2: %w", err)
	}
	r.replacement, err = parseReplacement(replacement, r.pattern.NumSubexp())
	return r, err
}

// parseReplacement reads a replacement as java.util.regex.Matcher does: $1 is a
// group, \x the letter x. A group that the pattern does not have is literal text.
func parseReplacement(s string, groups int) ([]piece, error) {
	var pieces []piece
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			pieces = append(pieces, piece{text.String(), -1})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			if i++; i == len(s) {
				return nil, errors.New(`the replacement ends with a \`)
			}
			text.WriteByte(s[i])
		case s[i] != '$':
			text.WriteByte(s[i])
		case i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9':
			return nil, errors.New(`a $ in the replacement must be followed by the number of a group, or be written \$`)
		default:
			end := i + 2
			group := int(s[i+1] - '0')
			for end < len(s) && s[end] >= '0' && s[end] <= '9' {
				longer, err := strconv.Atoi(s[i+1 : end+1])
				if err != nil || longer > groups {
					break
				}
				group = longer
				end++
			}
			if group > groups {
				if groups == 0 {
					return nil, fmt.Errorf("the pattern has no group for $%d", group)
				}
				text.WriteString(s[i:end])
			} else {
				flush()
				pieces = append(pieces, piece{group: group})
			}
			i = end - 1
		}
	}
	flush()
	return pieces, nil
}

// Name is the principal's name for a distinguished name. The error says that no
// rule applies.
func (rules *NameRules) Name(distinguishedName string) (string, error) {
	for i := range rules.rules {
		if name, ok := rules.rules[i].apply(distinguishedName); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("no principal mapping rule applies to %q", distinguishedName)
}

func (r *nameRule) apply(s string) (string, bool) {
	if r.pattern == nil {
		return s, true
	}
	if !r.whole.MatchString(s) {
		return "", false
	}
	// Java's replaceAll: every match is replaced, also an empty one at the end.
	var b strings.Builder
	from := 0
	matches := r.pattern.FindAllStringSubmatchIndex(s, -1)
	if n := len(matches); n > 0 && matches[n-1][1] == len(s) && matches[n-1][0] < len(s) {
		if m := r.tail.FindStringSubmatchIndex(s); m != nil && m[2] == len(s) {
			matches = append(matches, m[2:])
		}
	}
	for _, m := range matches {
		b.WriteString(s[from:m[0]])
		for _, p := range r.replacement {
			if p.group < 0 {
				b.WriteString(p.text)
			} else if m[2*p.group] >= 0 {
				b.WriteString(s[m[2*p.group]:m[2*p.group+1]])
			}
		}
		from = m[1]
	}
	b.WriteString(s[from:])
	switch {
	case r.lower:
		return strings.ToLower(b.String()), true
	case r.upper:
		return strings.ToUpper(b.String()), true
	}
	return b.String(), true
}
