package protocol

import (
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// eachVersion calls f for every row and version that Sluice offers.
func eachVersion(t *testing.T, f func(t *testing.T, api *API, v int16)) {
	for _, api := range apis {
		if api.Access != Pass {
			continue
		}
		for v := api.Min; v <= api.Max; v++ {
			t.Run(fmt.Sprintf("%s/v%d", api.Name, v), func(t *testing.T) { f(t, api, v) })
		}
	}
}

// elementsOf counts the elements of a request or an answer: each topic or resource,
// by what someNames it, with its partitions.
func elementsOf(msg any) map[string]int {
	count := make(map[string]int)
	list := elementList(msg)
	for i := range list.Len() {
		count[elementKey(list.Index(i))]++
	}
	return count
}

func elementList(msg any) reflect.Value {
	s := reflect.ValueOf(msg).Elem()
	list := reflect.ValueOf([]struct{}{})
	for _, name := range []string{"Topics", "Resources", "TopicNames", "Groups", "TransactionalIDs", "TransactionStates"} {
		f := s.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		if f.Len() > 0 {
			return f
		}
		if !list.CanSet() {
			list = f
		}
	}
	return list
}

// elementNames are the fields that name an element.
var elementNames = []string{"Topic", "ResourceType", "ResourceName", "Group", "TransactionalID"}

func elementKey(e reflect.Value) string {
	if e.Kind() == reflect.String {
		return e.String() + " "
	}
	key := ""
	for _, name := range elementNames {
		f := e.FieldByName(name)
		if f.IsValid() && f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.IsValid() {
			key += fmt.Sprint(f.Interface(), " ")
		}
	}
	// A topic that is named by its id has no other name in the answer.
	if f := e.FieldByName("TopicID"); f.IsValid() && !f.IsZero() {
		key = fmt.Sprintf("%s ", f.Interface())
	}
	if f := e.FieldByName("Partitions"); f.IsValid() {
		for i := range f.Len() {
			key += fmt.Sprint(partitionOf(f.Index(i)).Int(), ",")
		}
	}
	return key
}

func partitionOf(p reflect.Value) reflect.Value {
	if p.Kind() == reflect.Struct {
		return p.FieldByName("Partition")
	}
	return p
}

// echo is a broker's answer that someNames every element of the request.
func echo(req kmsg.Request) kmsg.Response {
	resp := responseOf(req.Key(), req.GetVersion())
	from, to := elementList(req), elementList(resp)
	for i := range from.Len() {
		asked := from.Index(i)
		e := reflect.New(to.Type().Elem()).Elem()
		for _, name := range append([]string{"TopicID"}, elementNames...) {
			f, a := e.FieldByName(name), asked
			if asked.Kind() == reflect.Struct {
				a = asked.FieldByName(name)
			} else if name == "TopicID" {
				continue
			}
			if f.IsValid() && a.IsValid() {
				if f.Kind() == reflect.Pointer && a.Kind() != reflect.Pointer {
					s := a.String()
					a = reflect.ValueOf(&s)
				}
				f.Set(a)
			}
		}
		if ps := e.FieldByName("Partitions"); ps.IsValid() && asked.Kind() == reflect.Struct && asked.FieldByName("Partitions").IsValid() {
			for k := range asked.FieldByName("Partitions").Len() {
				p := reflect.New(ps.Type().Elem()).Elem()
				partitionOf(p).Set(partitionOf(asked.FieldByName("Partitions").Index(k)))
				ps.Set(reflect.Append(ps, p))
			}
		}
		to.Set(reflect.Append(to, e))
	}
	return resp
}

// splitKeys are the rows whose requests are lists of topics, resources, groups or
// transactional ids, each of which is judged.
var splitKeys = []int16{0, 1, 2, 3, 19, 20, 21, 23, 24, 28, 32, 33, 37, 42, 44, 47, 61, 65, 75, 91, 92}

// wholeError is the code that an answer has for the request as a whole.
func wholeError(resp kmsg.Response) int16 {
	if f := reflect.ValueOf(resp).Elem().FieldByName("ErrorCode"); f.IsValid() {
		return int16(f.Int())
	}
	return codeNone
}

// someNames occur in random requests: some exist, one does not, one is empty.
var someNames = []string{"orders", "clicks", "logs", "gone", ""}

// randomJudge allows about half of all that it is asked.
func randomJudge(r *rand.Rand) *fakeJudge {
	j := judge(someNames[:3])
	for op := OpAll; op <= OpTwoPhaseCommit; op++ {
		for _, resource := range []Resource{Topic, Group, Cluster, TransactionalID} {
			for _, n := range append([]string{ClusterName}, someNames...) {
				j.grants[op.String()+" "+resource.String()+" "+n] = r.Intn(2) == 0
			}
		}
	}
	return j
}

// asClient takes from a random request what no client says and no judge decides.
func asClient(req kmsg.Request) kmsg.Request {
	switch r := req.(type) {
	case *kmsg.FetchRequest:
		r.ReplicaID, r.ReplicaState.ID = -1, -1
	case *kmsg.DescribeTopicPartitionsRequest:
		r.Cursor = nil // it leaves topics out that nobody denied: see the golden cases
	case *kmsg.DescribeClusterRequest:
		r.EndpointType = 1
	case *kmsg.DeleteTopicsRequest: // an id or a name: see the golden cases
		for i := range r.Topics {
			if r.Topics[i].Topic != nil {
				r.Topics[i].TopicID = [16]byte{}
			}
		}
	case *kmsg.MetadataRequest:
		for i := range r.Topics { // an id or a name
			if r.Topics[i].Topic != nil {
				r.Topics[i].TopicID = [16]byte{}
			}
		}
	}
	return req
}

func TestSplitTakesEachElementOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if !slices.Contains(splitKeys, api.Key) {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 100 {
			req := requestOf(api.Key, v)
			randomFiller(r, someNames).fill(req)
			req = reread(t, asClient(req))
			before, want := show(req), elementsOf(req)
			if api.Key == 75 && len(want) == 0 {
				continue // all topics: what it someNames is up to the judge
			}
			refused, rest := api.Split(req, randomJudge(r))
			resp := refused
			if !rest && wholeError(refused) != codeNone {
				continue // the group is denied, and no topic is named
			}
			if rest {
				resp = echo(req)
				if refused != nil {
					api.Merge(resp, refused)
				}
			} else if left := elementsOf(req); len(left) != 0 {
				t.Fatalf("nothing is to be asked, but %v is left of %s", left, before)
			}
			if got := elementsOf(resp); !maps.Equal(got, want) {
				t.Fatalf("the answer someNames %v\nthe request    %v\nof %s", got, want, before)
			}
			reread(t, resp)
			reread(t, req)
		}
	})
}

