package slice

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// dialNode dials, closes again, and returns the node it got.
func dialNode(t *testing.T, s *Slice, node int32) int32 {
	t.Helper()
	conn, real, err := s.Dial(t.Context(), node)
	if err != nil {
		t.Fatalf("dial %d: %v", node, err)
	}
	if conn == nil {
		t.Fatalf("dial %d: no connection", node)
	}
	conn.Close()
	return real
}

func TestDialANode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		for _, node := range []int32{1, 0, 1} { // the first waits for the first topology
			if real := dialNode(t, s, node); real != node {
				t.Errorf("asked for %d, got %d", node, real)
			}
		}
		if n := c.metadata.Load(); n > 2 {
			t.Errorf("%d Metadata requests", n)
		}
	})
}

func TestDialAny(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		got := map[int32]int{}
		for range 10 {
			got[dialNode(t, s, -1)]++
		}
		if got[0] != 5 || got[1] != 5 {
			t.Errorf("not in turn: %v", got)
		}
		c.set(addr0, "refused")
		for range 4 {
			if node := dialNode(t, s, -1); node != 1 {
				t.Errorf("got %d, which is down", node)
			}
		}
		c.set(addr1, "refused")
		_, _, err := s.Dial(t.Context(), -1)
		if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), addr0) || !strings.Contains(err.Error(), addr1) {
			t.Errorf("all down: %v", err)
		}
	})
}

func TestDialBeforeTheFirstTopology(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.control(3, func(int32, kmsg.Request) (kmsg.Response, error) { return nil, errRefused })()
		s := c.open(t)
		synctest.Wait()
		c.set(addr0, "refused")
		for range 3 {
			if real := dialNode(t, s, -1); real != -1 {
				t.Errorf("node %d of a bootstrap server, want -1", real)
			}
		}
		c.set(addr1, "refused")
		if _, _, err := s.Dial(t.Context(), -1); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), addr1) {
			t.Errorf("all down: %v", err)
		}
	})
}

func TestDialUnknownNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		errs := make(chan error)
		for range 1000 {
			go func() { _, _, err := s.Dial(context.Background(), 17); errs <- err }()
		}
		for range 1000 {
			if err := <-errs; !errors.Is(err, ErrUnknownNode) || !strings.Contains(err.Error(), "broker 17") {
				t.Fatal(err)
			}
		}
		if n := c.metadata.Load() - 1; n < 1 || n > 2 {
			t.Errorf("%d Metadata requests for one unknown node, want 1 or 2", n)
		}
	})
}

func TestDialTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		c.set(addr0, "hanging")

		start := time.Now()
		_, _, err := s.Dial(t.Context(), 0)
		if !errors.Is(err, errDialTimeout) || errors.Is(err, context.DeadlineExceeded) || time.Since(start) != dialTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		for range 2 { // the other one is tried next
			if node := dialNode(t, s, -1); node != 1 {
				t.Errorf("node %d hangs", node)
			}
		}
		start = time.Now()
		_, _, err = s.Dial(after(time.Second), 0)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("the caller's time is over after %v: %v", time.Since(start), err)
		}
	})
}

// A broker that moved is found again soon after a dial to its old address failed.
func TestDialToOldAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		if err := c.RemoveNode(0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.AddNode(0, 9003); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Dial(t.Context(), 0); err == nil {
			t.Fatal("connected to the old address")
		}
		synctest.Wait()
		if node := dialNode(t, s, 0); node != 0 {
			t.Errorf("got %d", node)
		}
		addr := slices.Collect(func(yield func(string) bool) {
			for _, b := range s.Brokers() {
				yield(b.address())
			}
		})
		if !slices.Contains(addr, "localhost:9003") {
			t.Errorf("addresses %v", addr)
		}
	})
}
