package protocol

import (
	"bytes"
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakeJudge is a Judge whose grants are spelled out, such as "READ topic orders".
// Topic ids are those of topicID.
type fakeJudge struct {
	grants map[string]bool
	all    bool // everything is allowed
	topics []string
}

// judge grants what is listed, in a slice that has these topics.
func judge(topics []string, grants ...string) *fakeJudge {
	j := &fakeJudge{grants: make(map[string]bool), topics: topics}
	for _, g := range grants {
		j.grants[g] = true
	}
	return j
}

// judgeAll allows everything, judgeNone nothing, in a slice that has these topics.
func judgeAll(topics ...string) *fakeJudge  { return &fakeJudge{all: true, topics: topics} }
func judgeNone(topics ...string) *fakeJudge { return &fakeJudge{topics: topics} }

func (j *fakeJudge) Allowed(op Operation, r Resource, name string) bool {
	return j.all || j.grants[op.String()+" "+r.String()+" "+name]
}

func (j *fakeJudge) AllowedSome(op Operation, r Resource) bool {
	for g := range j.grants {
		if strings.HasPrefix(g, op.String()+" "+r.String()+" ") {
			return true
		}
	}
	return j.all
}

func (j *fakeJudge) TopicName(id [16]byte) (string, bool) {
	for _, name := range j.topics {
		if topicID(name) == id {
			return name, true
		}
	}
	return "", false
}

func (j *fakeJudge) TopicNames() []string { return j.topics }

// Partitions: each topic that is not called absent has three.
func (j *fakeJudge) Partitions(topic string) int {
	if topic == "absent" {
		return 0
	}
	return 3
}

// topicID is a readable topic id: the name, cut or padded with dots.
func topicID(name string) (id [16]byte) {
	copy(id[:], name+"................")
	return id
}

// filler fills kmsg messages by reflection, every field of every level.
type filler struct {
	// value gives what a field holds; nil leaves it to the defaults. owner is the
	// struct's type, field its name, of the element if the field is a list.
	value func(owner reflect.Type, field string, kind reflect.Type) any
	// length is how many elements a list gets, -1 for null.
	length func() int
}

// fill sets all exported fields of msg but the version and the unknown tags.
func (f *filler) fill(msg any) {
	f.fillStruct(reflect.ValueOf(msg).Elem())
}

func (f *filler) fillStruct(s reflect.Value) {
	if d, ok := s.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for i := range s.NumField() {
		switch field := s.Type().Field(i); field.Name {
		case "Version", "UnknownTags":
		default:
			f.fillValue(s.Type(), field.Name, s.Field(i))
		}
	}
}

func (f *filler) fillValue(owner reflect.Type, field string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		f.fillStruct(v)
		return
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		n := f.length()
		if n < 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fillValue(owner, field, v.Index(i))
		}
		return
	case reflect.Pointer:
		if f.length() < 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		f.fillValue(owner, field, v.Elem())
		return
	}
	if x := f.value(owner, field, v.Type()); x != nil {
		v.Set(reflect.ValueOf(x).Convert(v.Type()))
	}
}

// randomFiller fills messages with random values; strings and topic ids come from
// names, so that they repeat.
func randomFiller(r *rand.Rand, names []string) *filler {
	return &filler{
		length: func() int { return r.Intn(5) - 1 },
		value: func(_ reflect.Type, _ string, kind reflect.Type) any {
			switch kind.Kind() {
			case reflect.String:
				return names[r.Intn(len(names))]
			case reflect.Array:
				return topicID(names[r.Intn(len(names))])
			case reflect.Slice:
				return make([]byte, r.Intn(9))
			case reflect.Bool:
				return r.Intn(2) == 0
			case reflect.Float64:
				return r.Float64()
			default:
				return int64(r.Intn(100) - 2) // -1 and -2 mean something in Kafka
			}
		},
	}
}

// reread is msg after a way over the wire: what its version cannot say is lost.
func reread[M interface {
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
	GetVersion() int16
	SetVersion(int16)
}](t testing.TB, msg M) M {
	t.Helper()
	out := reflect.New(reflect.TypeOf(msg).Elem()).Interface().(M)
	out.SetVersion(msg.GetVersion())
	if err := out.ReadFrom(msg.AppendTo(nil)); err != nil {
		t.Fatalf("%T version %d does not decode: %v", msg, msg.GetVersion(), err)
	}
	return out
}

// requestOf and responseOf are empty messages of a key and version.
func requestOf(key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	return req
}

func responseOf(key, version int16) kmsg.Response {
	resp := kmsg.ResponseForKey(key)
	resp.SetVersion(version)
	return resp
}

// sameBytes fails if the messages differ in their encoding.
func sameBytes(t testing.TB, what string, got, want interface{ AppendTo([]byte) []byte }) {
	t.Helper()
	if g, w := got.AppendTo(nil), want.AppendTo(nil); !bytes.Equal(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", what, show(got), show(want))
	}
}

// show prints a message with what its pointers hold.
func show(msg any) string {
	var b strings.Builder
	showValue(&b, reflect.ValueOf(msg))
	return b.String()
}

func showValue(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString("null")
			return
		}
		showValue(b, v.Elem())
	case reflect.Struct:
		b.WriteString("{")
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if name == "UnknownTags" || v.Field(i).IsZero() {
				continue
			}
			b.WriteString(" " + name + ":")
			showValue(b, v.Field(i))
		}
		b.WriteString(" }")
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%q", v.Bytes())
			return
		}
		b.WriteString("[")
		for i := range v.Len() {
			b.WriteString(" ")
			showValue(b, v.Index(i))
		}
		b.WriteString(" ]")
	default:
		fmt.Fprintf(b, "%v", v.Interface())
	}
}
