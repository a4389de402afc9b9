package slice

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is one broker of the cluster, with the cluster's own node id and the
// address that the cluster advertises.
type Broker struct {
	ID   int32
	Host string
	Port int32
	Rack *string // nil if the broker has none
}

func (b Broker) address() string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}

// topology is what one Metadata answer said. It never changes.
type topology struct {
	asked      time.Time // when the cluster was asked for it
	brokers    []Broker  // by id
	nodes      []int32   // their ids, in the same order
	addresses  map[int32]string
	topics     []string // by name
	partitions map[string]int
	controller int32  // -1 if it is not known
	cluster    string // its id; "" if it has none
	size       int64
	names      map[[16]byte]string // by topic id
}

// topologyOf reads the answer to a request for all topics. It keeps no part of
// it.
func topologyOf(resp *kmsg.MetadataResponse) *topology {
	t := &topology{
		addresses:  make(map[int32]string, len(resp.Brokers)),
		topics:     make([]string, 0, len(resp.Topics)),
		partitions: make(map[string]int, len(resp.Topics)),
		names:      make(map[[16]byte]string, len(resp.Topics)),
		controller: resp.ControllerID,
	}
	if resp.ClusterID != nil {
		t.cluster = strings.Clone(*resp.ClusterID)
	}
	for _, b := range resp.Brokers {
		broker := Broker{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: b.Rack}
		if _, twice := t.addresses[b.NodeID]; !twice {
			t.brokers = append(t.brokers, broker)
			t.addresses[b.NodeID] = broker.address()
		}
	}
	slices.SortFunc(t.brokers, func(a, b Broker) int { return cmp.Compare(a.ID, b.ID) })
	for _, b := range t.brokers {
		t.nodes = append(t.nodes, b.ID)
	}
	for i := range resp.Topics {
		topic := &resp.Topics[i]
		if topic.Topic == nil || *topic.Topic == "" {
			continue
		}
		name := *topic.Topic
		t.topics = append(t.topics, name)
		t.partitions[name] = len(topic.Partitions)
		t.size += topicSize + partitionSize*int64(len(topic.Partitions))
		if topic.TopicID != ([16]byte{}) { // zero before Kafka 2.8
			t.names[topic.TopicID] = name
		}
	}
	slices.Sort(t.topics)
	return t
}

// What a topic and a partition of an answer take when they are decoded, about.
const (
	topicSize     = 300
	partitionSize = 200
)

// sameBrokers reports whether both have the same brokers at the same addresses.
func (t *topology) sameBrokers(o *topology) bool {
	return slices.EqualFunc(t.brokers, o.brokers, func(a, b Broker) bool {
		return a.ID == b.ID && a.Host == b.Host && a.Port == b.Port
	})
}

// Brokers are the brokers of the last topology, by node id; empty before the
// first.
func (s *Slice) Brokers() []Broker { return s.topology.Load().brokers }

// NodeIDs are the ids of [Slice.Brokers], in the same order.
func (s *Slice) NodeIDs() []int32 { return s.topology.Load().nodes }

// TopicNames are the names of all topics of the last topology, internal ones
// too, in order.
func (s *Slice) TopicNames() []string { return s.topology.Load().topics }

// FreshTopicNames is [Slice.TopicNames] as it was at most a second ago: an older one
// costs a refresh, shared with all who wait for one. While the cluster does not
// answer, and when ctx ends first, it is that of the last topology.
func (s *Slice) FreshTopicNames(ctx context.Context) []string {
	if h := s.health.Load(); h.Reachable && time.Since(h.LastSuccess) >= demandGap {
		_ = s.refreshed(ctx) // if it fails, the last topology is the best there is
	}
	return s.TopicNames()
}

// Partitions is how many partitions the topic has in the last topology; 0 if
// it is not there.
func (s *Slice) Partitions(topic string) int { return s.topology.Load().partitions[topic] }

// ClusterID is the cluster's own id; "" before the first topology, or if it has none.
func (s *Slice) ClusterID() string { return s.topology.Load().cluster }

// ListingSize is about how much memory a decoded answer takes that lists all topics and
// partitions of the last topology, in bytes.
func (s *Slice) ListingSize() int64 { return s.topology.Load().size }
