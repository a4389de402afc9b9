package main

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
	"sluice/bench/load"
)

// Neighbour is a quiet producer beside another.
type Neighbour struct {
	Round  int    `json:"round"`
	Beside string `json:"beside"`
	// Latency is that of the quiet client: one record of 1,000 bytes each 10 ms, counted
	// from when it was due to its acknowledgement.
	Latency *load.Latency `json:"latency"`
	// NoisyMB is what the other got meanwhile, in 10⁶ bytes per second.
	NoisyMB float64 `json:"noisy_mb"`
}

// The quiet client sends a record at this pace, after so many that do not count.
const (
	quietEvery  = 10 * time.Millisecond
	quietWarmup = 200
	quietSize   = 1000
)

// besides are the neighbours: where the quiet client connects, and the noisy one, if
// there is one.
var besides = []struct {
	name   string
	sluice bool // both go through Sluice
	noisy  string
}{
	{"nobody", false, ""},
	{"a producer without limit", false, freeClient},
	{"a producer under Kafka's quota", false, quotaClient},
	{"nobody, through Sluice", true, ""},
	{"a producer under Sluice's limit", true, heldClient},
}

// neighbours measures the quiet client beside each, round by round.
func (w *world) neighbours(d *Data) {
	for round := range w.options.rounds {
		for i := range besides {
			b := besides[(i+round)%len(besides)]
			w.note(d, "round %d of %d: beside %s", round+1, w.options.rounds, b.name)
			bootstrap := w.broker.Address
			if b.sluice {
				bootstrap = w.gateway.Address
			}
			n := Neighbour{Round: round, Beside: b.name}
			if b.noisy == "" {
				n.Latency = w.quiet(bootstrap)
			} else {
				n.Latency, n.NoisyMB = w.beside(bootstrap, b.noisy)
			}
			d.Neighbour = append(d.Neighbour, n)
		}
	}
}

// beside measures the quiet client while a Java producer sends all it can.
func (w *world) beside(bootstrap, client string) (latency *load.Latency, noisyMB float64) {
	noisy := w.broker.Jars.Program(w.tb.Context(), "Produce", flags(bootstrap, client, 10*time.Minute)...)
	defer noisy.Stop()
	ctx, cancel := context.WithTimeout(w.tb.Context(), time.Minute)
	defer cancel()
	if _, err := noisy.WaitFor(ctx, func(e kafka.Event) bool { return e.Event == "bytes" && e.Bytes > 0 }); err != nil {
		w.tb.Fatalf("%s: %v", client, err)
	}
	time.Sleep(w.options.settle)
	begin := time.Now()
	latency = w.quiet(bootstrap)
	end := time.Now()
	bytes := int64(0)
	for _, s := range kafka.Before(kafka.After(noisy.Stop().Samples(), begin), end) {
		bytes += s.Bytes
	}
	return latency, float64(bytes) / 1e6 / end.Sub(begin).Seconds()
}

// quiet sends at a fixed pace, whatever the answers do.
func (w *world) quiet(bootstrap string) *load.Latency {
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ClientID(quietClient), kgo.ProducerLinger(0), kgo.DefaultProduceTopic(quietTopic))
	if err != nil {
		w.tb.Fatal(err)
	}
	defer cl.Close()
	var mu sync.Mutex
	var failed error
	all := load.NewHistogram()
	begin := time.Now().Add(quietEvery)
	for i := range quietWarmup + int(w.options.length/quietEvery) {
		due := begin.Add(time.Duration(i) * quietEvery)
		time.Sleep(time.Until(due))
		cl.Produce(w.tb.Context(), &kgo.Record{Value: make([]byte, quietSize)}, func(_ *kgo.Record, err error) {
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if failed = err; err == nil && i >= quietWarmup {
				load.Record(all, took)
			}
		})
	}
	if err := cl.Flush(w.tb.Context()); err != nil || failed != nil {
		w.tb.Fatalf("the quiet client: %v, %v", err, failed)
	}
	return load.LatencyOf(all)
}
