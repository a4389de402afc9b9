package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// commit is an OffsetCommit of a member of "group", whose home is slot 3.
func commit(generation int32, topics ...string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = 9
	req.Group, req.Generation = "group", generation
	if generation >= 0 {
		req.MemberID, req.InstanceID = "member", name("instance")
	}
	for _, topic := range topics {
		req.Topics = append(req.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 7}}})
	}
	return req
}

// groupState is how a coordinator describes "group".
func groupState(code int16, state, protocol string, topics ...string) *kmsg.DescribeGroupsResponse {
	g := kmsg.NewDescribeGroupsResponseGroup()
	g.Group, g.ErrorCode, g.State, g.ProtocolType = "group", code, state, protocol
	if topics != nil {
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		meta := kmsg.NewConsumerMemberMetadata()
		meta.Topics = topics
		m.ProtocolMetadata = meta.AppendTo(nil)
		g.Members = append(g.Members, m)
	}
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Groups = []kmsg.DescribeGroupsResponseGroup{g}
	return resp
}

// commitCodes are what a commit is answered, by topic, in the order of their names.
func commitCodes(resp kmsg.Response) string {
	var codes []string
	for _, topic := range resp.(*kmsg.OffsetCommitResponse).Topics {
		codes = append(codes, fmt.Sprint(topic.Topic, " ", topic.Partitions[0].ErrorCode))
	}
	slices.Sort(codes)
	return strings.Join(codes, ", ")
}

func committedIn(p Part, code int16) kmsg.Response {
	resp := answerTo(p).(*kmsg.OffsetCommitResponse)
	for i := range resp.Topics {
		resp.Topics[i].Partitions[0].ErrorCode = code
	}
	return resp
}