func TestSplitLeavesTheAllowedAlone(t *testing.T) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Split == nil {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 100 {
			req := requestOf(api.Key, v)
			randomFiller(r, someNames).fill(req)
			asClient(req)
			want := reread(t, req)
			req = reread(t, req)
			refused, rest := api.Split(req, judgeAll(someNames...))
			if refused != nil || !rest || req.GetVersion() != v {
				t.Fatalf("refused %s, rest %v of %s", show(refused), rest, show(want))
			}
			sameBytes(t, "the request", req, want)
		}
	})
}

func TestSplitLeavesNothingToTheDenied(t *testing.T) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if !slices.Contains(splitKeys, api.Key) {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 100 {
			req := requestOf(api.Key, v)
			randomFiller(r, someNames[:3]).fill(req) // none unknown
			req = reread(t, asClient(req))
			empty := len(elementsOf(req)) == 0
			refused, rest := api.Split(req, judgeNone(someNames[:3]...))
			if !rest && wholeError(refused) != codeNone {
				continue
			}
			left := elementsOf(req)
			delete(left, "") // Metadata: neither name nor id
			if rest && len(left) != 0 {
				t.Fatalf("%v goes to the broker", left)
			}
			if refused == nil && !empty && len(elementsOf(req)) == 0 {
				t.Fatal("taken out and not answered")
			}
		}
	})
}

// What is allowed is not filtered.
func TestFilterLeavesTheAllowedAlone(t *testing.T) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Filter == nil {
			return
		}
		f := randomFiller(rand.New(rand.NewSource(int64(api.Key)<<16+int64(v))), someNames)
		value := f.value
		f.value = func(owner reflect.Type, field string, kind reflect.Type) any {
			if strings.HasSuffix(field, "AuthorizedOperations") {
				return int32(1 << OpDescribe) // of every resource type
			}
			return value(owner, field, kind)
		}
		for range 100 {
			resp := responseOf(api.Key, v)
			f.fill(resp)
			resp = reread(t, resp)
			want := reread(t, resp)
			api.Filter(resp, judgeAll(someNames...))
			sameBytes(t, "the answer", resp, want)
		}
	})
}
