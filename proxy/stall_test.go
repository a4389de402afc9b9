package proxy

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/proxy/policy"
)

// allFree: nothing of the memory is reserved.
func allFree(m *memory) bool {
	if !m.all.TryAcquire(m.max) {
		return false
	}
	m.all.Release(m.max)
	return true
}

// wide is a cluster whose Metadata of all topics takes more than 300 kB.
func wide(t *testing.T) *kfake.Cluster {
	topics := []string{"payments.a"}
	for i := range 2000 {
		topics = append(topics, fmt.Sprintf("payments.with-a-name-that-takes-some-room-%d", i))
	}
	return fakeCluster(t, topics...)
}

// allTopics asks for the Metadata of all of them.
func allTopics() *kmsg.MetadataRequest {
	req := metadataReq(9)
	req.Topics = nil
	return req
}

// ends waits until the one connection is ended for that reason and has left nothing.
func (r *rig) ends(reason string) {
	r.t.Helper()
	eventually(r.t, time.Minute, reason, func() bool { return r.metric("refused_connections_total") > 0 })
	if r.metric("refused_connections_total") != 1 || r.metric("refused_connections_total", "reason", reason) != 1 {
		r.t.Errorf("it was not ended, once, for %s", reason)
	}
	if n := r.lines("connection closed", map[string]string{"reason": reason, "tenant": "payments"}); n != 1 {
		r.t.Errorf("%d log lines", n)
	}
	eventually(r.t, 2*time.Second, "its memory and its seat are given back", func() bool {
		r.seats.mu.Lock()
		defer r.seats.mu.Unlock()
		b := r.budget
		return len(r.connections()) == 0 && len(r.seats.tenants) == 0 && allFree(b.frames) && allFree(b.decoded) && allFree(b.answers)
	})
}

// A client that sends requests and never reads an answer is ended, whoever makes the
// answers.
func TestClientStalled(t *testing.T) {
	t.Parallel()
	for name, requests := range map[string]struct {
		cluster func(*testing.T) *kfake.Cluster
		req     kmsg.Request
		n       int
	}{
		"Metadata":    {wide, allTopics(), 100},
		"Fetch":       {func(t *testing.T) *kfake.Cluster { return fakeCluster(t, "payments.a") }, fetchReq(11, 0, "payments.a"), 50},
		"ApiVersions": {func(t *testing.T) *kfake.Cluster { return fakeCluster(t, "payments.a") }, apiVersionsReq(0), 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := requests.cluster(t)
			r := newRig(t, "frame_timeout: 2s", openTenant, cluster)
			c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
			if name == "Fetch" {
				c.ask(produceReq(9, 1, 900_000, "payments.a"))
			}
			frame := c.frame(requests.req)
			go func() {
				for range requests.n {
					if _, err := c.Write(frame); err != nil {
						return
					}
				}
			}()
			r.ends(reasonClientStalled)
		})
	}
}

// So is one whose broker stopped reading, and it is not the client who is blamed.
func TestBrokerStalled(t *testing.T) {
	t.Parallel()
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("payments.a-name-of-some-length-%d", i)
	}
	for name, req := range map[string]kmsg.Request{
		"Produce": produceReq(9, 1, 900_000, "payments.a"), "Produce of several topics": produceReq(9, 1, 450_000, "payments.a", "payments.b"),
		"a request that is held": metadataReq(9, names...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := fakeCluster(t, "payments.a", "payments.b")
			gated(t, cluster)
			r := newRig(t, "frame_timeout: 2s", ruledTenant, cluster)
			c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
			list := listOffsetsReq()
			list.Topics = append(list.Topics, kmsg.ListOffsetsRequestTopic{Topic: "payments.a"})
			c.send(list)
			frame := c.frame(req)
			go func() {
				for range 200 {
					if _, err := c.Write(frame); err != nil {
						return
					}
				}
			}()
			r.ends(reasonBrokerStalled)
		})
	}
}

// slow takes its time for each write.
type slow struct {
	net.Conn
	each time.Duration
}

func (s slow) Write(b []byte) (int, error) {
	if len(b) > 10_000 {
		time.Sleep(s.each)
	}
	return s.Conn.Write(b)
}

// The time that a slow broker takes for a Produce is not the client's.
func TestSlowBrokerIsNotTheClientsFault(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, "payments.a")
	r := newRig(t, "frame_timeout: 1s", openTenant, cluster)
	r.Drain(context.Background())
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatal(problems)
	}
	var err error
	if r.Gateway, err = Start(p, Options{Path: r.path, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return slow{c, 400 * time.Millisecond}, err
	}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Drain(context.Background()) })
	c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	within(t, "a Produce for which the client alone would have 1.9 s", 4000*time.Millisecond, time.Minute, func() {
		if got := produced(c.ask(produceReq(9, 1, 900_000, "payments.a")))["payments.a"]; got != 0 {
			t.Errorf("error %d", got)
		}
	})
}

// Answers do not wait for the memory of requests, which may be held until answers
// are taken.
func TestAnswersHaveTheirOwnMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, "max_buffered: 4MiB", openTenant, wide(t))
	share := func(m *memory) interface {
		Acquire(context.Context, int64) error
		Release(int64)
	} {
		return m.tenant("payments")
	}
	ctx := context.Background()
	for _, m := range []*memory{r.budget.frames, r.budget.decoded} {
		if err := share(m).Acquire(ctx, m.max/4); err != nil {
			t.Fatal(err)
		}
	}
	// Decoded it takes more than the tenant's share, but passes alone.
	c := r.raw("payments.app", "")
	c.send(allTopics())
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, resp, err := c.recv(); err != nil || len(metadataOf(resp).Topics) < 2000 {
		t.Fatalf("with the memory of requests taken: %v", err)
	}
	// All of the share is what it takes: it waits for a byte that is missing.
	m := r.budget.answers
	if err := share(m).Acquire(ctx, 1); err != nil {
		t.Fatal(err)
	}
	c.send(allTopics())
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, _, err := c.recv(); err == nil {
		t.Error("it did not wait for its memory")
	}
	share(m).Release(1)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, _, err := c.recv(); err != nil {
		t.Error(err)
	}
	eventually(t, time.Second, "the memory is given back", func() bool { return allFree(m) })
}
