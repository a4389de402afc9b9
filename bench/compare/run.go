package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/bench/proc"
	"sluice/bench/report"
	"sluice/bench/sink"
	"sluice/bench/target"
)

// bench is one run.
type bench struct {
	options options
	dir     string // for configurations
	log     io.Writer
	sink    *child
	load    *child
	targets []*target.Target
	data    *report.Data
	// counted is what the sink saw while each target ran, by name.
	counted map[string]sink.Counts
}

// start starts the sink, the load process and all targets.
func (b *bench) start(ctx context.Context) error {
	var err error
	if b.sink, err = startChild(ctx, "sink"); err != nil {
		return err
	}
	var news sinkNews
	if err := b.sink.ask(sinkOrder{Address: b.options.sink}, &news); err != nil {
		return fmt.Errorf("the sink does not start: %w", err)
	}
	if b.load, err = startChild(ctx, "load"); err != nil {
		return err
	}
	b.counted = map[string]sink.Counts{}
	return b.startTargets(news.Address)
}

func (b *bench) startTargets(broker string) error {
	for _, name := range b.options.targets {
		var t *target.Target
		var err error
		switch {
		case name == "direct":
			t = target.Direct(broker)
		case name == report.Baseline:
			t, err = target.HAProxy(b.dir, broker)
		default:
			build, ok := b.options.builds[name]
			if !ok {
				return fmt.Errorf("no target is called %s", name)
			}
			t, err = target.Sluice(b.dir, name, build.path, broker, build.full)
		}
		if err != nil {
			return err
		}
		b.targets = append(b.targets, t)
	}
	b.targets = append(b.targets, b.options.external...)
	return nil
}

func (b *bench) stop() {
	for _, t := range b.targets {
		t.Stop()
	}
	for _, c := range []*child{b.load, b.sink} {
		if c != nil {
			c.stop()
		}
	}
}

// run goes through the rounds. Within a round, all targets do one workload after
// each other, each time beginning with another one.
func (b *bench) run(ctx context.Context, all []workload) error {
	for round := range b.options.rounds {
		for i, w := range all {
			b.data.LoadAverage = append(b.data.LoadAverage, proc.LoadAverage())
			for n := range b.targets {
				t := b.targets[(n+round+i)%len(b.targets)]
				if err := b.measure(w, t, round); err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, t.Name, err)
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
			}
		}
		fmt.Fprintf(b.log, "round %d of %d, load average %.2f\n", round+1, b.options.rounds, proc.LoadAverage())
	}
	return b.check()
}

// measure is one workload on one target.
func (b *bench) measure(w workload, t *target.Target, round int) error {
	job := w.job
	job.Address, job.PID, job.ClientID = t.Address, t.PID, target.ClientID
	job.Length, job.Warmup = b.options.length, max(b.options.length/4, 200*time.Millisecond)
	before, err := b.sink.counts()
	if err != nil {
		return err
	}
	if t.PID != 0 {
		_ = proc.ResetPeak(t.PID) // of a process of another user it is the peak of its life
	}
	result, err := b.load.run(job)
	if err != nil {
		return errors.Join(err, b.damage())
	}
	s := report.Sample{Workload: w.name, Target: t.Name, Round: round, Result: result, HasCPU: t.PID != 0}
	if t.PID != 0 {
		if s.PeakRSS, err = proc.PeakRSS(t.PID); err != nil {
			return err
		}
	}
	b.data.Samples = append(b.data.Samples, s)
	after, err := b.sink.counts()
	if err != nil {
		return err
	}
	seen := b.counted[t.Name]
	seen.ProduceBytes += after.ProduceBytes - before.ProduceBytes
	seen.FetchBytes += after.FetchBytes - before.FetchBytes
	b.counted[t.Name] = seen
	return nil
}

func (b *bench) damage() error {
	_, err := b.sink.counts()
	return err
}

// check compares Sluice's own counters of bytes with what the sink saw: they must be
// equal.
func (b *bench) check() error {
	for _, t := range b.targets {
		if t.Admin == "" {
			continue
		}
		in, out, err := t.Bytes()
		if err != nil {
			return err
		}
		if seen := b.counted[t.Name]; in != seen.ProduceBytes || out != seen.FetchBytes {
			return fmt.Errorf("%s counts %d bytes in and %d out, the sink saw %d and %d", t.Name, in, out, seen.ProduceBytes, seen.FetchBytes)
		}
	}
	return nil
}

// defaultLength is how long each measurement takes.
const defaultLength = 1500 * time.Millisecond
