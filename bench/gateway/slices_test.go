package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// spanningTenants are one that lives in orders and has topics in clicks too, and one
// that lives in clicks. kafka-get-offsets chooses its client ID itself.
const spanningTenants = `tenants:
  - name: shop
    client_ids: ["shop.*", GetOffsetShell]
    home: orders
    reach: [clicks]
    rules:
      - {allow: [ALL], topics: ["shop.*", "clicks.*"]}
      - {allow: [ALL], groups: ["shop.*"]}
      - {allow: [ALL], transactional_ids: ["shop.*"]}
      - {allow: [DESCRIBE], cluster: true}
  - name: web
    client_ids: {team: web}
    home: clicks
    rules:
      - {allow: [READ, WRITE, CREATE, DESCRIBE_CONFIGS], topics: ["web.*"]}
      - {allow: [READ], groups: ["web.*"]}
      - {allow: [WRITE], transactional_ids: ["web.*"]}
  - name: movers
    client_ids: {team: movers}
    home: orders
    rules: [{allow: [ALL], everything: true}]
routes:
  - {topics: ["clicks.*"], groups: ["shop.away*"], transactional_ids: ["shop.away*"], slice: clicks}
`

// TestSlices is about a tenant that sees two clusters as one, and one that lives in the
// second of them.
func TestSlices(t *testing.T) {
	// A broker that was killed is not waited for as long as by default.
	soon := map[string]string{"broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "1000"}
	brokers := [2]*kafka.Broker{kafka.Start(t, kafka.Options{Properties: soon}), kafka.Start(t, kafka.Options{NodeID: 2, Properties: soon})}
	g := Start(t, "", spanningTenants, brokers[:]...)
	shop := &side{name: "spanning", team: "shop", ops: "shop.tools", broker: brokers[0], g: g}
	web := &side{name: "pinned", team: "web", slot: 1, broker: brokers[1], g: g}
	t.Run("refused", func(t *testing.T) { acrossRefused(t, shop, web) })
	t.Run("tools", func(t *testing.T) { acrossTools(t, shop) })
	t.Run("twins", func(t *testing.T) { twins(t, shop) })
	t.Run("moves", func(t *testing.T) { moves(t, shop) })
	t.Run("restarts", func(t *testing.T) { throughRestarts(t, shop) })
}

// spread creates topics where routes say that they live, and names them.
func spread(t *testing.T, g *Gateway, kind string) []string {
	t.Helper()
	topics := []string{"shop." + kind, "clicks." + kind}
	for i, topic := range topics {
		g.brokers[i].CreateTopics(t, 3, topic)
	}
	return topics
}

// throughRestarts has clients of three kinds produce and consume topics of
// two slices, each with one bootstrap address, while the gateway is killed and started
// again, and so is a broker, and the other one restarted. Every record that was
// acknowledged is read, none twice, and what was committed is right in both slices.
func throughRestarts(t *testing.T, shop *side) {
	g := shop.g
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := []spanningClient{javaSpanning(ctx, t, shop), rdSpanning(ctx, t, shop), franzSpanning(ctx, t, shop)}
	for _, c := range clients {
		c.reads(t)
	}
	for _, disturb := range []struct {
		name string
		do   func() error
	}{
		{"the gateway is killed", func() error { g.Kill(); g.Run(); return nil }},
		{"the foreign slice's broker is killed", func() error { g.brokers[1].Kill(); return g.brokers[1].Run() }},
		{"the home's broker is restarted", func() error { g.brokers[0].Stop(); return g.brokers[0].Run() }},
		{"the gateway is restarted", func() error { g.Stop(); g.Run(); return nil }},
	} {
		began := time.Now()
		if err := disturb.do(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: back after %v", disturb.name, time.Since(began).Round(time.Millisecond))
		time.Sleep(2 * time.Second)
	}
	for _, c := range clients {
		c.finish(t)
	}
	for _, c := range clients {
		committedIn(t, g, c.group(), c.group()[len("shop."):])
	}
}

// spanningClient is a producer and a consumer of two topics.
type spanningClient interface {
	group() string
	// reads waits until something has been read.
	reads(t *testing.T)
	// finish ends the producer, waits until the consumer has all, ends it and compares.
	finish(t *testing.T)
}

// programs are a producer and a consumer in processes of their own.
type programs struct {
	name             string
	produce, consume *kafka.Process
	harmless         []string // errors that only say that a connection is gone
}

func javaSpanning(ctx context.Context, t *testing.T, s *side) spanningClient {
	topics := strings.Join(spread(t, s.g, "java"), ",")
	flags := []string{"--bootstrap", s.g.Address, "--client-id", "shop.java", "--topics", topics}
	return &programs{
		name:    "java",
		produce: s.broker.Jars.Program(ctx, "Produce", append(flags, "--size", "200", "--rate", "100000", "--seconds", "200")...),
		consume: s.broker.Jars.Program(ctx, "Consume", append(flags, "--group", "shop.java", "--commit", "sync", "--seconds", "200")...),
	}
}

func rdSpanning(ctx context.Context, t *testing.T, s *side) spanningClient {
	topics := strings.Join(spread(t, s.g, "rd"), ",")
	flags := []string{"--bootstrap", s.g.Address, "--client-id", "shop.rd", "--topics", topics}
	python := kafka.ResolvePython(t)
	return &programs{
		name: "rd", harmless: []string{"_TRANSPORT", "_ALL_BROKERS_DOWN"},
		produce: python.Program(ctx, "produce", append(flags, "--size", "200", "--rate", "100000", "--seconds", "200", "--prop", "enable.idempotence=true")...),
		consume: python.Program(ctx, "consume", append(flags, "--group", "shop.rd", "--seconds", "200")...),
	}
}

func (p *programs) group() string { return "shop." + p.name }

// count is the sum of the records in the events so far.
func count(p *kafka.Process) (n int64) {
	for _, e := range p.Events() {
		if e.Event == "bytes" {
			n += e.Records
		}
	}
	return n
}

func (p *programs) reads(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if _, err := p.consume.WaitFor(ctx, func(e kafka.Event) bool { return e.Event == "bytes" && e.Records > 0 }); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

func (p *programs) finish(t *testing.T) {
	t.Helper()
	written := p.produce.Stop()
	done, ok := written.Done()
	if !ok {
		t.Fatalf("%s: %s", p.name, written)
	}
	for deadline := time.Now().Add(30 * time.Second); count(p.consume) < done.Records && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
	read := p.consume.Stop()
	for what, r := range map[string]kafka.Result{"producer": written, "consumer": read} {
		if _, ok := r.Done(); !ok { // asked to end, a Java program has an exit code of its own
			t.Errorf("%s %s: %s", p.name, what, r)
		}
		for _, e := range r.Find("errors") {
			t.Logf("%s %s: %d times %s: %s", p.name, what, e.Count, e.Error, e.Message)
			if !slices.Contains(p.harmless, e.Error) {
				t.Errorf("%s %s: %s: %s", p.name, what, e.Error, e.Message)
			}
		}
	}
	same(t, read, written)
	t.Logf("%s: %d records written and read, %d assignments", p.name, done.Records, len(read.Find("assigned")))
}

// franzPair is a franz-go producer and consumer; records are known by where they are.
type franzPair struct {
	cancel      context.CancelFunc
	wg          sync.WaitGroup
	producing   context.CancelFunc
	produced    chan struct{} // closed when the last batch is acknowledged
	mu          sync.Mutex
	acked, seen map[string]int // by topic, partition, offset and value
	errs        []error
}

func franzSpanning(ctx context.Context, t *testing.T, s *side) spanningClient {
	topics := spread(t, s.g, "franz")
	p := &franzPair{acked: map[string]int{}, seen: map[string]int{}, produced: make(chan struct{})}
	ctx, p.cancel = context.WithCancel(ctx)
	sending, stop := context.WithCancel(ctx)
	p.producing = stop
	producer := client(t, s.g.Address, kgo.ClientID("shop.franz"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	p.wg.Go(func() { defer close(p.produced); p.produce(sending, producer, topics) })
	consumer := client(t, s.g.Address, kgo.ClientID("shop.franz"), kgo.ConsumeTopics(topics...), kgo.ConsumerGroup("shop.franz"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
	p.wg.Go(func() { p.consume(ctx, consumer) })
	return p
}

func (p *franzPair) group() string { return "shop.franz" }

func (p *franzPair) note(all map[string]int, r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all[fmt.Sprintf("%s-%d@%d %s", r.Topic, r.Partition, r.Offset, r.Value)]++
}

func (p *franzPair) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}

func (p *franzPair) produce(ctx context.Context, cl *kgo.Client, topics []string) {
	for n := 0; ctx.Err() == nil; n++ {
		var batch []*kgo.Record
		for i := range 20 {
			batch = append(batch, &kgo.Record{Topic: topics[i%2], Value: fmt.Appendf(nil, "%d", n*20+i)})
		}
		for _, r := range cl.ProduceSync(context.WithoutCancel(ctx), batch...) {
			if r.Err != nil {
				p.failed(r.Err)
				continue
			}
			p.note(p.acked, r.Record)
		}
		time.Sleep(40 * time.Millisecond)
	}
}

func (p *franzPair) consume(ctx context.Context, cl *kgo.Client) {
	defer cl.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		for _, err := range errorsOf(fetches) {
			if ctx.Err() == nil && !passing(err) {
				p.failed(err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) { p.note(p.seen, r) })
		if fetches.NumRecords() > 0 {
			// It tells what the Java client tries again by itself.
			err := cl.CommitUncommittedOffsets(context.WithoutCancel(ctx))
			for end := time.Now().Add(30 * time.Second); passing(err) && time.Now().Before(end); {
				time.Sleep(100 * time.Millisecond)
				err = cl.CommitUncommittedOffsets(context.WithoutCancel(ctx))
			}
			if err != nil {
				p.failed(err)
			}
		}
		cl.AllowRebalance()
	}
}

// passing reports whether an error is of a broker or gateway that will be there again.
// A connection that was closed before it answered anything is one to a broker that is
// down: the gateway takes it. One that was refused is to the gateway while it is away.
func passing(err error) bool {
	var closed *kgo.ErrFirstReadEOF
	return errors.As(err, &closed) || errors.Is(err, syscall.ECONNREFUSED) || kerr.IsRetriable(err)
}

func (p *franzPair) sizes() (acked, seen int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked), len(p.seen)
}

func (p *franzPair) reads(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		if _, seen := p.sizes(); seen > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("franz-go reads nothing")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *franzPair) finish(t *testing.T) {
	t.Helper()
	p.producing()
	<-p.produced
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if acked, seen := p.sizes(); seen >= acked {
			break
		}
	}
	p.cancel()
	p.wg.Wait()
	for _, err := range p.errs {
		t.Errorf("franz-go: %v", err)
	}
	for at, n := range p.seen {
		if n != 1 {
			t.Errorf("franz-go: %s was read %d times", at, n)
		}
	}
	if !maps.Equal(p.acked, p.seen) {
		t.Errorf("franz-go: %d records written, %d read", len(p.acked), len(p.seen))
	}
	t.Logf("franz-go: %d records written and read", len(p.acked))
}

// at names a partition.
func at(topic string, partition int32) string { return fmt.Sprintf("%s-%d", topic, partition) }

// committedIn checks that a group's offsets are the topics' ends, that each slice has
// those of its own topics, and that clients of the tenant see them all.
func committedIn(t *testing.T, g *Gateway, group, kind string) {
	t.Helper()
	whole := kadm.NewClient(client(t, g.Address, kgo.ClientID("shop.admin")))
	topics := []string{"shop." + kind, "clicks." + kind}
	offsets := func(a *kadm.Client) map[string]int64 {
		t.Helper()
		found, err := a.FetchOffsets(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int64{}
		found.Each(func(o kadm.OffsetResponse) {
			if o.Err != nil {
				t.Errorf("%s: %v", group, o.Err)
			}
			all[at(o.Topic, o.Partition)] = o.At
		})
		return all
	}
	ends := func(topics ...string) map[string]int64 {
		t.Helper()
		found, err := whole.ListEndOffsets(t.Context(), topics...)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int64{}
		found.Each(func(o kadm.ListedOffset) { all[at(o.Topic, o.Partition)] = o.Offset })
		return all
	}
	for name, c := range map[string]struct {
		admin  *kadm.Client
		topics []string
	}{
		"the gateway": {whole, topics},
		"orders":      {g.brokers[0].Admin(t), topics[:1]},
		"clicks":      {g.brokers[1].Admin(t), topics[1:]},
	} {
		if got, want := offsets(c.admin), ends(c.topics...); !maps.Equal(got, want) || len(want) != 3*len(c.topics) {
			t.Errorf("%s: offsets in %s are %v, want %v", group, name, got, want)
		}
	}
}
