package protocol

import (
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// nodesIn are the node ids in a message, by the field that holds them.
func nodesIn(msg any) map[string][]int32 {
	found := map[string][]int32{}
	var in func(owner, field string, v reflect.Value)
	in = func(owner, field string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				in(owner, field, v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				in(owner, field, v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; name != "UnknownTags" {
					in(v.Type().Name(), name, v.Field(i))
				}
			}
		case reflect.Int32:
			name := owner + "." + field
			if _, not := notOurs[name]; !not && nodeLike.MatchString(field) && !notNodes.MatchString(field) && v.Int() >= 0 {
				found[name] = append(found[name], int32(v.Int()))
			}
		}
	}
	in("", "", reflect.ValueOf(msg))
	for name := range found {
		slices.Sort(found[name])
		found[name] = slices.Compact(found[name])
	}
	return found
}

// Every node id in a joined answer is one that a slice showed, and leads back to a
// broker of that slice. None of the brokers is lost.
func TestJoinKeepsNodes(t *testing.T) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Divide == nil {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 50 {
			var answers []Answer
			all := map[string][]int32{}
			for i, slot := range spanning.Slots() {
				if i > 0 && (api.Route == ToHome || api.Route == ByBroker || api.Key == 10 && v < 4) {
					break // only ever one part
				}
				answers = append(answers, Answer{slot, randomAnswer(t, r, api, v, slot)})
				for name, ids := range nodesIn(answers[len(answers)-1].Resp) {
					all[name] = append(all[name], ids...)
				}
			}
			got := nodesIn(api.Join(requestOf(api.Key, v), answers, spanning))
			if v >= 4 {
				delete(got, "FindCoordinatorResponse.NodeID") // which it has not
			}
			for name, ids := range got {
				from := all[name]
				if message, ok := strings.CutSuffix(name, ".ControllerID"); ok {
					from = all[message+"Broker.NodeID"]
				}
				for _, id := range ids {
					real, ok := nodesOf(int(id >> SlotBits)).Real(id)
					ok = ok && slices.Contains(from, id)
					if !ok || real != 1 && real != 2 || !slices.Contains(spanning.Slots(), int(id>>SlotBits)) {
						t.Fatalf("%s is %d: broker %d of slot %d", name, id, real, id>>SlotBits)
					}
				}
			}
			for _, name := range []string{"MetadataResponseBroker.NodeID", "DescribeClusterResponseBroker.NodeID"} {
				if len(got[name]) != len(all[name]) && wholeErrors(answers) == 0 {
					t.Fatalf("%s: %v of %v", name, got[name], all[name])
				}
			}
		}
	})
}

// wholeErrors counts the answers that are errors as a whole.
func wholeErrors(answers []Answer) (n int) {
	for _, a := range answers {
		if wholeError(a.Resp) != codeNone {
			n++
		}
	}
	return n
}

// randomAnswer is what the brokers 1 and 2 of a slice may say, as clients see it.
func randomAnswer(t *testing.T, r *rand.Rand, api *API, v int16, slot int) kmsg.Response {
	f := randomFiller(r, spanningNames)
	value := f.value
	f.value = func(owner reflect.Type, field string, kind reflect.Type) any {
		if kind.Kind() == reflect.Int32 && nodeLike.MatchString(field) && !notNodes.MatchString(field) {
			return int32(1 + r.Intn(2))
		}
		return value(owner, field, kind)
	}
	resp := responseOf(api.Key, v)
	f.fill(resp)
	resp = reread(t, resp)
	if api.Virtualize != nil {
		api.Virtualize(nil, resp, nodesOf(slot))
	}
	return resp
}

// A broker's pages of DescribeTopicPartitions, as Kafka makes them: topics sorted, from
// the cursor on, up to a limit of partitions.
func topicPage(req *kmsg.DescribeTopicPartitionsRequest, topics map[string]int, limit int) *kmsg.DescribeTopicPartitionsResponse {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	var names []string
	for i := range req.Topics {
		names = append(names, req.Topics[i].Topic)
	}
	if len(names) == 0 {
		for name := range topics {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	left := min(limit, int(max(req.ResponsePartitionLimit, 1)))
	for _, name := range names {
		first := 0
		if c := req.Cursor; c != nil {
			if name < c.Topic {
				continue
			}
			if name == c.Topic {
				first = int(c.Partition)
			}
		}
		if left == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name}
			return resp
		}
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic = kmsg.StringPtr(name)
		n, ok := topics[name]
		if !ok {
			t.ErrorCode = codeUnknownTopicOrPartition
		}
		for p := first; p < n && left > 0; p++ {
			part := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
			part.Partition, part.LeaderID = int32(p), 1
			t.Partitions = append(t.Partitions, part)
			left--
			first = p + 1
		}
		resp.Topics = append(resp.Topics, t)
		if first < n {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(first)}
			return resp
		}
	}
	return resp
}

// Page after page, every partition of every visible topic is described once and in
// order, whatever the limits of the client and of the brokers.
func TestTopicPartitionsPages(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	api := Lookup(75)
	for round := range 500 {
		slicesTopics := map[int]map[string]int{}
		var want, list []string
		for i, slot := range []int{0, 3, 5} {
			slicesTopics[slot] = map[string]int{}
			for k := range r.Intn(5) {
				name := fmt.Sprintf("%s%d", []string{"a.", "b.", "f."}[i], k)
				slicesTopics[slot][name] = 1 + r.Intn(4)
				list = append(list, name)
				for p := range slicesTopics[slot][name] {
					want = append(want, fmt.Sprint(name, " ", p))
				}
			}
		}
		slicesTopics[0]["b.0"], slicesTopics[5]["a.1"] = 9, 7 // hidden: the names of others
		byList := r.Intn(2) == 0 && len(list) > 0
		slices.Sort(want)
		limit, brokerLimit := int32(1+r.Intn(6)), 1+r.Intn(6)
		var got []string
		var cursor *kmsg.DescribeTopicPartitionsRequestCursor
		for page := 0; ; page++ {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit, req.Cursor = limit, cursor
			if byList {
				for _, i := range r.Perm(len(list)) {
					req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: list[i]})
				}
			}
			resp := span(api, req, 3, func(p Part) kmsg.Response {
				return topicPage(p.Req.(*kmsg.DescribeTopicPartitionsRequest), slicesTopics[p.Slot], brokerLimit)
			}).(*kmsg.DescribeTopicPartitionsResponse)
			n := 0
			for _, topic := range resp.Topics {
				if topic.ErrorCode != codeNone {
					t.Fatalf("%s: error %d", *topic.Topic, topic.ErrorCode)
				}
				for _, p := range topic.Partitions {
					got = append(got, fmt.Sprint(*topic.Topic, " ", p.Partition))
					n++
				}
			}
			if n > int(limit) {
				t.Fatalf("a page of %d partitions, limit %d", n, limit)
			}
			if resp.NextCursor == nil {
				break
			}
			if page > 200 {
				t.Fatal("no end")
			}
			cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d, list %v, limits %d and %d:\n got %q\nwant %q", round, byList, limit, brokerLimit, got, want)
		}
	}
}

// A cursor that is not in the list is the home's to refuse.
func TestTopicPartitionsCursorNotInList(t *testing.T) {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "a.one"}, {Topic: "home"}}
	req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "b"}
	if parts := Lookup(75).Divide(req, spanning); len(parts) != 1 || parts[0].Slot != 3 || parts[0].Req != req {
		t.Errorf("%d parts", len(parts))
	}
}