func TestCommitIsFencedAtHome(t *testing.T) {
	beat := func(code int16) kmsg.Response { return &kmsg.HeartbeatResponse{ErrorCode: code} }
	for _, c := range []struct {
		name       string
		generation int32
		topics     []string
		home       int16         // to its part
		fence      kmsg.Response // to the question; nil: no answer
		foreign    map[int]int16 // what other slices say
		asked      string        // in order: slot and API
		want       string
	}{
		{"home alone", 4, []string{"home"}, 0, nil, nil, "3 OffsetCommit", "home 0"},
		{"the home's part is the fence", 4, []string{"home", "a.one"}, 0, nil, nil, "3 OffsetCommit, 0 OffsetCommit", "a.one 0, home 0"},
		{"a lost member", 4, []string{"home", "a.one"}, 25, nil, nil, "3 OffsetCommit", "a.one 25, home 25"},
		{"a topic that the home has not", 4, []string{"home", "a.one"}, 3, beat(0), nil, "3 OffsetCommit, 3 Heartbeat, 0 OffsetCommit", "a.one 0, home 3"},
		{"nothing for the home", 4, []string{"a.one", "f.one"}, 0, beat(0), nil, "3 Heartbeat, 0 OffsetCommit, 5 OffsetCommit", "a.one 0, f.one 0"},
		{"while members rejoin", 4, []string{"a.one"}, 0, beat(27), nil, "3 Heartbeat, 0 OffsetCommit", "a.one 0"},
		{"an old generation", 4, []string{"a.one"}, 0, beat(22), nil, "3 Heartbeat", "a.one 22"},
		{"the home is down", 4, []string{"a.one"}, 0, nil, nil, "3 Heartbeat", "a.one 15"},
		{"a simple consumer", -1, []string{"a.one"}, 0, groupState(0, "Dead", ""), nil, "3 DescribeGroups, 0 OffsetCommit", "a.one 0"},
		{"of an empty group", -1, []string{"a.one"}, 0, groupState(0, "Empty", "consumer"), nil, "3 DescribeGroups, 0 OffsetCommit", "a.one 0"},
		{"of a group with members", -1, []string{"a.one"}, 0, groupState(0, "Stable", "consumer", "a.one"), nil, "3 DescribeGroups", "a.one 25"},
		{"of a group that does not exist", -1, []string{"a.one"}, 0, groupState(69, "", ""), nil, "3 DescribeGroups, 0 OffsetCommit", "a.one 0"},
		{"a coordinator that moves elsewhere", 4, []string{"home", "a.one"}, 0, nil, map[int]int16{0: 16}, "3 OffsetCommit, 0 OffsetCommit", "a.one 14, home 0"},
		{"a group of the same name elsewhere", 4, []string{"home", "a.one"}, 0, nil, map[int]int16{0: 25}, "3 OffsetCommit, 0 OffsetCommit", "a.one 44, home 0"},
		{"another slice is down", 4, []string{"home", "a.one", "f.one"}, 0, nil, map[int]int16{0: -1}, "3 OffsetCommit, 0 OffsetCommit, 5 OffsetCommit", "a.one 14, f.one 0, home 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			resp := span(Lookup(8), commit(c.generation, c.topics...), 3, func(p Part) kmsg.Response {
				asked = append(asked, fmt.Sprint(p.Slot, " ", Lookup(p.Req.Key()).Name))
				if p.Group != "group" {
					t.Errorf("asks the coordinator of %q", p.Group)
				}
				q, ok := p.Req.(*kmsg.OffsetCommitRequest)
				switch {
				case !ok:
					checkFence(t, c.generation, p.Req)
					return c.fence
				case p.Slot == 3:
					return committedIn(p, c.home)
				case q.Generation != -1 || q.MemberID != "" || q.InstanceID != nil:
					t.Errorf("not a simple consumer: %s", show(q))
				}
				if c.foreign[p.Slot] < 0 {
					return nil
				}
				return committedIn(p, c.foreign[p.Slot])
			})
			if got := strings.Join(asked, ", "); got != c.asked {
				t.Errorf("asked %s\nwant  %s", got, c.asked)
			}
			if got := commitCodes(resp); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func checkFence(t *testing.T, generation int32, req kmsg.Request) {
	t.Helper()
	switch q := req.(type) {
	case *kmsg.HeartbeatRequest:
		if q.Group != "group" || q.Generation != generation || q.MemberID != "member" || *q.InstanceID != "instance" {
			t.Errorf("asks %s", show(q))
		}
	case *kmsg.DescribeGroupsRequest:
		if !slices.Equal(q.Groups, []string{"group"}) {
			t.Errorf("asks %s", show(q))
		}
	}
}

func TestOffsetDeleteIsFencedAtHome(t *testing.T) {
	unparsed := groupState(0, "Stable", "consumer", "home")
	unparsed.Groups[0].Members[0].ProtocolMetadata = []byte{1}
	for _, c := range []struct {
		name  string
		state kmsg.Response
		whole int16 // of the home's part
		want  string
	}{
		{"no members", groupState(0, "Empty", "consumer"), 0, "0: a.one 0, a.two 0, home 0"},
		{"only elsewhere", groupState(0, "Dead", ""), 69, "0: a.one 0, a.two 0, home 0"},
		{"subscribed", groupState(0, "Stable", "consumer", "a.one"), 0, "0: a.one 86, a.two 0, home 0"},
		{"who knows", unparsed, 0, "0: a.one 86, a.two 86, home 0"},
		{"not a consumer", groupState(0, "Stable", "connect"), 68, "68: "},
		{"nobody says", nil, 0, "0: a.one 15, a.two 15, home 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := kmsg.NewPtrOffsetDeleteRequest()
			req.Group = "group"
			for _, topic := range []string{"a.one", "home", "a.two"} {
				req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}})
			}
			resp := span(Lookup(47), req, 3, func(p Part) kmsg.Response {
				if _, ok := p.Req.(*kmsg.DescribeGroupsRequest); ok {
					return c.state
				}
				a := answerTo(p).(*kmsg.OffsetDeleteResponse)
				if p.Slot == 3 && c.whole != 0 {
					a.ErrorCode, a.Topics = c.whole, nil
				}
				return a
			}).(*kmsg.OffsetDeleteResponse)
			var codes []string
			for _, topic := range resp.Topics {
				codes = append(codes, fmt.Sprint(topic.Topic, " ", topic.Partitions[0].ErrorCode))
			}
			slices.Sort(codes)
			if got := fmt.Sprintf("%d: %s", resp.ErrorCode, strings.Join(codes, ", ")); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestDeleteGroupsSweepsAllSlices(t *testing.T) {
	for _, c := range []struct {
		name         string
		home, others int16
		asked        int
		want         int16
	}{
		{"there and elsewhere", 0, 0, 3, 0},
		{"only at home", 0, 69, 3, 0},
		{"only elsewhere", 69, 0, 3, 0},
		{"nowhere", 69, 69, 3, 69},
		{"with members", 68, 0, 1, 68},
		{"not elsewhere", 0, 15, 3, 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			req := &kmsg.DeleteGroupsRequest{Version: 2, Groups: []string{"group"}}
			resp := span(Lookup(42), req, 3, func(p Part) kmsg.Response {
				if asked++; asked == 1 != (p.Slot == 3) {
					t.Error("the home is asked first")
				}
				a := answerTo(p).(*kmsg.DeleteGroupsResponse)
				a.Groups[0].ErrorCode = c.others
				if p.Slot == 3 {
					a.Groups[0].ErrorCode = c.home
				}
				return a
			}).(*kmsg.DeleteGroupsResponse)
			if asked != c.asked || len(resp.Groups) != 1 || resp.Groups[0].ErrorCode != c.want {
				t.Errorf("asked %d times: %s", asked, show(resp))
			}
		})
	}
}

