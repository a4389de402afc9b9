package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestShareGroupHeartbeat(t *testing.T) {
	beat := func(group string, topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.ShareGroupHeartbeatRequest{GroupID: group, MemberID: "m", SubscribedTopicNames: topics}
		}
	}
	refused := func(code int16, text string) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.ShareGroupHeartbeatResponse{ErrorCode: code, ErrorMessage: &text}
		}
	}
	passed := func(int16) kmsg.Response {
		return &kmsg.ShareGroupHeartbeatResponse{MemberID: name("m"), MemberEpoch: 1}
	}
	j := judge(nil, "READ group g", "DESCRIBE topic mine")
	runSplitCases(t, []splitCase{
		{name: "allowed", key: 76, judge: j, req: beat("g", "mine"), rest: beat("g", "mine"), answer: passed, want: passed},
		{name: "unchanged", key: 76, judge: j, req: beat("g"), rest: beat("g"), answer: passed, want: passed},
		{name: "group denied", key: 76, judge: j, req: beat("h", "mine"), want: refused(30, "Group authorization failed.")},
		{name: "topic denied", key: 76, judge: j, req: beat("g", "mine", "theirs"), want: refused(29, "Topic authorization failed.")},
	})
}

func TestShareGroupDescribe(t *testing.T) {
	const notAsked = -1 << 31
	type group = kmsg.ShareGroupDescribeResponseGroup
	answer := func(groups ...group) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.ShareGroupDescribeResponse{Groups: groups} }
	}
	ask := func(groups ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return &kmsg.ShareGroupDescribeRequest{GroupIDs: groups} }
	}
	with := func(id string, ops int32, topics ...string) group {
		m := kmsg.ShareGroupDescribeResponseGroupMember{MemberID: "m"}
		for _, topic := range topics {
			m.Assignment.TopicPartitions = append(m.Assignment.TopicPartitions, kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition{TopicID: topicID(topic), Topic: topic})
		}
		return group{GroupID: id, GroupState: "Stable", AuthorizedOperations: ops, Members: []kmsg.ShareGroupDescribeResponseGroupMember{m, {MemberID: "n"}}}
	}
	denied := group{GroupID: "h", ErrorCode: 30, AuthorizedOperations: notAsked}
	hidden := group{GroupID: "k", ErrorCode: 29, ErrorMessage: name(groupHidden), AuthorizedOperations: notAsked}
	j := judge(nil, "DESCRIBE group g", "DESCRIBE group k", "DESCRIBE topic mine")
	runSplitCases(t, []splitCase{{
		name: "denied and hidden", key: 77, judge: j, req: ask("h", "g", "k"), rest: ask("g", "k"),
		answer: answer(with("g", 1<<OpRead|1<<OpDescribe, "mine"), with("k", notAsked, "mine", "theirs")),
		want:   answer(with("g", 1<<OpDescribe, "mine"), hidden, denied),
	}, {
		name: "all denied", key: 77, judge: j, req: ask("h"), want: answer(denied),
	}})
}

type (
	fetchPart = kmsg.ShareFetchResponseTopicPartition
	ackPart   = kmsg.ShareAcknowledgeResponseTopicPartition
)

// shareFetch asks for two partitions of each topic, with acknowledgements for the second.
func shareFetch(group string, forgotten []string, topics ...string) *kmsg.ShareFetchRequest {
	req := &kmsg.ShareFetchRequest{GroupID: &group, MemberID: name("m"), ShareSessionEpoch: 3, MaxWaitMillis: 500, MaxBytes: 1 << 20}
	for _, topic := range topics {
		req.Topics = append(req.Topics, kmsg.ShareFetchRequestTopic{TopicID: topicID(topic), Partitions: []kmsg.ShareFetchRequestTopicPartition{
			{Partition: 0}, {Partition: 1, AcknowledgementBatches: []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{{FirstOffset: 1, LastOffset: 2, AcknowledgeTypes: []int8{1}}}},
		}})
	}
	for _, topic := range forgotten {
		req.ForgottenTopicsData = append(req.ForgottenTopicsData, kmsg.ShareFetchRequestForgottenTopicsData{TopicID: topicID(topic), Partitions: []int32{0}})
	}
	return req
}

