package gateway

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// heldTenants is a tenant held to 5 MB/s (decimal) each way, and one without limits.
const heldTenants = `tenants:
  - name: noisy
    client_ids: {team: noisy}
    home: orders
    limits: {producer_byte_rate: 5MB, consumer_byte_rate: 5MB}
    rules: [{allow: [READ, WRITE, CREATE], topics: ["noisy.*"]}, {allow: [READ], groups: ["noisy.*"]}]
  - name: free
    client_ids: {team: free}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

const (
	heldRate  = 5.0             // MB/s
	afterward = 5 * time.Second // of the first bytes: the burst is spent, the program warm
)

var heldTopics = []string{"noisy.a", "noisy.b", "noisy.c", "noisy.d", "noisy.e"}

// TestHeld shows that what wants far more than its limit gets its limit, evenly,
// however many connections and whatever it makes of throttle_time_ms.
func TestHeld(t *testing.T) {
	k := kafka.Start(t, kafka.Options{})
	k.CreateTopics(t, 6, heldTopics...)
	g := Start(t, "", heldTenants, k)
	produce := func(t *testing.T, id string, flags ...string) kafka.Result {
		t.Helper()
		r := k.Jars.Program(t.Context(), "Produce", append([]string{
			"--bootstrap", g.Address, "--client-id", id,
			"--topics", strings.Join(heldTopics, ","),
		}, flags...)...).Wait()
		if r.Err != nil || len(r.Find("error")) > 0 {
			t.Fatalf("%s", r)
		}
		return r
	}
	t.Run("java producer, five topics", func(t *testing.T) {
		steady(t, 1<<20, func() []kafka.Sample {
			r := produce(t, "noisy.java", "--seconds", "17")
			throttled(t, r, "produce-throttle-time-max")
			return r.Samples()
		})
	})
	t.Run("java producer, acks=0", func(t *testing.T) {
		// What is acknowledged to the application says nothing here: bytes are
		// counted where they leave the gateway.
		steady(t, 1<<20, func() []kafka.Sample {
			stop := g.sample("sluice_bytes_total", "tenant", "noisy", "direction", "in")
			produce(t, "noisy.unheard", "--seconds", "16", "--prop", "acks=0", "--prop", "enable.idempotence=false")
			return stop()
		})
	})
	t.Run("librdkafka, which ignores throttle_time_ms", func(t *testing.T) {
		steady(t, 1<<20, func() []kafka.Sample {
			r := kafka.ResolvePython(t).Program(t.Context(), "produce", "--bootstrap", g.Address, "--client-id", "noisy.rdkafka",
				"--topics", strings.Join(heldTopics, ","), "--seconds", "16").Wait()
			if r.Err != nil || len(r.Find("error")) > 0 {
				t.Fatalf("%s", r)
			}
			return r.Samples()
		})
	})
	t.Run("raw frames, throttle_time_ms ignored", func(t *testing.T) {
		steady(t, 100_000, func() []kafka.Sample { return rawProducer(t, g, "noisy.raw", 16*time.Second) })
	})
	fill(t, g, k)
	for _, n := range []int{1, 6, 30} {
		t.Run(fmt.Sprintf("%d java consumers", n), func(t *testing.T) {
			attempt := 0
			steady(t, 1<<20, func() []kafka.Sample {
				attempt++
				r := k.Jars.Program(t.Context(), "Consume", "--bootstrap", g.Address, "--client-id", "noisy.c{i}",
					"--topics", strings.Join(heldTopics, ","), "--group", fmt.Sprintf("noisy.g%d.%d", n, attempt),
					"--consumers", strconv.Itoa(n), "--seconds", "25").Wait()
				if r.Err != nil || len(r.Find("error")) > 0 {
					t.Fatalf("%s", r)
				}
				throttled(t, r, "fetch-throttle-time-max")
				return r.Samples()
			})
		})
	}
}

// attempts is how often a run may be repeated: on a shared machine a client or broker
// that gets no processor for a second looks like a limit that does not hold.
const attempts = 3

// steady checks each two-second window of a run after the burst and before the end.
// One request more or less, of so many bytes, may fall into a window.
func steady(t *testing.T, request float64, run func() []kafka.Sample) {
	t.Helper()
	for range attempts {
		wrong := unsteady(t, run(), request)
		if wrong == "" {
			return
		}
		t.Log(wrong)
	}
	t.Errorf("not steady in any of %d runs", attempts)
}

// unsteady says what is wrong with a run, "" for nothing.
func unsteady(t *testing.T, samples []kafka.Sample, request float64) string {
	t.Helper()
	first, last := kafka.FirstBytes(samples), kafka.LastBytes(samples)
	windows := kafka.Windows(kafka.Before(kafka.After(samples, first.Add(afterward)), last.Add(-500*time.Millisecond)), 2*time.Second)
	if len(windows) < 3 {
		return fmt.Sprintf("only %d windows", len(windows))
	}
	slack := request / 2 / 1e6 // in two seconds
	low, high := heldRate*.95-slack, heldRate*1.05+slack
	var rates []string
	bad, sum := false, 0.0
	for _, w := range windows {
		rates = append(rates, fmt.Sprintf("%.2f", w.MB()))
		sum += w.MB()
		bad = bad || w.MB() < low || w.MB() > high
	}
	mean := sum / float64(len(windows))
	t.Logf("MB/s per two seconds: %s; mean %.2f", strings.Join(rates, " "), mean)
	switch {
	case bad:
		return fmt.Sprintf("not each within %.2f to %.2f MB/s", low, high)
	case mean < heldRate*.95 || mean > heldRate*1.05:
		return fmt.Sprintf("the mean of %.2f MB/s is not within 95 to 105 %%", mean)
	}
	return ""
}

// throttled checks that the client knows that it was throttled.
func throttled(t *testing.T, r kafka.Result, metric string) {
	t.Helper()
	largest := 0.0
	for _, m := range r.Find("metric") {
		if m.Name == metric {
			largest = max(largest, m.Number)
		}
	}
	if largest <= 0 {
		t.Errorf("%s is %v in the client's own metrics", metric, largest)
	}
	t.Logf("%s: %.0f ms", metric, largest)
}

// sample reads a metric each [kafka.Bucket] until the returned function is called.
func (g *Gateway) sample(name string, labels ...string) (stop func() []kafka.Sample) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var samples []kafka.Sample
	last := g.Metric(name, labels...)
	wg.Go(func() {
		tick := time.NewTicker(kafka.Bucket)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				v := g.Metric(name, labels...)
				samples = append(samples, kafka.Sample{At: now.Truncate(kafka.Bucket), Bytes: int64(v - last)})
				last = v
			}
		}
	})
	return func() []kafka.Sample { cancel(); wg.Wait(); return samples }
}

// rawProducer sends Produce requests of about 100 kB, five in flight, and looks at
// nothing in the answers but that they come and hold no error.
func rawProducer(t *testing.T, g *Gateway, clientID string, d time.Duration) []kafka.Sample {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.Address), kgo.ClientID(clientID), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	// One real batch, taken from a client that makes one.
	batch := recordBatch(t, 100_000)
	raw := dial(t, leader(t, cl, heldTopics[0]))
	defer raw.Close()
	var samples []kafka.Sample
	end := time.Now().Add(d)
	inFlight := 0
	for time.Now().Before(end) || inFlight > 0 {
		for inFlight < 5 && time.Now().Before(end) {
			raw.send(t, clientID, produceRequest(heldTopics[0], 0, batch))
			inFlight++
		}
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = produceVersion
		raw.receive(t, resp)
		inFlight--
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatalf("error code %d", code)
		}
		samples = append(samples, kafka.Sample{At: time.Now().Truncate(kafka.Bucket), Bytes: int64(len(batch))})
	}
	return samples
}

// fill writes what the consumers will read, past the limit.
func fill(t *testing.T, g *Gateway, k *kafka.Broker) {
	t.Helper()
	r := k.Jars.Program(t.Context(), "Produce", "--bootstrap", g.Address, "--client-id", "free.fill",
		"--topics", strings.Join(heldTopics, ","), "--seconds", "60", "--bytes", "200000000").Wait()
	if r.Err != nil {
		t.Fatalf("%s", r)
	}
}
