package proxy

import (
	"context"
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
// implements protocol.Judge.
type judge struct {
	ctx      context.Context
	tenant   *policy.Tenant
	slice    *slice.Slice
	counters *tenantMetrics
	clientID string
	log      *zap.Logger
	key      int16     // of the request that is judged
	since    time.Time // when that request first named an id that was not known
	counting bool      // each denial is counted and sampled: when requests are judged, not when listings are filtered
}

var _ protocol.Judge = (*judge)(nil)

func (j *judge) Allowed(op protocol.Operation, r protocol.Resource, name string) bool {
	if j.tenant.Allowed(op, r, name) {
		return true
	}
	if j.counting && !j.only(op, r, name) {
		j.denied(op, r, name, time.Now())
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
		return j.key != protocol.KeyCreateTopics && j.slice.Partitions(name) > 0
	}
	return false
}

func (j *judge) AllowedSome(op protocol.Operation, r protocol.Resource) bool {
	return j.tenant.AllowedSome(op, r)
}

// begin says that the next request, or answer, is to be judged.
func (j *judge) begin(key int16) { j.key, j.since = key, time.Time{} }

func (j *judge) TopicName(id [16]byte) (string, bool) {
	if name, ok := j.slice.CachedTopicName(id); ok {
		return name, true
	}
	if j.since.IsZero() {
		j.since = time.Now()
	}
	ctx, cancel := context.WithTimeout(j.ctx, topicNameTimeout)
	defer cancel()
	return j.slice.TopicNameSince(ctx, id, j.since)
}

// Partitions costs nothing: who asks for what is denied must not make work by it.
func (j *judge) Partitions(topic string) int { return j.slice.Partitions(topic) }

// TopicNames is asked for rarely, where a topic made a moment ago must not be missed:
// one that a regular expression matches, or one that is to be listed.
func (j *judge) TopicNames() []string {
	ctx, cancel := context.WithTimeout(j.ctx, topicNameTimeout)
	defer cancel()
	return j.slice.FreshTopicNames(ctx)
}