func shareFetched(topics ...kmsg.ShareFetchResponseTopic) *kmsg.ShareFetchResponse {
	return &kmsg.ShareFetchResponse{AcquisitionLockTimeoutMillis: 30000, Topics: topics}
}

func gotRecords(topic string) kmsg.ShareFetchResponseTopic {
	return kmsg.ShareFetchResponseTopic{TopicID: topicID(topic), Partitions: []fetchPart{{
		Records: []byte("records"), AcquiredRecords: []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{{LastOffset: 6, DeliveryCount: 1}},
	}}}
}

func noRecords(topic string, code int16, text string) kmsg.ShareFetchResponseTopic {
	a, b := fetchPart{Partition: 0, ErrorCode: code, ErrorMessage: &text, Records: []byte{}}, fetchPart{Partition: 1, ErrorCode: code, ErrorMessage: &text, Records: []byte{}}
	b.AcknowledgeErrorCode, b.AcknowledgeErrorMessage = code, &text
	a.CurrentLeader.LeaderID, a.CurrentLeader.LeaderEpoch, b.CurrentLeader.LeaderID, b.CurrentLeader.LeaderEpoch = -1, -1, -1, -1
	return kmsg.ShareFetchResponseTopic{TopicID: topicID(topic), Partitions: []fetchPart{a, b}}
}

const (
	noTopicText = "Topic authorization failed."
	noIDText    = "This server does not host this topic ID."
)

func TestShareFetch(t *testing.T) {
	ask := func(group string, forgotten []string, topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return shareFetch(group, forgotten, topics...) }
	}
	answer := func(topics ...kmsg.ShareFetchResponseTopic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return shareFetched(topics...) }
	}
	failed := func(int16) kmsg.Response { return &kmsg.ShareFetchResponse{ErrorCode: 122} }
	null := func(int16) kmsg.Request {
		req := shareFetch("", nil, "mine")
		req.GroupID = nil
		return req
	}
	noGroup := func(int16) kmsg.Response {
		return &kmsg.ShareFetchResponse{ErrorCode: 30, ErrorMessage: name("Group authorization failed.")}
	}
	revoked := kmsg.ShareFetchResponseTopic{TopicID: topicID("theirs"), Partitions: []fetchPart{{ErrorCode: 29, ErrorMessage: name(noTopicText), Records: []byte{}}}}
	j := reads()
	runSplitCases(t, []splitCase{{
		name: "topics denied and unknown", key: 78, judge: j,
		req: ask("g", []string{"theirs", "mine", "gone"}, "theirs", "mine", "gone"), rest: ask("g", []string{"theirs", "mine", "gone"}, "mine"),
		answer: answer(gotRecords("mine")), want: answer(gotRecords("mine"), noRecords("theirs", 29, noTopicText), noRecords("gone", 100, noIDText)),
	}, {
		name: "all topics denied still counts the session's epoch", key: 78, judge: j,
		req: ask("g", nil, "theirs"), rest: ask("g", nil), answer: answer(), want: answer(noRecords("theirs", 29, noTopicText)),
	}, {
		name: "the session fails", key: 78, judge: j,
		req: ask("g", nil, "theirs"), rest: ask("g", nil), answer: failed, want: failed,
	}, {
		name: "group denied", key: 78, judge: j, req: ask("h", nil, "mine"), want: noGroup,
	}, {
		name: "null group", key: 78, judge: j, req: null, want: noGroup,
	}, {
		name: "records of a topic that was denied since", key: 78, judge: j,
		req: ask("g", nil), rest: ask("g", nil), answer: answer(gotRecords("theirs"), gotRecords("mine")), want: answer(revoked, gotRecords("mine")),
	}})
}

