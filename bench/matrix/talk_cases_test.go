package matrix

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// talks are about all that a broker remembers of a client: sessions, members,
// producers, transactions.
func talks() []talk {
	all := []talk{fetchTalk(), shareTalk(), consumerTalk(), shareMemberTalk(), streamsTalk(), produceTalk()}
	all = append(all, classicTalks()...)
	return append(all, transactionTalks()...)
}

// fetcher is a client's part in a fetch session (KIP-227), as Kafka's own client
// plays it: all topics to begin with, then what is added and forgotten; after an
// error, or an answer without a session, it begins anew.
type fetcher struct {
	id, epoch int32
	held      []string
}

func (f *fetcher) fill(q *kmsg.FetchRequest, mem *memo, want ...string) {
	q.MaxBytes, q.SessionID, q.SessionEpoch = 1<<20, f.id, f.epoch
	var forgotten []string
	for _, topic := range f.held {
		if f.epoch > 0 && !slices.Contains(want, topic) {
			forgotten = append(forgotten, topic)
		}
	}
	q.ForgottenTopics = each(forgotten, func(topic string) kmsg.FetchRequestForgottenTopic {
		return kmsg.FetchRequestForgottenTopic{Topic: topic, TopicID: mem.side.id(topic), Partitions: []int32{0, 9}}
	})
	for _, topic := range want {
		if f.epoch > 0 && slices.Contains(f.held, topic) {
			continue
		}
		ft := kmsg.NewFetchRequestTopic()
		ft.Topic, ft.TopicID = topic, mem.side.id(topic)
		for _, p := range []int32{0, 9} {
			fp := kmsg.NewFetchRequestTopicPartition()
			fp.Partition, fp.PartitionMaxBytes = p, 1<<20
			ft.Partitions = append(ft.Partitions, fp)
		}
		q.Topics = append(q.Topics, ft)
	}
	f.held = want
}

func (f *fetcher) heard(resp *kmsg.FetchResponse) {
	if resp.ErrorCode != 0 || resp.SessionID == 0 {
		f.id, f.epoch = 0, 0
		return
	}
	f.id, f.epoch = resp.SessionID, f.epoch+1
}

func fetchTalk() talk {
	fetch := func(name string, want ...string) step {
		return say(name, fetchKey, 0,
			func(q *kmsg.FetchRequest, mem *memo) { mem.fetch.fill(q, mem, want...) },
			func(resp *kmsg.FetchResponse, mem *memo) { mem.fetch.heard(resp) })
	}
	add := fetch("a topic more", open+"t", shut+"t")
	foreign := fetch("a foreign topic more", open+"t", shut+"t", "other.t")
	forget := fetch("a topic less", open+"t", shut+"t")
	return talk{
		name: "Fetch in a session", key: fetchKey, min: 7, max: anyVersion, needs: []string{"TOPIC-READ"},
		steps: []step{
			fetch("begun", open+"t"), fetch("begun", open+"t").again("go on"), add, add.again("go on with one more"),
			foreign, foreign.again("go on with a foreign one"), forget, forget.again("go on with one less"),
			forget.again("go on after the turn"), forget.again("go on, next"), forget.again("and next"),
			fetch("only the other", shut+"t"),
		},
		turn: 8,
	}
}

