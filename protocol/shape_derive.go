package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// messageShape is the shape of a whole message.
type messageShape struct {
	shape
	flexible bool
	size     int // bytes of kmsg's struct
}

// shapeVersions bounds the versions of a request that shapes are kept of; Kafka's
// highest is below 20.
const shapeVersions = 32

// requestShapes keeps what has been derived. Two that derive the same at the same
// time do no harm.
var requestShapes [len(apis)][shapeVersions]atomic.Pointer[messageShape]

// requestShape returns the shape of a request; nil for a key or a version that
// kmsg does not know.
func requestShape(key, version int16) *messageShape {
	if key < 0 || int(key) >= len(apis) || version < 0 || version >= shapeVersions {
		return nil
	}
	kept := &requestShapes[key][version]
	if s := kept.Load(); s != nil {
		return s
	}
	req := kmsg.RequestForKey(key)
	if req == nil || version > req.MaxVersion() {
		return nil
	}
	req.SetVersion(version)
	s := deriveShape(req)
	kept.Store(s)
	return s
}

// probe finds out how kmsg encodes a message. Its structs have their fields in the
// order of the wire; which of them a version has, which are tagged and which may be
// null shows in the encoding when one of them is changed.
type probe struct {
	msg      kmsg.Request
	flexible bool
}

func deriveShape(req kmsg.Request) *messageShape {
	p := &probe{msg: req, flexible: req.IsFlexible()}
	v := reflect.ValueOf(req).Elem()
	return &messageShape{
		shape:    seal(p.structSteps(v)),
		flexible: p.flexible,
		size:     int(v.Type().Size()),
	}
}

// seal computes what a shape takes at least, and joins what has a fixed size.
func seal(steps []step) shape {
	s := shape{fixed: true}
	for _, next := range steps {
		s.min += next.size
		if next.kind != stepFixed {
			s.fixed = false
		} else if n := len(s.steps); n > 0 && s.steps[n-1].kind == stepFixed {
			s.steps[n-1].size += next.size
			continue
		}
		s.steps = append(s.steps, next)
	}
	return s
}

// structSteps derives the fields of a struct that is a part of the message, whose
// encoding must hold it.
func (p *probe) structSteps(v reflect.Value) []step {
	var steps []step
	var tags []tagShape
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name == "Version" || name == "UnknownTags" {
			continue
		}
		present, tag := p.find(v, v.Field(i))
		switch {
		case !present:
		case tag >= 0:
			tags = append(tags, tagShape{uint32(tag), seal(p.valueSteps(v.Field(i)))})
		default:
			steps = append(steps, p.valueSteps(v.Field(i))...)
		}
	}
	if p.flexible && v.FieldByName("UnknownTags").IsValid() {
		steps = append(steps, step{kind: stepTags, size: 1, tags: tags})
	}
	return steps
}

// marker is the value of a tag that is found again in an encoding. It is so long
// that the tags around it keep the length of their size when a field changes.
var marker = []byte(strings.Repeat("marker of tags; ", 16))

const markerKey = 1 << 20

// find looks whether the version has a field of the struct owner, and under which
// tag; -1 if it is not tagged. Tags come behind all other fields, those that kmsg
// does not decode last.
func (p *probe) find(owner, field reflect.Value) (present bool, tag int) {
	if tags := owner.FieldByName("UnknownTags"); tags.IsValid() {
		tags.Addr().Interface().(*kmsg.Tags).Set(markerKey, marker)
		defer tags.SetZero()
	}
	before := p.encode()
	old := reflect.New(field.Type()).Elem()
	old.Set(field)
	alter(field)
	after := p.encode()
	field.Set(old)
	if bytes.Equal(before, after) {
		return false, -1
	}
	// Where the marker's tag stands, behind its section's number of tags.
	head := binary.AppendUvarint(binary.AppendUvarint(nil, markerKey), uint64(len(marker)))
	head = append(head, marker...)
	was, is := bytes.Index(before, head), bytes.Index(after, head)
	if was < 0 || is < was+2 || after[was-1] != 2 {
		return true, -1
	}
	if key, size := after[was], int(after[was+1]); was+2+size == is {
		return true, int(key)
	}
	return true, -1
}

func (p *probe) encode() []byte { return p.msg.AppendTo(nil) }

// valueSteps derives a field that the version has.
func (p *probe) valueSteps(v reflect.Value) []step {
	short, long := 2, 4 // what lengths take at least
	if p.flexible {
		short, long = 1, 1
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint16, reflect.Uint32, reflect.Float64, reflect.Array: // the only arrays are uuids
		return []step{{kind: stepFixed, size: int(v.Type().Size())}}
	case reflect.String:
		return []step{{kind: stepString, size: short}}
	case reflect.Struct:
		return p.structSteps(v)
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String {
			kind := p.nullable(v, reflect.New(v.Type().Elem()), stepNullableString, stepString)
			return []step{{kind: kind, size: short, item: int(v.Type().Elem().Size())}}
		}
		return []step{p.innerStep(step{kind: stepNullable, size: 1}, v, reflect.New(v.Type().Elem()))}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return []step{{kind: p.nullable(v, reflect.MakeSlice(v.Type(), 0, 0), stepNullableBytes, stepBytes), size: long}}
		}
		return []step{p.innerStep(step{kind: stepArray, size: long}, v, reflect.MakeSlice(v.Type(), 1, 1))}
	}
	panic(fmt.Sprintf("protocol: kmsg has a field of the unknown type %v", v.Type()))
}

// nullable returns yes if null is encoded differently from empty, else no.
func (p *probe) nullable(v, empty reflect.Value, yes, no stepKind) stepKind {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	defer v.Set(old)
	v.Set(empty)
	with := p.encode()
	v.SetZero()
	if bytes.Equal(with, p.encode()) {
		return no
	}
	return yes
}

// innerStep completes the step of an array or of a nullable struct, of which one
// says what an element looks like.
func (p *probe) innerStep(s step, v, one reflect.Value) step {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	defer v.Set(old)
	v.Set(one)
	element := one
	if one.Kind() == reflect.Slice {
		element = v.Index(0)
	} else {
		element = v.Elem()
	}
	if d, ok := element.Addr().Interface().(interface{ Default() }); ok {
		d.Default() // what differs from its default would show as a tag
	}
	inner := seal(p.valueSteps(element))
	inner.min = max(inner.min, 1) // kmsg takes no more elements than there are bytes
	s.inner, s.item = &inner, int(element.Type().Size())
	return s
}

// alter changes a value, and all that is in it.
func alter(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() ^ 0x55)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() ^ 0x55)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Array:
		for i := range v.Len() {
			alter(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				alter(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		alter(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		alter(v.Elem())
	}
}