func shareAck(group string, topics ...string) *kmsg.ShareAcknowledgeRequest {
	req := &kmsg.ShareAcknowledgeRequest{GroupID: &group, MemberID: name("m"), ShareSessionEpoch: 3}
	for _, topic := range topics {
		req.Topics = append(req.Topics, kmsg.ShareAcknowledgeRequestTopic{TopicID: topicID(topic), Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{
			Partition: 1, AcknowledgementBatches: []kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch{{LastOffset: 2, AcknowledgeTypes: []int8{1}}},
		}}})
	}
	return req
}

func TestShareAcknowledge(t *testing.T) {
	type topic = kmsg.ShareAcknowledgeResponseTopic
	ask := func(group string, topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return shareAck(group, topics...) }
	}
	answer := func(topics ...topic) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.ShareAcknowledgeResponse{Topics: topics} }
	}
	failed := func(int16) kmsg.Response { return &kmsg.ShareAcknowledgeResponse{ErrorCode: 123} }
	done := topic{TopicID: topicID("mine"), Partitions: []ackPart{{Partition: 1}}}
	refused := func(of string, code int16, text string) topic {
		p := ackPart{Partition: 1, ErrorCode: code, ErrorMessage: &text}
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = -1, -1
		return topic{TopicID: topicID(of), Partitions: []ackPart{p}}
	}
	j := reads()
	runSplitCases(t, []splitCase{{
		name: "topics denied and unknown", key: 79, judge: j, req: ask("g", "theirs", "mine", "gone"), rest: ask("g", "mine"),
		answer: answer(done), want: answer(done, refused("theirs", 29, noTopicText), refused("gone", 100, noIDText)),
	}, {
		name: "all topics denied still counts the session's epoch", key: 79, judge: j, req: ask("g", "theirs"), rest: ask("g"),
		answer: answer(), want: answer(refused("theirs", 29, noTopicText)),
	}, {
		name: "the session fails", key: 79, judge: j, req: ask("g", "theirs"), rest: ask("g"), answer: failed, want: failed,
	}, {
		name: "group denied", key: 79, judge: j, req: ask("h", "mine"),
		want: func(int16) kmsg.Response {
			return &kmsg.ShareAcknowledgeResponse{ErrorCode: 30, ErrorMessage: name("Group authorization failed.")}
		},
	}})
}

// TestShareAddresses: a leader counts only with the errors 6 and 74, and nodes
// without a virtual address are left out.
func TestShareAddresses(t *testing.T) {
	fetch := func(code int16, leader, epoch int32) fetchPart {
		p := fetchPart{ErrorCode: code, Records: []byte{}}
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = leader, epoch
		return p
	}
	ack := func(code int16, leader, epoch int32) ackPart {
		p := ackPart{ErrorCode: code}
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = leader, epoch
		return p
	}
	type fetchNode = kmsg.ShareFetchResponseNodeEndpoint
	type ackNode = kmsg.ShareAcknowledgeResponseNodeEndpoint
	runRewriteCases(t, []rewriteCase{{
		name: "fetch", key: 78,
		resp: &kmsg.ShareFetchResponse{
			Topics:        []kmsg.ShareFetchResponseTopic{{Partitions: []fetchPart{fetch(0, 1, 4), fetch(6, 2, 4), fetch(74, 1, 5), fetch(6, 9, 4), fetch(6, -1, -1), fetch(29, 2, 0)}}},
			NodeEndpoints: []fetchNode{{NodeID: 2, Host: "broker", Port: 9092, Rack: name("r")}, {NodeID: 9, Host: "broker", Port: 9092}},
		},
		wantResp: &kmsg.ShareFetchResponse{
			Topics:        []kmsg.ShareFetchResponseTopic{{Partitions: []fetchPart{fetch(0, -1, -1), fetch(6, virtual(2), 4), fetch(74, virtual(1), 5), fetch(6, -1, -1), fetch(6, -1, -1), fetch(29, -1, -1)}}},
			NodeEndpoints: []fetchNode{{NodeID: virtual(2), Host: "gateway.example", Port: 9102, Rack: name("r")}},
		},
	}, {
		name: "acknowledge", key: 79,
		resp: &kmsg.ShareAcknowledgeResponse{
			Topics:        []kmsg.ShareAcknowledgeResponseTopic{{Partitions: []ackPart{ack(0, 1, 4), ack(6, 2, 4), ack(74, 1, 5), ack(6, 9, 4), ack(100, 2, 0)}}},
			NodeEndpoints: []ackNode{{NodeID: 9, Host: "broker", Port: 9092}, {NodeID: 1, Host: "broker", Port: 9092}},
		},
		wantResp: &kmsg.ShareAcknowledgeResponse{
			Topics:        []kmsg.ShareAcknowledgeResponseTopic{{Partitions: []ackPart{ack(0, -1, -1), ack(6, virtual(2), 4), ack(74, virtual(1), 5), ack(6, -1, -1), ack(100, -1, -1)}}},
			NodeEndpoints: []ackNode{{NodeID: virtual(1), Host: "gateway.example", Port: 9101}},
		},
	}})
}

