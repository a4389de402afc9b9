package protocol

// shape is the order of a message's fields on the wire, in one version of it, and
// of the structs within.
type shape struct {
	steps []step
	min   int  // bytes on the wire that it takes at least
	fixed bool // it always takes min bytes: one step of fixed size, or none
}

// step is a field, or several of fixed size behind one another.
type step struct {
	kind  stepKind
	size  int        // stepFixed: bytes on the wire
	item  int        // bytes that kmsg allocates for each element, or for the string that a pointer leads to
	inner *shape     // stepArray, stepNullable: of an element
	tags  []tagShape // stepTags: those that kmsg decodes
}

// tagShape is a tagged field that kmsg decodes; it keeps all others as they are.
type tagShape struct {
	key uint32
	shape
}

type stepKind uint8

const (
	stepFixed stepKind = iota
	stepString
	stepNullableString
	stepBytes // null is read as empty
	stepNullableBytes
	stepArray
	stepNullable // a struct that may be null
	stepTags
)

// What kmsg allocates for tags that it does not decode: a map for each section
// that has some, which grows with them.
const (
	tagMapBytes = 256
	tagBytes    = 192
)

// CheckRequest walks the body of a request by its schema and says whether kmsg can
// decode it safely. kmsg trusts what the bytes claim: it counts down as many tags
// as they say, also after their end, and allocates an array of as many elements as
// there are bytes left, up to 64 times as much memory as the frame. Nothing that
// the walk accepts claims more than its bytes hold. All errors are
// *[MalformedError].
//
// decoded is how many bytes kmsg allocates to decode it, estimated from above.
// The walk itself does not allocate.
//
// Like Kafka (RequestContext.parseRequest) it does not look at what stands behind
// the last field of the body. A tagged field must fill its tag exactly: Kafka
// reads on behind the field, kmsg behind the tag, and what one of them judges the
// other would never see.
func CheckRequest(key, version int16, body []byte) (decoded int, err error) {
	s := requestShape(key, version)
	if s == nil {
		return 0, &MalformedError{Message: requestName(key), Version: version, What: "a key or a version that is not known"}
	}
	w := shapeWalk{cursor: cursor{b: body}, flexible: s.flexible}
	w.allocated(s.size)
	w.walk(s.steps)
	if w.stopped() {
		what := w.bad
		if w.short && what == "" {
			what = "it ends too early"
		}
		return w.decoded, &MalformedError{Message: requestName(key), Version: version, Offset: w.failed, What: what}
	}
	return w.decoded, nil
}

func requestName(key int16) string {
	if a := Lookup(key); a != nil {
		return a.Name + " request"
	}
	return "request"
}

// shapeWalk walks bytes by a shape.
type shapeWalk struct {
	cursor
	flexible bool
	decoded  int
	failed   int // where the field that cannot be walked begins
}

// allocated notes that kmsg allocates n bytes in one piece, which Go's size
// classes may round up by a quarter, and small ones to 16 bytes.
func (w *shapeWalk) allocated(n int) {
	if n > 0 {
		w.decoded += n + n/4 + 16
	}
}

func (w *shapeWalk) walk(steps []step) {
	for i := range steps {
		at := w.at
		if w.step(&steps[i]); w.stopped() {
			w.failed = max(w.failed, at) // a field within this one has failed first
			return
		}
	}
}

func (w *shapeWalk) step(s *step) {
	switch s.kind {
	case stepFixed:
		w.take(s.size)
	case stepString:
		w.allocated(len(w.string(w.flexible)))
		w.decoded += s.item
	case stepNullableString:
		if b, ok := w.nullableString(w.flexible); ok {
			w.allocated(len(b))
			w.decoded += s.item
		}
	case stepBytes, stepNullableBytes: // kmsg keeps them where they are
		w.bytes(s.kind == stepNullableBytes)
	case stepArray:
		n := w.count(w.flexible, s.inner.min, len(w.b))
		w.allocated(n * s.item)
		if s.inner.fixed {
			w.take(n * s.inner.min)
			return
		}
		for ; n > 0 && !w.stopped(); n-- {
			w.walk(s.inner.steps)
		}
	case stepNullable:
		switch present := w.take(1); {
		case present == nil || present[0] == 0xff:
		case present[0] > 0x7f:
			w.fail("a struct that is neither null nor there")
		default:
			w.allocated(s.item)
			w.walk(s.inner.steps)
		}
	case stepTags:
		w.section(s.tags)
	}
}

// bytes walks bytes. In the classic encoding kmsg takes null, and nothing else that
// is negative, where they may not be null.
func (w *shapeWalk) bytes(nullable bool) {
	if !w.flexible && !nullable {
		c := w.cursor
		if n := c.int32(); n < -1 {
			w.fail("bytes of a negative length")
			return
		}
	}
	w.take(w.length(w.flexible, len(w.b)))
}

// section walks a section of tags.
func (w *shapeWalk) section(known []tagShape) {
	n := w.uvarint()
	if n == 0 {
		return
	}
	if int64(n) > int64(len(w.b)-w.at)/2 {
		w.fail("more tags than there are bytes")
		return
	}
	unknown := 0
	for ; n > 0 && !w.stopped(); n-- {
		key, size := w.uvarint(), w.uvarint()
		if int64(size) > int64(len(w.b)-w.at) {
			w.fail("a tag longer than what is left")
			return
		}
		if shape := tagOf(known, key); shape != nil {
			w.tag(shape, int(size))
			continue
		}
		w.take(int(size))
		unknown++
	}
	if unknown > 0 {
		w.decoded += tagMapBytes + unknown*tagBytes
	}
}

// tag walks a tagged field of that many bytes.
func (w *shapeWalk) tag(s *shape, size int) {
	whole, before := w.b, w.decoded
	w.b = w.b[:w.at+size]
	w.walk(s.steps)
	if w.at != len(w.b) {
		w.fail("a tag longer than its field")
	}
	w.b = whole
	w.decoded += w.decoded - before // the same tag may come again, and then a slice grows to twice of what it must
}

func tagOf(tags []tagShape, key uint32) *shape {
	for i := range tags {
		if tags[i].key == key {
			return &tags[i].shape
		}
	}
	return nil
}
