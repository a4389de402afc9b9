package protocol

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// testCluster is a virtual cluster of the slots 0, 3 and 5, in which 3 is the home.
// Names that begin with "a." live in slot 0, those with "f." in 5, all others at home.
type testCluster struct{ topics []string }

func (testCluster) Slots() []int      { return []int{3, 0, 5} }
func (testCluster) ClusterID() string { return "virtual" }

func (testCluster) Owner(_ Resource, name string) int {
	switch {
	case strings.HasPrefix(name, "a."), strings.HasPrefix(name, "__"):
		return 0
	case strings.HasPrefix(name, "f."):
		return 5
	}
	return 3
}

func (v testCluster) TopicName(id [16]byte) (string, bool) {
	return judgeAll(v.topics...).TopicName(id)
}

var spanning = testCluster{topics: spanningNames[:5]}

// spanningNames are those of topics, groups and transactional ids of all slots; one
// topic does not exist, one is empty.
var spanningNames = []string{"a.one", "a.two", "home", "f.one", "__consumer_offsets", "gone", ""}

// guardOf is the Guard of a slot for a tenant that may do everything.
func guardOf(slot int) *Guard {
	return &Guard{Judge: judgeAll(spanning.topics...), Cluster: spanning, Slot: slot}
}

// nodesOf are the brokers 1 and 2 of a slot.
func nodesOf(slot int) Nodes {
	return Nodes{Slot: slot, Address: func(node int32) (string, int32, bool) {
		return fmt.Sprintf("gateway-%d.example", slot), 9100 + node, node == 1 || node == 2
	}}
}

// span is the life of a request to the virtual cluster on a connection to a slot, as
// the gateway has it. Each slice answers with ask; nil is no answer.
func span(api *API, req kmsg.Request, slot int, ask func(Part) kmsg.Response) kmsg.Response {
	v := req.GetVersion()
	g := guardOf(slot)
	g.Begin(api, v)
	var refused kmsg.Response
	if api.Split != nil {
		var rest bool
		if refused, rest = api.Split(req, g); !rest {
			return refused
		}
	}
	var resp kmsg.Response
	if api.Divide == nil {
		resp = answered(api, Part{Slot: slot, Req: req}, v, ask)
	} else {
		resp = spanDivided(api, req, v, ask)
	}
	if refused != nil {
		api.Merge(resp, refused)
	}
	return resp
}

func spanDivided(api *API, req kmsg.Request, v int16, ask func(Part) kmsg.Response) kmsg.Response {
	parts := api.Divide(req, spanning)
	var answers []Answer
	if f := api.Fence(req, parts, spanning); f != nil {
		for p := f.Ask(); p != nil; p = f.Ask() {
			resp := ask(*p)
			if resp != nil {
				resp.SetVersion(p.Req.GetVersion())
			}
			f.Answer(resp)
		}
		parts, answers = f.Parts(), f.Answers()
	}
	for _, p := range parts {
		answers = append(answers, Answer{p.Slot, answered(api, p, v, ask)})
	}
	return api.Join(req, answers, spanning)
}

// answered is a slice's answer as the client may see it.
func answered(api *API, p Part, v int16, ask func(Part) kmsg.Response) kmsg.Response {
	if api.Realize != nil {
		api.Realize(p.Req, nodesOf(p.Slot))
	}
	resp := ask(p)
	if resp == nil {
		resp = api.Unavailable(p.Req, []string{"a.one", "home", "f.one"})
	}
	resp.SetVersion(v)
	if api.Virtualize != nil {
		api.Virtualize(p.Req, resp, nodesOf(p.Slot))
	}
	if api.Filter != nil {
		api.Filter(resp, guardOf(p.Slot))
	}
	return resp
}

// answerTo names all that the request names, and has no error.
func answerTo(p Part) kmsg.Response {
	resp := responseOf(p.Req.Key(), p.Req.GetVersion())
	repeat(reflect.ValueOf(resp).Elem(), reflect.ValueOf(p.Req).Elem())
	return resp
}

// counterparts are the lists of requests whose answers have another name.
var counterparts = map[string]string{"TopicNames": "Topics", "CoordinatorKeys": "Coordinators", "TransactionalIDs": "TransactionStates"}

// naming are the fields that say what an element is about.
var naming = []string{"Topic", "TopicID", "Group", "GroupID", "ResourceType", "ResourceName", "TransactionalID", "Partition", "Key"}

// repeat makes in a struct of an answer an element for each of a request's.
func repeat(to, from reflect.Value) {
	if d, ok := to.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for _, field := range naming {
		if f, a := to.FieldByName(field), from; f.IsValid() {
			if from.Kind() == reflect.Struct {
				a = from.FieldByName(field)
			}
			if a.IsValid() {
				set(f, a)
			}
		}
	}
	if from.Kind() != reflect.Struct {
		return
	}
	for i := range from.NumField() {
		name := from.Type().Field(i).Name
		if other, ok := counterparts[name]; ok {
			name = other
		}
		list := to.FieldByName(name)
		if from.Field(i).Kind() != reflect.Slice || !list.IsValid() || list.Kind() != reflect.Slice {
			continue
		}
		for k := range from.Field(i).Len() {
			e := reflect.New(list.Type().Elem()).Elem()
			if e.Kind() == reflect.Struct {
				repeat(e, from.Field(i).Index(k))
			}
			list.Set(reflect.Append(list, e))
		}
	}
}

func set(to, from reflect.Value) {
	switch {
	case to.Type() == from.Type():
		to.Set(from)
	case to.Kind() == reflect.Pointer && to.Type().Elem() == from.Type():
		p := reflect.New(from.Type())
		p.Elem().Set(from)
		to.Set(p)
	case to.Kind() == from.Kind() && to.Kind() != reflect.Slice:
		to.Set(from.Convert(to.Type()))
	}
}

// asksAbout counts what a message is about, down to the partitions: "[group topic] 3".
func asksAbout(msg any) map[string]int {
	count := map[string]int{}
	top := reflect.ValueOf(msg).Elem()
	for i := range top.NumField() {
		name := top.Type().Field(i).Name
		if name != "UnknownTags" && name != "ForgottenTopics" && name != "Brokers" && top.Field(i).Kind() == reflect.Slice {
			for k := range top.Field(i).Len() {
				countAbout(top.Field(i).Index(k), "", count)
			}
		}
	}
	return count
}

func countAbout(v reflect.Value, path string, count map[string]int) {
	if v.Kind() != reflect.Struct {
		count[strings.TrimSpace(fmt.Sprint(path, v.Interface()))]++
		return
	}
	for _, field := range naming {
		f := v.FieldByName(field)
		if f.IsValid() && f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.IsValid() && (field == "Partition" || !f.IsZero()) {
			path += fmt.Sprint(f.Interface(), " ")
		}
	}
	leaf := true
	for _, list := range []string{"Topics", "Partitions"} {
		if f := v.FieldByName(list); f.IsValid() {
			for k := range f.Len() {
				leaf = false
				countAbout(f.Index(k), path, count)
			}
		}
	}
	if leaf {
		count[strings.TrimSpace(path)]++
	}
}
