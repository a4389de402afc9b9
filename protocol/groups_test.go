package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// reads and describes are grants on group g with topics mine and also.
func reads() *fakeJudge {
	return judge([]string{"mine", "also", "theirs"}, "READ group g", "READ topic mine", "READ topic also")
}

func describes() *fakeJudge {
	return judge([]string{"mine", "also", "theirs"}, "DESCRIBE group g", "DESCRIBE topic mine", "DESCRIBE topic also")
}

func commitRequest(group string, byID bool, topics ...string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.Topics = group, 3, "m", []kmsg.OffsetCommitRequestTopic{}
	for _, name := range topics {
		t := kmsg.NewOffsetCommitRequestTopic()
		if t.Topic = name; byID {
			t.Topic, t.TopicID = "", topicID(name)
		}
		for n := range int32(2) {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset = n, 10+int64(n)
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// committed is an answer of which each name stands for a topic's two partitions.
func committed(byID bool, codes ...any) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for i := 0; i < len(codes); i += 2 {
		t := kmsg.NewOffsetCommitResponseTopic()
		if t.Topic = codes[i].(string); byID {
			t.Topic, t.TopicID = "", topicID(codes[i].(string))
		}
		for n := range int32(2) {
			t.Partitions = append(t.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: n, ErrorCode: int16(codes[i+1].(int))})
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func TestOffsetCommit(t *testing.T) {
	named := func(v int16) bool { return v >= 10 }
	runSplitCases(t, []splitCase{{
		name: "some topics denied", key: 8, judge: reads(),
		req:    func(v int16) kmsg.Request { return commitRequest("g", named(v), "mine", "theirs", "also") },
		rest:   func(v int16) kmsg.Request { return commitRequest("g", named(v), "mine", "also") },
		answer: func(v int16) kmsg.Response { return committed(named(v), "mine", 0, "also", 25) },
		want:   func(v int16) kmsg.Response { return committed(named(v), "mine", 0, "also", 25, "theirs", 29) },
	}, {
		name: "all topics denied", key: 8, judge: reads(),
		req:  func(v int16) kmsg.Request { return commitRequest("g", named(v), "theirs") },
		want: func(v int16) kmsg.Response { return committed(named(v), "theirs", 29) },
	}, {
		name: "group denied", key: 8, judge: reads(),
		req:  func(v int16) kmsg.Request { return commitRequest("h", named(v), "mine", "theirs") },
		want: func(v int16) kmsg.Response { return committed(named(v), "mine", 30, "theirs", 30) },
	}, {
		name: "unknown id", key: 8, min: 10, judge: reads(),
		req:    func(int16) kmsg.Request { return commitRequest("g", true, "mine", "gone") },
		rest:   func(int16) kmsg.Request { return commitRequest("g", true, "mine") },
		answer: func(int16) kmsg.Response { return committed(true, "mine", 0) },
		want:   func(int16) kmsg.Response { return committed(true, "mine", 0, "gone", 100) },
	}})
}

func offsetsRequest(group string, topics ...string) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	for _, name := range topics {
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0, 1}})
	}
	return req
}

