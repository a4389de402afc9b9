package protocol

import (
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The properties of the group and share rows, on random messages.

var groupKeys = []int16{8, 9, 10, 11, 12, 13, 14, 15, 16, 68, 69, 76, 77, 78, 79, 88, 89, 90}

var rowNames = []string{"a", "b", "c", "d"}

// eachRandom runs check on many messages of every version of the group rows.
func eachRandom(t *testing.T, check func(t *testing.T, api *API, version int16, f *filler)) {
	r := rand.New(rand.NewSource(1))
	f := randomFiller(r, rowNames)
	value := f.value
	f.value = func(owner reflect.Type, field string, kind reflect.Type) any {
		switch field {
		case "AuthorizedOperations":
			return int32(1<<OpRead | 1<<OpDescribe)
		case "CoordinatorType":
			return int8(r.Intn(3))
		}
		return value(owner, field, kind)
	}
	for _, key := range groupKeys {
		api := Lookup(key)
		for v := api.Min; v <= api.Max; v++ {
			t.Run(fmt.Sprintf("%s/v%d", api.Name, v), func(t *testing.T) {
				for range 100 {
					check(t, api, v, f)
				}
			})
		}
	}
}

func randomRequest(t *testing.T, key, version int16, f *filler) kmsg.Request {
	req := requestOf(key, version)
	f.fill(req)
	return reread(t, req)
}

func TestGroupRowsAllowAll(t *testing.T) {
	eachRandom(t, func(t *testing.T, api *API, v int16, f *filler) {
		req := randomRequest(t, api.Key, v, f)
		want := reread(t, req)
		if api.Split != nil {
			if refused, rest := api.Split(req, judgeAll(rowNames...)); refused != nil || !rest {
				t.Fatalf("refused %v, rest %v of %s", refused, rest, show(want))
			}
			sameBytes(t, "request", req, want)
		}
		if api.Filter != nil {
			resp := responseOf(api.Key, v)
			f.fill(resp)
			resp = reread(t, resp)
			want := reread(t, resp)
			api.Filter(resp, judgeAll(rowNames...))
			sameBytes(t, "answer", resp, want)
		}
	})
}

func TestGroupRowsDenyAll(t *testing.T) {
	eachRandom(t, func(t *testing.T, api *API, v int16, f *filler) {
		if api.Split == nil {
			return
		}
		req := randomRequest(t, api.Key, v, f)
		want := reread(t, req)
		refused, rest := api.Split(req, judgeNone(rowNames...))
		if nothingAsked(want) {
			if refused != nil || !rest {
				t.Fatalf("%s names nothing that could be denied, but is refused with %v", show(want), refused)
			}
			return
		}
		if refused == nil || rest {
			t.Fatalf("%s is not refused as a whole, %s is left", show(want), show(req))
		}
		if refused.GetVersion() != v || reflect.TypeOf(refused) != reflect.TypeOf(req.ResponseKind()) {
			t.Fatalf("refused with %T version %d", refused, refused.GetVersion())
		}
		reread(t, refused)
	})
}

// nothingAsked: requests of which there is nothing to deny, not even a group.
func nothingAsked(req kmsg.Request) bool {
	switch q := req.(type) {
	case *kmsg.OffsetFetchRequest:
		return q.Version >= 8 && len(q.Groups) == 0
	case *kmsg.FindCoordinatorRequest:
		return q.Version >= 4 && len(q.CoordinatorKeys) == 0
	case *kmsg.DescribeGroupsRequest:
		return len(q.Groups) == 0
	case *kmsg.ConsumerGroupDescribeRequest:
		return len(q.Groups) == 0
	case *kmsg.StreamsGroupDescribeRequest:
		return len(q.Groups) == 0
	case *kmsg.ShareGroupDescribeRequest:
		return len(q.GroupIDs) == 0
	case *kmsg.DescribeShareGroupOffsetsRequest:
		return len(q.Groups) == 0
	}
	return false
}

// TestGroupRowsPartition: whatever is denied, each element of a request is either
// still in it or refused, and never both.
func TestGroupRowsPartition(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	eachRandom(t, func(t *testing.T, api *API, v int16, f *filler) {
		if api.Merge == nil {
			return
		}
		j := judge(rowNames[:3]) // d has no id
		for _, name := range rowNames {
			for _, what := range []string{"READ group ", "DESCRIBE group ", "READ topic ", "DESCRIBE topic ", "DESCRIBE transactional_id "} {
				if r.Intn(3) > 0 {
					j.grants[what+name] = true
				}
			}
		}
		req := randomRequest(t, api.Key, v, f)
		want := elements(req)
		refused, rest := api.Split(req, j)
		got := elements(refused)
		if slices.Contains(got, "everything") {
			return
		}
		if rest {
			got = append(got, elements(req)...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("elements %v became %v", want, got)
		}
	})
}

// elements names what a request asks, or an answer answers, one by one; an
// answer with one error for all of it is "everything".
func elements(msg any) (es []string) {
	add := func(part ...any) { es = append(es, fmt.Sprintln(part...)) }
	switch m := msg.(type) {
	case *kmsg.OffsetCommitRequest:
		for _, t := range m.Topics {
			add(t.Topic, t.TopicID, len(t.Partitions))
		}
	case *kmsg.OffsetCommitResponse:
		for _, t := range m.Topics {
			add(t.Topic, t.TopicID, len(t.Partitions))
		}
	case *kmsg.OffsetFetchRequest:
		for _, t := range m.Topics {
			add(t.Topic, len(t.Partitions))
		}
		for _, g := range m.Groups {
			for _, t := range g.Topics {
				add(g.Group, t.Topic, t.TopicID, len(t.Partitions))
			}
		}
	case *kmsg.OffsetFetchResponse:
		if m.ErrorCode != 0 {
			return []string{"everything"}
		}
		for _, t := range m.Topics {
			add(t.Topic, len(t.Partitions))
		}
		for _, g := range m.Groups {
			if g.ErrorCode != 0 { // stands for all the topics of that group
				return []string{"everything"}
			}
			for _, t := range g.Topics {
				add(g.Group, t.Topic, t.TopicID, len(t.Partitions))
			}
		}
	case *kmsg.FindCoordinatorRequest:
		es = append(es, m.CoordinatorKeys...)
	case *kmsg.FindCoordinatorResponse:
		if m.ErrorCode != 0 {
			return []string{"everything"}
		}
		for _, c := range m.Coordinators {
			es = append(es, c.Key)
		}
	case *kmsg.DescribeGroupsRequest:
		es = append(es, m.Groups...)
	case *kmsg.DescribeGroupsResponse:
		for _, g := range m.Groups {
			es = append(es, g.Group)
		}
	case *kmsg.ConsumerGroupDescribeRequest:
		es = append(es, m.Groups...)
	case *kmsg.ConsumerGroupDescribeResponse:
		for _, g := range m.Groups {
			es = append(es, g.Group)
		}
	case *kmsg.StreamsGroupDescribeRequest:
		es = append(es, m.Groups...)
	case *kmsg.StreamsGroupDescribeResponse:
		for _, g := range m.Groups {
			es = append(es, g.Group)
		}
	default:
		return shareElements(msg)
	}
	return es
}

func shareElements(msg any) (es []string) {
	add := func(part ...any) { es = append(es, fmt.Sprintln(part...)) }
	switch m := msg.(type) {
	case *kmsg.ShareGroupDescribeRequest:
		es = append(es, m.GroupIDs...)
	case *kmsg.ShareGroupDescribeResponse:
		for _, g := range m.Groups {
			es = append(es, g.GroupID)
		}
	case *kmsg.ShareFetchRequest:
		for _, t := range m.Topics {
			add(t.TopicID, len(t.Partitions))
		}
	case *kmsg.ShareFetchResponse:
		if m.ErrorCode != 0 {
			return []string{"everything"}
		}
		for _, t := range m.Topics {
			add(t.TopicID, len(t.Partitions))
		}
	case *kmsg.ShareAcknowledgeRequest:
		for _, t := range m.Topics {
			add(t.TopicID, len(t.Partitions))
		}
	case *kmsg.ShareAcknowledgeResponse:
		if m.ErrorCode != 0 {
			return []string{"everything"}
		}
		for _, t := range m.Topics {
			add(t.TopicID, len(t.Partitions))
		}
	case *kmsg.DescribeShareGroupOffsetsRequest:
		for _, g := range m.Groups {
			for _, t := range g.Topics {
				add(g.GroupID, t.Topic, len(t.Partitions))
			}
		}
	case *kmsg.DescribeShareGroupOffsetsResponse:
		for _, g := range m.Groups {
			if g.ErrorCode != 0 {
				return []string{"everything"}
			}
			for _, t := range g.Topics {
				add(g.GroupID, t.Topic, len(t.Partitions))
			}
		}
	case nil:
	default:
		panic(fmt.Sprintf("no elements of %T", msg))
	}
	return es
}
