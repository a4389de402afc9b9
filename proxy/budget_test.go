package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMemoryIsBounded(t *testing.T) {
	const most = 1 << 20
	b := newBudget(most).frames
	var held, highest atomic.Int64
	var perTenant, highestOf [6]atomic.Int64
	raise := func(a *atomic.Int64, to int64) {
		for was := a.Load(); to > was && !a.CompareAndSwap(was, to); was = a.Load() {
		}
	}
	var work sync.WaitGroup
	for i := range 60 {
		work.Go(func() {
			tenant := i % len(perTenant)
			for range 50 {
				n := rand.Int64N(most/4) + 1
				free, err := b.reserve(context.Background(), fmt.Sprint(tenant), n)
				if err != nil {
					t.Error(err)
					return
				}
				raise(&highest, held.Add(n))
				raise(&highestOf[tenant], perTenant[tenant].Add(n))
				held.Add(-n)
				perTenant[tenant].Add(-n)
				free()
			}
		})
	}
	work.Wait()
	if h := highest.Load(); h > most {
		t.Errorf("%d bytes held at once, at most %d", h, most)
	}
	for i := range highestOf {
		if h := highestOf[i].Load(); h > most/4 {
			t.Errorf("tenant %d held %d bytes at once, at most %d", i, h, most/4)
		}
	}
	// All of it came back.
	for i := range 4 {
		if _, err := b.reserve(context.Background(), fmt.Sprint("t", i), most/4); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.reserve(ctx, "late", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when all is held: %v", err)
	}
	if _, err := b.reserve(context.Background(), "large", most/4+1); !errors.Is(err, errTooLarge) {
		t.Errorf("more than a quarter: %v", err)
	}
}

func TestTooLargeToBeHeld(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedClusterWith(t, kfake.SeedTopics(1, "payments.a", "payments.b"))
	for _, topic := range []string{"payments.a", "payments.b"} {
		if err := cluster.MoveTopicPartition(topic, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, "max_buffered: 1MiB", ruledTenant, cluster)
	at := r.brokerPort(0, 0)
	// A Produce of one topic streams and may be larger.
	if got := produced(r.raw("payments.app", at).ask(produceReq(9, 1, 600_000, "payments.a")))["payments.a"]; got != 0 {
		t.Errorf("a Produce that streams: error %d", got)
	}
	for name, req := range map[string]kmsg.Request{
		"a Produce of several topics": produceReq(9, 1, 200_000, "payments.a", "payments.b"),
		"a Metadata":                  metadataReq(9, make([]string, 270_000)...),
	} {
		before := r.metric("refused_connections_total", "reason", reasonTooLarge)
		c := r.raw("payments.app", at)
		frame := c.frame(req)
		go func() { _, _ = c.Write(frame) }() // not all of it is read
		eventually(t, 2*time.Second, name+" is refused", func() bool {
			return r.metric("refused_connections_total", "reason", reasonTooLarge) == before+1
		})
	}
	if n := r.lines("connection closed", map[string]string{"reason": reasonTooLarge, "why": "a quarter of gateway.max_buffered", "tenant": "payments"}); n != 2 {
		t.Errorf("%d log lines", n)
	}
	if n := len(tap.requests("payments.app")); n != 1 {
		t.Errorf("%d requests reached the broker", n)
	}
}

// Those who find the memory taken wait for it, and are all served.
func TestHeldFramesWaitForMemory(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedClusterWith(t, kfake.SeedTopics(1, "payments.a", "payments.b"))
	for _, topic := range []string{"payments.a", "payments.b"} {
		if err := cluster.MoveTopicPartition(topic, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, "max_buffered: 1MiB", ruledTenant, cluster)
	at := r.brokerPort(0, 0)
	// One that has sent the beginning only holds most of the tenant's share.
	first := r.raw("payments.first", at)
	frame := first.frame(produceReq(9, 1, 100_000, "payments.a", "payments.b"))
	first.write(frame[:50_000])
	time.Sleep(100 * time.Millisecond)
	var later []*raw
	for i := range 10 {
		c := r.raw(fmt.Sprint("payments.later", i), at)
		c.send(produceReq(9, 1, 100_000, "payments.a", "payments.b"))
		later = append(later, c)
	}
	time.Sleep(500 * time.Millisecond)
	for i := range later {
		if n := len(tap.requests(fmt.Sprint("payments.later", i))); n != 0 {
			t.Errorf("number %d did not wait", i)
		}
	}
	first.write(frame[50_000:])
	for i, c := range append(later, first) {
		_, resp, err := c.recv()
		if err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
		if got := produced(resp); got["payments.a"] != 0 || got["payments.b"] != 0 || len(got) != 2 {
			t.Errorf("number %d: %v", i, got)
		}
	}
}

// What is given back to the budget is not kept by the connection that had it.
func TestIdleConnectionKeepsNoFrame(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", ruledTenant, fakeCluster(t, "payments.a"))
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.ReplicaID, fetch.SessionEpoch = 12, -1, -1
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "payments.a", Partitions: make([]kmsg.FetchRequestTopicPartition, 5000)}}
	for i := range fetch.Topics[0].Partitions {
		fetch.Topics[0].Partitions[i].Partition = int32(i)
	}
	for name, req := range map[string]kmsg.Request{
		"a Fetch":     fetch,
		"a Metadata":  metadataReq(9, "payments.a", "other"),
		"one refused": metadataReq(9, slices.Repeat([]string{strings.Repeat("x", 1000)}, 100)...),
		"a Produce":   produceReq(9, 1, 100, "payments.a"),
	} {
		eventually(t, 5*time.Second, "the one before is gone", func() bool { return len(r.connections()) == 0 })
		client := r.raw("payments.app", "")
		client.ask(req)
		c := r.connections()[0]
		eventually(t, 5*time.Second, "the connection is idle", func() bool {
			return c.in.loop == nil || c.in.state.Load() == halfParked
		})
		if q := &c.query; q.frame.bytes != nil || q.req != nil || q.refused != nil || c.walk.TopicName != nil {
			t.Errorf("it keeps %s", name)
		}
		_ = client.Close()
	}
}