func offsets(code int16, codes ...any) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.ErrorCode = code
	for i := 0; i < len(codes); i += 2 {
		t := kmsg.OffsetFetchResponseTopic{Topic: codes[i].(string)}
		for n := range int32(2) {
			p := kmsg.OffsetFetchResponseTopicPartition{Partition: n, Offset: 7, LeaderEpoch: 1, Metadata: name("note"), ErrorCode: int16(codes[i+1].(int))}
			if p.ErrorCode != 0 {
				p.Offset, p.LeaderEpoch, p.Metadata = -1, -1, name("")
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func TestOffsetFetch(t *testing.T) {
	runSplitCases(t, []splitCase{{
		name: "some topics denied", key: 9, max: 7, judge: describes(),
		req:    func(int16) kmsg.Request { return offsetsRequest("g", "theirs", "mine") },
		rest:   func(int16) kmsg.Request { return offsetsRequest("g", "mine") },
		answer: func(int16) kmsg.Response { return offsets(0, "mine", 0) },
		want:   func(int16) kmsg.Response { return offsets(0, "mine", 0, "theirs", 29) },
	}, {
		name: "some topics denied and the group fails", key: 9, min: 2, max: 7, judge: describes(),
		req:    func(int16) kmsg.Request { return offsetsRequest("g", "theirs", "mine") },
		rest:   func(int16) kmsg.Request { return offsetsRequest("g", "mine") },
		answer: func(int16) kmsg.Response { return offsets(16) },
		want:   func(int16) kmsg.Response { return offsets(16) },
	}, {
		name: "all topics denied", key: 9, max: 7, judge: describes(),
		req:  func(int16) kmsg.Request { return offsetsRequest("g", "theirs") },
		want: func(int16) kmsg.Response { return offsets(0, "theirs", 29) },
	}, {
		name: "group denied", key: 9, max: 1, judge: describes(),
		req:  func(int16) kmsg.Request { return offsetsRequest("h", "mine") },
		want: func(int16) kmsg.Response { return offsets(0, "mine", 30) },
	}, {
		name: "group denied", key: 9, min: 2, max: 7, judge: describes(),
		req:  func(int16) kmsg.Request { return offsetsRequest("h", "mine") },
		want: func(int16) kmsg.Response { return offsets(30) },
	}, {
		name: "all topics asked for", key: 9, min: 2, max: 7, judge: describes(),
		req:    func(int16) kmsg.Request { return offsetsRequest("g") },
		rest:   func(int16) kmsg.Request { return offsetsRequest("g") },
		answer: func(int16) kmsg.Response { return offsets(0, "theirs", 0, "mine", 0) },
		want:   func(int16) kmsg.Response { return offsets(0, "mine", 0) },
	}})
}

// askedGroup is a group of OffsetFetch 8 and later; null topics if there are none.
func askedGroup(v int16, group string, topics ...string) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberID, g.MemberEpoch = group, name("m"), 5
	for _, topic := range topics {
		t := kmsg.OffsetFetchRequestGroupTopic{Topic: topic, Partitions: []int32{0}}
		if v >= 10 {
			t.Topic, t.TopicID = "", topicID(topic)
		}
		g.Topics = append(g.Topics, t)
	}
	return g
}

func foundGroup(v int16, group string, code int16, codes ...any) kmsg.OffsetFetchResponseGroup {
	g := kmsg.OffsetFetchResponseGroup{Group: group, ErrorCode: code}
	for i := 0; i < len(codes); i += 2 {
		p := kmsg.OffsetFetchResponseGroupTopicPartition{Offset: 7, LeaderEpoch: 1, Metadata: name("note"), ErrorCode: int16(codes[i+1].(int))}
		if p.ErrorCode != 0 {
			p.Offset, p.LeaderEpoch, p.Metadata = -1, -1, name("")
		}
		t := kmsg.OffsetFetchResponseGroupTopic{Topic: codes[i].(string), Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{p}}
		if v >= 10 {
			t.Topic, t.TopicID = "", topicID(codes[i].(string))
		}
		g.Topics = append(g.Topics, t)
	}
	return g
}

func TestOffsetFetchGroups(t *testing.T) {
	ask := func(groups ...kmsg.OffsetFetchRequestGroup) kmsg.Request {
		return &kmsg.OffsetFetchRequest{Groups: groups, RequireStable: true}
	}
	found := func(groups ...kmsg.OffsetFetchResponseGroup) kmsg.Response {
		return &kmsg.OffsetFetchResponse{Groups: groups}
	}
	j := judge([]string{"mine", "also", "theirs"}, "DESCRIBE group g", "DESCRIBE group k", "DESCRIBE group l", "DESCRIBE topic mine", "DESCRIBE topic also")
	runSplitCases(t, []splitCase{{
		name: "groups and topics denied", key: 9, min: 8, judge: j,
		req: func(v int16) kmsg.Request {
			return ask(askedGroup(v, "g", "mine", "theirs"), askedGroup(v, "h", "mine"), askedGroup(v, "k"), askedGroup(v, "l", "theirs"))
		},
		rest: func(v int16) kmsg.Request { return ask(askedGroup(v, "g", "mine"), askedGroup(v, "k")) },
		answer: func(v int16) kmsg.Response {
			return found(foundGroup(v, "g", 0, "mine", 0), foundGroup(v, "k", 0, "theirs", 0, "also", 0))
		},
		want: func(v int16) kmsg.Response {
			return found(foundGroup(v, "g", 0, "mine", 0, "theirs", 29), foundGroup(v, "k", 0, "also", 0),
				foundGroup(v, "h", 30), foundGroup(v, "l", 0, "theirs", 29))
		},
	}, {
		name: "a group fails", key: 9, min: 8, judge: j,
		req:    func(v int16) kmsg.Request { return ask(askedGroup(v, "g", "mine", "theirs")) },
		rest:   func(v int16) kmsg.Request { return ask(askedGroup(v, "g", "mine")) },
		answer: func(v int16) kmsg.Response { return found(foundGroup(v, "g", 25)) },
		want:   func(v int16) kmsg.Response { return found(foundGroup(v, "g", 25)) },
	}, {
		name: "nothing is left", key: 9, min: 8, judge: j,
		req:  func(v int16) kmsg.Request { return ask(askedGroup(v, "h"), askedGroup(v, "g", "theirs")) },
		want: func(v int16) kmsg.Response { return found(foundGroup(v, "h", 30), foundGroup(v, "g", 0, "theirs", 29)) },
	}, {
		name: "unknown id", key: 9, min: 10, judge: j,
		req:    func(v int16) kmsg.Request { return ask(askedGroup(v, "g", "mine", "gone")) },
		rest:   func(v int16) kmsg.Request { return ask(askedGroup(v, "g", "mine")) },
		answer: func(v int16) kmsg.Response { return found(foundGroup(v, "g", 0, "mine", 0)) },
		want:   func(v int16) kmsg.Response { return found(foundGroup(v, "g", 0, "mine", 0, "gone", 100)) },
	}})
}

func TestFindCoordinator(t *testing.T) {
	one := func(of int8, key string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.FindCoordinatorRequest{CoordinatorType: of, CoordinatorKey: key}
		}
	}
	many := func(of int8, keys ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.FindCoordinatorRequest{CoordinatorType: of, CoordinatorKeys: keys}
		}
	}
	found := func(key string) kmsg.FindCoordinatorResponseCoordinator {
		return kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: 1, Host: "broker", Port: 9092}
	}
	refused := func(key string, code int16, text string) kmsg.FindCoordinatorResponseCoordinator {
		return kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: -1, Port: -1, ErrorCode: code, ErrorMessage: &text}
	}
	answer := func(cs ...kmsg.FindCoordinatorResponseCoordinator) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.FindCoordinatorResponse{Coordinators: cs} }
	}
	old := func(code int16, text string) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.FindCoordinatorResponse{ErrorCode: code, ErrorMessage: &text, NodeID: -1, Port: -1}
		}
	}
	j := judge(nil, "DESCRIBE group g", "DESCRIBE transactional_id t")
	const noGroup, noTxn, noCluster = "Group authorization failed.", "Transactional Id authorization failed.", "Cluster authorization failed."
	runSplitCases(t, []splitCase{
		{
			name: "group", key: 10, max: 3, judge: j, req: one(0, "g"), rest: one(0, "g"),
			answer: func(int16) kmsg.Response { return &kmsg.FindCoordinatorResponse{NodeID: 1, Host: "b", Port: 2} },
			want:   func(int16) kmsg.Response { return &kmsg.FindCoordinatorResponse{NodeID: 1, Host: "b", Port: 2} },
		},
		{name: "group denied", key: 10, max: 3, judge: j, req: one(0, "h"), want: old(30, noGroup)},
		{name: "transactional id denied", key: 10, min: 1, max: 3, judge: j, req: one(1, "g"), want: old(53, noTxn)},
		{name: "share key", key: 10, min: 1, max: 3, judge: j, req: one(2, "g"), want: old(31, noCluster)},
		{
			name: "groups", key: 10, min: 4, judge: j, req: many(0, "h", "g", "k"), rest: many(0, "g"),
			answer: answer(found("g")), want: answer(found("g"), refused("h", 30, noGroup), refused("k", 30, noGroup)),
		},
		{
			name: "transactional ids", key: 10, min: 4, judge: j, req: many(1, "t", "g"), rest: many(1, "t"),
			answer: answer(found("t")), want: answer(found("t"), refused("g", 53, noTxn)),
		},
		{
			name: "share keys", key: 10, min: 4, judge: j, req: many(2, "g:a:1", "g:a:2"),
			want: answer(refused("g:a:1", 31, noCluster), refused("g:a:2", 31, noCluster)),
		},
	})
}

