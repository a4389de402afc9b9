package slice

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func id(n int) (id [16]byte) {
	id[0] = 0xee
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func TestTopicName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		first := c.topicID(t, "orders")
		if name, ok := s.TopicName(t.Context(), first); !ok || name != "orders" {
			t.Fatalf("known id: %q %v", name, ok)
		}
		if _, ok := s.TopicName(t.Context(), [16]byte{}); ok {
			t.Error("the zero id has a name")
		}
		if n := c.metadata.Load(); n != 1 {
			t.Fatalf("%d Metadata requests for known ids, want only the first", n)
		}

		if err := c.CreateTopic("new", 2, nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if name, ok := s.TopicName(t.Context(), c.topicID(t, "new")); !ok || name != "new" {
			t.Fatalf("new topic: %q %v", name, ok)
		}
		if d, n := time.Since(start), c.metadata.Load(); d > 100*time.Millisecond || n != 2 {
			t.Errorf("a single unknown id took %v and %d requests", d, n-1)
		}

		if err := c.DeleteTopic("orders"); err != nil {
			t.Fatal(err)
		}
		if err := c.CreateTopic("orders", 5, nil); err != nil {
			t.Fatal(err)
		}
		second := c.topicID(t, "orders")
		if name, ok := s.TopicName(t.Context(), second); !ok || name != "orders" || s.Partitions("orders") != 5 {
			t.Fatalf("recreated topic: %q %v", name, ok)
		}
		if name, ok := s.TopicName(t.Context(), first); ok {
			t.Errorf("the id of the deleted topic is still %q", name)
		}
	})
}

func TestFreshTopicNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		s.FreshTopicNames(t.Context())
		if n := c.metadata.Load(); n != 1 {
			t.Errorf("names of this very moment cost %d more Metadata requests", n-1)
		}
		if err := c.CreateTopic("new", 2, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(demandGap)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if names := s.FreshTopicNames(context.Background()); !slices.Contains(names, "new") {
					t.Errorf("a second later the names are %v", names)
				}
			})
		}
		wg.Wait()
		if n := c.metadata.Load(); n > 3 {
			t.Errorf("100 who ask at once cost %d Metadata requests, want 1 or 2", n-1)
		}
	})
}

// All ids of one request cost one refresh, however many are unknown.
func TestUnknownIDsOfARequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		time.Sleep(demandGap)
		for round := range 3 {
			if err := c.CreateTopic(fmt.Sprint("new", round), 2, nil); err != nil {
				t.Fatal(err)
			}
			before, start := c.metadata.Load(), time.Now()
			time.Sleep(time.Millisecond) // the clock stands still between two waits
			for i := range 20 {
				if name, ok := s.TopicNameSince(t.Context(), id(100*round+i), start); ok {
					t.Errorf("id %d is %q", i, name)
				}
			}
			if name, ok := s.TopicNameSince(t.Context(), c.topicID(t, fmt.Sprint("new", round)), start); !ok {
				t.Errorf("the topic made before is %q", name)
			}
			if n, d := c.metadata.Load()-before, time.Since(start); n != 1 || d > demandGap+100*time.Millisecond {
				t.Errorf("20 unknown ids took %v and %d refreshes", d, n)
			}
		}
	})
}

func TestUnknownIDsShareRefreshes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		askAll := func() int64 {
			before := c.metadata.Load()
			var wg sync.WaitGroup
			for i := range 1000 {
				wg.Go(func() {
					if name, ok := s.TopicName(context.Background(), id(i)); ok {
						t.Errorf("id %d is %q", i, name)
					}
				})
			}
			wg.Wait()
			return c.metadata.Load() - before
		}
		if n := askAll(); n < 1 || n > 2 {
			t.Errorf("1,000 unknown ids caused %d Metadata requests, want 1 or 2", n)
		}
		if n := askAll(); n != 0 {
			t.Errorf("the same ids again caused %d Metadata requests", n)
		}
		time.Sleep(unknownFor + time.Second)
		if n := askAll(); n < 1 || n > 2 {
			t.Errorf("later they caused %d Metadata requests, want 1 or 2", n)
		}
	})
}

