package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// hiding is a judge that lets nothing be described.
type hiding struct {
	denyAll
	names []string
}

func (h hiding) TopicNames() []string { return h.names }

// No regular expression keeps the gateway busy: what would cost too much is refused.
func TestRegexCost(t *testing.T) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("team%d.application.%s", i, strings.Repeat("a", 100)))
	}
	for _, pattern := range []string{
		strings.Repeat("a?.{0,99}", 80) + "b",
		strings.Repeat("a?.{0,9}", 80) + "b",
		strings.Repeat("(.{1,30}){1,30}", 8) + "b",
		strings.Repeat("(.*a?|.*)", 800) + "b",
		strings.Repeat(`(\pL|.)*`, 20) + "b",
		"(?i)" + strings.Repeat("[a-z.]*x?", 900),
	} {
		steps := maxRegexSteps / 20 // enough to see that there is a bound
		code, text := regexCode(hiding{names: names}, pattern, &steps)
		if code != codeTopicAuthorizationFailed || *text != regexTooLong {
			t.Errorf("%.20s… of %d bytes: code %d", pattern, len(pattern), code)
		}
	}
}

// What a slice of many topics needs for a plain pattern is far from the bound, and the
// patterns of one request share it.
func TestRegexSteps(t *testing.T) {
	var names []string
	for i := range 10_000 {
		names = append(names, fmt.Sprintf("other-team.application.topic-%d", i))
	}
	steps := maxRegexSteps
	for i := 0; ; i++ {
		code, _ := regexCode(hiding{names: names}, `my-team\..*`, &steps)
		if code == codeTopicAuthorizationFailed {
			if i < 5 {
				t.Errorf("refused after %d patterns", i)
			}
			return
		}
		if code != codeNone || i > 1000 {
			t.Fatalf("code %d after %d patterns", code, i)
		}
	}
}

// The whole name must match, whatever the expression looks like.
func TestRegexMatchesWholeNames(t *testing.T) {
	j := hiding{names: []string{"secret.a"}}
	for pattern, want := range map[string]int16{
		`secret`: codeNone, `a`: codeNone, `secret\..`: codeTopicAuthorizationFailed, `x|secret.a`: codeTopicAuthorizationFailed,
		`secret|secret.a|y`: codeTopicAuthorizationFailed, `\Qsecret.a`: codeTopicAuthorizationFailed, `\Qsecret.`: codeNone,
		`(?i)SECRET.*`: codeTopicAuthorizationFailed, `.*?`: codeTopicAuthorizationFailed, `^secret.a$`: codeTopicAuthorizationFailed,
		`a)|(secret.a`: codeInvalidRegularExpression, `secret.a\`: codeInvalidRegularExpression, `(?=x)`: codeInvalidRegularExpression,
	} {
		steps := maxRegexSteps
		if code, _ := regexCode(j, pattern, &steps); code != want {
			t.Errorf("%s: code %d, want %d", pattern, code, want)
		}
	}
}
