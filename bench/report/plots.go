package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"sluice/bench/load"
	"sluice/bench/stats"
)

// Plot is what can be written as SVG.
type Plot interface{ SVG(w io.Writer) error }

// WritePlot writes a plot to a file of that name in a directory, which is made.
func WritePlot(dir, name string, p Plot) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, name+".svg"))
	if err != nil {
		return err
	}
	return errors.Join(p.SVG(f), f.Close())
}

// Plots writes the plots of a run: the cost of each target beside HAProxy's, and the
// latency of each workload that has a fixed rate.
func (d *Data) Plots(dir string) error {
	errs := []error{nil}
	if bars := d.Costs(); len(bars.Names) > 0 {
		errs = append(errs, WritePlot(dir, "cpu", bars))
	}
	for _, workload := range d.Workloads() {
		if len(known(d.Series(workload, d.Targets(workload)[0], P50))) > 0 {
			errs = append(errs, WritePlot(dir, "latency-"+workload, d.Latencies(workload)))
		}
	}
	return errors.Join(errs...)
}

// Costs are the ratios of processor time to HAProxy's, of all workloads.
func (d *Data) Costs() Bars {
	b := Bars{Title: "Processor time of the proxy, HAProxy in the same round = 1 (less is better)"}
	for _, s := range d.Samples {
		if s.HasCPU && s.Target != Baseline && !slices.Contains(b.Series, s.Target) {
			b.Series = append(b.Series, s.Target)
		}
	}
	slices.Sort(b.Series)
	for _, workload := range d.Workloads() {
		var group []Bar
		some := false
		for _, target := range b.Series {
			median, interval, ok := d.Ratio(workload, target, d.Cost(workload))
			some = some || ok
			if !ok {
				median = math.NaN()
				interval.High = median
			}
			group = append(group, Bar{median, interval.Low, interval.High})
		}
		if some {
			b.Names, b.Groups = append(b.Names, workload), append(b.Groups, group)
		}
	}
	return b
}

// Latencies are the quantiles of a workload, each the median over the rounds.
func (d *Data) Latencies(workload string) Lines {
	l := QuantilePlot(workload + ": milliseconds from when a request was due to its answer")
	targets := d.Targets(workload)
	slices.Sort(targets)
	for _, target := range targets {
		s := Series{Name: target}
		for i, q := range load.Quantiles {
			values := d.Series(workload, target, Metric{"", func(s Sample) float64 { return s.Result.Latency.Quantiles[i] }})
			s.X, s.Y = append(s.X, nines(q)), append(s.Y, stats.Median(known(values)))
		}
		l.Series = append(l.Series, s)
	}
	return l
}

// QuantilePlot is an empty plot of quantiles in milliseconds; see [Quantiles].
func QuantilePlot(title string) Lines {
	l := Lines{Title: title, X: "percentile", Y: "ms", LogY: true}
	for _, q := range []float64{10, 50, 90, 99, 99.9, 99.99} {
		l.XTicks = append(l.XTicks, Tick{nines(q), fmt.Sprintf("%g", q)})
	}
	return l
}

// Quantiles is the line of a latency in a [QuantilePlot].
func Quantiles(name string, latency *load.Latency) Series {
	s := Series{Name: name, Y: latency.Quantiles}
	for _, q := range load.Quantiles {
		s.X = append(s.X, nines(q))
	}
	return s
}

// nines is where a percentile stands: 90 at 1, 99 at 2.
func nines(q float64) float64 { return -math.Log10(1 - q/100) }
