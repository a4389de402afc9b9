package slice

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakeCluster is a kfake cluster on an in-memory network, so that a test can run
// in a synctest bubble: hours pass at once, and the bubble fails the test if a
// goroutine is left at its end.
type fakeCluster struct {
	*kfake.Cluster
	*fakeNet
	metadata atomic.Int64 // Metadata requests seen
}

// fakeNet counts dials and can refuse them or leave them hanging.
type fakeNet struct {
	net   kfake.VirtualNetwork
	mu    sync.Mutex
	dials map[string]int
	state map[string]string // "refused", "hanging", "silent", or nothing
}

var errRefused = errors.New("connect: connection refused")

func (n *fakeNet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[addr]++
	state := n.state[addr]
	n.mu.Unlock()
	switch state {
	case "refused":
		return nil, errRefused
	case "hanging":
		<-ctx.Done()
		return nil, ctx.Err()
	case "silent":
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		return ours, nil
	}
	return n.net.DialContext(ctx, network, addr)
}

func (n *fakeNet) set(addr, state string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state[addr] = state
}

func (n *fakeNet) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	total := 0
	for _, c := range n.dials {
		total += c
	}
	return total
}

func newNet() *fakeNet { return &fakeNet{dials: map[string]int{}, state: map[string]string{}} }

const (
	addr0 = "localhost:9001"
	addr1 = "localhost:9002"
)

// newCluster has two brokers, 0 and 1, at addr0 and addr1, and the topics
// "orders" with 3 partitions and "payments" with 1.
func newCluster(t *testing.T) *fakeCluster {
	return newClusterAt(t, newNet(), 9001, 9002)
}

func newClusterAt(t *testing.T, n *fakeNet, ports ...int) *fakeCluster {
	t.Helper()
	c := &fakeCluster{fakeNet: n}
	k, err := kfake.NewCluster(kfake.NumBrokers(len(ports)), kfake.Ports(ports...), kfake.ListenFn(n.net.Listen),
		kfake.SeedTopics(3, "orders"), kfake.SeedTopics(1, "payments"))
	if err != nil {
		t.Fatal(err)
	}
	c.Cluster = k
	t.Cleanup(k.Close)
	k.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		c.metadata.Add(1)
		return nil, nil, false
	})
	return c
}

func (c *fakeCluster) open(t *testing.T) *Slice {
	return openAt(t, c.fakeNet, addr0, addr1)
}

func openAt(t *testing.T, n *fakeNet, seeds ...string) *Slice {
	t.Helper()
	s := Open(Options{Name: "orders", Slot: 7, BootstrapServers: seeds, Dial: n.dial})
	t.Cleanup(s.Close)
	return s
}

// control answers every request of that key with fn, until the returned function
// is called. fn may return nil, nil to let the cluster answer.
func (c *fakeCluster) control(key kmsg.Key, fn func(node int32, req kmsg.Request) (kmsg.Response, error)) (stop func()) {
	var off atomic.Bool
	c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if off.Load() {
			c.DropControl()
			return nil, nil, false
		}
		c.KeepControl()
		resp, err := fn(c.CurrentNode(), req)
		return resp, err, resp != nil || err != nil
	})
	return func() { off.Store(true) }
}

func (c *fakeCluster) topicID(t *testing.T, topic string) [16]byte {
	t.Helper()
	info := c.TopicInfo(topic)
	if info == nil {
		t.Fatalf("the cluster has no topic %q", topic)
	}
	return info.TopicID
}

// bubble runs the test with a fake clock and fails it if goroutines are left.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func after(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}
