package protocol

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Decider says what a tenant may do, as a [Judge] without topics.
type Decider interface {
	// Allowed reports whether the tenant may do op on the resource of that name.
	Allowed(op Operation, r Resource, name string) bool
	// AllowedSome reports whether there is a name on which the tenant may do op.
	AllowedSome(op Operation, r Resource) bool
}

// Question is what an API asked of a Judge, and what it was told.
type Question struct {
	Operation Operation
	Resource  Resource
	Name      string
	// Any: whether there is any name; Name is empty then.
	Any     bool
	Allowed bool
}

// ErrorPlace is an error code in an answer.
type ErrorPlace struct {
	// Place is the field, such as "Topics[].Partitions[].ErrorCode".
	Place string
	Code  int16
	// Message is the text beside the code; empty where the answer has none.
	Message string
}

// Verdict is what becomes of a request.
type Verdict struct {
	// Version of the request, the newest that the table has.
	Version int16
	// Questions are what was asked, each once, in order.
	Questions []Question
	// Denied: nothing that it names passes. Partly: some of it does.
	Denied, Partly bool
	// LeftOut: the API lists, and what is denied is left out of the listing.
	LeftOut bool
	// Errors are the codes that the client sees, each place once.
	Errors []ErrorPlace
}

// Verdict judges a request of the API that names the given resources with the
// functions of the API's row: what it says is what the gateway does. A topic that is
// named exists.
func (a *API) Verdict(names Names, d Decider) Verdict {
	return a.verdict(a.withPlaceholders(names), d)
}

// withPlaceholders adds a name for what the API names and is not judged by, such as
// the topics of ElectLeaders: its answer may have the code beside each.
func (a *API) withPlaceholders(names Names) Names {
	all := maps.Clone(names)
	uses := a.Uses()
	for _, r := range []Resource{Topic, Group, TransactionalID} {
		if _, given := names[r]; !given && !slices.Contains(uses, r) {
			all[r] = "-"
		}
	}
	return all
}

// TurnedAway are the codes that the refusal broker answers a request with that names
// the given resources; none where its answer has no error.
func (a *API) TurnedAway(names Names, r Refusal) []ErrorPlace {
	req := a.Sample(names)
	if p, ok := req.(*kmsg.ProduceRequest); ok {
		p.Acks = -1
	}
	resp, _, ok := r.Answer(req)
	if !ok {
		return nil
	}
	return ErrorsIn(resp)
}

func (a *API) verdict(names Names, d Decider) Verdict {
	req, _ := a.sample(names)
	v := Verdict{Version: a.Max}
	j := &recorder{Decider: d, names: names}
	if a.Split != nil {
		refused, rest := a.Split(req, j)
		if refused != nil {
			v.Errors = ErrorsIn(refused)
			v.Denied = !rest || Emptied(req) || !names.inLists(req)
			v.Partly = !v.Denied
		}
	}
	if a.Filter != nil && !v.Denied && !v.Partly {
		a.listed(&v, j)
	}
	v.Questions = j.questions
	return v
}

// listed judges an answer that names the resources of which the request says
// nothing.
func (a *API) listed(v *Verdict, j *recorder) {
	resp := kmsg.ResponseForKey(a.Key)
	s := &sampler{names: j.names}
	s.fill(reflect.ValueOf(resp).Elem())
	resp.SetVersion(a.Max)
	var judged []Resource
	for _, r := range []Resource{Topic, Group, TransactionalID} {
		if name, given := j.names[r]; given && !j.asked(r) && hasName(resp, r, name) {
			judged = append(judged, r)
		}
	}
	if _, given := j.names[Cluster]; judged == nil && (!given || j.asked(Cluster)) {
		return
	}
	a.Filter(resp, j)
	v.Errors = ErrorsIn(resp)
	for _, r := range judged {
		v.LeftOut = v.LeftOut || !hasName(resp, r, j.names[r])
	}
	v.LeftOut = v.LeftOut && len(v.Errors) == 0
	v.Denied = v.LeftOut || len(v.Errors) > 0
}

// inLists reports whether an element of a list still names what is given.
func (n Names) inLists(req kmsg.Request) bool {
	v := reflect.ValueOf(req).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Slice {
			continue
		}
		in := found(v.Field(i), func(field string, e reflect.Value) bool {
			if e.Kind() == reflect.Array {
				return e.Interface() == sampleTopicID
			}
			return e.Kind() == reflect.String && e.Len() > 0
		})
		if in {
			return true
		}
	}
	return false
}

// recorder is the judge of a sample.
type recorder struct {
	Decider
	names     Names
	questions []Question
}

func (r *recorder) Allowed(op Operation, res Resource, name string) bool {
	return r.note(Question{op, res, name, false, r.Decider.Allowed(op, res, name)})
}

func (r *recorder) AllowedSome(op Operation, res Resource) bool {
	return r.note(Question{op, res, "", true, r.Decider.AllowedSome(op, res)})
}

func (r *recorder) note(q Question) bool {
	if !slices.Contains(r.questions, q) {
		r.questions = append(r.questions, q)
	}
	return q.Allowed
}

func (r *recorder) TopicName(id [16]byte) (string, bool) {
	name, ok := r.names[Topic]
	return name, ok && id == sampleTopicID
}

func (r *recorder) TopicNames() []string {
	if name, ok := r.names[Topic]; ok {
		return []string{name}
	}
	return nil
}

// Partitions: a topic that is named exists, with any partition.
func (r *recorder) Partitions(topic string) int {
	if name, ok := r.names[Topic]; ok && name == topic {
		return math.MaxInt32
	}
	return 0
}

