package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckDiff(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(pairs ...string) string {
		path := filepath.Join(t.TempDir(), "new.yaml")
		if err := os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name, config, old string
		want              []string // its last lines
		code              int
	}{
		{"nothing", exampleFile, exampleFile, []string{"no changes"}, 0},
		{
			"a limit and a rule", changed("producer_byte_rate: 20MiB ", "producer_byte_rate: 30MiB ", `topics: ["payments.audit"]`, `topics: ["payments.a*"]`), exampleFile,
			[]string{"tenant payments: producer_byte_rate goes up to 30MiB/s, from 20MiB/s", `tenant payments: may no longer WRITE topics "payments.a*"`},
			0,
		},
		{
			"what needs a restart", changed("max_throttle: 8s", "max_throttle: 7s"), exampleFile,
			[]string{":24:3: gateway.max_throttle is 7s, was 8s: a reload cannot change it: restart, or take it back"},
			0,
		},
		{"a file that has errors", exampleFile, changed("slot: 1", "slot: 0"), []string{"slot 0 is taken by slice orders"}, exitFailed},
		{"a file that is not there", exampleFile, "nowhere.yaml", []string{"nowhere.yaml:1:1: error: cannot be read: no such file or directory"}, exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := runCommandLine(t, "check", "--config", c.config, "--diff", c.old)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if code != c.code || len(lines) < len(c.want) {
				t.Fatalf("exit %d:\n%s", code, out)
			}
			for i, line := range lines[len(lines)-len(c.want):] {
				if !strings.Contains(line, c.want[i]) {
					t.Errorf("%q, want %q", line, c.want[i])
				}
			}
		})
	}
}
