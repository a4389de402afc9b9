package main

import (
	"fmt"
	"slices"
	"time"

	"sluice/bench/kafka"
)

// Smooth is the rate of one Java client that always wants more than its limit.
type Smooth struct {
	What string `json:"what"` // produce or fetch
	Who  string `json:"who"`  // holds it: kafka or sluice
	// MB are 10⁶ bytes in each second from its first byte on.
	MB []float64 `json:"mb"`
	// Windows are MB per second in windows of two seconds, once it has settled.
	Windows []float64 `json:"windows"`
	Error   string    `json:"error,omitempty"` // what the client saw go wrong
}

// smooth measures a producer and a consumer, under Kafka's quota and under Sluice's limit.
func (w *world) smooth(d *Data) {
	w.fill()
	for _, what := range []string{"produce", "fetch"} {
		for _, who := range []struct{ name, bootstrap, client string }{
			{"kafka", w.broker.Address, quotaClient}, {"sluice", w.gateway.Address, heldClient},
		} {
			w.note(d, "%s at 5 MB/s by %s", what, who.name)
			s := Smooth{What: what, Who: who.name}
			s.rates(w.saturate(what, who.bootstrap, who.client), w.options.settle, w.options.length)
			d.Smooth = append(d.Smooth, s)
		}
	}
}

// saturate runs a Java client that takes all it gets.
func (w *world) saturate(what, bootstrap, client string) kafka.Result {
	args := flags(bootstrap, client, w.options.length+w.options.settle)
	if what == "produce" {
		return w.broker.Jars.Program(w.tb.Context(), "Produce", args...).Wait()
	}
	return w.broker.Jars.Program(w.tb.Context(), "Consume", append(args, "--group", client+".group")...).Wait()
}

// fill writes what is consumed later, without a limit.
func (w *world) fill() {
	mb := (w.options.length + 3*w.options.settle).Seconds() * rate
	r := w.broker.Jars.Program(w.tb.Context(), "Produce", append(flags(w.broker.Address, freeClient, 2*time.Minute), "--bytes", fmt.Sprintf("%.0f", mb))...).Wait()
	if r.Err != nil {
		w.tb.Fatalf("fill: %s", r)
	}
}

// rates reads what a program reported, until it stopped asking for more: a time
// without a byte counts to the end.
func (s *Smooth) rates(r kafka.Result, settle, length time.Duration) {
	if r.Err != nil {
		s.Error = r.Err.Error()
	}
	for _, e := range r.Find("error") {
		s.Error = e.Error
	}
	samples := r.Samples()
	first := kafka.FirstBytes(samples)
	if first.IsZero() {
		s.Error = "nothing was sent or received"
		return
	}
	samples = kafka.Before(kafka.After(samples, first), first.Add(settle+length-time.Second/2))
	s.MB = rates(samples, time.Second)
	s.Windows = rates(kafka.After(samples, first.Add(settle)), 2*time.Second)
}

func rates(samples []kafka.Sample, width time.Duration) []float64 {
	var mb []float64
	for _, w := range kafka.Windows(samples, width) {
		mb = append(mb, w.MB())
	}
	return mb
}

// within is the share of values between 95 and 105 % of the rate.
func within(windows []float64) float64 {
	n := 0
	for _, mb := range windows {
		if mb >= rate/1e6*.95 && mb <= rate/1e6*1.05 {
			n++
		}
	}
	return float64(n) / float64(max(1, len(windows)))
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}

// row is a line of the table.
func (s *Smooth) row() string {
	if len(s.Windows) == 0 {
		return fmt.Sprintf("%s\t%s\t%s", s.What, s.Who, s.Error)
	}
	return fmt.Sprintf("%s\t%s\t%.2f\t%.2f\t%.2f\t%.0f %%\t%s",
		s.What, s.Who, mean(s.Windows), slices.Min(s.Windows), slices.Max(s.Windows), within(s.Windows)*100, s.Error)
}
