package policy

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

// naive is the definition of a glob, written for clarity.
func naive(g, s []rune) bool {
	if len(g) == 0 {
		return len(s) == 0
	}
	switch {
	case g[0] == '*':
		return naive(g[1:], s) || len(s) > 0 && naive(g, s[1:])
	case len(s) == 0:
		return false
	}
	return (g[0] == '?' || g[0] == s[0]) && naive(g[1:], s[1:])
}

// word makes a short text over few letters, so that matches are common.
func word(r *rand.Rand, letters string, most int) string {
	all := []rune(letters)
	out := make([]rune, r.IntN(most+1))
	for i := range out {
		out[i] = all[r.IntN(len(all))]
	}
	return string(out)
}

func TestGlobMatchesAsDefined(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 100_000 {
		g, s := word(r, "ab_é*?*?", 7), word(r, "ab_é", 8)
		want := naive([]rune(g), []rune(s))
		if want {
			matched++
		}
		if got := compileGlob(g).match(s); got != want {
			t.Fatalf("%q matches %q: %t, want %t", g, s, got, want)
		}
		reach := want && (!strings.HasPrefix(s, "__") || strings.HasPrefix(g, "__"))
		if got := compileGlob(g).matchName(s); got != reach {
			t.Fatalf("%q reaches %q: %t, want %t", g, s, got, reach)
		}
	}
	if matched < 3_000 {
		t.Errorf("only %d matches: the test says little", matched)
	}
}

// A covering glob must match whatever the covered one does; and where it does not
// cover, a name tells the two apart.
func TestGlobCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	covered := 0
	for range 8_000 {
		a, b := compileGlob(word(r, "a_*?*", 5)), compileGlob(word(r, "a_*?*", 5))
		covers, coversNames := a.covers(b), a.coversNames(b)
		if covers {
			covered++
		}
		apart, apartNames := false, false
		for range 150 {
			s := word(r, "a_x", 7)
			apart = apart || b.match(s) && !a.match(s)
			apartNames = apartNames || b.matchName(s) && !a.matchName(s)
		}
		if covers && apart || coversNames && apartNames {
			t.Fatalf("%q is said to cover %q", a.text, b.text)
		}
	}
	if covered < 400 {
		t.Errorf("only %d covered: the test says little", covered)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"*", "a*", true},
		{"a*", "*", false},
		{"a*", "ab*", true},
		{"a*b", "ab", true},
		{"a*b", "a", false},
		{"*?", "?*", true},
		{"?", "*", false},
		{"*a*", "*xa?*", true},
		{"*a*", "*x?*", false},
		{"a?", "ab", true},
		{"ab", "a?", false},
		{"a*", "a*b", true},
		{"é?", "éé", true},
		{"*", "__x", true},
	} {
		if got := compileGlob(c.a).covers(compileGlob(c.b)); got != c.want {
			t.Errorf("%q covers %q: %t", c.a, c.b, got)
		}
	}
}

func TestGlobIsNotExponential(t *testing.T) {
	g := compileGlob(strings.Repeat("*a", 30) + "*b")
	if g.match(strings.Repeat("a", 100_000)) {
		t.Error("matches")
	}
}

// The pattern's split is what a non-greedy regular expression finds.
func TestPatternSplitsLikeRegexp(t *testing.T) {
	for _, text := range []string{"{a}.{b}.{c}", "{a}-{b}", "{a}--{b}-{c}", "x{a}.-{b}y", "{a}.{rest...}", "{a}-{rest...}", "{rest...}", "{a}", "a-{b}-a", "{a}-.{b}"} {
		p, err := parsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		expression := regexp.QuoteMeta(text)
		expression = regexp.MustCompile(`\\\{rest\\\.\\\.\\\.\\\}`).ReplaceAllString(expression, `(?s:(.*))`)
		expression = regexp.MustCompile(`\\\{.\\\}`).ReplaceAllString(expression, `([A-Za-z0-9_-]+?)`)
		re := regexp.MustCompile("^" + expression + "$")
		r := rand.New(rand.NewPCG(5, 6))
		matched := 0
		for range 20_000 {
			id := word(r, "ax-.y-.a", 9)
			var parts [maxParts]string
			got, want := p.split(id, &parts), re.FindStringSubmatch(id)
			if got != (want != nil) {
				t.Fatalf("%s splits %q: %t, want %q by %s", text, id, got, want, re)
			}
			if !got {
				continue
			}
			matched++
			for i := range p.parts {
				if parts[i] != want[i+1] {
					t.Fatalf("%s splits %q into %q, want %q", text, id, parts[:len(p.parts)], want[1:])
				}
			}
		}
		if matched < 5 {
			t.Errorf("%s: only %d matches", text, matched)
		}
	}
}

func TestDistance(t *testing.T) {
	if distance("kitten", "sitting") != 3 || distance("", "abc") != 3 || distance("same", "same") != 0 {
		t.Error("not the Levenshtein distance")
	}
	if err := quick.Check(func(a, b string) bool { return distance(a, b) == distance(b, a) }, nil); err != nil {
		t.Error(err)
	}
}

func BenchmarkGlob(b *testing.B) {
	g := compileGlob("payments.*")
	b.ReportAllocs()
	for b.Loop() {
		if !g.matchName("payments.orders.created") {
			b.Fatal("no match")
		}
	}
}

// meetsName against all names of a small alphabet.
func TestMeetsName(t *testing.T) {
	var names []string
	var grow func(string)
	grow = func(s string) {
		names = append(names, s)
		if len(s) < 6 {
			for _, c := range "ab_" {
				grow(s + string(c))
			}
		}
	}
	grow("")
	globs := []string{"", "a", "ab", "a*", "*a", "a*b", "*", "?", "??", "a?", "?a*", "*ab*", "b*", "*b?", "a*a*b", "__*", "__a", "_*", "_a", "?_*", "b?b", "*?b*a"}
	met := 0
	for _, a := range globs {
		for _, b := range globs {
			g, h := compileGlob(a), compileGlob(b)
			want := slices.ContainsFunc(names, func(n string) bool { return g.matchName(n) && h.matchName(n) })
			got := g.meetsName(h)
			if want {
				met++
			}
			// What both could match only if it began with "__" is taken to meet.
			if got != want && (want || !strings.HasPrefix(a, "_") && !strings.HasPrefix(a, "?_") && !strings.HasPrefix(b, "?_") && !strings.HasPrefix(b, "_")) {
				t.Errorf("%q and %q: %t, want %t", a, b, got, want)
			}
		}
	}
	if met < 100 || met > len(globs)*len(globs)-100 {
		t.Errorf("%d of %d meet", met, len(globs)*len(globs))
	}
	long := strings.Repeat("a", 1<<10)
	if !compileGlob(long + "*").meetsName(compileGlob(long + "b*")) {
		t.Error("long globs are not taken to meet")
	}
}
