package gateway

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// BenchmarkQuietNeighbour shows what a limit on a noisy producer does for a quiet one
// on the same broker: its p99 stays what it is alone. In each of five rounds the quiet
// client runs alone, beside a Java producer without a limit, and beside the same one
// held to 5 MB/s; the medians are reported. It is a benchmark and no test, since a
// shared machine has moods.
func BenchmarkQuietNeighbour(b *testing.B) {
	k := kafka.Start(b, kafka.Options{JVM: []string{"-Xmx1g"}})
	k.CreateTopics(b, 1, append([]string{"quiet.a"}, heldTopics...)...)
	g := Start(b, "", heldTenants+`  - name: quiet
    client_ids: {team: quiet}
    home: orders
    rules: [{allow: [WRITE], topics: ["quiet.*"]}]
`, k)
	const rounds = 5
	kinds := []struct{ name, noisy string }{{"alone", ""}, {"unlimited", "free.noise"}, {"limited", "noisy.noise"}}
	for b.Loop() {
		p99 := make([][]time.Duration, len(kinds))
		for round := range rounds {
			for i, kind := range kinds {
				p99[i] = append(p99[i], quietP99(b, g, k, kind.noisy))
				b.Logf("round %d, %s: p99 %v", round+1, kind.name, p99[i][round].Round(10*time.Microsecond))
			}
		}
		median := func(i int) float64 {
			slices.Sort(p99[i])
			return float64(p99[i][rounds/2].Microseconds()) / 1000
		}
		for i, kind := range kinds {
			b.ReportMetric(median(i), "p99-ms-"+kind.name)
		}
		b.ReportMetric(median(2)/median(0), "limited/alone")
		b.ReportMetric(median(1)/median(0), "unlimited/alone")
	}
}

// quietP99 is the 99th percentile of a thousand produces at an easy pace, beside a
// producer of that client ID that wants all it can get, if it is not "".
func quietP99(t testing.TB, g *Gateway, k *kafka.Broker, noisy string) time.Duration {
	t.Helper()
	if noisy != "" {
		defer flood(t, g, k, noisy)()
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.Address), kgo.ClientID("quiet.a"), kgo.ProducerLinger(0), kgo.DefaultProduceTopic("quiet.a"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var took []time.Duration
	value := make([]byte, 1000)
	const warmup = 100
	for i := range 1000 + warmup {
		begin := time.Now()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if i >= warmup {
			took = append(took, time.Since(begin))
		}
		time.Sleep(3 * time.Millisecond)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// flood runs a Java producer that sends all it can until the returned function is called.
func flood(t testing.TB, g *Gateway, k *kafka.Broker, clientID string) (stop func()) {
	t.Helper()
	p := k.Jars.Program(t.Context(), "Produce", "--bootstrap", g.Address, "--client-id", clientID,
		"--topics", strings.Join(heldTopics, ","), "--seconds", "300")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := p.WaitFor(ctx, func(e kafka.Event) bool { return e.Event == "bytes" && e.Bytes > 0 }); err != nil {
		t.Fatalf("%s: %v", clientID, err)
	}
	time.Sleep(3 * time.Second) // its burst is spent
	return func() { p.Stop() }
}
