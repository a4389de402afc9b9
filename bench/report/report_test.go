package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/bench/load"
)

// measured is a run in which sluice takes 0.8 of what haproxy takes.
func measured() *Data {
	d := &Data{Machine: "a machine", LoadAverage: []float64{1, 2}}
	for round := range 6 {
		drift := 1 + float64(round)/10
		for _, target := range []struct {
			name string
			cpu  float64
		}{{"direct", 0}, {"haproxy", 1}, {"sluice", .8}} {
			r := load.Result{Seconds: 1, Requests: 1000, Bytes: 5e8, CPU: target.cpu * drift}
			s := Sample{Workload: "produce-1", Target: target.name, Round: round, Result: r, HasCPU: target.cpu > 0, PeakRSS: 1 << 20}
			d.Samples = append(d.Samples, s)
			s.Workload = "steady"
			s.Result.Latency = &load.Latency{P50: 1, P99: 2 * drift, P999: 3, Quantiles: make([]float64, len(load.Quantiles))}
			for i := range s.Result.Latency.Quantiles {
				s.Result.Latency.Quantiles[i] = float64(i+1) * drift
			}
			d.Samples = append(d.Samples, s)
			s.Workload = "idle"
			s.Result = load.Result{Seconds: 2, Requests: 50, CPU: target.cpu, Idle: &load.Idle{BytesEach: 2048, CPU: .01}}
			d.Samples = append(d.Samples, s)
		}
	}
	return d
}

func TestRatioIsThatWithinARound(t *testing.T) {
	d := measured()
	median, interval, ok := d.Ratio("produce-1", "sluice", PerGB)
	if !ok || math.Abs(median-.8) > 1e-9 || interval.High-interval.Low > 1e-9 {
		t.Errorf("%v %+v: the drift of the machine is in it", median, interval)
	}
	if _, _, ok := d.Ratio("produce-1", "direct", PerGB); ok {
		t.Error("direct has no process to compare")
	}
	if _, _, ok := d.Ratio("produce-1", Baseline, PerGB); ok {
		t.Error("haproxy is compared with itself")
	}
	if d.Cost("produce-1").Name != PerGB.Name || d.Cost("idle").Name != PerMillion.Name {
		t.Error("what is compared")
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := measured().Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"produce-1  CPU s/GB  CPU s/M req  MB/s  req/s  peak MiB  least      CPU ×haproxy",
		"0.80 [0.80–0.80]", "p99.9 ms", "idle KiB/conn", "2.00", "highest 2.00; a machine",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	d := measured()
	d.Samples = d.Samples[:9]
	b.Reset()
	if err := d.Table(&b); err != nil || !strings.Contains(b.String(), "(0 %)") {
		t.Errorf("an interval of one round is not said to be none: %v\n%s", err, b.String())
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567", math.Inf(-1): "-Inf"} {
		if got := number(v); got != want && !math.IsInf(v, 0) {
			t.Errorf("%v: %s", v, got)
		}
	}
	if number(math.NaN()) != "–" {
		t.Error("nothing is a number")
	}
}

func TestJSONIsReadBack(t *testing.T) {
	var b bytes.Buffer
	if err := measured().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	again, err := ReadJSON(&b)
	if err != nil || len(again.Samples) != len(measured().Samples) || again.Samples[1].Result.Latency.P999 != 3 {
		t.Errorf("%v", err)
	}
	if _, err := ReadJSON(strings.NewReader("{")); err == nil {
		t.Error("half a file is data")
	}
}

// wellFormed fails if b is no XML.
func wellFormed(t *testing.T, b []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, b)
		}
	}
	if bytes.Contains(b, []byte("NaN")) || bytes.Contains(b, []byte("Inf")) {
		t.Errorf("no numbers in\n%s", b)
	}
}

func TestPlots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plots")
	if err := measured().Plots(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu.svg", "latency-steady.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b)
		if !bytes.Contains(b, []byte("sluice")) {
			t.Errorf("%s names nobody", name)
		}
	}
	var b bytes.Buffer
	odd := Lines{Title: "<a & b>", Series: []Series{{Name: "one", X: []float64{0, 1}, Y: []float64{math.NaN(), 0}}, {Name: "two", X: []float64{2}, Y: []float64{7}}}, Reference: 5}
	if err := odd.SVG(&b); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.Bytes())
}

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		high float64
		want string
	}{{7.3, "0 2 4 6 8"}, {1.2, "0 0.2 0.4 0.6 0.8 1 1.2"}, {40, "0 10 20 30 40"}, {0, "0"}} {
		var got []string
		for _, tick := range linear(0, c.high) {
			got = append(got, tick.Text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v", c.high, got)
		}
	}
}
