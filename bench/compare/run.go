package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/report"
	"sluice/bench/target"
)

// bench is one run.
type bench struct {
	options options
	dir     string // for configurations
	log     io.Writer
	load    *child
	stage   *stage // the one that most workloads share
	kafka   *perf  // nil until the workloads on a real Kafka
	data    *report.Data

	certificate *target.Certificate // nil where clients do not speak TLS
}

// stage is a sink and the targets in front of it.
type stage struct {
	sink    *child
	targets []*target.Target
}

// start starts the load process, a sink and all targets.
func (b *bench) start(ctx context.Context) error {
	var err error
	if b.load, err = startChild(ctx, "load"); err != nil {
		return err
	}
	b.stage, err = b.open(ctx, sinkOrder{Address: b.options.sink}, b.options.targets...)
	if b.stage != nil {
		b.stage.targets = append(b.stage.targets, b.options.external...)
	}
	return err
}

func (b *bench) stop() {
	if b.stage != nil {
		b.stage.close()
	}
	if b.load != nil {
		b.load.stop()
	}
}

// open starts a sink and targets of these names. What was started is returned with
// an error too, to be closed.
func (b *bench) open(ctx context.Context, order sinkOrder, names ...string) (*stage, error) {
	s := &stage{}
	var err error
	if s.sink, err = startChild(ctx, "sink"); err != nil {
		return nil, err
	}
	var news sinkNews
	if err := s.sink.ask(order, &news); err != nil {
		return s, fmt.Errorf("the sink does not start: %w", err)
	}
	for _, name := range names {
		t, err := b.target(name, news.Address)
		if err != nil {
			return s, err
		}
		s.targets = append(s.targets, t)
	}
	return s, nil
}

func (b *bench) target(name, broker string) (*target.Target, error) {
	switch name {
	case direct:
		return target.Direct(broker), nil
	case report.Baseline, splicing:
		address, err := target.FreeAddress()
		if err != nil {
			return nil, err
		}
		return target.HAProxy(b.dir, name, address, broker, name == splicing, b.certificate)
	}
	build := b.options.builds[name]
	return target.Sluice(b.dir, name, build.path, broker, build.full, b.certificate)
}

func (s *stage) close() {
	for _, t := range s.targets {
		t.Stop()
	}
	s.sink.stop()
}

// run does all workloads: those on the sink, then those on a real Kafka.
func (b *bench) run(ctx context.Context, all []workload) error {
	onKafka := slices.Collect(filter(all, func(w workload) bool { return w.kafka }))
	onSink := slices.Collect(filter(all, func(w workload) bool { return !w.kafka }))
	if err := b.runOnSink(ctx, onSink); err != nil || len(onKafka) == 0 {
		return err
	}
	return b.runOnKafka(ctx, onKafka)
}

