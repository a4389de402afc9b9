package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// TestReloadsUnderLoad sends 200 SIGHUPs, with a changed limit each time, under
// Java and Go clients that produce and consume: no connection is dropped, no record
// is lost or doubled, no error is seen, and no reload gives a free burst.
func TestReloadsUnderLoad(t *testing.T) {
	k := kafka.Start(t, kafka.Options{})
	k.CreateTopics(t, 6, append([]string{"free.load"}, heldTopics...)...)
	tenants := func(requests string) string {
		return strings.Replace(heldTenants, "    rules: [{allow: [READ", "    limits_per_client_id: {request_rate: "+requests+"}\n    rules: [{allow: [READ", 1)
	}
	g := Start(t, "", tenants("4000"), k)
	java := k.Jars.Program(t.Context(), "Produce", "--bootstrap", g.Address, "--client-id", "noisy.java",
		"--topics", strings.Join(heldTopics, ","), "--seconds", "30")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := newLoad(ctx, t, g)
	time.Sleep(6 * time.Second) // all are connected, the burst is spent
	refused := func() float64 { return g.Metric("sluice_refused_connections_total") }
	before, opened, began := refused(), load.connections.Load(), time.Now()
	stop := g.sample("sluice_bytes_total", "tenant", "noisy", "direction", "in")
	for i := range 200 {
		g.Write("", tenants([]string{"4000", "5000"}[i%2]))
		g.Reload()
		time.Sleep(30 * time.Millisecond)
	}
	took := time.Since(began)
	windows := kafka.Windows(stop(), time.Second)
	if got := load.connections.Load(); got != opened {
		t.Errorf("%d connections were made anew", got-opened)
	}
	if got := refused(); got != before {
		t.Errorf("%v connections were closed by the gateway", got-before)
	}
	t.Logf("200 reloads in %v; %d records by the Go clients", took.Round(time.Millisecond), load.produced.Load())
	for _, w := range windows {
		if w.MB() > heldRate*1.1+1.05 {
			t.Errorf("%.2f MB/s in a second of reloads: a free burst", w.MB())
		}
	}
	load.finish(t, cancel)
	r := java.Wait()
	if r.Err != nil || len(r.Find("error")) > 0 {
		t.Fatalf("%s", r)
	}
	// A bad file changes nothing, and says so.
	g.Write("", strings.Replace(tenants("4000"), "request_rate: 4000", "request_rate: fast", 1))
	g.Reload()
	if got := g.Metric("sluice_config_last_reload_successful"); got != 0 {
		t.Errorf("sluice_config_last_reload_successful is %v", got)
	}
	if status, body, err := g.Get("/readyz"); err != nil || status != http.StatusOK || !strings.Contains(body, "request_rate") || !strings.Contains(body, "sluice.yaml:") {
		t.Errorf("/readyz: %v %d %s", err, status, body)
	}
}

// load is a Go producer and a consumer that reads what it wrote.
type load struct {
	connections, produced, consumed, failed atomic.Int64
	wg                                      sync.WaitGroup
	stop                                    context.CancelFunc
	producer, consumer                      *kgo.Client
}

// OnBrokerConnect counts connections that were made.
func (l *load) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		l.connections.Add(1)
	}
}

func newLoad(ctx context.Context, t *testing.T, g *Gateway) *load {
	t.Helper()
	l := &load{}
	client := func(id string, opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(g.Address), kgo.ClientID(id), kgo.WithHooks(l), kgo.ConnIdleTimeout(10 * time.Minute)}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		return cl
	}
	l.producer = client("free.producer", kgo.DefaultProduceTopic("free.load"))
	l.consumer = client("free.consumer", kgo.ConsumeTopics("free.load"), kgo.ConsumerGroup("free.load"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, l.stop = context.WithCancel(ctx)
	l.wg.Go(func() {
		for ctx.Err() == nil {
			if err := l.producer.ProduceSync(context.WithoutCancel(ctx), &kgo.Record{Value: make([]byte, 500)}).FirstErr(); err != nil {
				l.failed.Add(1)
				t.Errorf("produce: %v", err)
				return
			}
			l.produced.Add(1)
		}
	})
	return l
}

// finish stops producing and waits until all of it has been consumed.
func (l *load) finish(t *testing.T, cancel context.CancelFunc) {
	t.Helper()
	defer cancel()
	l.stop()
	l.wg.Wait()
	l.producer.Close()
	defer l.consumer.Close()
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	for l.consumed.Load() < l.produced.Load() {
		fs := l.consumer.PollFetches(ctx)
		if err := fs.Err(); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("%d of %d consumed: %v", l.consumed.Load(), l.produced.Load(), err)
		}
		l.consumed.Add(int64(fs.NumRecords()))
	}
	if l.consumed.Load() != l.produced.Load() {
		t.Errorf("%d consumed, %d produced", l.consumed.Load(), l.produced.Load())
	}
}
