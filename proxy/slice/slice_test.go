package slice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTopology(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()

		if s.Name() != "orders" || s.Slot() != 7 {
			t.Errorf("name %q, slot %d", s.Name(), s.Slot())
		}
		brokers := s.Brokers()
		if len(brokers) != 2 || brokers[0].ID != 0 || brokers[0].address() != addr0 || brokers[1].address() != addr1 {
			t.Errorf("brokers: %+v", brokers)
		} else if brokers[0].Rack == nil || *brokers[0].Rack == "" {
			t.Errorf("no rack: %+v", brokers[0])
		}
		if got := s.NodeIDs(); !slices.Equal(got, []int32{0, 1}) {
			t.Errorf("nodes %v", got)
		}
		if got := s.TopicNames(); !slices.Equal(got, []string{"orders", "payments"}) {
			t.Errorf("topics %v", got)
		}
		if s.Partitions("orders") != 3 || s.Partitions("payments") != 1 || s.Partitions("none") != 0 {
			t.Errorf("partitions %d %d %d", s.Partitions("orders"), s.Partitions("payments"), s.Partitions("none"))
		}
		if name, ok := s.CachedTopicName(c.topicID(t, "orders")); !ok || name != "orders" {
			t.Errorf("topic id: %q %v", name, ok)
		}
		h := s.Health()
		if !h.Reachable || h.Err != "" || h.Brokers != 2 || h.Topics != 2 || h.LastSuccess.IsZero() {
			t.Errorf("health %+v", h)
		}
		if n := c.metadata.Load(); n != 1 {
			t.Errorf("%d Metadata requests to learn it, want 1", n)
		}
		time.Sleep(10 * time.Minute)
		if n := c.metadata.Load(); n < 18 || n > 23 {
			t.Errorf("%d Metadata requests in 10 min, want one per 30 s", n)
		}
		if !s.Health().Since.Equal(h.Since) || !s.Health().LastSuccess.After(h.LastSuccess) {
			t.Errorf("health moved from %+v to %+v", h, s.Health())
		}
	})
}

func TestTopologyOfOddAnswers(t *testing.T) {
	resp := kmsg.NewPtrMetadataResponse()
	topic := func(name *string, id byte) {
		mt := kmsg.NewMetadataResponseTopic()
		mt.Topic, mt.TopicID = name, [16]byte{id}
		resp.Topics = append(resp.Topics, mt)
	}
	topic(kmsg.StringPtr("b"), 2)
	topic(kmsg.StringPtr("a"), 0) // an old broker: no ids
	topic(nil, 3)                 // an id with an error
	topic(kmsg.StringPtr(""), 4)
	for _, id := range []int32{5, 1, 5} {
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: id, Host: "::1", Port: 9092})
	}
	top := topologyOf(resp)
	if !slices.Equal(top.topics, []string{"a", "b"}) || len(top.names) != 1 || top.names[[16]byte{2}] != "b" {
		t.Errorf("topics %v, ids %v", top.topics, top.names)
	}
	if !slices.Equal(top.nodes, []int32{1, 5}) || top.addresses[5] != "[::1]:9092" {
		t.Errorf("nodes %v, addresses %v", top.nodes, top.addresses)
	}
}

func TestBrokersComeAndGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		if err := c.RemoveNode(0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.AddNode(9, 9009); err != nil {
			t.Fatal(err)
		}
		// A node that is asked for and not known is worth a refresh at once.
		conn, node, err := s.Dial(t.Context(), 9)
		if err != nil || node != 9 {
			t.Fatalf("new broker: node %d, %v", node, err)
		}
		conn.Close()
		if got := s.NodeIDs(); !slices.Equal(got, []int32{1, 9}) {
			t.Errorf("nodes %v", got)
		}
		if _, _, err := s.Dial(t.Context(), 0); !errors.Is(err, ErrUnknownNode) {
			t.Errorf("broker that is gone: %v", err)
		}
	})
}