func TestFindCoordinatorAddresses(t *testing.T) {
	type c = kmsg.FindCoordinatorResponseCoordinator
	runRewriteCases(t, []rewriteCase{{
		name: "reachable", key: 10, max: 3,
		resp:     &kmsg.FindCoordinatorResponse{NodeID: 2, Host: "broker", Port: 9092},
		wantResp: &kmsg.FindCoordinatorResponse{NodeID: virtual(2), Host: "gateway.example", Port: 9102},
	}, {
		name: "without a virtual address", key: 10, max: 3,
		resp:     &kmsg.FindCoordinatorResponse{NodeID: 9, Host: "broker", Port: 9092},
		wantResp: &kmsg.FindCoordinatorResponse{ErrorCode: 15, NodeID: -1, Port: -1},
	}, {
		name: "error", key: 10, max: 3,
		resp:     &kmsg.FindCoordinatorResponse{ErrorCode: 14, NodeID: 1, Host: "broker", Port: 9092},
		wantResp: &kmsg.FindCoordinatorResponse{ErrorCode: 14, NodeID: -1, Port: -1},
	}, {
		name: "several", key: 10, min: 4,
		resp: &kmsg.FindCoordinatorResponse{Coordinators: []c{
			{Key: "a", NodeID: 1, Host: "broker", Port: 9092}, {Key: "b", NodeID: 9, Host: "broker", Port: 9092}, {Key: "c", NodeID: -1, Port: -1, ErrorCode: 30},
		}},
		wantResp: &kmsg.FindCoordinatorResponse{Coordinators: []c{
			{Key: "a", NodeID: virtual(1), Host: "gateway.example", Port: 9101}, {Key: "b", NodeID: -1, Port: -1, ErrorCode: 15}, {Key: "c", NodeID: -1, Port: -1, ErrorCode: 30},
		}},
	}})
}

