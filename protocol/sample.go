package protocol

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Names are the resources that a sample request names, one of a type. The cluster's
// is ClusterName.
type Names map[Resource]string

// resourceSet is a set of resource types, one bit each.
type resourceSet uint8

func setOf(rs ...Resource) resourceSet {
	var s resourceSet
	for _, r := range rs {
		s |= 1 << r
	}
	return s
}

func (s resourceSet) has(r Resource) bool { return s&(1<<r) != 0 }

// nameFields are the fields in which kmsg's messages name a resource, whatever the
// API.
var nameFields = map[string]Resource{
	"Topic": Topic, "Topics": Topic, "TopicNames": Topic, "SubscribedTopicNames": Topic, "SourceTopics": Topic, "TopicID": Topic,
	"Group": Group, "Groups": Group, "GroupID": Group, "GroupIDs": Group,
	"TransactionalID": TransactionalID, "TransactionalIDs": TransactionalID, "TransactionID": TransactionalID,
}

// sampleTopicID is the id of the topic that a sample names.
var sampleTopicID = [16]byte{'s', 'a', 'm', 'p', 'l', 'e', ' ', 't', 'o', 'p', 'i', 'c', ' ', 'i', 'd', '.'}

// sampler fills a message so that it names what names has, once wherever it can.
type sampler struct {
	names Names
	ids   bool // topics also by their id
	// skipped are the lists that stayed empty since nothing of theirs is named.
	skipped []skippedList
}

type skippedList struct {
	list  reflect.Value
	could resourceSet // what its elements name
}

// fill fills the fields of a struct. could is what it has fields for, named what was
// put into them.
func (s *sampler) fill(v reflect.Value) (could, named resourceSet) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for i := range v.NumField() {
		c, n := s.field(v.Type().Field(i).Name, v.Field(i))
		could, named = could|c, named|n
	}
	return could, named
}

func (s *sampler) field(name string, v reflect.Value) (could, named resourceSet) {
	if name == "UnknownTags" || strings.HasPrefix(name, "Forgotten") { // a first request forgets nothing
		return 0, 0
	}
	switch v.Kind() {
	case reflect.Struct:
		return s.fill(v)
	case reflect.Slice:
		return s.list(name, v)
	case reflect.Pointer:
		to := reflect.New(v.Type().Elem())
		if to.Elem().Kind() == reflect.Struct {
			if could, named = s.fill(to.Elem()); named == 0 || name == "Cursor" { // the first page has no cursor
				return could, 0
			}
			v.Set(to)
			return could, named
		}
		if could, named = s.field(name, to.Elem()); named != 0 {
			v.Set(to)
		}
		return could, named
	case reflect.String:
		return s.name(name, func(value string) { v.SetString(value) })
	case reflect.Array:
		r, ok := nameFields[name]
		if _, given := s.names[r]; !ok || !given || !s.ids {
			return setOf(r) &^ 1, 0
		}
		v.Set(reflect.ValueOf(sampleTopicID))
		return setOf(r), setOf(r)
	case reflect.Int8:
		if _, group := s.names[Group]; name == "CoordinatorType" && !group {
			v.SetInt(int64(coordinatorOfTransaction))
		}
	default: // numbers and flags keep their defaults
	}
	return 0, 0
}

// name gives a field of text what it names.
func (s *sampler) name(field string, set func(string)) (could, named resourceSet) {
	candidates := []Resource{}
	if r, ok := nameFields[field]; ok {
		candidates = append(candidates, r)
	} else if field == "CoordinatorKey" || field == "CoordinatorKeys" {
		candidates = append(candidates, Group, TransactionalID)
	}
	for _, r := range candidates {
		if value, given := s.names[r]; given {
			set(value)
			return setOf(candidates...), setOf(r)
		}
	}
	return setOf(candidates...), 0
}

// list gives a list one element, unless its elements name something that is not
// given.
func (s *sampler) list(name string, v reflect.Value) (could, named resourceSet) {
	one := func() reflect.Value {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return v.Index(0)
	}
	switch elem := v.Type().Elem(); elem.Kind() {
	case reflect.Struct:
		if _, ok := elem.FieldByName("ResourceName"); ok {
			could, named = s.configs(v)
		} else {
			could, named = s.fill(one())
		}
	case reflect.String:
		if could, named = s.name(name, func(value string) { one().SetString(value) }); could == 0 {
			return 0, 0
		}
	case reflect.Int32:
		one() // partition 0
		return 0, 0
	default:
		return 0, 0
	}
	if could != 0 && named == 0 {
		v.SetZero()
		s.skipped = append(s.skipped, skippedList{v, could})
	}
	return could, named
}

