package protocol

import (
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// namingKeys are the rows whose answers name all that the request names.
var namingKeys = append([]int16{8, 9, 10, 45}, splitKeys...)

// eachNamingRequest calls f with random requests of the APIs that name what they ask for.
func eachNamingRequest(t *testing.T, f func(t *testing.T, api *API, req kmsg.Request)) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if !slices.Contains(namingKeys, api.Key) {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 200 {
			req := requestOf(api.Key, v)
			randomFiller(r, spanningNames).fill(req)
			if q, ok := req.(*kmsg.FindCoordinatorRequest); ok {
				q.CoordinatorType = int8(r.Intn(2))
			}
			if q, ok := req.(*kmsg.OffsetFetchRequest); ok { // each group once
				q.Groups = union(nil, q.Groups, func(g *kmsg.OffsetFetchRequestGroup) string { return g.Group })
			}
			f(t, api, reread(t, asClient(req)))
		}
	})
}

// isCommonKey: an element that is changed in all slices, or a group of which all topics
// are asked for.
func isCommonKey(api *API, key string) bool {
	return key == "BROKER" || strings.HasPrefix(key, "CLIENT_METRICS") || api.Key == 9 && !strings.Contains(key, " ")
}

// Each element of a divided request is in one part, but for what is asked of all.
func TestDivideTakesEachElementOnce(t *testing.T) {
	eachNamingRequest(t, func(t *testing.T, api *API, req kmsg.Request) {
		if api.Divide == nil || api.Key == 42 {
			return
		}
		want, before := asksAbout(req), show(req)
		parts := api.Divide(req, spanning)
		if len(parts) > 1 && show(req) != before {
			t.Fatalf("divided, %s is %s", before, show(req))
		}
		got := map[string]int{}
		for _, p := range parts {
			for key, n := range asksAbout(p.Req) {
				if isCommonKey(api, key) && len(parts) > 1 {
					got[key] = max(n, want[key])
				} else {
					got[key] += n
				}
			}
			reread(t, p.Req)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("the parts name %v\nthe request  %v\nof %s", got, want, before)
		}
	})
}

// What the slices answer names, joined, all that the request names; so it is when one
// or all of them are down, and whatever connection the request came on.
func TestJoinIsWhatWasAsked(t *testing.T) {
	for what, down := range map[string][]int{"all up": nil, "home down": {3}, "another down": {5}, "all down": {0, 3, 5}} {
		t.Run(what, func(t *testing.T) {
			eachNamingRequest(t, func(t *testing.T, api *API, req kmsg.Request) {
				v, want, before := req.GetVersion(), asksAbout(req), show(req)
				if len(want) == 0 {
					return // or all topics
				}
				resp := span(api, req, 3, func(p Part) kmsg.Response {
					if api.Divide != nil && slices.Contains(down, p.Slot) {
						return nil
					}
					return answerTo(p)
				})
				if wholeError(resp) != codeNone {
					return // names nothing
				}
				got := asksAbout(resp)
				dropFailedGroups(resp, got, want)
				if !maps.Equal(got, want) {
					t.Fatalf("the answer names %v\nthe request     %v\nof %s", got, want, before)
				}
				resp.SetVersion(v)
				reread(t, resp)
			})
		})
	}
}

// dropFailedGroups takes the topics of groups that failed as a whole out of what was
// asked: the answer names none.
func dropFailedGroups(resp kmsg.Response, got, want map[string]int) {
	fetched, ok := resp.(*kmsg.OffsetFetchResponse)
	if !ok {
		return
	}
	for _, g := range fetched.Groups {
		if g.ErrorCode == codeNone && g.Topics != nil {
			continue
		}
		for _, m := range []map[string]int{got, want} {
			maps.DeleteFunc(m, func(key string, _ int) bool { return strings.HasPrefix(key, g.Group) })
		}
	}
}