func shareTalk() talk {
	fetch := func(name string, epoch func(*memo) int32, topics, forgotten []string) step {
		return say(name, shareFetchKey, 1, func(q *kmsg.ShareFetchRequest, mem *memo) {
			q.GroupID, q.MemberID, q.MaxBytes, q.MaxRecords, q.BatchSize = ptr(shut+"sg"), ptr(memberID(mem.token)), 1<<20, 1, 1
			q.ShareSessionEpoch = epoch(mem)
			q.Topics = each(topics, func(topic string) kmsg.ShareFetchRequestTopic {
				return kmsg.ShareFetchRequestTopic{TopicID: mem.side.id(topic), Partitions: []kmsg.ShareFetchRequestTopicPartition{{Partition: 0}, {Partition: 9}}}
			})
			q.ForgottenTopicsData = each(forgotten, func(topic string) kmsg.ShareFetchRequestForgottenTopicsData {
				return kmsg.ShareFetchRequestForgottenTopicsData{TopicID: mem.side.id(topic), Partitions: []int32{0, 9}}
			})
		}, func(resp *kmsg.ShareFetchResponse, mem *memo) {
			if resp.ErrorCode == 0 {
				mem.shareEpoch++
			}
		})
	}
	first := func(*memo) int32 { return 0 }
	next := func(mem *memo) int32 { return mem.shareEpoch }
	acknowledge := say("acknowledge", shareAcknowledgeKey, 1, func(q *kmsg.ShareAcknowledgeRequest, mem *memo) {
		q.GroupID, q.MemberID, q.ShareSessionEpoch = ptr(shut+"sg"), ptr(memberID(mem.token)), mem.shareEpoch
		q.Topics = each([]string{open + "t", shut + "t"}, func(topic string) kmsg.ShareAcknowledgeRequestTopic {
			return kmsg.ShareAcknowledgeRequestTopic{TopicID: mem.side.id(topic), Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{Partition: 9}}}
		})
	}, func(resp *kmsg.ShareAcknowledgeResponse, mem *memo) {
		if resp.ErrorCode == 0 {
			mem.shareEpoch++
		}
	})
	return talk{
		name: "ShareFetch in a session", key: shareFetchKey, max: anyVersion, needs: []string{"GROUP-READ", "TOPIC-READ"},
		steps: []step{
			fetch("begun", first, []string{open + "t"}, nil), fetch("a topic more", next, []string{shut + "t"}, nil),
			fetch("go on", next, nil, nil), fetch("a foreign topic more", next, []string{"other.t"}, nil), fetch("go on with a foreign one", next, nil, nil),
			fetch("a topic less", next, nil, []string{"other.t"}), fetch("go on with one less", next, nil, nil), acknowledge,
			fetch("go on after the turn", next, nil, nil), fetch("go on, next", next, nil, nil), acknowledge.again("acknowledge again"),
			fetch("another topic less", next, nil, []string{shut + "t"}), fetch("go on, last", next, nil, nil),
			fetch("ended", func(*memo) int32 { return -1 }, nil, nil),
		},
		turn: 8,
	}
}

func consumerTalk() talk {
	beat := func(name string, topics ...string) step {
		return say(name, 68, 1, func(q *kmsg.ConsumerGroupHeartbeatRequest, mem *memo) {
			q.Group, q.MemberID, q.MemberEpoch, q.RebalanceTimeoutMillis = shut+"live."+mem.token, mem.member, mem.epoch, 5000
			if mem.version > 0 && mem.member == "" {
				q.MemberID = "member"
			}
			if topics != nil {
				q.SubscribedTopicNames = topics
			}
			if mem.epoch == 0 {
				q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			}
		}, func(resp *kmsg.ConsumerGroupHeartbeatResponse, mem *memo) {
			if resp.ErrorCode == 0 {
				mem.epoch = resp.MemberEpoch
				if resp.MemberID != nil {
					mem.member = *resp.MemberID
				}
			}
		})
	}
	leave := say[*kmsg.ConsumerGroupHeartbeatRequest, *kmsg.ConsumerGroupHeartbeatResponse]("leave", 68, 1, func(q *kmsg.ConsumerGroupHeartbeatRequest, mem *memo) {
		q.Group, q.MemberID, q.MemberEpoch = shut+"live."+mem.token, mem.member, -1
	}, nil)
	return talk{
		name: "ConsumerGroupHeartbeat of a member", key: 68, max: anyVersion, needs: []string{"GROUP-READ", "TOPIC-DESCRIBE"},
		steps: []step{
			beat("join", open+"t"), beat("beat"), beat("a foreign topic more", open+"t", "other.t"), beat("beat again"), beat("a topic more", open+"t", shut+"t"),
			beat("beat before the turn"), beat("beat after the turn"), beat("both topics", open+"t", shut+"t"), beat("one topic", open+"t"), leave,
		},
		turn: 6,
	}
}

func shareMemberTalk() talk {
	beat := func(name string, topics ...string) step {
		return say(name, 76, 1, func(q *kmsg.ShareGroupHeartbeatRequest, mem *memo) {
			q.GroupID, q.MemberID, q.MemberEpoch = shut+"slive."+mem.token, "member", mem.epoch
			if topics != nil {
				q.SubscribedTopicNames = topics
			}
		}, func(resp *kmsg.ShareGroupHeartbeatResponse, mem *memo) {
			if resp.ErrorCode == 0 {
				mem.epoch = resp.MemberEpoch
			}
		})
	}
	leave := say[*kmsg.ShareGroupHeartbeatRequest, *kmsg.ShareGroupHeartbeatResponse]("leave", 76, 1, func(q *kmsg.ShareGroupHeartbeatRequest, mem *memo) {
		q.GroupID, q.MemberID, q.MemberEpoch = shut+"slive."+mem.token, "member", -1
	}, nil)
	return talk{
		name: "ShareGroupHeartbeat of a member", key: 76, max: anyVersion, needs: []string{"GROUP-READ", "TOPIC-DESCRIBE"},
		steps: []step{
			beat("join", open+"t"), beat("beat"), beat("a foreign topic more", open+"t", "other.t"), beat("beat again"), beat("a topic more", open+"t", shut+"t"),
			beat("beat before the turn"), beat("beat after the turn"), beat("both topics", open+"t", shut+"t"), beat("one topic", open+"t"), leave,
		},
		turn: 6,
	}
}

