package proxy

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sluice/protocol"
)

// denialEvery is how often a denial of one kind is logged at most.
const denialEvery = time.Minute

// denialSamples remembers when a denial of each resource type and operation of a
// tenant was last logged. All are counted; the log has one of them a minute, with
// what a metric's labels cannot hold: the name and the client ID.
type denialSamples [protocol.TransactionalID + 1][protocol.OpTwoPhaseCommit + 1]atomic.Int64

// first reports whether this denial is the one to be logged.
func (s *denialSamples) first(op protocol.Operation, r protocol.Resource, now time.Time) bool {
	if r < 0 || int(r) >= len(s) || op < 0 || int(op) >= len(s[r]) {
		return false
	}
	last := &s[r][op]
	was := last.Load()
	return (was == 0 || now.UnixNano()-was >= int64(denialEvery)) && last.CompareAndSwap(was, now.UnixNano())
}

// denied counts a denial and logs a sample.
func (j *judge) denied(op protocol.Operation, r protocol.Resource, resource string, now time.Time) {
	j.counters.m.denied.WithLabelValues(j.tenant.Name, r.String(), op.String(), mode(j.tenant.Observe)).Inc()
	if !j.counters.denials.first(op, r, now) {
		return
	}
	what := "denied"
	if j.tenant.Observe {
		what = "would have been denied"
	}
	fields := []zap.Field{
		zap.String("tenant", j.tenant.Name), zap.String("client_id", cut(j.clientID)), zap.Stringer("operation", op),
		zap.Stringer("resource", r), zap.String("name", cut(resource)),
	}
	if api := protocol.Lookup(j.key); api != nil {
		fields = append(fields, zap.String("api", api.Name))
	}
	j.log.Info(what, fields...)
}
