package proxy

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/limiter"
	"sluice/protocol"
	"sluice/proxy/policy"
)

// The dimensions of the limiter are the policy's limits.
const (
	limitIn        = limiter.Dimension(policy.ProducerByteRate)
	limitOut       = limiter.Dimension(policy.ConsumerByteRate)
	limitRequests  = limiter.Dimension(policy.RequestRate)
	limitCreations = limiter.Dimension(policy.ConnectionCreationRate)
	limitMutations = limiter.Dimension(policy.ControllerMutationRate)
)

const (
	// maxFetchWait is how long a Fetch is held at most, and every request that is
	// neither Produce nor exempt: clients that share one connection per broker
	// send their heartbeats behind it.
	maxFetchWait = 2 * time.Second
	// The most that is announced as throttle_time_ms. Clients apply it to a whole
	// broker, heartbeats too (sarama, kafkajs, franz-go).
	maxAnnounceProduce = 5 * time.Second
	maxAnnounceOther   = 2 * time.Second
	// What a request that waited announces when no debt is left.
	announceWaited = time.Millisecond
	// maxShareFetch caps ShareFetch, whose answers are decoded.
	maxShareFetch = 4 << 20
)

// turns collects the turns of one request in its limits; the longest wait counts.
type turns struct {
	wait  time.Duration
	limit limiter.Dimension
	level limiter.Level
}

// take charges n to one limit.
func (c *conn) take(t *turns, d limiter.Dimension, n float64, now time.Time) {
	c.noteTurn(t, d, c.account.Reserve(now, d, n))
}

// noteTurn counts what a turn means and keeps it if it is the longest.
func (c *conn) noteTurn(t *turns, d limiter.Dimension, turn limiter.Turn) {
	if turn.Overrun > 0 && (d == limitIn || d == limitOut) {
		c.gw.metrics.overrun.WithLabelValues(c.counters.tenant, policy.Limit(d).String()).Add(turn.Overrun)
	}
	if c.tenant.Observe {
		if turn.Wait > 0 {
			c.counters.throttled(policy.Limit(d).String(), turn.Level, true, turn.Added.Seconds())
		}
		return
	}
	if turn.Wait > t.wait {
		t.wait, t.limit, t.level = turn.Wait, d, turn.Level
	}
}

// ownLimit is the limit that requests of an API are charged to beside request_rate;
// request_rate itself if there is none.
func ownLimit(key int16) limiter.Dimension {
	switch {
	case key == protocol.KeyProduce:
		return limitIn
	case key == protocol.KeyFetch, key == protocol.KeyShareFetch:
		return limitOut
	case protocol.Mutates(key), key == protocol.KeyMetadata:
		return limitMutations
	}
	return limitRequests
}

// charge charges a request that is read whole to its limits and waits for its
// turn. Exempt requests count and are never held.
func (c *conn) charge(q *query, p *pending) error {
	now := c.in.at
	q.now = now
	var t turns
	if c.account.Limited(limitRequests) {
		if q.api.Exempt {
			c.account.Reserve(now, limitRequests, 1)
		} else {
			c.take(&t, limitRequests, 1, now)
			p.announces(limitRequests)
		}
	}
	switch own := ownLimit(q.header.Key); {
	case own == limitOut:
		c.chargeFetch(q, p, &t)
	case own != limitMutations || !c.account.Limited(limitMutations):
	case q.header.Key == protocol.KeyMetadata:
		c.chargeAutoCreation(q)
	default:
		if c.chargeMutations(q, p, &t); q.local {
			return nil
		}
	}
	p.waited = t.wait
	if err := c.await(t, maxFetchWait, true); err != nil {
		p.settle(time.Now(), 0) // no broker gets it
		return err
	}
	return nil
}

