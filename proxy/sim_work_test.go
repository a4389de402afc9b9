package proxy

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func partitionOf(r *rand.Rand, node int32) int32 {
	return node - 1 + simBrokers*r.Int32N(simPartitions/simBrokers)
}

type simProducer struct {
	version  int16
	acks     int16
	inFlight int
	size     int // of the records in one request, at most
	topics   int // at most
	denied   int // a denied topic is named once in so many requests; 0 never
	obeys    bool
	think    time.Duration
}

func newSimProducer(r *rand.Rand) simProducer {
	p := simProducer{
		version: pick[int16](r, 3, 7, 9, 10, 12, 13), acks: pick[int16](r, -1, -1, 1, 0),
		inFlight: 1 + r.IntN(5), size: 1 << (10 + r.IntN(11)), topics: 1 + r.IntN(3),
		obeys: r.IntN(2) == 0, think: time.Duration(r.IntN(30)) * time.Millisecond,
	}
	if r.IntN(3) == 0 {
		p.denied = 2 + r.IntN(20)
	}
	return p
}

func (p simProducer) request(a *simActor, node int32) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = p.version, p.acks, 30000
	names := a.s.here(a.clientID, a.at)
	a.rng.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	names = names[:min(1+a.rng.IntN(p.topics), len(names))]
	if p.denied > 0 && a.rng.IntN(p.denied) == 0 {
		names[a.rng.IntN(len(names))] = a.s.forbidden(a.clientID, a.rng)
	}
	if p.acks != 0 && a.rng.IntN(20) == 0 && a.s.tenant(a.clientID).reach != "" {
		names[0] = pick(a.rng, team(a.clientID)+".c", team(a.clientID)+".far2") // one of the two is elsewhere
		names = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	size := max(64, p.size/2+a.rng.IntN(p.size/2)) / len(names)
	for _, name := range names {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = name, a.idOf(name)
		tp := kmsg.NewProduceRequestTopicPartition()
		tp.Partition, tp.Records = partitionOf(a.rng, node), pattern(a.rng.IntN(251), size)
		t.Partitions = append(t.Partitions, tp)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// idOf is the id of a topic where it lives.
func (a *simActor) idOf(name string) [16]byte {
	c := a.s.cluster(a.s.tenant(a.clientID).owner(name))
	return c.topics[name].id
}

func (a *simActor) produce(p simProducer) func(*simLink, int32) {
	return func(l *simLink, node int32) {
		for !a.s.stopped() && l.below(p.inFlight) {
			req := p.request(a, node)
			if p.acks == 0 && a.s.denies(a.clientID, a.at, req) {
				l.end() // acks=0 and denied: held, then closed
			}
			l.send(req)
			if p.obeys {
				l.obey()
			}
			a.s.sleep(p.think)
		}
	}
}

type simConsumer struct {
	version int16
	maxWait time.Duration
	max     int32
	names   []string
	obeys   bool
	id      int32 // session
	epoch   int32
}

func (c *simConsumer) request(a *simActor, node int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = c.version, int32(c.maxWait.Milliseconds()), 1, c.max
	req.SessionID, req.SessionEpoch = c.id, c.epoch
	if c.epoch > 0 {
		return req // all is in the session
	}
	names := c.names
	if a.at != a.s.home(a.clientID) {
		names = append(a.s.here(a.clientID, a.at), a.s.mine(a.clientID)[2])
	}
	for _, name := range names {
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = name, a.idOf(name)
		for p := node - 1; p < simPartitions; p += simBrokers {
			tp := kmsg.NewFetchRequestTopicPartition()
			tp.Partition, tp.PartitionMaxBytes = p, c.max
			t.Partitions = append(t.Partitions, tp)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

func (c *simConsumer) took(resp *kmsg.FetchResponse) {
	switch {
	case resp.ErrorCode != 0, resp.SessionID == 0, c.version < 7:
		c.id, c.epoch = 0, 0
	default:
		c.id, c.epoch = resp.SessionID, c.epoch+1
	}
}

func newSimConsumer(a *simActor, names ...string) *simConsumer {
	c := &simConsumer{
		version: pick[int16](a.rng, 4, 7, 11, 12, 13, 16, 17), maxWait: 500 * time.Millisecond,
		max: int32(64<<10) << a.rng.IntN(6), names: names, obeys: a.rng.IntN(2) == 0,
	}
	if a.rng.IntN(4) == 0 {
		c.names = append(slices.Clone(names), a.s.forbidden(a.clientID, a.rng))
	}
	if a.rng.IntN(3) == 0 {
		c.maxWait = time.Duration(1+a.rng.IntN(9)) * time.Second
	}
	return c
}

func (a *simActor) consume(c *simConsumer) func(*simLink, int32) {
	return func(l *simLink, node int32) {
		c.id, c.epoch = 0, 0
		for !a.s.stopped() {
			req := c.request(a, node)
			if a.rng.IntN(100) == 0 && c.version >= 7 {
				req.SessionID, req.SessionEpoch, req.Topics = 1+a.rng.Int32N(20), 1, nil // somebody else's
			}
			resp, ok := l.call(req)
			if !ok {
				return
			}
			c.took(resp.(*kmsg.FetchResponse))
			if c.obeys {
				l.obey()
			}
			a.s.sleep(rnd(a.rng, 20*time.Millisecond))
		}
	}
}

func (a *simActor) heartbeat() *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.Generation, req.MemberID = int16(a.rng.IntN(5)), team(a.clientID)+".group", 1, "m"
	return req
}

func (a *simActor) member(l *simLink, _ int32) {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType = 5, team(a.clientID)+".group", "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 10000, 10000
	if _, ok := l.call(join); !ok {
		return
	}
	for !a.s.stopped() {
		if _, ok := l.call(a.heartbeat()); !ok {
			return
		}
		a.s.sleep(500*time.Millisecond + rnd(a.rng, time.Second))
	}
}

func (a *simActor) mix(p simProducer, c *simConsumer) func(*simLink, int32) {
	p.acks = 1
	c.maxWait = min(c.maxWait, time.Second)
	return func(l *simLink, node int32) {
		c.id, c.epoch = 0, -1 // pipelined: without a session
		if c.version < 7 {
			c.epoch = 0
		}
		for !a.s.stopped() && l.below(1+p.inFlight) {
			switch a.rng.IntN(8) {
			case 0, 1, 2:
				l.send(p.request(a, node))
			case 3:
				l.send(c.request(a, node))
			case 4:
				req := kmsg.NewPtrFindCoordinatorRequest()
				req.Version = int16(a.rng.IntN(7))
				req.CoordinatorKey = team(a.clientID) + ".group"
				req.CoordinatorKeys = []string{req.CoordinatorKey}
				l.send(req)
			case 5:
				req := kmsg.NewPtrInitProducerIDRequest()
				req.Version = int16(a.rng.IntN(5))
				l.send(req)
			default:
				l.send(a.heartbeat())
			}
			a.s.sleep(rnd(a.rng, 200*time.Millisecond))
		}
	}
}

func (a *simActor) hangUp(p simProducer) func(*simLink, int32) {
	return func(l *simLink, node int32) {
		l.end()
		for range p.inFlight {
			l.send(p.request(a, node))
		}
		a.s.sleep(rnd(a.rng, 3*time.Second))
		switch a.rng.IntN(3) {
		case 0:
			_ = l.conn.CloseWrite()
			a.s.sleep(time.Second)
		case 1:
			l.conn.reset()
		}
		l.close()
		a.s.sleep(2*time.Second + rnd(a.rng, 4*time.Second))
	}
}

func (a *simActor) half(l *simLink, node int32) {
	l.end()
	p := simProducer{version: 9, acks: 1, size: 1 << 16, topics: 2}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(a.clientID)).AppendRequest(nil, p.request(a, node), 1000)
	_, _ = l.conn.Write(frame[:1+a.rng.IntN(len(frame)-1)])
	a.s.sleep(rnd(a.rng, 4*time.Second))
	l.close()
	a.s.sleep(3 * time.Second)
}
