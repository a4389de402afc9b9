package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"sluice/bench/load"
	"sluice/bench/stats"
)

// Baseline is the target that the others are compared with.
const Baseline = "haproxy"

// Data is all that one run of the bench has measured.
type Data struct {
	Machine     string    `json:"machine"`
	Started     string    `json:"started"` // RFC 3339
	LoadAverage []float64 `json:"load_average"`
	Samples     []Sample  `json:"samples"`
}

// Sample is one measurement of one target in one round.
type Sample struct {
	Workload string      `json:"workload"`
	Target   string      `json:"target"`
	Round    int         `json:"round"`
	Result   load.Result `json:"result"`
	// HasCPU is false where no process was measured.
	HasCPU bool `json:"has_cpu"`
	// PeakRSS is of the process while it ran, in bytes; 0 where there is none.
	PeakRSS int64 `json:"peak_rss,omitempty"`
}

// WriteJSON writes the data, indented.
func (d *Data) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(d)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(r io.Reader) (*Data, error) {
	d := &Data{}
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return d, nil
}

// Metric is one number of a sample.
type Metric struct {
	Name string
	Of   func(Sample) float64 // NaN where there is none
}

// The metrics of the table.
var (
	PerGB      = Metric{"CPU s/GB", ifCPU(load.Result.PerGB)}
	PerMillion = Metric{"CPU s/M req", ifCPU(load.Result.PerMillion)}
	Throughput = Metric{"MB/s", func(s Sample) float64 {
		return orNaN(float64(s.Result.Bytes)/1e6/s.Result.Seconds, s.Result.Bytes > 0)
	}}
	Rate = Metric{"req/s", func(s Sample) float64 {
		return orNaN(float64(s.Result.Requests)/s.Result.Seconds, s.Result.Idle == nil && s.Result.Requests > 0)
	}}
	// Those of many connections: all opened at once, then idle.
	Connect = idle("open s", func(s Sample) float64 { return s.Result.Seconds })
	IdleKiB = idle("idle KiB/conn", func(s Sample) float64 { return orNaN(s.Result.Idle.BytesEach/1024, s.HasCPU) })
	IdleCPU = idle("idle CPU %", func(s Sample) float64 { return orNaN(s.Result.Idle.CPU*100, s.HasCPU) })
	Peak    = Metric{"peak MiB", func(s Sample) float64 { return orNaN(float64(s.PeakRSS)/(1<<20), s.PeakRSS > 0) }}
	P50     = latency("p50 ms", func(l *load.Latency) float64 { return l.P50 })
	P99     = latency("p99 ms", func(l *load.Latency) float64 { return l.P99 })
	P999    = latency("p99.9 ms", func(l *load.Latency) float64 { return l.P999 })
)

func orNaN(v float64, ok bool) float64 {
	if !ok {
		return math.NaN()
	}
	return v
}

func ifCPU(of func(load.Result) float64) func(Sample) float64 {
	return func(s Sample) float64 {
		v := of(s.Result)
		return orNaN(v, s.HasCPU && !math.IsInf(v, 0))
	}
}

func idle(name string, of func(Sample) float64) Metric {
	return Metric{name, func(s Sample) float64 {
		if s.Result.Idle == nil {
			return math.NaN()
		}
		return of(s)
	}}
}

func latency(name string, of func(*load.Latency) float64) Metric {
	return Metric{name, func(s Sample) float64 {
		if s.Result.Latency == nil {
			return math.NaN()
		}
		return of(s.Result.Latency)
	}}
}

// Cost is the metric by which the processor time of a workload is compared: for each
// byte, or for each connection where there are no bytes to speak of.
func (d *Data) Cost(workload string) Metric {
	for _, s := range d.Samples {
		if s.Workload == workload && s.Result.Bytes > 0 {
			return PerGB
		}
	}
	return PerMillion
}

// Workloads are the names, in the order of their first sample.
func (d *Data) Workloads() []string {
	return unique(d.Samples, func(s Sample) string { return s.Workload })
}

// Targets are those of a workload: without a process first, then HAProxy, then the
// others by name.
func (d *Data) Targets(workload string) []string {
	all := slices.DeleteFunc(slices.Clone(d.Samples), func(s Sample) bool { return s.Workload != workload })
	slices.SortStableFunc(all, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Target, b.Target))
	})
	return unique(all, func(s Sample) string { return s.Target })
}

func rank(s Sample) int {
	switch {
	case !s.HasCPU:
		return 0
	case s.Target == Baseline:
		return 1
	}
	return 2
}

func unique(samples []Sample, name func(Sample) string) []string {
	var names []string
	for _, s := range samples {
		if !slices.Contains(names, name(s)) {
			names = append(names, name(s))
		}
	}
	return names
}

// Series is a metric of a target by round; NaN where a round has none.
func (d *Data) Series(workload, target string, m Metric) []float64 {
	var series []float64
	for _, s := range d.Samples {
		if s.Workload != workload || s.Target != target {
			continue
		}
		for len(series) <= s.Round {
			series = append(series, math.NaN())
		}
		series[s.Round] = m.Of(s)
	}
	return series
}

// known are the values that are there.
func known(series []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(series), math.IsNaN)
}

// Ratio is the median of the ratios to the baseline within each round, and its
// interval. ok is false where there is nothing to compare.
func (d *Data) Ratio(workload, target string, m Metric) (median float64, interval stats.Interval, ok bool) {
	ratios := stats.Ratios(d.Series(workload, target, m), d.Series(workload, Baseline, m))
	if len(ratios) == 0 || target == Baseline {
		return 0, stats.Interval{}, false
	}
	return stats.Median(ratios), stats.MedianInterval(ratios), true
}