// chargeFetch takes a turn for an answer whose size is not known yet, and asks
// the broker for no more than the turn is worth while the bucket is low.
func (c *conn) chargeFetch(q *query, p *pending, t *turns) {
	want := q.wanted
	if q.header.Key == protocol.KeyShareFetch && want > maxShareFetch {
		protocol.SetFetchMaxBytes(q.req, maxShareFetch)
		want, q.changed = maxShareFetch, true
	}
	if !c.account.Limited(limitOut) {
		return
	}
	allow, provisional, turn := c.account.Ask(q.now, limitOut, float64(want), c.recent.size(), maxFetchWait)
	p.provisional = provisional
	p.fetching.Store(true)
	p.announces(limitOut)
	c.noteTurn(t, limitOut, turn)
	if allow >= float64(want) || c.tenant.Observe {
		return
	}
	if q.req != nil {
		protocol.SetFetchMaxBytes(q.req, int32(allow))
	}
	if !q.changed && !protocol.PatchFetchMaxBytes(q.frame.bytes[q.header.Body:], q.header.Key, q.header.Version, int32(allow)) {
		q.changed = true
	}
}

// chargeMutations applies KIP-599: each topic is taken while the bucket is not in
// debt; what comes later is refused with THROTTLING_QUOTA_EXCEEDED where the
// version knows it, and held where it does not. Only what the rules allow counts.
func (c *conn) chargeMutations(q *query, p *pending, t *turns) {
	p.announces(limitMutations)
	if c.tenant.Observe || !protocol.KnowsQuotaExceeded(q.header.Key, q.header.Version) {
		c.take(t, limitMutations, float64(protocol.Mutations(q.req, c.asking)), q.now)
		return
	}
	refused, rest := protocol.SplitMutations(q.req, c.asking, func(partitions int) bool {
		return c.account.TryTake(q.now, limitMutations, float64(partitions))
	})
	if refused == nil {
		return
	}
	debt := c.account.Debt(q.now, limitMutations)
	if r, ok := refused.(kmsg.SetThrottleResponse); ok {
		r.SetThrottle(int32(min(debt, maxAnnounceOther).Milliseconds()))
	}
	c.counters.throttled(policy.ControllerMutationRate.String(), limiter.Tenant, false, debt.Seconds())
	if q.refused != nil { // the rules have refused some too
		q.api.Merge(refused, q.refused)
	}
	q.changed, q.refused, q.local = true, refused, !rest
	p.refused = refused
}

// chargeAutoCreation applies KIP-599 to the topics that a Metadata request would
// create: while the bucket is in debt they are not created, and the client, which
// reads that they do not exist, asks again.
func (c *conn) chargeAutoCreation(q *query) {
	absent := protocol.AutoCreates(q.req.(*kmsg.MetadataRequest), c.asking)
	if absent == 0 || c.account.TryTake(q.now, limitMutations, float64(absent)) {
		return
	}
	c.counters.throttled(policy.ControllerMutationRate.String(), limiter.Tenant, c.tenant.Observe, 0)
	if c.tenant.Observe {
		return
	}
	protocol.ForbidAutoCreation(q.req.(*kmsg.MetadataRequest))
	q.changed = true
}

// await waits for a turn, longest at most. With poll it then looks whether the
// client is still there: one that gave up will send the request again.
func (c *conn) await(t turns, longest time.Duration, poll bool) error {
	if t.wait <= 0 {
		return nil
	}
	wait := min(t.wait, longest)
	c.counters.throttled(policy.Limit(t.limit).String(), t.level, false, wait.Seconds())
	if !c.sleep(wait) {
		return errPairsClosed
	}
	if poll && c.in.hungUp() {
		return errHungUp
	}
	return nil
}

// sleep waits; false if the connection ended meanwhile. The client is not to
// blame for the time it takes.
func (c *conn) sleep(d time.Duration) bool {
	if d <= 0 {
		return c.ctx.Err() == nil
	}
	if c.ours() != nil {
		return false
	}
	defer c.theirs()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}
