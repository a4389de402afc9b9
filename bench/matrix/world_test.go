package matrix

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// side is one of the two that are asked the same.
type side struct {
	broker *kafka.Broker
	admin  *kgo.Client // may do everything
	ids    map[string][16]byte
	names  names
}

// id is the id of a topic, or absentID.
func (s *side) id(topic string) [16]byte {
	if id, ok := s.ids[topic]; ok {
		return id
	}
	return absentID
}

// longSessions keep the members that furnish makes while nobody sends their
// heartbeats; half an hour in milliseconds.
var longSessions = map[string]string{
	"log.retention.hours":               "-1", // the records' time is long ago
	"group.consumer.session.timeout.ms": "1800000", "group.consumer.max.session.timeout.ms": "1800000",
	"group.share.session.timeout.ms": "1800000", "group.share.max.session.timeout.ms": "1800000",
	"group.streams.session.timeout.ms": "1800000", "group.streams.max.session.timeout.ms": "1800000",
	"group.max.session.timeout.ms":                                "1800000",
	"max.incremental.fetch.session.cache.slots":                   "10000",
	"group.share.max.share.sessions":                              "10000",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "3600000",
}

// startSide starts a broker and furnishes it.
func startSide(t *testing.T, users []string) *side {
	t.Helper()
	s := &side{broker: kafka.Start(t, kafka.Options{Users: users, Properties: longSessions})}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.admin = client
	s.furnish(t)
	return s
}

// do sends a request as the super user and fails the test unless it is answered.
func do[R kmsg.Response](t testing.TB, s *side, req kmsg.Request) R {
	t.Helper()
	resp, err := s.admin.Request(t.Context(), req)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(R)
}

// raw sends a request in the version it says, on a connection of its own.
func (s *side) raw(t testing.TB, req kmsg.Request) kmsg.Response {
	t.Helper()
	c := conn{address: s.broker.Address, clientID: "furnish"}
	defer c.close()
	resp, err := c.ask(t.Context(), req)
	if err != nil {
		t.Fatalf("%s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp
}

var everyPrefix = []string{open, shut, "other."}

// furnish makes what the cases ask for: topics t with records, topics p to write
// to, groups of all types, offsets, and transactions that go on.
func (s *side) furnish(t *testing.T) {
	t.Helper()
	for _, prefix := range everyPrefix {
		s.broker.CreateTopics(t, 2, prefix+"t", prefix+"p")
	}
	s.learn(t)
	coordinators := kmsg.NewPtrFindCoordinatorRequest()
	coordinators.CoordinatorType, coordinators.CoordinatorKeys = 0, []string{"any"}
	do[*kmsg.FindCoordinatorResponse](t, s, coordinators) // makes the topic of the offsets
	for _, prefix := range everyPrefix {
		s.fill(t, prefix+"t")
		s.commit(t, prefix+"g")
		s.transaction(t, prefix+"ongoing", prefix+"x")
		s.consumers(t, prefix+"cg", prefix+"t")
		s.sharers(t, prefix)
		s.streams(t, prefix+"st", prefix+"t")
	}
	s.consumers(t, shut+"mixed", open+"t")
	s.consumers(t, open+"mixed", shut+"t")
	s.consumers(t, open+"foreign", "other.t")
	s.learn(t)
}

// learn reads the ids of all topics.
func (s *side) learn(t *testing.T) {
	t.Helper()
	s.ids, s.names = map[string][16]byte{}, names{}
	req := kmsg.NewPtrMetadataRequest()
	for _, topic := range do[*kmsg.MetadataResponse](t, s, req).Topics {
		s.ids[*topic.Topic] = topic.TopicID
		s.names[topic.TopicID] = *topic.Topic
	}
}

func (s *side) fill(t *testing.T, topic string) {
	t.Helper()
	for p := range int32(2) {
		for range 3 {
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.Acks, req.TimeoutMillis = 8, 1, 5000
			req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: p, Records: batch(false)}}}}
			resp := s.raw(t, req).(*kmsg.ProduceResponse)
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("fill %s: error %d", topic, code)
			}
		}
	}
}

// commit makes a group without members that has offsets in every topic t.
func (s *side) commit(t testing.TB, group string) {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 9, group, -1
	for _, prefix := range everyPrefix {
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic, topic.TopicID = prefix+"t", s.id(prefix+"t")
		for p := range int32(2) {
			part := kmsg.NewOffsetCommitRequestTopicPartition()
			part.Partition, part.Offset = p, 2
			topic.Partitions = append(topic.Partitions, part)
		}
		req.Topics = append(req.Topics, topic)
	}
	until(t, "commit "+group, func() (int16, bool) {
		for _, topic := range s.raw(t, req).(*kmsg.OffsetCommitResponse).Topics {
			if code := topic.Partitions[0].ErrorCode; code != 0 {
				return code, false
			}
		}
		return 0, true
	})
}