func (b *bench) runOnSink(ctx context.Context, all []workload) error {
	if len(all) == 0 {
		return nil
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	return b.rounds(ctx, b.stage.targets, all)
}

// rounds goes through the rounds. Within a round, all targets do one workload after
// each other, each time beginning with another one.
func (b *bench) rounds(ctx context.Context, targets []*target.Target, all []workload) error {
	for round := range b.options.rounds {
		for i, w := range all {
			b.data.LoadAverage = append(b.data.LoadAverage, proc.LoadAverage())
			if w.apart && b.options.quick && round > 0 {
				continue
			}
			for n := range targets {
				t := targets[(n+round+i)%len(targets)]
				if err := b.once(ctx, w, t, round); err != nil {
					return fmt.Errorf("%s, %s: %w\n%s", w.name, t.Name, err, t.Log())
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
			}
		}
		fmt.Fprintf(b.log, "round %d of %d, load average %.2f\n", round+1, b.options.rounds, proc.LoadAverage())
	}
	return nil
}

// once is one workload on one target, or on another of its kind started for it alone.
func (b *bench) once(ctx context.Context, w workload, t *target.Target, round int) error {
	if w.kafka {
		return b.kafka.once(ctx, w, t, round)
	}
	if !w.apart {
		return b.measure(b.stage.sink, w, t, round)
	}
	if slices.Contains(b.options.external, t) {
		return nil // it cannot be started anew
	}
	s, err := b.open(ctx, sinkOrder{Address: anyPort, Topics: w.topics}, t.Name)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return err
	}
	if w.job.Idle { // a process that has just started has not taken yet what it needs anyway
		warm := w
		warm.job.Idle, warm.job.Conns = false, 50
		if _, err := b.load.run(b.job(warm, s.targets[0])); err != nil {
			return err
		}
	}
	return b.measure(s.sink, w, s.targets[0], round)
}

func filter(all []workload, keep func(workload) bool) iter.Seq[workload] {
	return func(yield func(workload) bool) {
		for _, w := range all {
			if keep(w) && !yield(w) {
				return
			}
		}
	}
}

func (b *bench) job(w workload, t *target.Target) load.Job {
	job := w.job
	job.Address, job.PID, job.CA, job.ClientID = t.Address, t.PID, t.CA, target.ClientID
	job.Length, job.Warmup = b.options.length, max(b.options.length/4, 200*time.Millisecond)
	if job.Idle {
		job.Length *= 6 // what was taken for traffic is to be given back
	} else if job.Size > 4<<20 {
		job.Length *= 4 // else there is hardly an answer
	}
	return job
}

// measure is one workload on one target.
func (b *bench) measure(from *child, w workload, t *target.Target, round int) error {
	before, err := count(from, t)
	if err != nil {
		return err
	}
	if t.PID != 0 {
		_ = proc.ResetPeak(t.PID) // of a process of another user it is the peak of its life
	}
	profiled := b.profile(w, t, round)
	result, err := b.load.run(b.job(w, t))
	if failed := profiled(); err == nil {
		err = failed
	}
	if err != nil {
		_, damage := from.counts()
		return errors.Join(err, damage)
	}
	s := report.Sample{Workload: w.name, Target: t.Name, Round: round, Result: result, HasCPU: t.PID != 0}
	if t.PID != 0 {
		if s.PeakRSS, err = proc.PeakRSS(t.PID); err != nil {
			return err
		}
	}
	b.data.Samples = append(b.data.Samples, s)
	after, err := count(from, t)
	if err != nil {
		return err
	}
	return equal(before, after)
}

// profile starts a CPU profile of Sluice in the last round, if one was asked for. What
// it returns waits for the end and writes the file.
func (b *bench) profile(w workload, t *target.Target, round int) (wait func() error) {
	if b.options.profile == "" || t.Admin == "" || round != b.options.rounds-1 {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		seconds := max(1, int(b.options.length.Seconds()))
		p, err := t.Profile(context.Background(), seconds)
		if err == nil {
			err = os.MkdirAll(b.options.profile, 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(b.options.profile, w.name+"-"+t.Name+".pprof"), p, 0o644)
		}
		done <- err
	}()
	return func() error { return <-done }
}

// counted is the bytes of Produce requests and of answers to Fetch, as the sink saw
// them and as Sluice counts them.
type counted struct{ sinkIn, sinkOut, in, out int64 }

func count(from *child, t *target.Target) (c counted, err error) {
	seen, err := from.counts()
	if err != nil {
		return c, err
	}
	c.sinkIn, c.sinkOut = seen.ProduceBytes, seen.FetchBytes
	if t.Admin == "" { // not Sluice
		c.in, c.out = c.sinkIn, c.sinkOut
		return c, nil
	}
	c.in, c.out, err = t.Bytes()
	return c, err
}

// equal says how Sluice's counters differ from what the sink saw between two times:
// not by a byte.
func equal(before, after counted) error {
	in, out := after.in-before.in, after.out-before.out
	sinkIn, sinkOut := after.sinkIn-before.sinkIn, after.sinkOut-before.sinkOut
	if in != sinkIn || out != sinkOut {
		return fmt.Errorf("sluice_bytes_total grew by %d in and %d out, while the sink saw %d and %d", in, out, sinkIn, sinkOut)
	}
	return nil
}

const (
	// defaultLength is how long each measurement takes.
	defaultLength = 1500 * time.Millisecond
	direct        = "direct"
	splicing      = report.Baseline + "-splice" // HAProxy, told to splice everything
	anyPort       = "127.0.0.1:0"
)