// Offsets that cannot be told now are never missing: a consumer would begin anew.
func TestOffsetFetchOfAMissingSlice(t *testing.T) {
	api := Lookup(9)
	for v := api.Min; v <= api.Max; v++ {
		for _, all := range []bool{false, true} {
			if all && v < 2 {
				continue
			}
			t.Run(fmt.Sprintf("v%d all %v", v, all), func(t *testing.T) {
				resp := span(api, fetchOffsets(v, all), 3, func(p Part) kmsg.Response {
					q := p.Req.(*kmsg.OffsetFetchRequest)
					if p.Slot != 3 && len(q.Groups) == 1 && (q.Groups[0].MemberID != nil || q.Groups[0].MemberEpoch != -1) {
						t.Errorf("a member in slot %d", p.Slot)
					}
					if p.Slot == 0 {
						return nil
					}
					return answerTo(p)
				})
				var codes []int16
				for _, e := range ErrorsIn(resp) {
					codes = append(codes, e.Code)
				}
				want := []int16{codeUnstableOffsetCommit}
				if v < 7 || all {
					want = []int16{codeCoordinatorLoadInProgress}
				}
				if v < 2 {
					want = []int16{codeCoordinatorNotAvailable}
				}
				if !slices.Equal(codes, want) {
					t.Errorf("codes %v, want %v", codes, want)
				}
			})
		}
	}
}

// A group that another slice does not know has no offsets there.
func TestOffsetFetchOfAGroupOnlyAtHome(t *testing.T) {
	api := Lookup(9)
	for v := int16(2); v <= api.Max; v++ {
		for _, all := range []bool{false, true} {
			resp := span(api, fetchOffsets(v, all), 3, func(p Part) kmsg.Response {
				if p.Slot == 3 {
					return answerTo(p)
				}
				a := kmsg.NewPtrOffsetFetchResponse()
				a.ErrorCode = codeGroupIDNotFound
				a.Groups = []kmsg.OffsetFetchResponseGroup{{Group: "group", ErrorCode: codeGroupIDNotFound}}
				a.Version = v
				return reread(t, a)
			})
			if errors := ErrorsIn(resp); errors != nil {
				t.Errorf("v%d all %v: %v", v, all, errors)
			}
			if text := show(resp); all == strings.Contains(text, "Offset:-1") {
				t.Errorf("v%d all %v: %s", v, all, text)
			}
		}
	}
}

// fetchOffsets asks for a topic at home and one elsewhere, or for all.
func fetchOffsets(v int16, all bool) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = v
	g := kmsg.NewOffsetFetchRequestGroup()
	req.Group, g.Group = "group", "group"
	if v >= 9 {
		g.MemberID, g.MemberEpoch = name("member"), 5
	}
	for _, topic := range []string{"home", "a.one"} {
		if all {
			break
		}
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: topic, Partitions: []int32{0}})
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: topicID(topic), Partitions: []int32{0}})
	}
	if v >= 8 {
		req.Topics = nil
		req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	}
	return req
}