func TestDescribeShareGroupOffsets(t *testing.T) {
	type askedTopic = kmsg.DescribeShareGroupOffsetsRequestGroupTopic
	type part = kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition
	type topic = kmsg.DescribeShareGroupOffsetsResponseGroupTopic
	type group = kmsg.DescribeShareGroupOffsetsResponseGroup
	asked := func(id string, topics ...string) kmsg.DescribeShareGroupOffsetsRequestGroup {
		g := kmsg.DescribeShareGroupOffsetsRequestGroup{GroupID: id}
		for _, name := range topics {
			g.Topics = append(g.Topics, askedTopic{Topic: name, Partitions: []int32{4}})
		}
		return g
	}
	ask := func(groups ...kmsg.DescribeShareGroupOffsetsRequestGroup) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return &kmsg.DescribeShareGroupOffsetsRequest{Groups: groups} }
	}
	answer := func(groups ...group) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.DescribeShareGroupOffsetsResponse{Groups: groups} }
	}
	known := func(name string) topic {
		return topic{Topic: name, TopicID: topicID(name), Partitions: []part{{Partition: 4, StartOffset: 8, Lag: 2}}}
	}
	refused := topic{Topic: "theirs", Partitions: []part{{Partition: 4, StartOffset: -1, Lag: -1, ErrorCode: 29, ErrorMessage: name(noTopicText)}}}
	found := func(id string, topics ...topic) group { return group{GroupID: id, Topics: topics} }
	denied := group{GroupID: "h", ErrorCode: 30}
	failed := group{GroupID: "g", ErrorCode: 16}
	j := judge(nil, "DESCRIBE group g", "DESCRIBE group k", "DESCRIBE group l", "DESCRIBE topic mine", "DESCRIBE topic also")
	runSplitCases(t, []splitCase{{
		name: "groups and topics denied", key: 90, judge: j,
		req: ask(asked("h", "mine"), asked("g", "theirs", "mine"), asked("k"), asked("l", "theirs")), rest: ask(asked("g", "mine"), asked("k")),
		answer: answer(found("g", known("mine")), found("k", known("theirs"), known("also"))),
		want:   answer(found("g", known("mine"), refused), found("k", known("also")), denied, found("l", refused)),
	}, {
		name: "a group fails", key: 90, judge: j, req: ask(asked("g", "theirs", "mine")), rest: ask(asked("g", "mine")),
		answer: answer(failed), want: answer(failed),
	}, {
		name: "nothing is left", key: 90, judge: j, req: ask(asked("h"), asked("l", "theirs")), want: answer(denied, found("l", refused)),
	}})
}
