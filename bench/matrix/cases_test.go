package matrix

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// in is what a request is made from.
type in struct {
	side    *side
	version int16
	token   string // in the names of what only this case uses
}

// entry is a request of one API, in all its versions.
type entry struct {
	name     string
	key      int16
	min, max int16
	changes  bool // leaves something behind: asked last
	rare     bool // asked only of the sets that its needs are about
	prepare  func(t testing.TB, s *side, token string)
	fill     func(req kmsg.Request, c in)
	// needs are the operations without which Kafka's answer is another, as
	// "TOPIC-READ": the hand-made expectation that the oracle itself is held to.
	needs []string
}

const anyVersion = 1000

func ask[Q kmsg.Request](name string, key int16, fill func(Q, in), needs ...string) entry {
	return entry{name: name, key: key, max: anyVersion, needs: needs, fill: func(req kmsg.Request, c in) { fill(req.(Q), c) }}
}

// from and to bound the versions.
func (e entry) from(v int16) entry { e.min = v; return e }
func (e entry) to(v int16) entry   { e.max = v; return e }

// change marks what leaves something behind, and says what it needs beforehand.
func (e entry) change(prepare func(t testing.TB, s *side, token string)) entry {
	e.changes, e.rare, e.prepare = true, true, prepare
	return e
}

// slow marks what takes a broker seconds.
func (e entry) slow() entry { e.rare = true; return e }

// request makes the request of a case for one side.
func (e *entry) request(c in) kmsg.Request {
	req := kmsg.RequestForKey(e.key)
	if d, ok := req.(interface{ Default() }); ok {
		d.Default()
	}
	req.SetVersion(c.version)
	e.fill(req, c)
	return req
}

// Most requests name the same: what the set says something of, what it allows, what
// it never heard of, each once with and once without a topic, and a topic twice.
var (
	existing = []string{shut + "t", open + "t", "other.t"}
	topics   = append([]string{shut + "absent", open + "absent", "other.absent"}, existing...)
	groups   = []string{shut + "g", open + "g", "other.g", shut + "absent", open + "absent"}
	txns     = []string{shut + "x", open + "x", "other.x", shut + "ongoing", open + "ongoing", shut + "absent", open + "absent"}
)

// topicsBy are the topics of a request that names them by id from a version on: then
// with one that is absent, since a second could not be told from it.
func topicsBy(c in, idVersion int16) []string {
	if c.version < idVersion {
		return topics
	}
	return append([]string{open + "absent"}, existing...)
}

func each[E, A any](s []E, make func(E) A) []A {
	out := []A{}
	for _, e := range s {
		out = append(out, make(e))
	}
	return out
}

func ptr[T any](v T) *T { return &v }

func entries() []entry {
	var all []entry
	for _, list := range [][]entry{dataEntries(), groupEntries(), nextGroupEntries(), transactionEntries(), topicEntries(), configEntries(), clusterEntries(), aclEntries()} {
		all = append(all, list...)
	}
	return all
}