func TestSet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNet()
		c := newClusterAt(t, n, 9001)
		other := newClusterAt(t, n, 9101)
		if err := other.CreateTopic("elsewhere", 1, nil); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, n, addr0)
		synctest.Wait()

		s.Set([]string{addr0}, Security{}) // the same: nothing happens
		synctest.Wait()
		if got := c.metadata.Load(); got != 1 {
			t.Errorf("%d Metadata requests after the same servers were set", got)
		}
		s.Set([]string{"localhost:9101"}, Security{})
		synctest.Wait()
		if !slices.Contains(s.TopicNames(), "elsewhere") {
			t.Errorf("topics %v", s.TopicNames())
		}
		before := c.metadata.Load()
		time.Sleep(5 * time.Minute)
		if c.metadata.Load() != before {
			t.Error("the old servers are still asked")
		}
	})
}

// A cluster that hangs does not delay new bootstrap servers, and who waits for a
// refresh meanwhile gets the new cluster's answer.
func TestSetEndsARefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNet()
		c := newClusterAt(t, n, 9101)
		n.set(addr0, "hanging")
		s := openAt(t, n, addr0)
		found := make(chan bool)
		go func() {
			_, ok := s.TopicName(context.Background(), c.topicID(t, "orders"))
			found <- ok
		}()
		time.Sleep(time.Second)
		start := time.Now()
		s.Set([]string{"localhost:9101"}, Security{})
		if !<-found {
			t.Error("topic id not found at the new servers")
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestBadBootstrapServers(t *testing.T) {
	for _, seeds := range [][]string{nil, {"broker:port"}} {
		bubble(t, func(t *testing.T) {
			n := newNet()
			c := newClusterAt(t, n, 9001)
			s := openAt(t, n, seeds...)
			time.Sleep(time.Second)
			if h := s.Health(); h.Reachable || !strings.Contains(h.Err, "bootstrap_servers") {
				t.Errorf("%v: health %+v", seeds, h)
			}
			if _, _, err := s.Dial(t.Context(), -1); err == nil {
				t.Errorf("%v: dialled", seeds)
			}
			s.Set([]string{addr0}, Security{})
			synctest.Wait()
			if h := s.Health(); !h.Reachable || c.metadata.Load() != 1 {
				t.Errorf("health after correction %+v", h)
			}
		})
	}
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNet()
		n.set(addr0, "hanging")
		s := openAt(t, n, addr0)
		errs := make(chan error, 3)
		go func() { _, err := s.Versions(context.Background()); errs <- err }()
		go func() { _, _, err := s.Dial(context.Background(), 3); errs <- err }()
		go func() {
			if _, ok := s.TopicName(context.Background(), [16]byte{1}); ok {
				errs <- errors.New("found a topic")
				return
			}
			errs <- ErrClosed
		}()
		synctest.Wait()
		if h := s.Health(); h.Reachable || h.Err != notReachedYet {
			t.Errorf("health before the first answer: %+v", h)
		}
		start := time.Now()
		s.Close()
		s.Close()
		for range 3 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("waiting caller got %v", err)
			}
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		if _, _, err := s.Dial(t.Context(), -1); !errors.Is(err, ErrClosed) {
			t.Errorf("Dial after Close: %v", err)
		}
	})
}

// The same over real sockets, with the default dialer.
func TestOverTCP(t *testing.T) {
	before := runtime.NumGoroutine()
	k, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()

	s := Open(Options{Name: "tcp", BootstrapServers: append(k.ListenAddrs(), dead.Addr().String())})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := s.Versions(ctx); err != nil {
		t.Fatal(err)
	}
	if got := s.TopicNames(); !slices.Equal(got, []string{"orders"}) {
		t.Errorf("topics %v", got)
	}
	for _, want := range []int32{0, 1} {
		conn, node, err := s.Dial(ctx, want)
		if err != nil || node != want {
			t.Fatalf("node %d: got %d, %v", want, node, err)
		}
		if _, tcp := conn.(*net.TCPConn); !tcp {
			t.Errorf("a %T", conn)
		}
		conn.Close()
	}

	k.Close()
	s.Set([]string{dead.Addr().String()}, Security{})
	for s.Health().Reachable {
		if ctx.Err() != nil {
			t.Fatal("still healthy")
		}
		time.Sleep(time.Millisecond)
	}
	want := fmt.Sprintf("no broker answered: %s: dial tcp %[1]s: connect: connection refused", dead.Addr())
	if got := s.Health().Err; got != want {
		t.Errorf("health says %q, want %q", got, want)
	}
	s.Close()
	for runtime.NumGoroutine() > before {
		if ctx.Err() != nil {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}
