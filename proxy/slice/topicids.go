package slice

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// learnedMax bounds the ids that are learned between two refreshes. What does
	// not fit is found by a refresh when somebody asks for it.
	learnedMax = 4096
	// unknownMax bounds the unknown ids that are remembered, and unknownFor how
	// long: enough that a client that repeats a stale id does not cause a refresh
	// each time.
	unknownMax = 4096
	unknownFor = 3 * time.Second
)

// learned are topic ids that passing answers showed and the last topology does
// not have. It never changes; writers replace it.
type learned struct{ names map[[16]byte]string }

// TopicName is the name of the topic with that id. An id that is not cached
// costs a refresh, shared with all who wait for one, at most one a second. False
// if the cluster has no such topic, or if it could not be asked before ctx ended.
func (s *Slice) TopicName(ctx context.Context, id [16]byte) (string, bool) {
	return s.TopicNameSince(ctx, id, time.Now())
}

// TopicNameSince is [Slice.TopicName] for who needs the names as they were at that
// time: all ids that a request names cost one refresh together, the first that begins
// after the request has come.
func (s *Slice) TopicNameSince(ctx context.Context, id [16]byte, since time.Time) (string, bool) {
	asked := s.topology.Load().asked // before the names: those of a later topology are as good
	if name, ok := s.CachedTopicName(id); ok {
		return name, true
	}
	if id == ([16]byte{}) || s.unknown.has(id, time.Now()) {
		return "", false
	}
	if !asked.After(since) {
		if err := s.refreshed(ctx); err != nil {
			return "", false
		}
	}
	name, ok := s.CachedTopicName(id)
	if !ok {
		s.unknown.add(id, time.Now())
	}
	return name, ok
}

// CachedTopicName is [Slice.TopicName] without ever asking the cluster.
func (s *Slice) CachedTopicName(id [16]byte) (string, bool) {
	if name, ok := s.topology.Load().names[id]; ok {
		return name, true
	}
	name, ok := s.learned.Load().names[id]
	return name, ok
}

// Learn takes note of the topic ids in an answer of one of the cluster's brokers
// that passes by, before any of it is rewritten for a client. It keeps no part of
// resp. When nothing is new, it costs a lookup per topic.
func (s *Slice) Learn(resp *kmsg.MetadataResponse) {
	var fresh []*kmsg.MetadataResponseTopic
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil || *t.Topic == "" || t.TopicID == ([16]byte{}) {
			continue
		}
		if _, known := s.CachedTopicName(t.TopicID); !known {
			fresh = append(fresh, t)
		}
	}
	if fresh == nil {
		return
	}
	s.learning.Lock()
	defer s.learning.Unlock()
	old := s.learned.Load().names
	names := make(map[[16]byte]string, len(old)+min(len(fresh), learnedMax))
	maps.Copy(names, old)
	for _, t := range fresh {
		if len(names) >= learnedMax {
			break
		}
		names[t.TopicID] = strings.Clone(*t.Topic) // it may be part of a large buffer
	}
	s.learned.Store(&learned{names})
}

// publish makes t the present topology. Of what was learned, only what is not in
// before stays: that came while the cluster was being asked. All else is in t, or
// has been deleted.
func (s *Slice) publish(t *topology, before *learned) {
	s.learning.Lock()
	defer s.learning.Unlock()
	names := make(map[[16]byte]string)
	for id, name := range s.learned.Load().names {
		if _, old := before.names[id]; !old {
			names[id] = name
		}
	}
	s.topology.Store(t) // before what was learned goes: no id may be missing in between
	s.learned.Store(&learned{names})
}

// unknownIDs remembers for a moment which ids the cluster does not have.
type unknownIDs struct {
	mu    sync.Mutex
	until map[[16]byte]time.Time
}

func (u *unknownIDs) has(id [16]byte, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Before(u.until[id])
}

func (u *unknownIDs) add(id [16]byte, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until == nil {
		u.until = make(map[[16]byte]time.Time)
	}
	if len(u.until) >= unknownMax {
		u.shrink(now)
	}
	u.until[id] = now.Add(unknownFor)
}

// shrink drops what is out of date; if that is nothing, a quarter of the rest,
// so that a flood of ids does not walk the whole map each time.
func (u *unknownIDs) shrink(now time.Time) {
	maps.DeleteFunc(u.until, func(_ [16]byte, t time.Time) bool { return !now.Before(t) })
	if len(u.until) < unknownMax {
		return
	}
	for id := range u.until {
		delete(u.until, id)
		if len(u.until) <= unknownMax*3/4 {
			return
		}
	}
}
