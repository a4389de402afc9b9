package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxWindow is the largest piece that a walk may ask for at once.
const maxWindow = 33 << 10

// nextFrame is what stands behind a body on a connection: the frame of the next
// message, which a walk must neither read nor change.
var nextFrame = []byte{0, 0, 0, 17, 0, 3, 0, 9, 0, 0, 0, 2, 0, 2, 'm', 'e', 1, 1, 1, 1, 1}

// randomName returns a name of up to n bytes.
func randomName(r *rand.Rand, n int) string {
	b := make([]byte, r.IntN(n+1))
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

func randomBytes(r *rand.Rand, n int) []byte {
	switch r.IntN(4) {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	b := make([]byte, r.IntN(n+1))
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	return b
}

// randomTags returns some unknown tags with keys from lowest on, now and then large ones.
func randomTags(r *rand.Rand, lowest int) (t kmsg.Tags) {
	for i := r.IntN(8); i > 5; i-- {
		size := 20
		if r.IntN(10) == 0 {
			size = 50 << 10
		}
		t.Set(uint32(lowest+r.IntN(300)), make([]byte, r.IntN(size)))
	}
	return t
}

func randomProduce(r *rand.Rand, version int16) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version = version
	if version >= 3 && r.IntN(2) == 0 {
		req.TransactionID = kmsg.StringPtr(randomName(r, 40))
	}
	req.Acks = int16(r.IntN(3) - 1)
	req.TimeoutMillis = r.Int32()
	req.UnknownTags = randomTags(r, 0)
	for range r.IntN(4) {
		t := kmsg.NewProduceRequestTopic()
		nameLen := 30
		if r.IntN(20) == 0 {
			nameLen = maxString
		}
		if version <= 12 {
			t.Topic = randomName(r, nameLen)
		} else {
			t.TopicID = [16]byte{byte(r.IntN(256)), 15: byte(r.IntN(256))}
		}
		t.UnknownTags = randomTags(r, 0)
		for range r.IntN(4) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = r.Int32()
			p.Records = randomBytes(r, 3000)
			p.UnknownTags = randomTags(r, 0)
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// produceEvents walks a body fed in pieces that next gives the sizes of, and lists
// what it saw. It checks what every caller relies on.
func produceEvents(t testing.TB, w *ProduceWalk, version int16, body []byte, next func() int, splice bool) ([]string, error) {
	t.Helper()
	var events []string
	w.Reset(version, len(body))
	stream := append(bytes.Clone(body), nextFrame...)
	at, have := 0, 0
	for {
		n, ev, err := w.Next(stream[at:have])
		if n < 0 || n > have-at {
			t.Fatalf("consumed %d of %d bytes", n, have-at)
		}
		at += n
		if err != nil {
			return events, err
		}
		switch ev {
		case ProduceMore:
			if have-at > maxWindow {
				t.Fatalf("%d bytes are not enough", have-at)
			}
			if have >= len(body) {
				t.Fatal("asks for bytes behind the body")
			}
			if splice && have == at && w.Skip() > 0 {
				at += w.Skip()
				have = at
				w.Skipped(w.Skip())
			}
			have = min(have+next(), len(stream))
		case ProduceHead:
			events = append(events, fmt.Sprint("head ", w.HasTransactionalID, w.TransactionalID, w.Acks, w.TimeoutMillis, w.Topics))
		case ProduceTopic:
			events = append(events, fmt.Sprint("topic ", string(w.TopicName), w.TopicID, w.Partitions))
		case ProducePartition:
			events = append(events, fmt.Sprint("partition ", w.Partition, w.RecordBytes))
		case ProduceDone:
			if at != len(body) || w.Offset() != len(body) {
				t.Fatalf("done at byte %d (%d) of %d", at, w.Offset(), len(body))
			}
			return events, nil
		}
		if len(events) > len(body)+1 {
			t.Fatal("does not end")
		}
	}
}

// wantProduce lists what a walk must see of a decoded request.
func wantProduce(req *kmsg.ProduceRequest) []string {
	id := ""
	if req.TransactionID != nil {
		id = *req.TransactionID
	}
	want := []string{fmt.Sprint("head ", req.TransactionID != nil, id, req.Acks, req.TimeoutMillis, len(req.Topics))}
	for _, topic := range req.Topics {
		want = append(want, fmt.Sprint("topic ", topic.Topic, topic.TopicID, len(topic.Partitions)))
		for _, p := range topic.Partitions {
			want = append(want, fmt.Sprint("partition ", p.Partition, len(p.Records)))
		}
	}
	return want
}

// readsExactly reports whether kmsg takes all of body, and no less, as the message.
// kmsg ignores what stands behind a message; it needs every byte only if it fails
// with one less.
func readsExactly(body []byte, msg, scratch interface{ ReadFrom([]byte) error }) bool {
	return len(body) > 0 && msg.ReadFrom(body) == nil && scratch.ReadFrom(body[:len(body)-1]) != nil
}

// tagBomb reports whether body might hold a number of tags so large that kmsg
// would count down from it for seconds after the bytes have ended.
func tagBomb(body []byte) bool {
	run := 0
	for _, b := range body {
		if b < 0x80 {
			run = 0
		} else if run++; run == 3 {
			return true
		}
	}
	return false
}

func hasLongString(req *kmsg.ProduceRequest) bool {
	long := req.TransactionID != nil && len(*req.TransactionID) > maxString
	for _, t := range req.Topics {
		long = long || len(t.Topic) > maxString
	}
	return long
}

// pieceSizes returns a source of piece sizes: mostly small, or mostly large.
func pieceSizes(r *rand.Rand) func() int {
	limit := 1 << r.IntN(16)
	return func() int { return 1 + r.IntN(limit) }
}

func TestProduceWalkSeesWhatWasEncoded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w ProduceWalk
	for version := int16(0); version <= produceMaxVersion; version++ {
		for i := range 150 {
			req := randomProduce(r, version)
			body := req.AppendTo(nil)
			got, err := produceEvents(t, &w, version, body, pieceSizes(r), i%2 == 0)
			if err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			if want := wantProduce(req); !reflect.DeepEqual(got, want) {
				t.Fatalf("v%d:\n got %.300q\nwant %.300q", version, got, want)
			}
		}
	}
}

// The least that a topic and a partition can be passes for as many as are claimed.
func TestProduceWalkTakesTheSmallest(t *testing.T) {
	var w ProduceWalk
	for version := int16(0); version <= produceMaxVersion; version++ {
		for _, partitions := range []int{0, 50} {
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.Topics = version, make([]kmsg.ProduceRequestTopic, 50)
			req.Topics[49].Partitions = make([]kmsg.ProduceRequestTopicPartition, partitions)
			got, err := produceEvents(t, &w, version, req.AppendTo(nil), func() int { return 7 }, false)
			if want := wantProduce(req); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("v%d: %v\n got %q\nwant %q", version, err, got, want)
			}
		}
	}
}

// Each prefix of a body that claims to be all of it is an error, at every version.
func TestProduceWalkRefusesEveryTruncation(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var w ProduceWalk
	whole := func() int { return 1 << 30 }
	for version := int16(0); version <= produceMaxVersion; version++ {
		for range 10 {
			body := randomProduce(r, version).AppendTo(nil)
			for cut := 0; cut < len(body); cut += 1 + len(body)/500 {
				if _, err := produceEvents(t, &w, version, body[:cut:cut], whole, false); err == nil {
					t.Fatalf("v%d: %d of %d bytes pass as a whole", version, cut, len(body))
				}
			}
			if _, err := produceEvents(t, &w, version, append(body, 0), whole, false); err == nil {
				t.Fatalf("v%d: a byte behind the end passes", version)
			}
		}
	}
}

func TestProduceWalkErrors(t *testing.T) {
	head := []byte{0, 0xff, 0xff, 0, 0, 0, 1} // v9: no transactional id, acks −1, timeout 1 ms
	with := func(b ...byte) []byte { return append(append([]byte{}, head...), b...) }
	for _, tc := range []struct {
		name    string
		version int16
		body    []byte
		what    string
		offset  int
	}{
		{"unknown version", 14, with(1, 0), "not known", 0},
		{"negative version", -1, with(1, 0), "not known", 0},
		{"topics", 9, with(200, 1, 0, 0, 0), "more elements", 0},
		{"null name", 9, with(2, 0, 1, 0, 0), "null", 8},
		{"long name", 9, append(with(2, 0x81, 0x80, 0x02), make([]byte, 40000)...), "32767", 8},
		{"name too long for the body", 9, with(2, 50, 1, 0, 0), "too early", 8},
		{"partitions", 9, with(2, 2, 'a', 9, 0, 0, 0, 0), "more elements", 8},
		{"records", 9, with(2, 2, 'a', 2, 0, 0, 0, 0, 9, 0, 0, 0), "longer", 11},
		{"tag count", 9, with(1, 2, 0, 0), "more tags", 8},
		{"largest tag count", 9, with(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0), "more tags", 8},
		{"tag size", 9, with(1, 1, 0, 9), "a tag longer", 9},
		{"varint", 9, with(0xff, 0xff, 0xff, 0xff, 0x1f), "32 bits", 0},
		{"behind the end", 9, with(1, 0, 7), "behind", 9},
		{"empty", 0, nil, "too early", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var w ProduceWalk
			_, err := produceEvents(t, &w, tc.version, tc.body, func() int { return 1 }, false)
			var malformed *MalformedError
			if !errors.As(err, &malformed) || !strings.Contains(malformed.What, tc.what) || malformed.Offset != tc.offset {
				t.Fatalf("got %v, want %q at %d", err, tc.what, tc.offset)
			}
			if _, _, again := w.Next(nil); !errors.Is(again, err) {
				t.Fatalf("afterwards: %v", again)
			}
		})
	}
}

