package protocol

import (
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// RefusalFetchHold is how long a refused Fetch is held before it is answered:
// consumers ask again at once.
const RefusalFetchHold = time.Second

// refusalPidTag marks the producer ids that the refusal broker gives out, one
// past the tag of the last slot.
const refusalPidTag = 513

// Refusal is the broker that clients without a tenant meet: one node, on which
// every topic seems to exist and nothing may be done. Each answer is the one
// that makes real clients stop, or say in their own log why they cannot go on,
// without a retry loop (an error in ApiVersions or InitProducerId starts one in
// several clients).
type Refusal struct {
	Text      string // why, in words for the client's user
	Host      string // where clients reach the gateway, for node RefusalNode
	Port      int32
	ClusterID string
	// Software is the client_software_name of the connection's ApiVersions
	// request, empty if there was none.
	Software string
}

// Answer answers a decoded request whose version is set, for every API that the
// table passes on, and for ApiVersions.
// The answer is to be held for hold before it is sent. ok is false where there
// is no answer: Produce with acks=0, and what the table does not know; the
// connection is then to be held and closed. req may be changed.
func (r Refusal) Answer(req kmsg.Request) (resp kmsg.Response, hold time.Duration, ok bool) {
	version := req.GetVersion()
	api := Lookup(req.Key())
	if v, is := req.(*kmsg.ApiVersionsRequest); is {
		return AnswerApiVersions(version, v, nil, false), 0, true
	}
	if api == nil || !api.Knows(version) {
		return nil, 0, false
	}
	if p, is := req.(*kmsg.ProduceRequest); is && p.Acks == 0 {
		return nil, 0, false
	}
	switch req.(type) {
	case *kmsg.FetchRequest, *kmsg.ShareFetchRequest:
		hold = RefusalFetchHold
	}
	resp = r.refuse(api, req)
	resp.SetVersion(version)
	return resp, hold, true
}

// refuse finds the answer: one of the refusal broker's own, or that of a policy
// which denies everything. A request that names nothing has nothing denied; its
// answer is empty.
func (r Refusal) refuse(api *API, req kmsg.Request) kmsg.Response {
	if resp := r.answerClient(req); resp != nil {
		return resp
	}
	if resp := r.answerAdmin(req); resp != nil {
		return resp
	}
	if api.Split != nil {
		if resp, rest := api.Split(req, denyAll{}); !rest && resp != nil {
			return resp
		}
	}
	return req.ResponseKind()
}

// denyAll is the judge of the refusal broker. It knows every topic id, so that a
// topic is denied rather than unknown: clients retry the latter.
type denyAll struct{}

func (denyAll) Allowed(Operation, Resource, string) bool  { return false }
func (denyAll) AllowedSome(Operation, Resource) bool      { return false }
func (denyAll) TopicName([16]byte) (name string, ok bool) { return "", true }
func (denyAll) TopicNames() []string                      { return nil }
func (denyAll) Partitions(string) int                     { return 0 }

// answerClient has the answers to producers and consumers that are not plain
// denials; nil for every other request.
func (r Refusal) answerClient(req kmsg.Request) kmsg.Response {
	switch q := req.(type) {
	case *kmsg.MetadataRequest:
		return r.metadata(q)
	case *kmsg.ProduceRequest:
		return r.produce(q)
	case *kmsg.InitProducerIDRequest:
		a := kmsg.NewPtrInitProducerIDResponse()
		a.ProducerID = refusalPidTag<<pidTagShift | rand.Int64N(1<<pidTagShift)
		return a
	case *kmsg.FindCoordinatorRequest:
		return r.findCoordinator(q)
	case *kmsg.ListGroupsRequest:
		a := kmsg.NewPtrListGroupsResponse()
		a.ErrorCode = codeClusterAuthorizationFailed
		return a
	case *kmsg.ConsumerGroupHeartbeatRequest:
		a := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		a.ErrorCode, a.ErrorMessage = codeGroupAuthorizationFailed, &r.Text
		return a
	case *kmsg.ShareGroupHeartbeatRequest:
		a := kmsg.NewPtrShareGroupHeartbeatResponse()
		a.ErrorCode, a.ErrorMessage = codeGroupAuthorizationFailed, &r.Text
		return a
	case *kmsg.StreamsGroupHeartbeatRequest:
		a := kmsg.NewPtrStreamsGroupHeartbeatResponse()
		a.ErrorCode, a.ErrorMessage = codeGroupAuthorizationFailed, &r.Text
		return a
	case *kmsg.DescribeClusterRequest:
		a := kmsg.NewPtrDescribeClusterResponse()
		a.ErrorCode, a.ErrorMessage = codeClusterAuthorizationFailed, &r.Text
		a.ClusterID = r.ClusterID
		return a
	}
	return nil
}

// metadata shows the gateway as the only broker and each topic that is asked for
// by name as led by it, so that producers go on to Produce, whose error carries
// the text. A list of all topics is empty. Ids are hashes of the names and not
// remembered: asked for by id, a topic is unknown.
func (r Refusal) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	a := kmsg.NewPtrMetadataResponse()
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = RefusalNode, r.Host, r.Port
	a.Brokers = []kmsg.MetadataResponseBroker{b}
	a.ClusterID, a.ControllerID = &r.ClusterID, RefusalNode
	a.Topics = each(req.Topics, func(q *kmsg.MetadataRequestTopic) kmsg.MetadataResponseTopic {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = q.Topic
		if q.Topic == nil {
			t.TopicID, t.ErrorCode = q.TopicID, codeUnknownTopicID
			return t
		}
		hash := sha256.Sum256([]byte(*q.Topic))
		copy(t.TopicID[:], hash[:])
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Leader, p.LeaderEpoch = RefusalNode, 0
		p.Replicas, p.ISR = []int32{RefusalNode}, []int32{RefusalNode}
		t.Partitions = []kmsg.MetadataResponseTopicPartition{p}
		return t
	})
	return a
}

