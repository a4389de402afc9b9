package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each testdata/NAME.bad.yaml holds mistakes of one kind. NAME.bad.txt has the
// problems it must give: no more, no less, each at its exact place, with a text
// that begins as stated or contains it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.yaml"), func(t *testing.T) {
			wanted, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			p, problems := Load(file)
			if (p == nil) != problems.Failed() {
				t.Errorf("policy is nil: %t, failed: %t", p == nil, problems.Failed())
			}
			left := problems
			for want := range strings.Lines(string(wanted)) {
				want = strings.TrimSuffix(want, "\n")
				place, text, _ := cutPlace(want)
				found := false
				for i, have := range left {
					if strings.HasPrefix(have.String(), file+":"+place+": ") && strings.Contains(have.Text, text) {
						left = append(append(Problems{}, left[:i]...), left[i+1:]...)
						found = true
						break
					}
				}
				if !found {
					t.Errorf("missing: %s", want)
				}
			}
			for _, p := range left {
				t.Errorf("unexpected: %s", p)
			}
		})
	}
}

// cutPlace cuts "line:column: severity: text" before the text.
func cutPlace(s string) (place, text string, ok bool) {
	for _, severity := range []string{": error: ", ": warning: "} {
		if i := strings.Index(s, severity); i >= 0 {
			return s[:i+len(severity)-2], s[i+len(severity):], true
		}
	}
	return s, "", false
}