func dataEntries() []entry {
	produce := func(q *kmsg.ProduceRequest, c in, transactional bool, topics ...string) {
		q.Acks, q.TimeoutMillis = 1, 5000
		q.Topics = each(topics, func(topic string) kmsg.ProduceRequestTopic {
			return kmsg.ProduceRequestTopic{Topic: topic, TopicID: c.side.id(topic), Partitions: []kmsg.ProduceRequestTopicPartition{
				{Partition: 0, Records: batch(transactional)}, {Partition: 9, Records: batch(transactional)},
			}}
		})
	}
	fetch := func(q *kmsg.FetchRequest, c in, topics ...string) {
		q.MaxBytes, q.SessionID, q.SessionEpoch = 1<<20, 0, -1
		q.Topics = each(topics, func(topic string) kmsg.FetchRequestTopic {
			ft := kmsg.NewFetchRequestTopic()
			ft.Topic, ft.TopicID = topic, c.side.id(topic)
			for _, p := range []int32{0, 9} {
				fp := kmsg.NewFetchRequestTopicPartition()
				fp.Partition, fp.PartitionMaxBytes = p, 1<<20
				ft.Partitions = append(ft.Partitions, fp)
			}
			return ft
		})
	}
	return []entry{
		ask("Produce", 0, func(q *kmsg.ProduceRequest, c in) {
			produce(q, c, false, shut+"p", open+"p", "other.p", open+"absent")
		}, "TOPIC-WRITE").from(3),
		ask("Produce to one denied", 0, func(q *kmsg.ProduceRequest, c in) { produce(q, c, false, shut+"p") }, "TOPIC-WRITE").from(3),
		ask("Produce in a transaction", 0, func(q *kmsg.ProduceRequest, c in) {
			q.TransactionID = ptr(shut + "x")
			produce(q, c, true, shut+"p", open+"p")
		}, "TOPIC-WRITE", "TRANSACTIONAL_ID-WRITE").from(3),
		ask("Produce in a transaction of none", 0, func(q *kmsg.ProduceRequest, c in) { produce(q, c, true, shut+"p", open+"p") }).from(3),
		ask("Fetch", 1, func(q *kmsg.FetchRequest, c in) { fetch(q, c, topicsBy(c, 13)...) }, "TOPIC-READ"),
		ask("Fetch one denied", 1, func(q *kmsg.FetchRequest, c in) { fetch(q, c, shut+"t") }, "TOPIC-READ"),
		ask("Fetch with a session", 1, func(q *kmsg.FetchRequest, c in) {
			fetch(q, c, topicsBy(c, 13)...)
			q.SessionEpoch = 0
		}, "TOPIC-READ").from(7),
		ask("Fetch in a foreign session", 1, func(q *kmsg.FetchRequest, c in) {
			fetch(q, c, topicsBy(c, 13)...)
			q.SessionID, q.SessionEpoch = 4711, 3
		}).from(7),
		ask("Fetch as a follower", 1, func(q *kmsg.FetchRequest, c in) {
			fetch(q, c, topicsBy(c, 13)...)
			q.ReplicaID, q.ReplicaState.ID = 1, 1
		}, "CLUSTER-CLUSTER_ACTION"),
		ask("ListOffsets", 2, func(q *kmsg.ListOffsetsRequest, c in) {
			q.Topics = each(topics, func(topic string) kmsg.ListOffsetsRequestTopic {
				lt := kmsg.NewListOffsetsRequestTopic()
				lt.Topic = topic
				for _, p := range []int32{0, 9} {
					lp := kmsg.NewListOffsetsRequestTopicPartition()
					lp.Partition, lp.Timestamp = p, -1
					lt.Partitions = append(lt.Partitions, lp)
				}
				return lt
			})
		}, "TOPIC-DESCRIBE").from(1),
		ask("OffsetForLeaderEpoch", 23, func(q *kmsg.OffsetForLeaderEpochRequest, c in) {
			q.ReplicaID = -1
			q.Topics = each(topics, func(topic string) kmsg.OffsetForLeaderEpochRequestTopic {
				lt := kmsg.NewOffsetForLeaderEpochRequestTopic()
				lt.Topic = topic
				lp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				lt.Partitions = append(lt.Partitions, lp)
				return lt
			})
		}, "CLUSTER-CLUSTER_ACTION").from(2), // which goes before DESCRIBE of the topics
		ask("DeleteRecords", 21, func(q *kmsg.DeleteRecordsRequest, c in) {
			q.TimeoutMillis = 5000
			q.Topics = each(topics, func(topic string) kmsg.DeleteRecordsRequestTopic {
				return kmsg.DeleteRecordsRequestTopic{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 0}, {Partition: 9}}}
			})
		}, "TOPIC-DELETE"),
		ask("DescribeProducers", 61, func(q *kmsg.DescribeProducersRequest, c in) {
			q.Topics = each(topics, func(topic string) kmsg.DescribeProducersRequestTopic {
				return kmsg.DescribeProducersRequestTopic{Topic: topic, Partitions: []int32{0, 9}}
			})
		}, "TOPIC-READ"),
	}
}

