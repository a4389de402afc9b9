package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// A virtual cluster is several slices that a tenant sees as one. A request to it goes
// to the broker whose connection it came on, after a [Guard] has taken out of it what
// lives in another slice; or it is divided ([API.Divide]), each slice answers its part,
// and the answers are joined ([API.Join]). Slices are told apart by their slots.

// VirtualCluster says what a tenant's slices are and what lives where.
type VirtualCluster interface {
	// Slots are those of the slices that the tenant reaches, its home first.
	Slots() []int
	// Owner is the slot of the slice in which a topic, group or transactional id of that
	// name lives: one of Slots, the home's if nothing names another.
	Owner(r Resource, name string) int
	// TopicName is the name of the topic with that id in any of the slices; false if
	// none has it. The topic belongs to the owner of its name, in which it may have
	// another id: the one that was asked for is then of a topic that nobody sees.
	TopicName(id [16]byte) (string, bool)
	// ClusterID is the id of the whole, the same whoever asks and wherever.
	ClusterID() string
}

// Route says by what the slice is found that answers a request to a virtual cluster.
type Route uint8

// The zero Route is that of APIs that are not offered.
const (
	// ByNode: by the virtual node that the client sent it to.
	ByNode Route = iota + 1
	// ByTopic: each topic by its owner; all topics are asked of all slices.
	ByTopic
	// ByGroup: by the home of the group, to whose node the client sent it. Offsets are
	// kept by the owners of their topics.
	ByGroup
	// ByTransactionalID: by the home of the transactional id; without one, by the node.
	ByTransactionalID
	// ByResource: each resource by its type: topics, groups, brokers.
	ByResource
	// ByBroker: by the broker that it names.
	ByBroker
	// ToAll: to all slices.
	ToAll
	// ToHome: to the tenant's home alone, of which the answer speaks.
	ToHome
	// ToNone: to no slice, since it cannot be done to several as to one.
	ToNone
	// ToGateway: it is answered by the gateway.
	ToGateway
)

var routeNames = [...]string{"", "node", "topic", "group", "transactional_id", "resource", "broker", "all", "home", "none", "gateway"}

// String says it in a word; empty for the zero Route.
func (r Route) String() string {
	if int(r) >= len(routeNames) {
		return ""
	}
	return routeNames[r]
}

// Part is what one slice is asked of a divided request.
type Part struct {
	Slot int
	// Node is the broker's own id where no other may be asked, as about the
	// configuration of a broker; else -1.
	Node int32
	// Group is not empty where the coordinator of that group must be asked.
	Group string
	// Req is nobody else's. Its version may be another than the client's, as after
	// [API.Split].
	Req kmsg.Request
}

// Answer is what a slice answered to its part, in the client's version.
type Answer struct {
	Slot int
	Resp kmsg.Response
}

// internalTopics are those that every cluster has for itself
// (org.apache.kafka.common.internals.Topic).
var internalTopics = [...]string{"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}

// ownerOf is the slot of the slice in which something lives. The topics that each
// slice has for itself are those of the home.
func ownerOf(v VirtualCluster, r Resource, name string) int {
	if r == Topic && len(name) > 2 && name[:2] == "__" {
		for _, internal := range internalTopics {
			if name == internal {
				return homeOf(v)
			}
		}
	}
	return v.Owner(r, name)
}

func homeOf(v VirtualCluster) int { return v.Slots()[0] }

// ownerOfTopic is the slot of a topic that a request names by its id, if it is not
// zero, or by its name. A topic that nobody knows is the home's to answer for.
func ownerOfTopic(v VirtualCluster, name string, id [16]byte) int {
	if id != ([16]byte{}) {
		var ok bool
		if name, ok = v.TopicName(id); !ok {
			return homeOf(v)
		}
	}
	return ownerOf(v, Topic, name)
}

// slotOfNode is the slot in a virtual node id; the home's if none of the tenant's
// slices has it: the home then says that there is no such broker.
func slotOfNode(v VirtualCluster, node int32) int {
	for _, slot := range v.Slots() {
		if node >= 0 && int(node>>SlotBits) == slot {
			return slot
		}
	}
	return homeOf(v)
}