// asked reports whether the resource was asked for by the name that was given.
func (r *recorder) asked(res Resource) bool {
	return slices.ContainsFunc(r.questions, func(q Question) bool { return !q.Any && q.Resource == res && q.Name == r.names[res] })
}

// allowing is the decider that shows what an API asks: it allows everything, but
// maybe not the cluster, since what that allows needs no further question.
type allowing struct{ cluster bool }

func (d allowing) Allowed(_ Operation, r Resource, _ string) bool { return d.cluster || r != Cluster }

func (d allowing) AllowedSome(_ Operation, r Resource) bool { return d.cluster || r != Cluster }

// asks is what an API asks about the given resources when they are allowed.
func (a *API) asks(names Names) *recorder {
	j := &recorder{names: names}
	for _, cluster := range []bool{true, false} {
		j.questions = append(j.questions, a.verdict(names, allowing{cluster}).Questions...)
	}
	return j
}

// Uses are the resource types about which requests of the API are judged by a name
// of the client's, the cluster included. It is found out by asking: from what the
// API's row asks of samples that name one resource, or several.
func (a *API) Uses() []Resource {
	types := []Resource{Topic, Group, TransactionalID, Cluster}
	var uses resourceSet
	for set := range 1 << len(types) {
		names := Names{}
		for i, r := range types {
			if set&(1<<i) != 0 {
				names[r] = "sluice-sample"
			}
		}
		if _, ok := names[Cluster]; ok {
			names[Cluster] = ClusterName
		}
		j := a.asks(names)
		for r := range names {
			if j.asked(r) {
				uses |= setOf(r)
			}
		}
	}
	var list []Resource
	for _, r := range types {
		if uses.has(r) {
			list = append(list, r)
		}
	}
	return list
}

// NamesError says why names do not fit an API.
type NamesError struct {
	API string
	// Missing are the resource types that must be given, each a choice of one or more.
	Missing [][]Resource
	// Unused is given, and the API does not use it; Together: not beside the others.
	Unused   Resource
	Together bool
}

// Error says it in words; the command line has its own.
func (e *NamesError) Error() string {
	if len(e.Missing) > 0 {
		return fmt.Sprintf("%s needs %v", e.API, e.Missing)
	}
	return fmt.Sprintf("%s does not use the %s", e.API, e.Unused)
}

// CheckNames reports what a request of the API must name and names does not have, or
// has for nothing. The error is a *[NamesError].
func (a *API) CheckNames(names Names) error {
	uses := a.Uses()
	j := a.asks(names)
	for _, r := range []Resource{Topic, Group, TransactionalID, Cluster} {
		if _, given := names[r]; given && !j.asked(r) {
			return &NamesError{API: a.Name, Unused: r, Together: slices.Contains(uses, r)}
		}
	}
	missing := a.missing(names, uses)
	if missing == nil {
		return nil
	}
	e := &NamesError{API: a.Name}
	for _, set := range missing {
		var choice, enough []Resource
		for _, r := range uses {
			if !set.has(r) {
				continue
			}
			choice = append(choice, r)
			more := maps.Clone(names)
			more[r] = "sluice-sample"
			if !slices.ContainsFunc(a.missing(more, uses), func(left resourceSet) bool { return left&set != 0 }) {
				enough = append(enough, r)
			}
		}
		if enough != nil {
			choice = enough
		}
		if !slices.ContainsFunc(e.Missing, func(have []Resource) bool { return slices.Equal(have, choice) }) {
			e.Missing = append(e.Missing, choice)
		}
	}
	return e
}

// missing are the sets of types of which one must be named too: a list that cannot
// be null would be empty, or an empty name was asked for.
func (a *API) missing(names Names, uses []Resource) []resourceSet {
	var sets []resourceSet
	for _, q := range a.asks(names).questions {
		if _, given := names[q.Resource]; !given && !q.Any && q.Name == "" {
			sets = append(sets, setOf(q.Resource))
		}
	}
	_, lists := a.sample(names)
	for _, set := range lists {
		if set &= setOf(uses...); set != 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

// ErrorsIn lists the error codes of an answer that are not 0, each place and code
// once.
func ErrorsIn(resp kmsg.Response) []ErrorPlace {
	var places []ErrorPlace
	var in func(place string, v reflect.Value)
	in = func(place string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				in(place, v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				in(place+"[]", v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Field(i).Name
				if code, ok := v.Field(i).Interface().(int16); ok && code != 0 && strings.HasSuffix(name, "ErrorCode") {
					e := ErrorPlace{Place: join(place, name), Code: code}
					if m := v.FieldByName(strings.TrimSuffix(name, "Code") + "Message"); m.IsValid() && m.Kind() == reflect.Pointer && !m.IsNil() {
						e.Message = m.Elem().String()
					}
					if !slices.Contains(places, e) {
						places = append(places, e)
					}
				} else if name != "UnknownTags" {
					in(join(place, name), v.Field(i))
				}
			}
		default:
		}
	}
	in("", reflect.ValueOf(resp))
	return places
}

func join(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

// LookupName returns the row of an API by its name, in any case; nil for one that
// the table does not know.
func LookupName(name string) *API {
	for _, a := range apis {
		if a != nil && strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

// APIs are the rows of the table, by key, those with Access Refuse too.
func APIs() []*API {
	var all []*API
	for _, a := range apis {
		if a != nil {
			all = append(all, a)
		}
	}
	return all
}