func groupEntries() []entry {
	offsets := func(q *kmsg.OffsetCommitRequest, c in, group string, topics ...string) {
		q.Group, q.Generation = group, -1
		q.Topics = each(topics, func(topic string) kmsg.OffsetCommitRequestTopic {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = topic, c.side.id(topic)
			for _, p := range []int32{0, 9} {
				tp := kmsg.NewOffsetCommitRequestTopicPartition()
				tp.Partition, tp.Offset = p, 2
				t.Partitions = append(t.Partitions, tp)
			}
			return t
		})
	}
	fetch := func(q *kmsg.OffsetFetchRequest, c in, all bool) {
		if !all {
			q.Topics = each(topics, func(t string) kmsg.OffsetFetchRequestTopic {
				return kmsg.OffsetFetchRequestTopic{Topic: t, Partitions: []int32{0, 9}}
			})
		}
		q.Group = shut + "g"
		q.Groups = each(groups, func(g string) kmsg.OffsetFetchRequestGroup {
			fg := kmsg.NewOffsetFetchRequestGroup()
			fg.Group = g
			if !all {
				fg.Topics = each(topicsBy(c, 10), func(t string) kmsg.OffsetFetchRequestGroupTopic {
					return kmsg.OffsetFetchRequestGroupTopic{Topic: t, TopicID: c.side.id(t), Partitions: []int32{0, 9}}
				})
			}
			return fg
		})
	}
	return []entry{
		ask("OffsetCommit", 8, func(q *kmsg.OffsetCommitRequest, c in) { offsets(q, c, shut+"g", topicsBy(c, 10)...) }, "GROUP-READ", "TOPIC-READ").from(2),
		ask("OffsetCommit in an allowed group", 8, func(q *kmsg.OffsetCommitRequest, c in) { offsets(q, c, open+"g", shut+"t") }, "TOPIC-READ").from(2),
		ask("OffsetCommit of a generation", 8, func(q *kmsg.OffsetCommitRequest, c in) {
			offsets(q, c, open+"absent", existing...)
			q.Generation, q.MemberID = 7, "nobody"
		}, "TOPIC-READ").from(2),
		ask("OffsetFetch", 9, func(q *kmsg.OffsetFetchRequest, c in) { fetch(q, c, false) }, "GROUP-DESCRIBE", "TOPIC-DESCRIBE").from(1),
		ask("OffsetFetch of all topics", 9, func(q *kmsg.OffsetFetchRequest, c in) { fetch(q, c, true) }, "GROUP-DESCRIBE", "TOPIC-DESCRIBE").from(2),
		ask("FindCoordinator of a group", 10, func(q *kmsg.FindCoordinatorRequest, c in) {
			q.CoordinatorKey, q.CoordinatorKeys = shut+"g", groups
		}, "GROUP-DESCRIBE"),
		ask("FindCoordinator of a transaction", 10, func(q *kmsg.FindCoordinatorRequest, c in) {
			q.CoordinatorKey, q.CoordinatorKeys, q.CoordinatorType = shut+"x", txns, 1
		}, "TRANSACTIONAL_ID-DESCRIBE").from(1),
		ask("FindCoordinator of a share partition", 10, func(q *kmsg.FindCoordinatorRequest, c in) {
			q.CoordinatorKeys, q.CoordinatorType = []string{shut + "sg:q1seFwAAAAAAAAAAAAAAAQ:0"}, 2
		}, "CLUSTER-CLUSTER_ACTION").from(6),
		ask("JoinGroup", 11, func(q *kmsg.JoinGroupRequest, c in) {
			q.Group, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis, q.ProtocolType = shut+"join."+c.token, 10000, 10000, "consumer"
			q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
		}, "GROUP-READ").change(nil),
		ask("Heartbeat", 12, func(q *kmsg.HeartbeatRequest, c in) { q.Group, q.Generation, q.MemberID = shut+"g", 1, "nobody" }, "GROUP-READ"),
		ask("LeaveGroup", 13, func(q *kmsg.LeaveGroupRequest, c in) {
			q.Group, q.MemberID, q.Members = shut+"g", "nobody", []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}, {MemberID: "", InstanceID: ptr("i")}}
		}, "GROUP-READ"),
		ask("SyncGroup", 14, func(q *kmsg.SyncGroupRequest, c in) {
			q.Group, q.Generation, q.MemberID, q.ProtocolType, q.Protocol = shut+"g", 1, "nobody", ptr("consumer"), ptr("range")
		}, "GROUP-READ"),
		ask("SyncGroup without a protocol", 14, func(q *kmsg.SyncGroupRequest, c in) { q.Group, q.Generation, q.MemberID = shut+"g", 1, "nobody" }).from(5),
		ask("DescribeGroups", 15, func(q *kmsg.DescribeGroupsRequest, c in) { q.Groups, q.IncludeAuthorizedOperations = groups, true },
			"GROUP-DESCRIBE", "GROUP-READ", "GROUP-DELETE", "GROUP-DESCRIBE_CONFIGS", "GROUP-ALTER_CONFIGS"),
		ask("DescribeGroups plainly", 15, func(q *kmsg.DescribeGroupsRequest, c in) { q.Groups = groups }, "GROUP-DESCRIBE"),
		ask("ListGroups", 16, func(q *kmsg.ListGroupsRequest, c in) {}, "CLUSTER-DESCRIBE"),
		ask("DeleteGroups of none", 42, func(q *kmsg.DeleteGroupsRequest, c in) {
			q.Groups = []string{shut + "absent", open + "absent", "other.absent"}
		}, "GROUP-DELETE"),
		ask("DeleteGroups", 42, func(q *kmsg.DeleteGroupsRequest, c in) {
			q.Groups = []string{shut + "del." + c.token, open + "del." + c.token, shut + "absent", "other.g"}
		}, "GROUP-DELETE").change(func(t testing.TB, s *side, token string) {
			s.commit(t, shut+"del."+token)
			s.commit(t, open+"del."+token)
		}),
		ask("OffsetDelete", 47, func(q *kmsg.OffsetDeleteRequest, c in) {
			q.Group = shut + "offdel." + c.token
			q.Topics = each(topics, func(topic string) kmsg.OffsetDeleteRequestTopic {
				return kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}}
			})
		}, "GROUP-DELETE", "TOPIC-READ").change(func(t testing.TB, s *side, token string) { s.commit(t, shut+"offdel."+token) }),
	}
}