// produce refuses each partition with POLICY_VIOLATION, which no client retries
// and whose message (version 8 and later) reaches the producer's exception.
func (r Refusal) produce(req *kmsg.ProduceRequest) *kmsg.ProduceResponse {
	a := kmsg.NewPtrProduceResponse()
	a.Topics = each(req.Topics, func(q *kmsg.ProduceRequestTopic) kmsg.ProduceResponseTopic {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = q.Topic, q.TopicID
		t.Partitions = each(q.Partitions, func(q *kmsg.ProduceRequestTopicPartition) kmsg.ProduceResponseTopicPartition {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = q.Partition, codePolicyViolation, &r.Text
			p.BaseOffset = -1
			return p
		})
		return t
	})
	return a
}

// findCoordinator sends clients on to JoinGroup, whose error all of them show
// well, but librdkafka, which shows only the message of this answer.
func (r Refusal) findCoordinator(req *kmsg.FindCoordinatorRequest) *kmsg.FindCoordinatorResponse {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.NodeID, c.Host, c.Port = RefusalNode, r.Host, r.Port
	if isLibrdkafka(r.Software) {
		c.NodeID, c.Host, c.Port = -1, "", -1
		c.ErrorCode, c.ErrorMessage = coordinatorCode(denyAll{}, req.CoordinatorType, ""), &r.Text
	}
	a := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		a.NodeID, a.Host, a.Port, a.ErrorCode, a.ErrorMessage = c.NodeID, c.Host, c.Port, c.ErrorCode, c.ErrorMessage
		return a
	}
	a.Coordinators = each(req.CoordinatorKeys, func(key *string) kmsg.FindCoordinatorResponseCoordinator {
		c := c
		c.Key = *key
		return c
	})
	return a
}

// isLibrdkafka: bindings put their own name in the place of the library's.
func isLibrdkafka(software string) bool {
	return software == "librdkafka" || strings.HasPrefix(software, "confluent-kafka-")
}