// TestMembership: what a member asks of its group passes whole or not at all.
func TestMembership(t *testing.T) {
	join := func(group string) kmsg.Request {
		return &kmsg.JoinGroupRequest{
			Group: group, SessionTimeoutMillis: 10000, RebalanceTimeoutMillis: 60000, MemberID: "m", ProtocolType: "consumer",
			Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 1}}},
		}
	}
	sync := func(group string) kmsg.Request {
		return &kmsg.SyncGroupRequest{Group: group, Generation: 1, MemberID: "m", ProtocolType: name("consumer"), Protocol: name("range")}
	}
	cases := []struct {
		key    int16
		req    func(group string) kmsg.Request
		denied kmsg.Response
	}{
		{11, join, &kmsg.JoinGroupResponse{ErrorCode: 30, Generation: -1}},
		{12, func(g string) kmsg.Request { return &kmsg.HeartbeatRequest{Group: g, Generation: 1, MemberID: "m"} }, &kmsg.HeartbeatResponse{ErrorCode: 30}},
		{13, func(g string) kmsg.Request {
			return &kmsg.LeaveGroupRequest{Group: g, MemberID: "m", Members: []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}}
		}, &kmsg.LeaveGroupResponse{ErrorCode: 30}},
		{14, sync, &kmsg.SyncGroupResponse{ErrorCode: 30}},
	}
	for _, c := range cases {
		passed := func(v int16) kmsg.Response { return responseOf(c.key, v) }
		runSplitCases(t, []splitCase{
			{
				name: "allowed", key: c.key, judge: reads(), answer: passed, want: passed,
				req: func(int16) kmsg.Request { return c.req("g") }, rest: func(int16) kmsg.Request { return c.req("g") },
			},
			{
				name: "denied", key: c.key, judge: reads(), want: func(int16) kmsg.Response { return c.denied },
				req: func(int16) kmsg.Request { return c.req("h") },
			},
		})
	}
}

func TestDescribeGroups(t *testing.T) {
	const notAsked = -1 << 31
	group := func(id string, code int16, ops int32) kmsg.DescribeGroupsResponseGroup {
		return kmsg.DescribeGroupsResponseGroup{Group: id, ErrorCode: code, AuthorizedOperations: ops}
	}
	answer := func(groups ...kmsg.DescribeGroupsResponseGroup) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.DescribeGroupsResponse{Groups: groups} }
	}
	ask := func(groups ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return &kmsg.DescribeGroupsRequest{Groups: groups} }
	}
	j := judge(nil, "DESCRIBE group g", "READ group g", "DELETE group g")
	runSplitCases(t, []splitCase{{
		name: "some denied", key: 15, judge: j, req: ask("h", "g", "k"), rest: ask("g"),
		answer: answer(group("g", 0, notAsked)),
		want:   answer(group("g", 0, notAsked), group("h", 30, notAsked), group("k", 30, notAsked)),
	}, {
		name: "all denied", key: 15, judge: j, req: ask("h"), want: answer(group("h", 30, notAsked)),
	}, {
		name: "authorized operations", key: 15, min: 3, judge: j, req: ask("g"), rest: ask("g"),
		answer: answer(group("g", 0, 1<<OpRead|1<<OpDescribe|1<<OpAlterConfigs)), // the broker denies DELETE, the tenant's rules ALTER_CONFIGS
		want:   answer(group("g", 0, 1<<OpRead|1<<OpDescribe)),
	}})
}

func TestListGroups(t *testing.T) {
	list := func(groups ...string) *kmsg.ListGroupsResponse {
		resp := kmsg.NewPtrListGroupsResponse()
		for _, g := range groups {
			resp.Groups = append(resp.Groups, kmsg.ListGroupsResponseGroup{Group: g, ProtocolType: "consumer", GroupState: "Stable", GroupType: "classic"})
		}
		return resp
	}
	for v := int16(0); v <= 5; v++ {
		for _, c := range []struct {
			grant string
			want  *kmsg.ListGroupsResponse
		}{
			{"DESCRIBE cluster kafka-cluster", list("g", "h", "k")},
			{"DESCRIBE group h", list("h")},
			{"READ group h", list()},
		} {
			resp := list("g", "h", "k")
			resp.SetVersion(v)
			resp = reread(t, resp)
			Lookup(16).Filter(resp, judge(nil, c.grant))
			c.want.SetVersion(v)
			sameBytes(t, c.grant, resp, c.want)
		}
	}
}
