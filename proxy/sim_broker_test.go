package proxy

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// secretHost is part of every broker's own host name: no client may ever read it.
const secretHost = "s3cret"

const (
	simBrokers    = 2 // per cluster, with the node ids 1 and 2
	simPartitions = 4 // per topic; partition p is led by node 1 + p%2
)

// simTopic is a topic of a fake cluster.
type simTopic struct {
	name  string
	id    [16]byte
	batch int           // bytes of each batch that a Fetch returns
	every time.Duration // between two batches of a partition; 0: there is always one, below 0: never
}

// simCluster is a fake cluster of two brokers.
type simCluster struct {
	sim     *sim
	name    string
	slot    int
	topics  map[string]*simTopic
	byID    map[[16]byte]*simTopic
	brokers []*simBroker
}

// simBroker answers as much of Kafka as the simulated clients use.
type simBroker struct {
	cluster *simCluster
	id      int32
	ln      *simListener

	mu       sync.Mutex
	rng      *rand.Rand
	slow     time.Time // requests wait until then
	cuts     int       // so many of the next answers are cut in the middle
	sessions map[int32]*simSession
	last     int32 // session id
}

// simSession is a fetch session (KIP-227).
func newSimCluster(s *sim, name string, slot int) *simCluster {
	c := &simCluster{sim: s, name: name, slot: slot, topics: map[string]*simTopic{}, byID: map[[16]byte]*simTopic{}}
	for i := range simBrokers {
		b := &simBroker{cluster: c, id: int32(i + 1), sessions: map[int32]*simSession{}, rng: s.rand("broker", name, i)}
		ln, err := s.net.Listen("tcp", b.address())
		if err != nil {
			s.t.Fatal(err)
		}
		b.ln = ln.(*simListener)
		c.brokers = append(c.brokers, b)
		s.running.Go(b.serve)
	}
	return c
}

func (c *simCluster) add(name string, batch int, every time.Duration) {
	sum := sha256.Sum256([]byte(c.name + "/" + name))
	t := &simTopic{name: name, batch: batch, every: every}
	copy(t.id[:], sum[:])
	c.topics[name], c.byID[t.id] = t, t
}

func (b *simBroker) host() string    { return fmt.Sprintf("b%d.%s.%s", b.id, b.cluster.name, secretHost) }
func (b *simBroker) address() string { return b.host() + ":9092" }

func (b *simBroker) leads(partition int32) bool { return 1+partition%simBrokers == b.id }

func (b *simBroker) serve() {
	for {
		c, err := b.ln.Accept()
		if err != nil {
			return
		}
		b.cluster.sim.running.Go(func() {
			defer c.Close()
			(&simHandler{simBroker: b, conn: c.(*simConn), last: -1}).serve()
		})
	}
}

// simHandler serves one connection, one request after another, as Kafka does.
type simHandler struct {
	*simBroker
	conn   *simConn
	frame  []byte
	last   int32 // correlation id
	tenant string
	next   map[string]time.Time // when a partition of a slow topic has its next batch
}

// simRequest is a request as a broker reads it.
type simRequest struct {
	size        int // of the frame
	correlation int32
	clientID    string
	kmsg.Request
}

var errShort = errors.New("a frame that is too short")

// parseSimRequest reads a frame without its length.
func parseSimRequest(b []byte) (*simRequest, error) {
	if len(b) < 10 {
		return nil, errShort
	}
	key, version := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
	r := &simRequest{size: 4 + len(b), correlation: int32(binary.BigEndian.Uint32(b[4:])), Request: kmsg.RequestForKey(key)}
	if r.Request == nil {
		return nil, fmt.Errorf("API key %d", key)
	}
	r.SetVersion(version)
	n := int(int16(binary.BigEndian.Uint16(b[8:])))
	b = b[10:]
	if n > len(b) {
		return nil, errShort
	}
	if n > 0 {
		r.clientID, b = string(b[:n]), b[n:]
	}
	if r.IsFlexible() {
		if len(b) == 0 || b[0] != 0 {
			return nil, errors.New("tags in the header")
		}
		b = b[1:]
	}
	return r, r.ReadFrom(b)
}

func (h *simHandler) serve() {
	in := bufio.NewReaderSize(h.conn, 64<<10)
	for {
		var length [4]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return
		}
		h.pause()
		n := int(binary.BigEndian.Uint32(length[:]))
		if n > 8<<20 {
			h.cluster.sim.fail("broker %s: a frame of %d bytes", h.host(), n)
			return
		}
		if cap(h.frame) < n {
			h.frame = make([]byte, n)
		}
		h.frame = h.frame[:n]
		if _, err := io.ReadFull(in, h.frame); err != nil {
			return
		}
		req, err := parseSimRequest(h.frame)
		if err != nil {
			h.cluster.sim.fail("broker %s: %v", h.host(), err)
			return
		}
		h.cluster.sim.arrived(h, req)
		resp := h.answer(req)
		if resp == nil {
			continue
		}
		if !h.write(req, resp) {
			return
		}
	}
}

// pause waits as long as the broker is slow.
func (h *simHandler) pause() {
	h.mu.Lock()
	until := h.slow
	h.mu.Unlock()
	time.Sleep(time.Until(until))
}

