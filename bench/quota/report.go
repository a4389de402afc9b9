package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/stats"
)

// table writes what was measured.
func (d *Data) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "a client held to 5 MB/s\tby\tmean MB/s\tleast 2 s\tmost 2 s\twithin 5 %%\t\n")
	for i := range d.Smooth {
		fmt.Fprintln(t, d.Smooth[i].row())
	}
	fmt.Fprintf(t, "\na quiet producer beside\tp50 ms\tp99 ms\tp99.9 ms\tthe other's MB/s\n")
	for _, b := range besides {
		of := func(value func(Neighbour) float64) float64 { return d.median(b.name, value) }
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\n", b.name,
			of(func(n Neighbour) float64 { return n.Latency.P50 }), of(func(n Neighbour) float64 { return n.Latency.P99 }),
			of(func(n Neighbour) float64 { return n.Latency.P999 }), of(func(n Neighbour) float64 { return n.NoisyMB }))
	}
	_ = t.Flush() // what cannot be shown is in the file
	fmt.Fprintf(w, "\nload average %.2f to %.2f\n", slices.Min(d.LoadAverage), slices.Max(d.LoadAverage))
}

// median is that over the rounds.
func (d *Data) median(beside string, value func(Neighbour) float64) float64 {
	var values []float64
	for _, n := range d.Neighbour {
		if n.Beside == beside {
			values = append(values, value(n))
		}
	}
	return stats.Median(values)
}

// plots writes one for each direction, and one for the quiet client.
func (d *Data) plots(dir string) error {
	errs := []error{report.WritePlot(dir, "neighbour", d.quantiles())}
	for _, what := range []string{"produce", "fetch"} {
		l := report.Lines{
			Title: "A client held to 5 MB/s that wants more: " + what, X: "seconds", Y: "MB in each second",
			Reference: rate / 1e6,
		}
		for _, s := range d.Smooth {
			if s.What != what {
				continue
			}
			line := report.Series{Name: map[string]string{"kafka": "Kafka's quota", "sluice": "Sluice"}[s.Who], Y: s.MB}
			for i := range s.MB {
				line.X = append(line.X, float64(i))
			}
			l.Series = append(l.Series, line)
		}
		errs = append(errs, report.WritePlot(dir, "smooth-"+what, l))
	}
	return errors.Join(errs...)
}

// quantiles are those of the quiet client, each the median over the rounds.
func (d *Data) quantiles() report.Lines {
	l := report.QuantilePlot("Produce latency of a quiet client beside …")
	for _, b := range besides {
		middle := &load.Latency{}
		for i := range load.Quantiles {
			middle.Quantiles = append(middle.Quantiles, d.median(b.name, func(n Neighbour) float64 { return n.Latency.Quantiles[i] }))
		}
		l.Series = append(l.Series, report.Quantiles(b.name, middle))
	}
	return l
}
