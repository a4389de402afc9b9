package slice

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// capped answers ApiVersions on one node with Fetch up to max and no Produce;
// with a negative max, that node hangs up.
func capped(node int32, max *atomic.Int32) func(int32, kmsg.Request) (kmsg.Response, error) {
	return func(at int32, req kmsg.Request) (kmsg.Response, error) {
		if at != node {
			return nil, nil
		}
		if max.Load() < 0 {
			return nil, errRefused
		}
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key, v := range map[int16]int16{1: int16(max.Load()), 3: 12, 18: 4} {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = key, v
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
		return resp, nil
	}
}

func TestVersions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		var max atomic.Int32
		max.Store(11)
		defer c.control(18, capped(1, &max))()
		s := c.open(t)
		v, err := s.Versions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Keys[1]; got.Max != 11 {
			t.Errorf("Fetch up to %d, want the older broker's 11", got.Max)
		}
		if _, ok := v.Keys[0]; ok || len(v.Keys) != 3 {
			t.Errorf("keys that only one broker has: %v", v.Keys)
		}

		max.Store(13) // upgraded
		time.Sleep(2 * time.Minute)
		if v, _ := s.Versions(t.Context()); v.Keys[1].Max != 13 {
			t.Errorf("Fetch up to %d after the upgrade, want 13", v.Keys[1].Max)
		}

		// It does not answer now: what it last said still counts.
		c.set(addr1, "refused")
		max.Store(-1)
		time.Sleep(2 * time.Minute)
		if v, _ := s.Versions(t.Context()); v.Keys[1].Max != 13 {
			t.Errorf("Fetch up to %d without the older broker, want 13", v.Keys[1].Max)
		}
		// It has left: the others decide.
		if err := c.RemoveNode(1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if v, _ := s.Versions(t.Context()); v.Keys[1].Max <= 13 || len(v.Keys) < 20 {
			t.Errorf("Fetch up to %d without the old broker", v.Keys[1].Max)
		}
	})
}

func TestVersionsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.set(addr0, "refused")
		c.set(addr1, "refused")
		s := c.open(t)
		_, err := s.Versions(after(3 * time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("no versions: %v", err)
		}
		got := make(chan error)
		go func() { _, err := s.Versions(context.Background()); got <- err }()
		c.set(addr0, "")
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// However often the topology is asked for, versions are not.
func TestVersionsAreNotAskedForUnknownIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		var asked atomic.Int32
		defer c.control(18, func(int32, kmsg.Request) (kmsg.Response, error) { asked.Add(1); return nil, nil })()
		for i := range 20 {
			s.TopicName(t.Context(), id(i))
		}
		if n := asked.Load(); n != 0 {
			t.Errorf("%d ApiVersions requests", n)
		}
		time.Sleep(2 * time.Minute)
		if asked.Load() == 0 {
			t.Error("never asked again")
		}
	})
}

// Brokers that advertise an address which does not lead to them: the bootstrap
// servers answer, and nothing else works.
func TestAdvertisedAddressIsWrong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNet()
		c := newClusterAt(t, n, 9001, 9002)
		n.set(addr1, "hanging")
		s := openAt(t, n, addr0)
		time.Sleep(20 * time.Second)
		h := s.Health()
		if !h.Reachable || !strings.Contains(h.Err, "advertise") || !strings.Contains(h.Err, "broker 1 at "+addr1) {
			t.Errorf("health %+v", h)
		}
		// The broker that hangs does not hold up the topology.
		if err := c.CreateTopic("new", 1, nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, ok := s.TopicName(t.Context(), c.topicID(t, "new")); !ok || time.Since(start) > dialTimeout+time.Second {
			t.Errorf("found %v after %v", ok, time.Since(start))
		}
		n.set(addr1, "")
		time.Sleep(2 * time.Minute)
		if h := s.Health(); h.Err != "" {
			t.Errorf("health after correction %+v", h)
		}
	})
}