// nextGroupEntries are of the groups whose assignments brokers make.
func nextGroupEntries() []entry {
	consumer := func(q *kmsg.ConsumerGroupHeartbeatRequest, c in, topics ...string) {
		q.Group, q.RebalanceTimeoutMillis, q.Topics = shut+"ch."+c.token, 5000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		if c.version > 0 {
			q.MemberID = "member"
		}
		q.SubscribedTopicNames = topics
	}
	share := func(q *kmsg.ShareGroupHeartbeatRequest, c in, topics ...string) {
		q.GroupID, q.MemberID, q.SubscribedTopicNames = shut+"sh."+c.token, "member", topics
	}
	fetch := func(q *kmsg.ShareFetchRequest, c in, topics []string) {
		q.GroupID, q.MemberID, q.MaxBytes, q.MaxRecords, q.BatchSize = ptr(shut+"sg"), ptr(memberID(c.token)), 1<<20, 1, 1
		q.Topics = each(topics, func(topic string) kmsg.ShareFetchRequestTopic {
			return kmsg.ShareFetchRequestTopic{TopicID: c.side.id(topic), Partitions: []kmsg.ShareFetchRequestTopicPartition{{Partition: 0}, {Partition: 9}}}
		})
	}
	consumers := []string{shut + "cg", open + "cg", shut + "mixed", open + "mixed", open + "foreign", "other.cg", open + "absent", shut + "absent", open + "g"}
	sharers := []string{shut + "sg", open + "sg", shut + "so", "other.sg", open + "absent", shut + "absent", open + "g"}
	streams := []string{shut + "st", open + "st", "other.st", open + "absent", shut + "absent"}
	return []entry{
		ask("ConsumerGroupHeartbeat", 68, func(q *kmsg.ConsumerGroupHeartbeatRequest, c in) { consumer(q, c, shut+"t", open+"t") }, "GROUP-READ", "TOPIC-DESCRIBE").change(nil),
		ask("ConsumerGroupHeartbeat of an allowed topic", 68, func(q *kmsg.ConsumerGroupHeartbeatRequest, c in) { consumer(q, c, open+"t") }, "GROUP-READ").change(nil),
		ask("ConsumerGroupHeartbeat of a foreign topic", 68, func(q *kmsg.ConsumerGroupHeartbeatRequest, c in) { consumer(q, c, open+"t", "other.t") }, "GROUP-READ").change(nil),
		ask("ConsumerGroupHeartbeat of an absent topic", 68, func(q *kmsg.ConsumerGroupHeartbeatRequest, c in) { consumer(q, c, shut+"absent") }, "GROUP-READ", "TOPIC-DESCRIBE").change(nil),
		ask("ConsumerGroupHeartbeat of a regex", 68, func(q *kmsg.ConsumerGroupHeartbeatRequest, c in) {
			consumer(q, c)
			q.SubscribedTopicRegex = ptr(`(shut|open)\.t`)
		}, "GROUP-READ").from(1).change(nil),
		ask("ConsumerGroupHeartbeat of nobody", 68, func(q *kmsg.ConsumerGroupHeartbeatRequest, c in) {
			q.Group, q.MemberID, q.MemberEpoch, q.RebalanceTimeoutMillis = shut+"cg", "nobody", 5, -1
		}, "GROUP-READ"),
		ask("ConsumerGroupDescribe", 69, func(q *kmsg.ConsumerGroupDescribeRequest, c in) { q.Groups = consumers }, "GROUP-DESCRIBE", "TOPIC-DESCRIBE"),
		ask("ConsumerGroupDescribe with operations", 69, func(q *kmsg.ConsumerGroupDescribeRequest, c in) {
			q.Groups, q.IncludeAuthorizedOperations = consumers, true
		}, "GROUP-DESCRIBE", "TOPIC-DESCRIBE", "GROUP-READ", "GROUP-DELETE", "GROUP-DESCRIBE_CONFIGS", "GROUP-ALTER_CONFIGS"),
		ask("ShareGroupHeartbeat", 76, func(q *kmsg.ShareGroupHeartbeatRequest, c in) { share(q, c, shut+"t", open+"t") }, "GROUP-READ", "TOPIC-DESCRIBE").change(nil),
		ask("ShareGroupHeartbeat of an allowed topic", 76, func(q *kmsg.ShareGroupHeartbeatRequest, c in) { share(q, c, open+"t") }, "GROUP-READ").change(nil),
		ask("ShareGroupHeartbeat of a foreign topic", 76, func(q *kmsg.ShareGroupHeartbeatRequest, c in) { share(q, c, open+"t", "other.t") }, "GROUP-READ").change(nil),
		ask("ShareGroupDescribe", 77, func(q *kmsg.ShareGroupDescribeRequest, c in) { q.GroupIDs = sharers }, "GROUP-DESCRIBE"),
		ask("ShareGroupDescribe with operations", 77, func(q *kmsg.ShareGroupDescribeRequest, c in) {
			q.GroupIDs, q.IncludeAuthorizedOperations = sharers, true
		}, "GROUP-DESCRIBE", "GROUP-READ", "GROUP-DELETE", "GROUP-DESCRIBE_CONFIGS", "GROUP-ALTER_CONFIGS"),
		ask("ShareFetch", 78, func(q *kmsg.ShareFetchRequest, c in) { fetch(q, c, existing) }, "GROUP-READ", "TOPIC-READ"),
		ask("ShareFetch of an absent topic", 78, func(q *kmsg.ShareFetchRequest, c in) { fetch(q, c, []string{open + "absent"}) }, "GROUP-READ"),
		ask("ShareAcknowledge", 79, func(q *kmsg.ShareAcknowledgeRequest, c in) {
			q.GroupID, q.MemberID, q.ShareSessionEpoch = ptr(shut+"sg"), ptr(memberID("nobody")), 1
			q.Topics = each(topicsBy(c, 0), func(topic string) kmsg.ShareAcknowledgeRequestTopic {
				return kmsg.ShareAcknowledgeRequestTopic{TopicID: c.side.id(topic), Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{Partition: 0}}}
			})
		}, "GROUP-READ"),
		ask("StreamsGroupHeartbeat", 88, func(q *kmsg.StreamsGroupHeartbeatRequest, c in) {
			*q = *streamsHeartbeat(shut+"sth."+c.token, shut+"t", open+"t")
		}, "GROUP-READ", "TOPIC-DESCRIBE").change(nil),
		ask("StreamsGroupHeartbeat with a changelog", 88, func(q *kmsg.StreamsGroupHeartbeatRequest, c in) {
			*q = *streamsHeartbeat(shut+"stc."+c.token, open+"t")
			log := kmsg.NewTopicInfo()
			log.Topic, log.ReplicationFactor = shut+"log."+c.token, 1
			q.Topology.Subtopologies[0].StateChangelogTopics = []kmsg.TopicInfo{log}
		}, "GROUP-READ", "TOPIC-DESCRIBE", "TOPIC-CREATE").change(nil),
		ask("StreamsGroupDescribe", 89, func(q *kmsg.StreamsGroupDescribeRequest, c in) { q.Groups = streams }, "GROUP-DESCRIBE", "TOPIC-DESCRIBE"),
		ask("StreamsGroupDescribe with operations", 89, func(q *kmsg.StreamsGroupDescribeRequest, c in) {
			q.Groups, q.IncludeAuthorizedOperations = streams, true
		}, "GROUP-DESCRIBE", "TOPIC-DESCRIBE", "GROUP-READ", "GROUP-DELETE", "GROUP-DESCRIBE_CONFIGS", "GROUP-ALTER_CONFIGS"),
		ask("DescribeShareGroupOffsets", 90, func(q *kmsg.DescribeShareGroupOffsetsRequest, c in) {
			q.Groups = each([]string{shut + "so", open + "so", "other.so"}, func(g string) kmsg.DescribeShareGroupOffsetsRequestGroup {
				return kmsg.DescribeShareGroupOffsetsRequestGroup{GroupID: g, Topics: each(existing, func(t string) kmsg.DescribeShareGroupOffsetsRequestGroupTopic {
					return kmsg.DescribeShareGroupOffsetsRequestGroupTopic{Topic: t, Partitions: []int32{0}}
				})}
			})
		}, "GROUP-DESCRIBE", "TOPIC-DESCRIBE").from(1).slow(),
		ask("DescribeShareGroupOffsets of all topics", 90, func(q *kmsg.DescribeShareGroupOffsetsRequest, c in) {
			q.Groups = each([]string{shut + "so", open + "so", "other.so"}, func(g string) kmsg.DescribeShareGroupOffsetsRequestGroup {
				return kmsg.DescribeShareGroupOffsetsRequestGroup{GroupID: g}
			})
		}, "GROUP-DESCRIBE", "TOPIC-DESCRIBE").from(1).slow(),
		ask("AlterShareGroupOffsets", 91, func(q *kmsg.AlterShareGroupOffsetsRequest, c in) {
			q.GroupID = shut + "so"
			q.Topics = each(topics, func(t string) kmsg.AlterShareGroupOffsetsRequestTopic {
				return kmsg.AlterShareGroupOffsetsRequestTopic{Topic: t, Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{Partition: 0, StartOffset: 1}}}
			})
		}, "GROUP-READ", "TOPIC-READ"),
		ask("DeleteShareGroupOffsets", 92, func(q *kmsg.DeleteShareGroupOffsetsRequest, c in) {
			q.GroupID = shut + "sgd." + c.token
			q.Topics = each(topics, func(t string) kmsg.DeleteShareGroupOffsetsRequestTopic {
				return kmsg.DeleteShareGroupOffsetsRequestTopic{Topic: t}
			})
		}, "GROUP-DELETE", "TOPIC-READ").change(func(t testing.TB, s *side, token string) {
			until(t, token, func() (int16, bool) { return s.shareOffsets(t, shut+"sgd."+token), true })
		}),
	}
}

