package proxy

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type simSession struct {
	id     int32
	epoch  int32
	conn   *simConn
	topics map[string][]int32
}

func (h *simHandler) fetch(req *kmsg.FetchRequest) kmsg.Response {
	resp := kmsg.NewPtrFetchResponse()
	session, code := h.session(req)
	if code != 0 {
		resp.ErrorCode = code
		return resp
	}
	topics := map[string][]int32{}
	for _, t := range req.Topics {
		topic := h.cluster.topic(t.Topic, t.TopicID)
		if topic == nil {
			h.cluster.sim.fail("broker %s: a Fetch of the unknown topic %q %x", h.host(), t.Topic, t.TopicID)
			continue
		}
		for _, p := range t.Partitions {
			topics[topic.name] = append(topics[topic.name], p.Partition)
		}
	}
	if session != nil {
		for name, partitions := range topics {
			session.topics[name] = partitions
		}
		resp.SessionID, topics = session.id, session.topics
	}
	for name := range topics {
		h.cluster.sim.guard(h, "read", name)
	}
	h.wait(topics, time.Duration(req.MaxWaitMillis)*time.Millisecond)
	h.fill(resp, topics, int(req.MaxBytes), req.Version)
	return resp
}

func (h *simHandler) session(req *kmsg.FetchRequest) (*simSession, int16) {
	if req.Version < 7 || req.SessionEpoch == -1 {
		return nil, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if req.SessionEpoch == 0 {
		h.simBroker.last++
		s := &simSession{id: h.simBroker.last, epoch: 1, conn: h.conn, topics: map[string][]int32{}}
		delete(h.sessions, req.SessionID)
		h.sessions[s.id] = s
		return s, 0
	}
	s := h.sessions[req.SessionID]
	switch {
	case s == nil:
		return nil, 70
	case s.conn != h.conn && !h.cluster.sim.tenant(h.tenant).observe: // to them nothing is denied
		h.cluster.sim.fail("broker %s: a connection of %s fetches in session %d, which another connection opened", h.host(), h.tenant, s.id)
		return nil, 70
	case s.epoch != req.SessionEpoch:
		return nil, 71
	}
	s.epoch++
	return s, 0
}

func (h *simHandler) due(name string) time.Time {
	t := h.cluster.topics[name]
	switch {
	case t.every < 0:
		return time.Now().Add(time.Hour)
	case t.every == 0:
		return time.Time{}
	}
	if h.next == nil {
		h.next = map[string]time.Time{}
	}
	if h.next[name].IsZero() {
		h.next[name] = time.Now().Add(t.every)
	}
	return h.next[name]
}

func (h *simHandler) wait(topics map[string][]int32, longest time.Duration) {
	until := time.Now().Add(longest)
	for name := range topics {
		if at := h.due(name); at.Before(until) {
			until = at
		}
	}
	select {
	case <-time.After(time.Until(until)):
	case <-h.cluster.sim.over:
	}
}

func (h *simHandler) fill(resp *kmsg.FetchResponse, topics map[string][]int32, maxBytes int, version int16) {
	total := 0
	for name, partitions := range topics {
		topic := h.cluster.topics[name]
		if h.due(name).After(time.Now()) {
			continue
		}
		delete(h.next, name)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = name, topic.id
		for _, p := range partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.HighWatermark = p, 1<<40
			switch {
			case !h.leads(p):
				h.cluster.sim.fail("broker %s: a Fetch of %s/%d, which it does not lead", h.host(), name, p)
			case version >= 12 && h.chance(50):
				rp.ErrorCode, rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = 6, h.id, 7
				if version >= 16 {
					resp.Brokers = []kmsg.FetchResponseBroker{{NodeID: h.id, Host: h.host(), Port: 9092}}
				}
			case version >= 11 && h.chance(50):
				rp.PreferredReadReplica = h.id
			default:
				batches := max(min(maxBytes-total, 4*topic.batch)/topic.batch, 0)
				if batches == 0 && total == 0 {
					batches = 1
				}
				rp.RecordBatches = pattern(int(p)+total, batches*topic.batch)
				total += batches * topic.batch
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
}

var patterned = func() []byte {
	b := make([]byte, 5<<20)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}()

func pattern(at, n int) []byte {
	at %= 251
	return patterned[at : at+n]
}

func intact(b []byte) bool {
	for i := 0; i < len(b); i += 61 {
		if int(b[i]) != (int(b[0])+i)%251 {
			return false
		}
	}
	return len(b) == 0 || int(b[len(b)-1]) == (int(b[0])+len(b)-1)%251
}