// write sends an answer; false if the connection was cut in the middle of it.
func (h *simHandler) write(req *simRequest, resp kmsg.Response) bool {
	resp.SetVersion(req.GetVersion())
	out := binary.BigEndian.AppendUint32(make([]byte, 4, 256), uint32(req.correlation))
	if resp.IsFlexible() && req.Key() != 18 {
		out = append(out, 0)
	}
	out = resp.AppendTo(out)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	h.mu.Lock()
	cut := h.cuts > 0 && req.clientID != "sluice"
	at, hard := 0, false
	if cut {
		h.cuts--
		at, hard = h.rng.IntN(len(out)), h.rng.IntN(2) == 0
	}
	h.mu.Unlock()
	if !cut {
		at = len(out)
	}
	if _, ok := resp.(*kmsg.FetchResponse); ok {
		h.cluster.sim.out.add(req.clientID, h.cluster.name, float64(at))
	}
	if cut {
		_, _ = h.conn.Write(out[:at])
		if hard {
			h.conn.reset()
		}
		return false
	}
	_, err := h.conn.Write(out)
	return err == nil
}

// chance is true once in n times.
func (h *simHandler) chance(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(n) == 0
}

func (h *simHandler) answer(req *simRequest) kmsg.Response {
	switch r := req.Request.(type) {
	case *kmsg.ApiVersionsRequest:
		return h.versions()
	case *kmsg.MetadataRequest:
		return h.metadata(r)
	case *kmsg.ProduceRequest:
		return h.produce(r)
	case *kmsg.FetchRequest:
		return h.fetch(r)
	case *kmsg.FindCoordinatorRequest:
		return h.coordinator(r)
	case *kmsg.JoinGroupRequest:
		time.Sleep(300 * time.Millisecond)
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.Generation, resp.MemberID, resp.LeaderID = 1, "m", "m"
		return resp
	case *kmsg.HeartbeatRequest:
		return kmsg.NewPtrHeartbeatResponse()
	case *kmsg.InitProducerIDRequest:
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ProducerID = int64(1000*h.id) + int64(req.correlation)
		return resp
	}
	h.cluster.sim.fail("broker %s: request %d of %q is none that a client sends", h.host(), req.Key(), req.clientID)
	return nil
}

func (h *simHandler) versions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	for key, highest := range map[int16]int16{0: 13, 1: 17, 3: 13, 10: 6, 11: 9, 12: 4, 18: 4, 22: 5} {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MaxVersion = key, highest
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	return resp
}

func (h *simHandler) metadata(req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ControllerID, resp.ClusterID = h.id, kmsg.StringPtr(h.cluster.name)
	for _, b := range h.cluster.brokers {
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: b.id, Host: b.host(), Port: 9092})
	}
	var names []string
	if req.Topics == nil {
		for name := range h.cluster.topics {
			names = append(names, name)
		}
	}
	for _, t := range req.Topics {
		if t.Topic != nil {
			names = append(names, *t.Topic)
		}
	}
	for _, name := range names {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = kmsg.StringPtr(name)
		topic := h.cluster.topics[name]
		if topic == nil {
			t.ErrorCode = 3
		} else {
			t.TopicID = topic.id
			for p := range int32(simPartitions) {
				mp := kmsg.NewMetadataResponseTopicPartition()
				mp.Partition, mp.Leader, mp.Replicas, mp.ISR = p, 1+p%simBrokers, []int32{1, 2}, []int32{1, 2}
				t.Partitions = append(t.Partitions, mp)
			}
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (h *simHandler) coordinator(req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	resp.NodeID, resp.Host, resp.Port = h.id, h.host(), 9092
	for _, k := range req.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.NodeID, c.Host, c.Port = k, h.id, h.host(), 9092
		resp.Coordinators = append(resp.Coordinators, c)
	}
	return resp
}

// topic finds a topic by name or id.
func (c *simCluster) topic(name string, id [16]byte) *simTopic {
	if name != "" {
		return c.topics[name]
	}
	return c.byID[id]
}

func (h *simHandler) produce(req *kmsg.ProduceRequest) kmsg.Response {
	resp := kmsg.NewPtrProduceResponse()
	for _, t := range req.Topics {
		topic := h.cluster.topic(t.Topic, t.TopicID)
		if topic == nil {
			h.cluster.sim.fail("broker %s: a Produce to the unknown topic %q %x", h.host(), t.Topic, t.TopicID)
			continue
		}
		h.cluster.sim.guard(h, "write", topic.name)
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			if !h.leads(p.Partition) {
				h.cluster.sim.fail("broker %s: a Produce to %s/%d, which it does not lead", h.host(), topic.name, p.Partition)
			}
			if !intact(p.Records) {
				h.cluster.sim.fail("broker %s: the records of a Produce are not those that were sent", h.host())
			}
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition = p.Partition
			if h.chance(50) { // as if the leader had just moved (KIP-951)
				rp.ErrorCode, rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = 6, h.id, 7
				resp.Brokers = []kmsg.ProduceResponseBroker{{NodeID: h.id, Host: h.host(), Port: 9092}}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if req.Acks == 0 {
		return nil
	}
	return resp
}

// fetch answers a Fetch, waiting for data as long as the client wants to.
// session finds or opens the session that a Fetch asks for; nil if none.
// due is when a topic has its next batch for this connection.
// fill puts batches into an answer, one at least if there is one.
// patterned is what all records are cut from: any piece of it tells whether bytes
// are missing, doubled or swapped.
// intact reports whether b is a piece of the pattern, looking at every 61st byte.
// team is the tenant's name in a client ID.
func team(clientID string) string {
	name, _, _ := strings.Cut(clientID, ".")
	return name
}
