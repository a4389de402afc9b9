package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/bench/kafka"
)

// TestQuota runs the whole for a moment: what it shows is not judged.
func TestQuota(t *testing.T) {
	kafka.Resolve(t, "")
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--rounds", "1", "--seconds", "3", "--settle", "1s", "--svg", dir, "--json", filepath.Join(dir, "q.json")}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"produce", "fetch", "kafka", "sluice", "beside", "load average"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	for _, name := range []string{"q.json", "smooth-produce.svg", "smooth-fetch.svg", "neighbour.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	t.Log("\n" + out.String())
}

func TestCommandLine(t *testing.T) {
	for _, args := range []string{"more", "--rounds 0", "--seconds 0", "--settle 150ms", "--nothing"} {
		if run(t.Context(), strings.Fields(args), io.Discard, io.Discard) == nil {
			t.Errorf("%s is taken", args)
		}
	}
}

func TestRatesBeginWithTheFirstByte(t *testing.T) {
	var lines strings.Builder
	for i := range 120 { // 12 s, the first two without bytes
		bytes := 0
		if i >= 20 && i < 100 { // and the last four
			bytes = 500_000
		}
		_, _ = lines.WriteString(`{"ms":` + strconv.Itoa(1_700_000_000_000+100*i) + `,"event":"bytes","bytes":` + strconv.Itoa(bytes) + "}\n")
	}
	var s Smooth
	s.rates(kafka.Result{Stdout: lines.String()}, 5*time.Second, 5*time.Second)
	if len(s.MB) != 9 || s.MB[0] != 5 || s.MB[8] != 0 || len(s.Windows) != 2 || within(s.Windows) != .5 || s.Error != "" {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(s.row(), "50 %") {
		t.Error(s.row())
	}
	var none Smooth
	if none.rates(kafka.Result{}, time.Second, time.Second); none.Error == "" || !strings.Contains(none.row(), none.Error) {
		t.Errorf("%+v", none)
	}
}