func streamsTalk() talk {
	beat := func(name string, topics ...string) step {
		return say(name, 88, 0, func(q *kmsg.StreamsGroupHeartbeatRequest, mem *memo) {
			version := q.Version
			*q = *streamsHeartbeat(shut+"stlive."+mem.token, topics...)
			q.Version, q.MemberEpoch = version, mem.epoch
			if topics == nil {
				q.Topology = nil
			}
		}, func(resp *kmsg.StreamsGroupHeartbeatResponse, mem *memo) {
			if resp.ErrorCode == 0 {
				mem.epoch = resp.MemberEpoch
			}
		})
	}
	leave := say[*kmsg.StreamsGroupHeartbeatRequest, *kmsg.StreamsGroupHeartbeatResponse]("leave", 88, 0, func(q *kmsg.StreamsGroupHeartbeatRequest, mem *memo) {
		q.Group, q.MemberID, q.MemberEpoch = shut+"stlive."+mem.token, "member", -1
	}, nil)
	return talk{
		name: "StreamsGroupHeartbeat of a member", key: 88, max: anyVersion, needs: []string{"GROUP-READ", "TOPIC-DESCRIBE"},
		steps: []step{
			beat("join", open+"t"), beat("beat"), beat("a foreign topic more", open+"t", "other.t"), beat("beat again"), beat("a topic more", open+"t", shut+"t"),
			beat("beat before the turn"), beat("beat after the turn"), beat("both topics", open+"t", shut+"t"), leave,
		},
		turn: 6,
	}
}

// classicTalks are of a member of a classic group, for each API that it uses.
func classicTalks() []talk {
	const joinKey, syncKey, beatKey, leaveKey, commitKey = 11, 14, 12, 13, 8
	group := func(mem *memo) string { return shut + "classic." + mem.token }
	join := say("join", joinKey, 5, func(q *kmsg.JoinGroupRequest, mem *memo) {
		q.Group, q.MemberID, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis, q.ProtocolType = group(mem), mem.member, 600_000, 10_000, "consumer"
		q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
	}, func(resp *kmsg.JoinGroupResponse, mem *memo) { mem.member, mem.epoch = resp.MemberID, resp.Generation })
	sync := say[*kmsg.SyncGroupRequest, *kmsg.SyncGroupResponse]("sync", syncKey, 3, func(q *kmsg.SyncGroupRequest, mem *memo) {
		q.Group, q.MemberID, q.Generation, q.ProtocolType, q.Protocol = group(mem), mem.member, mem.epoch, ptr("consumer"), ptr("range")
		q.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: mem.member, MemberAssignment: []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
	}, nil)
	beat := say[*kmsg.HeartbeatRequest, *kmsg.HeartbeatResponse]("beat", beatKey, 3, func(q *kmsg.HeartbeatRequest, mem *memo) {
		q.Group, q.MemberID, q.Generation = group(mem), mem.member, mem.epoch
	}, nil)
	leave := say[*kmsg.LeaveGroupRequest, *kmsg.LeaveGroupResponse]("leave", leaveKey, 3, func(q *kmsg.LeaveGroupRequest, mem *memo) {
		q.Group, q.MemberID, q.Members = group(mem), mem.member, []kmsg.LeaveGroupRequestMember{{MemberID: mem.member}}
	}, nil)
	commit := say[*kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse]("commit", commitKey, 7, func(q *kmsg.OffsetCommitRequest, mem *memo) {
		q.Group, q.MemberID, q.Generation = group(mem), mem.member, mem.epoch
		q.Topics = each([]string{open + "t", shut + "t"}, func(topic string) kmsg.OffsetCommitRequestTopic {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = topic, mem.side.id(topic)
			t.Partitions = append(t.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
			return t
		})
	}, nil)
	steps := []step{
		join, join.again("join with an id"), sync, beat, commit,
		beat.again("beat after the turn"), commit.again("commit after the turn"), sync.again("sync after the turn"), leave,
	}
	of := func(name string, key, from int16, needs ...string) talk {
		return talk{name: name + " of a member", key: key, min: from, max: anyVersion, needs: needs, steps: steps, turn: 5}
	}
	return []talk{
		of("JoinGroup", joinKey, 4, "GROUP-READ", "TOPIC-READ"), of("SyncGroup", syncKey, 0, "GROUP-READ", "TOPIC-READ"),
		of("Heartbeat", beatKey, 0, "GROUP-READ", "TOPIC-READ"), of("LeaveGroup", leaveKey, 0, "GROUP-READ", "TOPIC-READ"),
		of("OffsetCommit", commitKey, 2, "GROUP-READ", "TOPIC-READ"),
	}
}