func transactionEntries() []entry {
	return []entry{
		ask("InitProducerId", 22, func(q *kmsg.InitProducerIDRequest, c in) { q.TransactionTimeoutMillis = 60000 }),
		ask("InitProducerId of a transaction", 22, func(q *kmsg.InitProducerIDRequest, c in) {
			q.TransactionalID, q.TransactionTimeoutMillis = ptr(shut+"init."+c.token), 60000
		}, "TRANSACTIONAL_ID-WRITE"),
		ask("AddPartitionsToTxn", 24, func(q *kmsg.AddPartitionsToTxnRequest, c in) {
			q.TransactionalID, q.ProducerID = shut+"x", strangerID
			q.Topics = each([]string{shut + "t", open + "t"}, func(t string) kmsg.AddPartitionsToTxnRequestTopic {
				return kmsg.AddPartitionsToTxnRequestTopic{Topic: t, Partitions: []int32{0, 1}}
			})
		}, "TRANSACTIONAL_ID-WRITE", "TOPIC-WRITE").to(3),
		ask("AddPartitionsToTxn of all", 24, func(q *kmsg.AddPartitionsToTxnRequest, c in) {
			q.TransactionalID, q.ProducerID = open+"x", strangerID
			q.Topics = each(append([]string{"__consumer_offsets"}, topics...), func(t string) kmsg.AddPartitionsToTxnRequestTopic {
				return kmsg.AddPartitionsToTxnRequestTopic{Topic: t, Partitions: []int32{0, 1}}
			})
		}, "TOPIC-WRITE").to(3),
		ask("AddOffsetsToTxn", 25, func(q *kmsg.AddOffsetsToTxnRequest, c in) {
			q.TransactionalID, q.ProducerID, q.Group = shut+"x", strangerID, shut+"g"
		}, "TRANSACTIONAL_ID-WRITE", "GROUP-READ"),
		ask("EndTxn", 26, func(q *kmsg.EndTxnRequest, c in) { q.TransactionalID, q.ProducerID = shut+"x", strangerID }, "TRANSACTIONAL_ID-WRITE"),
		ask("TxnOffsetCommit", 28, func(q *kmsg.TxnOffsetCommitRequest, c in) {
			q.TransactionalID, q.ProducerID, q.Group, q.Generation = shut+"x", strangerID, shut+"txng."+c.token, -1
			q.Topics = each(topics, func(topic string) kmsg.TxnOffsetCommitRequestTopic {
				t := kmsg.NewTxnOffsetCommitRequestTopic()
				t.Topic = topic
				for _, p := range []int32{0, 9} {
					tp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
					tp.Partition, tp.Offset = p, 1
					t.Partitions = append(t.Partitions, tp)
				}
				return t
			})
		}, "TRANSACTIONAL_ID-WRITE", "GROUP-READ", "TOPIC-READ").change(nil),
		ask("DescribeTransactions", 65, func(q *kmsg.DescribeTransactionsRequest, c in) { q.TransactionalIDs = txns }, "TRANSACTIONAL_ID-DESCRIBE", "TOPIC-DESCRIBE"),
		ask("ListTransactions", 66, func(q *kmsg.ListTransactionsRequest, c in) { q.StateFilters = []string{"Ongoing"} }, "TRANSACTIONAL_ID-DESCRIBE"),
		ask("WriteTxnMarkers", 27, func(q *kmsg.WriteTxnMarkersRequest, c in) {
			marker := kmsg.NewWriteTxnMarkersRequestMarker()
			marker.ProducerID = strangerID
			marker.Topics = each([]string{shut + "p", "other.p", open + "absent"}, func(t string) kmsg.WriteTxnMarkersRequestMarkerTopic {
				return kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: t, Partitions: []int32{0, 1}}
			})
			q.Markers = []kmsg.WriteTxnMarkersRequestMarker{marker}
		}).from(1).change(nil),
	}
}