func FuzzProduceWalk(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for version := range uint8(produceMaxVersion + 1) {
		for range 8 {
			if body := randomProduce(r, int16(version)).AppendTo(nil); len(body) < 2000 {
				f.Add(version, uint64(version), body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, v uint8, seed uint64, body []byte) {
		version := int16(v % (produceMaxVersion + 1))
		r := rand.New(rand.NewPCG(seed, 0))
		var w ProduceWalk
		got, err := produceEvents(t, &w, version, body, pieceSizes(r), seed%2 == 0)
		gotOnce, errOnce := produceEvents(t, &w, version, bytes.Clone(body), func() int { return len(body) }, false)
		if !reflect.DeepEqual(got, gotOnce) || fmt.Sprint(err) != fmt.Sprint(errOnce) {
			t.Fatalf("in pieces %q, %v; at once %q, %v", got, err, gotOnce, errOnce)
		}
		if err != nil && version >= 9 && tagBomb(body) {
			return
		}
		req := &kmsg.ProduceRequest{Version: version}
		accepted := readsExactly(body, req, &kmsg.ProduceRequest{Version: version})
		if accepted && hasLongString(req) {
			accepted = false // no broker takes it
		}
		if accepted != (err == nil) {
			t.Fatalf("v%d: kmsg takes it: %v; the walk says %v", version, accepted, err)
		}
		if want := wantProduce(req); accepted && !reflect.DeepEqual(got, want) {
			t.Fatalf("v%d:\n got %q\nwant %q", version, got, want)
		}
	})
}
