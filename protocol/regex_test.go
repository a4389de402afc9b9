package protocol

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// hiding is a judge that lets nothing be described.
type hiding struct {
	denyAll
	names []string
}

func (h hiding) TopicNames() []string { return h.names }

// No regular expression keeps the gateway busy: it is judged soon, or refused.
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
		began := time.Now()
		code, text := regexCode(hiding{names: names}, pattern, began.Add(maxRegexTime))
		if took := time.Since(began); took > 4*maxRegexTime {
			t.Errorf("%.20s… of %d bytes: %v", pattern, len(pattern), took)
		}
		if code == codeNone && time.Since(began) > maxRegexTime || code != codeNone && *text == "" {
			t.Errorf("%.20s…: code %d", pattern, code)
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
		if code, _ := regexCode(j, pattern, time.Now().Add(time.Minute)); code != want {
			t.Errorf("%s: code %d, want %d", pattern, code, want)
		}
	}
}