// transaction makes an open transaction over every topic t, and a transactional id
// that is known but idle.
func (s *side) transaction(t *testing.T, ongoing, idle string) {
	t.Helper()
	for _, id := range []string{ongoing, idle} {
		init := kmsg.NewPtrInitProducerIDRequest()
		init.TransactionalID, init.TransactionTimeoutMillis = &id, 900_000
		producer := do[*kmsg.InitProducerIDResponse](t, s, init)
		if producer.ErrorCode != 0 {
			t.Fatalf("init %s: error %d", id, producer.ErrorCode)
		}
		if id == idle {
			continue
		}
		add := kmsg.NewPtrAddPartitionsToTxnRequest()
		add.Version, add.TransactionalID = 3, id
		add.ProducerID, add.ProducerEpoch = producer.ProducerID, producer.ProducerEpoch
		for _, prefix := range everyPrefix {
			add.Topics = append(add.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: prefix + "t", Partitions: []int32{0}})
		}
		until(t, "transaction "+id, func() (int16, bool) {
			return s.raw(t, add).(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode, true
		})
	}
}

// until repeats what a coordinator that is still loading refuses.
func until(t testing.TB, what string, try func() (code int16, done bool)) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		code, done := try()
		if code == 0 && done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: error %d, done %v", what, code, done)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// consumers makes a group of one member (KIP-848) that has its assignment.
func (s *side) consumers(t *testing.T, group, topic string) {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis = 1, group, "member", 5000
	req.SubscribedTopicNames, req.Topics = []string{topic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	until(t, group, func() (int16, bool) {
		resp := s.raw(t, req).(*kmsg.ConsumerGroupHeartbeatResponse)
		return resp.ErrorCode, resp.Assignment != nil
	})
}

// sharers makes a share group with a member, and one without that has offsets.
func (s *side) sharers(t *testing.T, prefix string) {
	t.Helper()
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.Version, req.GroupID, req.MemberID = 1, prefix+"sg", "member"
	req.SubscribedTopicNames = []string{prefix + "t"}
	until(t, req.GroupID, func() (int16, bool) {
		resp := s.raw(t, req).(*kmsg.ShareGroupHeartbeatResponse)
		return resp.ErrorCode, resp.Assignment != nil
	})
	empty := prefix + "so"
	req.GroupID = empty
	until(t, empty, func() (int16, bool) {
		resp := s.raw(t, req).(*kmsg.ShareGroupHeartbeatResponse)
		return resp.ErrorCode, resp.Assignment != nil
	})
	leave := kmsg.NewPtrShareGroupHeartbeatRequest()
	leave.Version, leave.GroupID, leave.MemberID, leave.MemberEpoch = 1, empty, "member", -1
	until(t, empty, func() (int16, bool) { return s.raw(t, leave).(*kmsg.ShareGroupHeartbeatResponse).ErrorCode, true })
	until(t, empty, func() (int16, bool) { return s.shareOffsets(t, empty), true })
}

// shareOffsets sets offsets of a share group in every topic t.
func (s *side) shareOffsets(t testing.TB, group string) int16 {
	t.Helper()
	req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	req.GroupID = group
	for _, prefix := range everyPrefix {
		topic := kmsg.NewAlterShareGroupOffsetsRequestTopic()
		topic.Topic = prefix + "t"
		topic.Partitions = []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{Partition: 0, StartOffset: 1}, {Partition: 1, StartOffset: 1}}
		req.Topics = append(req.Topics, topic)
	}
	resp := s.raw(t, req).(*kmsg.AlterShareGroupOffsetsResponse)
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode != 0 {
				return p.ErrorCode
			}
		}
	}
	return resp.ErrorCode
}

// streams makes a streams group (KIP-1071) of one member that reads a topic.
func (s *side) streams(t *testing.T, group, topic string) {
	t.Helper()
	until(t, group, func() (int16, bool) {
		resp := s.raw(t, streamsHeartbeat(group, topic)).(*kmsg.StreamsGroupHeartbeatResponse)
		return resp.ErrorCode, true
	})
}

// streamsHeartbeat is a member's first.
func streamsHeartbeat(group string, sources ...string) *kmsg.StreamsGroupHeartbeatRequest {
	req := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis = group, "member", 5000
	process := "process"
	req.ProcessID = &process
	sub := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	sub.SubtopologyID, sub.SourceTopics = "0", sources
	topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
	topology.Subtopologies = append(topology.Subtopologies, sub)
	req.Topology = &topology
	req.ActiveTasks, req.StandbyTasks, req.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	return req
}

// batch is a batch of one record; a transactional one is that of a producer that
// no coordinator knows.
func batch(transactional bool) []byte {
	if transactional {
		return batchOf(true, strangerID, 0, 0)
	}
	return batchOf(false, -1, -1, -1)
}

// batchOf is a batch of one record of that producer.
func batchOf(transactional bool, producer int64, epoch int16, sequence int32) []byte {
	rec := kmsg.NewRecord()
	rec.Value = []byte("v")
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // the zero length itself took one byte
	b := kmsg.NewRecordBatch()
	b.Magic, b.NumRecords = 2, 1
	b.FirstTimestamp = 1_700_000_000_000
	b.MaxTimestamp = b.FirstTimestamp
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = producer, epoch, sequence
	if transactional {
		b.Attributes |= 1 << 4
	}
	b.Records = rec.AppendTo(nil)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// strangerID is a producer id that no broker has given out.
const strangerID = 123_456_789

// memberID is that of a member of a share group, which must be a UUID.
func memberID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func token(n int) string { return fmt.Sprintf("case%d", n) }
