package gateway

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"sluice/bench/kafka"
)

// crawlTenants is a tenant held so hard that each of its answers waits.
const crawlTenants = `tenants:
  - name: crawl
    client_ids: {team: crawl}
    home: orders
    limits: {consumer_byte_rate: 200kB, request_rate: 20}
    rules: [{allow: [READ, WRITE, CREATE], topics: ["noisy.*"]}, {allow: [READ], groups: ["crawl.*"]}]
  - name: free
    client_ids: {team: free}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

// TestGroupHeldHard shows that consumers held hard for a minute keep their members
// and generation: their heartbeats and commits are never held. sarama sends them
// behind its fetches, on one connection.
func TestGroupHeldHard(t *testing.T) {
	k := kafka.Start(t, kafka.Options{})
	k.CreateTopics(t, 6, heldTopics...)
	g := Start(t, "", crawlTenants, k)
	fill(t, g, k)
	const held = 62 * time.Second
	t.Run("all at once", func(t *testing.T) {
		for _, protocol := range []string{"classic", "consumer"} {
			t.Run("java "+protocol, func(t *testing.T) {
				t.Parallel()
				javaGroup(t, g, k, protocol, held)
			})
		}
		t.Run("sarama", func(t *testing.T) {
			t.Parallel()
			saramaGroup(t, g, held)
		})
	})
	if held := g.Metric("sluice_throttled_seconds_total", "tenant", "crawl", "mode", "enforce"); held < 60 {
		t.Errorf("only %.0f s were waited for: that was not hard", held)
	} else {
		t.Logf("waited %.0f s in all", held)
	}
}

func javaGroup(t *testing.T, g *Gateway, k *kafka.Broker, protocol string, held time.Duration) {
	const members = 3
	r := k.Jars.Program(t.Context(), "Consume", "--bootstrap", g.Address, "--client-id", "crawl.c{i}", "--protocol", protocol,
		"--topics", strings.Join(heldTopics, ","), "--group", "crawl."+protocol, "--consumers", "3",
		"--seconds", strconv.Itoa(int(held.Seconds()))).Wait()
	if r.Err != nil || len(r.Find("error")) > 0 || len(r.Find("lost")) > 0 {
		t.Fatalf("%s", r)
	}
	if done, _ := r.Done(); done.Records == 0 {
		t.Errorf("nothing was consumed: %s", r)
	}
	// Members join within the first seconds; after that nothing moves.
	assigned := r.Find("assigned")
	if len(assigned) < members {
		t.Fatalf("%d assignments", len(assigned))
	}
	first, end := assigned[0].Time(), r.Find("done")[0].Time()
	for _, e := range append(assigned, r.Find("revoked")...) {
		// What is revoked in the last seconds is revoked by closing.
		if late := e.Time().Sub(first); late > 15*time.Second && end.Sub(e.Time()) > 10*time.Second {
			t.Errorf("%s of %s %v after the first: the group was rebalanced", e.Event, e.Client, late.Round(time.Second))
		}
	}
	t.Logf("%d assignments, the last %v after the first; %d members at the end",
		len(assigned), slices.MaxFunc(assigned, byTime).Time().Sub(first).Round(time.Millisecond), len(r.Find("member")))
}

func byTime(a, b kafka.Event) int { return a.Time().Compare(b.Time()) }

// saramaGroup runs two members and counts their sessions: one each, but for the
// rebalance when the second joins.
func saramaGroup(t *testing.T, g *Gateway, held time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), held)
	defer cancel()
	var sessions, records atomic.Int64
	var last atomic.Int64 // when the last session began
	var wg sync.WaitGroup
	began := time.Now()
	for range 2 {
		cfg := sarama.NewConfig()
		cfg.ClientID = "crawl.sarama"
		cfg.Version = sarama.V3_6_0_0
		cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
		group, err := sarama.NewConsumerGroup([]string{g.Address}, "crawl.sarama", cfg)
		if err != nil {
			t.Fatal(err)
		}
		h := &countingHandler{sessions: &sessions, records: &records, last: &last}
		wg.Go(func() {
			defer func() { _ = group.Close() }()
			for ctx.Err() == nil {
				if err := group.Consume(ctx, heldTopics, h); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) && ctx.Err() == nil {
					t.Errorf("consume: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	settled := time.Unix(0, last.Load()).Sub(began)
	t.Logf("%d sessions, the last began after %v; %d records", sessions.Load(), settled.Round(time.Millisecond), records.Load())
	if settled > 15*time.Second {
		t.Errorf("a session began after %v: the group was rebalanced", settled)
	}
	if records.Load() == 0 {
		t.Error("nothing was consumed")
	}
}

type countingHandler struct{ sessions, records, last *atomic.Int64 }

func (h *countingHandler) Setup(sarama.ConsumerGroupSession) error {
	h.sessions.Add(1)
	h.last.Store(time.Now().UnixNano())
	return nil
}
func (h *countingHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *countingHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		h.records.Add(1)
		s.MarkMessage(m, "")
	}
	return nil
}
