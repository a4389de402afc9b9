package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The demo shows each kind of client: the polite one is served, the noisy one held
// near its limit, the one of two slices reads both, the one without a tenant is refused. It leaves nothing behind.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c := start(t, "demo", "--for", "3s")
	code, stderr := c.exits()
	out := c.stdout.String()
	if code != 0 || stderr != "" {
		t.Errorf("exit %d, stderr %s", code, stderr)
	}
	rows := map[string][]string{}   // the last of each
	insight := map[string]float64{} // MB that it has read, by slice
	refused := false                // in one second at least
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		rows[f[0]] = f
		if f[0] == "insight" {
			out, _ := strconv.ParseFloat(f[3], 64)
			insight[f[1]] += out
		}
		if f[0] == "unmatched" && f[len(f)-1] != "0.0" {
			refused = true
		}
	}
	if rows["TENANT"] == nil || rows["payments"] == nil || rows["tracking"] == nil || rows["unmatched"] == nil {
		t.Fatalf("rows are missing:\n%s", out)
	}
	number := func(tenant string, column int) float64 {
		v, err := strconv.ParseFloat(rows[tenant][column], 64)
		if err != nil {
			t.Errorf("%s, column %d: %v\n%s", tenant, column, err, out)
		}
		return v
	}
	// In MB/s; the tenant's limit is 2, and one second's share of it may be early.
	if in := number("tracking", 2); in < 0.5 || in > 3 {
		t.Errorf("tracking produces %v MB/s, its limit is 2:\n%s", in, out)
	}
	if in := number("payments", 2); in <= 0 || in > 2 {
		t.Errorf("payments produces %v MB/s, it wants 0.5:\n%s", in, out)
	}
	if insight["orders"] <= 0 || insight["clicks"] <= 0 {
		t.Errorf("insight reads %v, and has topics in both slices:\n%s", insight, out)
	}
	if !refused {
		t.Errorf("the client of no tenant is not refused:\n%s", out)
	}
	if rows["payments"][1] != "orders" || rows["tracking"][1] != "clicks" {
		t.Errorf("slices:\n%s", out)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if !strings.Contains(out, tmp) {
		t.Errorf("its file is not in the directory that this test looks at:\n%s", out)
	}
}