// configs fills a list of resources that have a type: one for each that is given, a
// broker for the cluster. Lists about ACLs have one element, and name nothing.
func (s *sampler) configs(v reflect.Value) (could, named resourceSet) {
	types := []struct {
		r Resource
		t kmsg.ConfigResourceType
	}{{Topic, kmsg.ConfigResourceTypeTopic}, {Group, kmsg.ConfigResourceTypeGroupConfig}, {Cluster, kmsg.ConfigResourceTypeBroker}}
	for _, t := range types {
		name, given := s.names[t.r]
		elem := reflect.New(v.Type().Elem()).Elem()
		s.fill(elem)
		field := elem.FieldByName("ResourceType")
		if field.Type() != reflect.TypeOf(t.t) {
			v.Set(reflect.Append(v, elem))
			return 0, 0
		}
		could |= setOf(t.r)
		if !given {
			continue
		}
		if t.r == Cluster {
			name = "0"
		}
		field.Set(reflect.ValueOf(t.t))
		elem.FieldByName("ResourceName").SetString(name)
		v.Set(reflect.Append(v, elem))
		named |= setOf(t.r)
	}
	return could, named
}

// Sample is a request of the API's newest version that names the given resources,
// once wherever it can: a topic by its id where there is no place for its name. What
// it names without being judged by it is "-".
func (a *API) Sample(names Names) kmsg.Request {
	req, _ := a.sample(a.withPlaceholders(names))
	return req
}

// sample is a request of the API's newest version that names the given resources,
// as a broker would read it. Topics are named by their id where the version has no
// place for names. required are the resources that it must name and does not: each
// a set of which one is needed.
func (a *API) sample(names Names) (req kmsg.Request, required []resourceSet) {
	for _, ids := range []bool{false, true} {
		s := &sampler{names: names, ids: ids}
		raw := kmsg.RequestForKey(a.Key)
		s.fill(reflect.ValueOf(raw).Elem())
		raw.SetVersion(a.Max)
		req = kmsg.RequestForKey(a.Key)
		req.SetVersion(a.Max)
		if err := req.ReadFrom(raw.AppendTo(nil)); err != nil {
			panic("protocol: " + a.Name + " does not decode what it encodes: " + err.Error()) // a test samples every API
		}
		topic, given := names[Topic]
		if !given || hasName(req, Topic, topic) {
			return req, s.required(raw)
		}
		required = s.required(raw)
	}
	return req, required
}

// required finds the lists that the message has in its version, that cannot be null
// and that stayed empty.
func (s *sampler) required(raw kmsg.Request) []resourceSet {
	var sets []resourceSet
	for _, l := range s.skipped {
		null := raw.AppendTo(nil)
		l.list.Set(reflect.MakeSlice(l.list.Type(), 1, 1))
		one := raw.AppendTo(nil)
		l.list.Set(reflect.MakeSlice(l.list.Type(), 0, 0))
		empty := raw.AppendTo(nil)
		l.list.SetZero()
		if !bytes.Equal(null, one) && bytes.Equal(null, empty) {
			sets = append(sets, l.could)
		}
	}
	return sets
}

// hasName reports whether a message names that resource anywhere.
func hasName(msg any, r Resource, name string) bool {
	return found(reflect.ValueOf(msg), func(field string, v reflect.Value) bool {
		of, is := nameFields[field]
		is = is && of == r || field == "ResourceName"
		return is && v.Kind() == reflect.String && v.String() == name
	})
}

// found looks through a message for a value that is what is wanted. field is the
// name of the field that holds it, as an element of a list or itself.
func found(v reflect.Value, want func(field string, v reflect.Value) bool) bool {
	var in func(field string, v reflect.Value) bool
	in = func(field string, v reflect.Value) bool {
		switch v.Kind() {
		case reflect.Pointer:
			return !v.IsNil() && in(field, v.Elem())
		case reflect.Slice:
			for i := range v.Len() {
				if in(field, v.Index(i)) {
					return true
				}
			}
			return false
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).Name != "UnknownTags" && in(v.Type().Field(i).Name, v.Field(i)) {
					return true
				}
			}
			return false
		default:
			return want(field, v)
		}
	}
	return in("", v)
}
