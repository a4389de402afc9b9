package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/target"
)

func TestMain(m *testing.M) {
	if beChild() {
		return
	}
	os.Exit(m.Run())
}

// TestCompare runs the whole comparison for a moment: every target, one workload of
// each kind, and the check of Sluice's counters against the sink's.
func TestCompare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	args := []string{"--rounds", "2", "--seconds", "0.2", "--only", "^(produce-16KiB-64|fetch-1MiB-1|produce-500B-steady|metadata.*)$", "--json", file, "--svg", filepath.Dir(file), "--profile", filepath.Dir(file)}
	if !target.HaveHAProxy() {
		if os.Getenv("CI") != "" {
			t.Fatal("haproxy is not on the path, and CI is set (install the package haproxy)")
		}
		t.Log("*** haproxy is not on the path: compared without it (install the package haproxy)")
		args = append(args, "--targets", "direct,sluice-open,sluice")
	}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"produce-16KiB-64", "fetch-1MiB-1", "produce-500B-steady", "metadata-10000-topics", "p99.9 ms", "sluice-open", "load average"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	for _, name := range []string{"latency-produce-500B-steady.svg", "fetch-1MiB-1-sluice.pprof"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), name)); err != nil {
			t.Error(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	d, err := report.ReadJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Samples {
		if s.Result.Requests == 0 || s.HasCPU != (s.Target != "direct") || s.HasCPU && (s.Result.CPU <= 0 || s.PeakRSS == 0) {
			t.Errorf("%+v", s)
		}
	}
}

// TestCompareTLS runs two workloads of clients that speak TLS.
func TestCompareTLS(t *testing.T) {
	args := []string{"--tls", "--rounds", "1", "--seconds", "0.2", "--only", "^(produce-16KiB-1|fetch-1MiB-1|fetch-500B-steady)$"}
	if !target.HaveHAProxy() {
		args = append(args, "--targets", "sluice-open,sluice") // TestCompare has said so
	}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"produce-16KiB-1", "fetch-500B-steady", "sluice-open", "clients speak TLS"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"--targets nobody":                          "no target is called nobody",
		"--target x":                                "name=host:port,pid",
		"--target haproxy=127.0.0.1:1,7":            "two targets are called haproxy",
		"--sluice /a --sluice /b":                   "two targets are called sluice-open",
		"--only (":                                  "--only",
		"--tls --target x=127.0.0.1:1,7":            "not with --tls",
		"--tls --targets direct":                    "no target is called direct",
		"more":                                      "only flags",
		"--only nothing.at.all --targets direct":    "no workload",
		"--only 16KiB-1$ --targets new --sluice /a": "no target is called new",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", args, err, want)
		}
	}
	o, err := parse([]string{"--quick", "--sluice", "old=/a", "--sluice", "new=/b", "--target", "k=127.0.0.1:9,7", "--targets", "new,k,haproxy"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(o.targets, " ") != "new haproxy" || o.builds["new"] != (build{"/b", true}) || len(o.external) != 1 || o.rounds != 3 {
		t.Errorf("%+v", o)
	}
}

func TestWorkloadsHaveNamesOfTheirOwn(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	all := workloads(false, o.only)
	for _, w := range all {
		if seen[w.name] {
			t.Errorf("two are called %s", w.name)
		}
		seen[w.name] = true
	}
	if quick := workloads(true, o.only); len(quick) == 0 || len(quick) >= len(all) {
		t.Errorf("%d of %d are quick", len(quick), len(all))
	}
}

func TestCountersMustBeEqual(t *testing.T) {
	before := counted{sinkIn: 5, sinkOut: 6, in: 1, out: 2}
	if err := equal(before, counted{sinkIn: 15, sinkOut: 26, in: 11, out: 22}); err != nil {
		t.Error(err)
	}
	if equal(before, counted{sinkIn: 15, sinkOut: 26, in: 12, out: 22}) == nil || equal(before, counted{sinkIn: 15, sinkOut: 26, in: 11, out: 21}) == nil {
		t.Error("a byte more or less is not noticed")
	}
}

func TestWhatIsImpossibleIsSkippedLoudly(t *testing.T) {
	var log bytes.Buffer
	left := possible([]workload{{name: "few", job: load.Job{Conns: 1}}, {name: "many", job: load.Job{Conns: 1 << 30}}}, &log)
	if len(left) != 1 || left[0].name != "few" || !strings.Contains(log.String(), "*** SKIPPED many") {
		t.Errorf("%v %s", left, log.String())
	}
}
