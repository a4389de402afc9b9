package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"sluice/bench/stats"
)

// metrics are the columns; one that no target has is left out.
var metrics = []Metric{PerGB, PerMillion, Throughput, Rate, P50, P99, P999, Connect, IdleKiB, IdleCPU, Peak}

// Table writes, for each workload, a line per target: the median over the rounds of
// each metric, the least CPU, and the ratio to HAProxy in the same round.
func (d *Data) Table(w io.Writer) error {
	for _, workload := range d.Workloads() {
		if err := d.workload(w, workload); err != nil {
			return err
		}
	}
	if n := len(d.LoadAverage); n > 0 {
		fmt.Fprintf(w, "load average at the start %.2f, highest %.2f; %s\n", d.LoadAverage[0], slices.Max(d.LoadAverage), d.Machine)
	}
	return nil
}

func (d *Data) workload(w io.Writer, workload string) error {
	targets := d.Targets(workload)
	columns := slices.DeleteFunc(slices.Clone(metrics), func(m Metric) bool {
		return !slices.ContainsFunc(targets, func(t string) bool { return len(known(d.Series(workload, t, m))) > 0 })
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\t", workload)
	for _, m := range columns {
		fmt.Fprintf(t, "%s\t", m.Name)
	}
	cost := d.Cost(workload)
	fmt.Fprintf(t, "least\tCPU ×%s\t\n", Baseline)
	for _, target := range targets {
		fmt.Fprintf(t, "%s\t", target)
		for _, m := range columns {
			fmt.Fprintf(t, "%s\t", number(stats.Median(known(d.Series(workload, target, m)))))
		}
		least := math.NaN()
		if s := known(d.Series(workload, target, cost)); len(s) > 0 {
			least = slices.Min(s)
		}
		fmt.Fprintf(t, "%s\t%s\t\n", number(least), d.ratio(workload, target, cost))
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	return d.latencies(w, workload, targets)
}

// latencies writes the ratios of the quantiles, where there are some.
func (d *Data) latencies(w io.Writer, workload string, targets []string) error {
	if len(known(d.Series(workload, targets[0], P50))) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "×%s\tp50\tp99\tp99.9\t\n", Baseline)
	for _, target := range targets {
		if target != Baseline {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", target, d.ratio(workload, target, P50), d.ratio(workload, target, P99), d.ratio(workload, target, P999))
		}
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// ratio is a ratio as the table shows it; a coverage below 95 % is said.
func (d *Data) ratio(workload, target string, m Metric) string {
	median, interval, ok := d.Ratio(workload, target, m)
	if !ok {
		return ""
	}
	s := fmt.Sprintf("%.2f [%.2f–%.2f]", median, interval.Low, interval.High)
	if interval.Coverage < stats.Confidence {
		s += fmt.Sprintf(" (%.0f %%)", interval.Coverage*100)
	}
	return s
}

// number shows three digits that say something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return group(fmt.Sprintf("%.0f", v))
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// group writes thousands apart.
func group(digits string) string {
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), ",")
}
