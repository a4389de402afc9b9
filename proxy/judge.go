package proxy

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"sluice/protocol"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// topicNameTimeout bounds how long a request waits for the name of a topic id that
// is not known yet, and for the names of all topics.
const topicNameTimeout = 5 * time.Second

// judge answers for one connection under one snapshot what its tenant may do. It
// implements protocol.Judge, and knows the topics of all slices of the tenant.
type judge struct {
	*virtual
	stray    *slice.Slice // of the connection, if the tenant does not reach it; nil if it does
	ctx      context.Context
	counters *tenantMetrics
	clientID string
	log      *zap.Logger
	key      int16     // of the request that is judged
	since    time.Time // when that request first named an id that was not known
	denies   bool      // something of that request was denied
	counting bool      // each denial is counted and sampled: when requests are judged, not when listings are filtered
}

var _ interface {
	protocol.Judge
	protocol.VirtualCluster
	protocol.Topics
} = (*judge)(nil)

func (j *judge) Allowed(op protocol.Operation, r protocol.Resource, name string) bool {
	if j.tenant.Allowed(op, r, name) {
		return true
	}
	if j.counting && !j.only(op, r, name) {
		j.denied(op, r, name, time.Now())
		j.denies = true
	}
	return false
}

// only reports whether the question's denial denies nothing by itself: an operation on
// the cluster that another one can stand in for, which is asked next; or whether a
// broker might create a topic that exists (a producer's Metadata asks it each time).
func (j *judge) only(op protocol.Operation, r protocol.Resource, name string) bool {
	switch {
	case r == protocol.Cluster:
		return op == protocol.OpCreate || op == protocol.OpDelete || op == protocol.OpAlter && j.key == protocol.KeyWriteTxnMarkers
	case op == protocol.OpCreate:
		return j.key != protocol.KeyCreateTopics && j.Partitions(name) > 0
	}
	return false
}

func (j *judge) AllowedSome(op protocol.Operation, r protocol.Resource) bool {
	return j.tenant.AllowedSome(op, r)
}

// begin says that the next request, or answer, is to be judged.
func (j *judge) begin(key int16) { j.key, j.since, j.denies = key, time.Time{}, false }

// CachedTopicName knows the ids of a slice that the tenant has left, too: what has them
// still is sent to where the name lives now.
func (j *judge) CachedTopicName(id [16]byte) (string, bool) {
	name, ok := j.virtual.CachedTopicName(id)
	if !ok && j.stray != nil {
		return j.stray.CachedTopicName(id)
	}
	return name, ok
}

func (j *judge) TopicName(id [16]byte) (string, bool) {
	if name, ok := j.CachedTopicName(id); ok {
		return name, true
	}
	if j.since.IsZero() {
		j.since = time.Now()
	}
	ctx, cancel := context.WithTimeout(j.ctx, topicNameTimeout)
	defer cancel()
	if len(j.slices) == 1 {
		return j.slices[0].TopicNameSince(ctx, id, j.since)
	}
	// All are asked at once, and the first that knows it ends the search.
	names := make([]string, len(j.slices))
	var wg sync.WaitGroup
	for i, s := range j.slices {
		wg.Go(func() {
			if name, ok := s.TopicNameSince(ctx, id, j.since); ok {
				names[i] = name
				cancel()
			}
		})
	}
	wg.Wait()
	i := slices.IndexFunc(names, func(name string) bool { return name != "" })
	if i < 0 {
		return "", false
	}
	return names[i], true
}

// TopicNames is asked for rarely, where a topic made a moment ago must not be missed:
// one that a regular expression matches, or one that is to be listed.
func (j *judge) TopicNames() []string {
	ctx, cancel := context.WithTimeout(j.ctx, topicNameTimeout)
	defer cancel()
	if len(j.slices) == 1 {
		return j.slices[0].FreshTopicNames(ctx)
	}
	each := make([][]string, len(j.slices))
	var wg sync.WaitGroup
	for i, s := range j.slices {
		wg.Go(func() { each[i] = s.FreshTopicNames(ctx) })
	}
	wg.Wait()
	var all []string
	for i, names := range each {
		for _, name := range names {
			if j.Owner(protocol.Topic, name) == j.slots[i] {
				all = append(all, name)
			}
		}
	}
	return all
}

// observing is the judge of a tenant that is only observed: nothing is denied.
type observing struct{ protocol.Judge }

func (observing) Allowed(protocol.Operation, protocol.Resource, string) bool { return true }

func (observing) AllowedSome(protocol.Operation, protocol.Resource) bool { return true }

// enforced is what a tenant is held to: its rules, unless it is only observed.
func enforced(t *policy.Tenant, j protocol.Judge) protocol.Judge {
	if t.Observe {
		return observing{j}
	}
	return j
}