// Ids that are always different cost the cluster one request a second.
func TestUnknownIDsAreSlowedDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		before, start := c.metadata.Load(), time.Now()
		for i := range 100 {
			s.TopicName(t.Context(), id(i))
		}
		seconds := time.Since(start).Seconds()
		if n := c.metadata.Load() - before; float64(n) > seconds*1.1+2 {
			t.Errorf("%d Metadata requests in %.1f s", n, seconds)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, ok := s.TopicName(ctx, id(1000)); ok || time.Since(start) > 10*time.Millisecond {
			t.Errorf("waited %v beyond its context", time.Since(start))
		}
		if s.unknown.has(id(1000), time.Now()) {
			t.Error("an id that the cluster was never asked for counts as unknown")
		}
	})
}

func TestUnknownIDsAreBounded(t *testing.T) {
	var u unknownIDs
	now := time.Now()
	for i := range 3 * unknownMax {
		u.add(id(i), now)
		if !u.has(id(i), now) || len(u.until) > unknownMax {
			t.Fatalf("after %d: has %v, %d kept", i, u.has(id(i), now), len(u.until))
		}
	}
	if u.has(id(3*unknownMax-1), now.Add(unknownFor)) {
		t.Error("remembered for too long")
	}
	u.shrink(now.Add(unknownFor))
	if len(u.until) != 0 {
		t.Errorf("%d old ids kept", len(u.until))
	}
}

func seen(from, to int) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	for i := from; i < to; i++ {
		mt := kmsg.NewMetadataResponseTopic()
		mt.Topic, mt.TopicID = kmsg.StringPtr(fmt.Sprint("topic-", i)), id(i)
		resp.Topics = append(resp.Topics, mt)
	}
	return resp
}

func TestLearn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		resp := seen(1, 4)
		resp.Topics[1].Topic = nil
		resp.Topics[2].TopicID = [16]byte{}
		s.Learn(resp)
		if name, ok := s.TopicName(t.Context(), id(1)); !ok || name != "topic-1" {
			t.Errorf("learned id: %q %v", name, ok)
		}
		for _, bad := range [][16]byte{id(2), {}} {
			if name, ok := s.CachedTopicName(bad); ok {
				t.Errorf("learned %q from half an entry", name)
			}
		}
		if n := c.metadata.Load(); n != 1 {
			t.Errorf("%d Metadata requests", n)
		}
		known := seen(1, 2)
		if n := testing.AllocsPerRun(100, func() { s.Learn(known) }); n != 0 {
			t.Errorf("nothing new costs %v allocations", n)
		}
		// The cluster does not have the topic: it must have been deleted.
		time.Sleep(time.Minute)
		if name, ok := s.CachedTopicName(id(1)); ok {
			t.Errorf("still %q after a refresh", name)
		}
	})
}

func TestLearnIsBounded(t *testing.T) {
	s := &Slice{}
	s.topology.Store(&topology{})
	s.learned.Store(&learned{})
	s.Learn(seen(0, 100))
	s.Learn(seen(0, 2*learnedMax))
	if n := len(s.learned.Load().names); n != learnedMax {
		t.Errorf("%d learned, want %d", n, learnedMax)
	}
	if name, ok := s.CachedTopicName(id(5)); !ok || name != "topic-5" {
		t.Errorf("an early one: %q %v", name, ok)
	}
}

// What is learned while the cluster is being asked is newer than its answer.
func TestLearnDuringRefresh(t *testing.T) {
	s := &Slice{}
	s.topology.Store(&topology{})
	s.learned.Store(&learned{})
	s.Learn(seen(1, 2))
	before := s.learned.Load()
	s.Learn(seen(2, 3))
	s.publish(topologyOf(seen(3, 4)), before)
	for i, want := range []bool{1: false, 2: true, 3: true} {
		if _, ok := s.CachedTopicName(id(i)); i > 0 && ok != want {
			t.Errorf("topic %d known: %v, want %v", i, ok, want)
		}
	}
}

func BenchmarkCachedTopicName(b *testing.B) {
	s := &Slice{}
	s.topology.Store(topologyOf(seen(0, 10000)))
	s.learned.Store(&learned{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := s.CachedTopicName(id(77)); !ok {
				b.Error("not found")
			}
		}
	})
}