// A replica that is a broker of another slice than the topic's never becomes one of the
// topic's own: the id that the slice gets is no broker's, which it refuses with
// INVALID_REPLICA_ASSIGNMENT. Who is there keeps its own id.
func TestReplicasOfAnotherSlice(t *testing.T) {
	ids := func() []int32 { return []int32{1, 2 | 3<<SlotBits, 1 | 5<<SlotBits} }
	want := map[int][]int32{ // by the topic's slot
		0: {1, 2 | 3<<SlotBits, 1 | 5<<SlotBits},
		3: {RefusalNode, 2, 1 | 5<<SlotBits},
		5: {RefusalNode, 2 | 3<<SlotBits, 1},
	}
	topics := []string{"a.one", "home", "f.one"}
	create, grow, move := &kmsg.CreateTopicsRequest{ValidateOnly: true}, &kmsg.CreatePartitionsRequest{}, &kmsg.AlterPartitionAssignmentsRequest{}
	for _, topic := range topics {
		create.Topics = append(create.Topics, kmsg.CreateTopicsRequestTopic{Topic: topic, ReplicaAssignment: []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: ids()}}})
		grow.Topics = append(grow.Topics, kmsg.CreatePartitionsRequestTopic{Topic: topic, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: ids()}}})
		move.Topics = append(move.Topics, kmsg.AlterPartitionAssignmentsRequestTopic{Topic: topic, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: ids()}}})
	}
	for _, req := range []kmsg.Request{create, grow, move} {
		api := Lookup(req.Key())
		parts := api.Divide(req, spanning)
		if len(parts) != 3 {
			t.Fatalf("%s: %d parts", api.Name, len(parts))
		}
		for _, p := range parts {
			if api.Realize(p.Req, nodesOf(p.Slot)) {
				t.Errorf("%s in slot %d: all replicas are there", api.Name, p.Slot)
			}
		}
		for _, p := range parts { // after all of them: none changes another's
			var got []int32
			switch q := p.Req.(type) {
			case *kmsg.CreateTopicsRequest:
				got = q.Topics[0].ReplicaAssignment[0].Replicas
			case *kmsg.CreatePartitionsRequest:
				got = q.Topics[0].Assignment[0].Replicas
			case *kmsg.AlterPartitionAssignmentsRequest:
				got = q.Topics[0].Partitions[0].Replicas
			}
			if !slices.Equal(got, want[p.Slot]) {
				t.Errorf("%s in slot %d: %d, want %d", api.Name, p.Slot, got, want[p.Slot])
			}
		}
	}
}

// FindCoordinator goes by key: each is looked for where it lives.
func TestFindCoordinatorByKey(t *testing.T) {
	api := Lookup(10)
	for v := api.Min; v <= api.Max; v++ {
		for kind, keys := range map[int8][]string{coordinatorOfGroup: {"a.group", "group", "f.group"}, coordinatorOfTransaction: {"f.txn"}} {
			if v < 4 {
				keys = keys[:1]
			}
			if v < 1 && kind != coordinatorOfGroup {
				continue
			}
			req := &kmsg.FindCoordinatorRequest{Version: v, CoordinatorType: kind, CoordinatorKey: keys[0], CoordinatorKeys: keys}
			resp := span(api, reread(t, req), 3, func(p Part) kmsg.Response {
				a := answerTo(p).(*kmsg.FindCoordinatorResponse)
				a.NodeID = 1
				for i := range a.Coordinators {
					a.Coordinators[i].NodeID = 1
				}
				return a
			}).(*kmsg.FindCoordinatorResponse)
			got := map[string]int32{keys[0]: resp.NodeID}
			for _, c := range resp.Coordinators {
				got[c.Key] = c.NodeID
			}
			for _, key := range keys {
				if want := int32(1 | spanning.Owner(Group, key)<<SlotBits); got[key] != want || len(got) != len(keys) {
					t.Errorf("v%d: %s is at %d, want %d", v, key, got[key], want)
				}
			}
		}
	}
}
