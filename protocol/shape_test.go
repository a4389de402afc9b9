package protocol

import (
	"encoding/hex"
	"errors"
	"math/rand"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// eachRequest calls f for each request that kmsg knows, in each version.
func eachRequest(f func(key, version int16)) {
	for key := range int16(len(apis)) {
		if req := kmsg.RequestForKey(key); req != nil {
			for version := range req.MaxVersion() + 1 {
				f(key, version)
			}
		}
	}
}

// randomBody is a request with random fields, and now and then with tags that
// nobody knows in all its structs.
func randomBody(r *rand.Rand, key, version int16) kmsg.Request {
	req := requestOf(key, version)
	f := randomFiller(r, []string{"", "a", "payments.orders", strings.Repeat("long", 40)})
	f.fill(req)
	req.SetVersion(version)
	if r.Intn(2) == 0 {
		setTags(r, reflect.ValueOf(req).Elem())
	}
	return req
}

func setTags(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			setTags(r, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			setTags(r, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				setTags(r, v.Field(i))
				continue
			}
			tags := v.Field(i).Addr().Interface().(*kmsg.Tags)
			for range r.Intn(4) {
				tags.Set(uint32(1000+r.Intn(1<<20)), make([]byte, r.Intn(200)))
			}
		}
	}
}

// allocates measures what f allocates; what other goroutines allocate meanwhile is
// ruled out by trying again.
func allocates(f func()) int {
	least := 1 << 62
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

// makes is how often kmsg's append(a, make([]T, n)...) allocates: once, but
// twice where the race detector is built in.
var makes = func() int {
	return int(testing.AllocsPerRun(1, func() { sink = append([]int64(nil), make([]int64, len(os.Args)+100)...) }))
}()

var sink []int64

// decodesWithin fails unless kmsg decodes the body, and allocates no more for it
// than was estimated.
func decodesWithin(t testing.TB, key, version int16, body []byte, decoded int) {
	t.Helper()
	var err error
	start := time.Now()
	got := allocates(func() { err = requestOf(key, version).ReadFrom(body) })
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("key %d version %d: kmsg took %v for 3 times %d bytes", key, version, took, len(body))
	}
	if err != nil {
		t.Errorf("key %d version %d: accepted, but kmsg says %v\n%s", key, version, err, hex.EncodeToString(body))
	}
	if got > decoded*makes {
		t.Errorf("key %d version %d: kmsg allocates %d bytes, estimated %d\n%s", key, version, got, decoded, hex.EncodeToString(body[:min(len(body), 500)]))
	}
}

// TestCheckRequestTakesAll: what kmsg encodes passes, is walked to its end exactly,
// and nothing that is cut off anywhere does.
func TestCheckRequestTakesAll(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	eachRequest(func(key, version int16) {
		for range 8 {
			body := randomBody(r, key, version).AppendTo(nil)
			decoded, err := CheckRequest(key, version, body)
			if err != nil {
				t.Fatalf("key %d version %d: %v\n%s", key, version, err, hex.EncodeToString(body))
			}
			decodesWithin(t, key, version, body, decoded)
			s := requestShape(key, version)
			w := shapeWalk{cursor: cursor{b: append(slices.Clip(body), 0, 0, 0)}, flexible: s.flexible}
			if w.walk(s.steps); w.at != len(body) {
				t.Fatalf("key %d version %d: walked %d of %d bytes", key, version, w.at, len(body))
			}
			for _, n := range prefixes(r, len(body)) {
				var bad *MalformedError
				if _, err := CheckRequest(key, version, body[:n]); !errors.As(err, &bad) {
					t.Fatalf("key %d version %d: %d of %d bytes pass: %v", key, version, n, len(body), err)
				}
			}
		}
	})
}

// prefixes are the lengths below n; of many some.
func prefixes(r *rand.Rand, n int) []int {
	var lengths []int
	for i := range n {
		if n < 300 || i < 30 || i > n-30 || r.Intn(n) < 200 {
			lengths = append(lengths, i)
		}
	}
	return lengths
}

// TestCheckRequestSchemas: derived schemas can be told apart from wrong ones that
// happen to walk.
func TestCheckRequestSchemas(t *testing.T) {
	eachRequest(func(key, version int16) {
		checkShape(t, key, version, &requestShape(key, version).shape)
		if v := kmsg.RequestForKey(key).MaxVersion(); v >= shapeVersions {
			t.Errorf("key %d has the version %d, shapes are kept below %d", key, v, shapeVersions)
		}
	})
	tags := func(s *shape) (keys []uint32) {
		last := s.steps[len(s.steps)-1]
		if last.kind != stepTags {
			t.Fatalf("no tags behind %v", s.steps)
		}
		for _, tag := range last.tags {
			keys = append(keys, tag.key)
		}
		return keys
	}
	for _, version := range []int16{12, 15, 18} {
		fetch := &requestShape(KeyFetch, version).shape
		topic := fetch.steps[1].inner
		partition := topic.steps[len(topic.steps)-2].inner
		for where, keys := range map[string][]uint32{"body": tags(fetch), "partition": tags(partition)} {
			if !slices.Equal(keys, []uint32{0, 1}) {
				t.Errorf("Fetch v%d: tags of a %s: %v, want 0 and 1", version, where, keys)
			}
		}
		if keys := tags(topic); keys != nil {
			t.Errorf("Fetch v%d: a topic has the tags %v", version, keys)
		}
	}
	if got := requestShape(KeyFetch, 4).steps[0]; got.kind != stepFixed || got.size != 4+4+4+4+1 {
		t.Errorf("Fetch v4 begins with %+v", got)
	}
}

// checkShape fails for an element that takes no bytes: of such an array there is
// no bound.
func checkShape(t *testing.T, key, version int16, s *shape) {
	for _, step := range s.steps {
		if step.kind == stepArray || step.kind == stepNullable {
			if step.inner.min < 1 || step.item < 1 || len(step.inner.steps) == 0 {
				t.Errorf("key %d version %d: elements of %d bytes, %d decoded", key, version, step.inner.min, step.item)
			}
			checkShape(t, key, version, step.inner)
		}
		for i := range step.tags {
			checkShape(t, key, version, &step.tags[i].shape)
		}
	}
}

// judgedAlike fails unless CheckRequest and kmsg agree, where kmsg can be asked.
func judgedAlike(t testing.TB, key, version int16, body []byte) {
	t.Helper()
	decoded, err := CheckRequest(key, version, body)
	if err == nil {
		if decoded < 64<<20 {
			decodesWithin(t, key, version, body, decoded)
		}
		return
	}
	var bad *MalformedError
	if !errors.As(err, &bad) || bad.Offset < 0 || bad.Offset > len(body) {
		t.Fatalf("key %d version %d: %#v", key, version, err)
	}
	switch bad.What {
	case "more tags than there are bytes", "an array of more elements than there are bytes":
		return // kmsg would try
	case "a tag longer than its field", "a struct that is neither null nor there", "a string of more than 32767 bytes":
		return // kmsg goes on, Kafka does not, or elsewhere
	case "a key or a version that is not known":
		return
	}
	if requestOf(key, version).ReadFrom(body) == nil {
		t.Errorf("key %d version %d: %v, but kmsg takes it\n%s", key, version, err, hex.EncodeToString(body))
	}
}

// TestCheckRequestAgrees: of bytes that are nearly a request CheckRequest and kmsg
// say the same.
func TestCheckRequestAgrees(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	eachRequest(func(key, version int16) {
		for range 30 {
			body := randomBody(r, key, version).AppendTo(nil)
			for range 1 + r.Intn(3) {
				if len(body) == 0 {
					break
				}
				switch at := r.Intn(len(body)); r.Intn(4) {
				case 0:
					body[at] = byte(r.Intn(256))
				case 1:
					body[at] += byte(r.Intn(5) - 2)
				case 2:
					body = slices.Insert(body, at, byte(r.Intn(256)))
				case 3:
					body = slices.Delete(body, at, min(at+1+r.Intn(3), len(body)))
				}
			}
			judgedAlike(t, key, version, body)
		}
	})
}

func FuzzCheckRequest(f *testing.F) {
	r := rand.New(rand.NewSource(3))
	eachRequest(func(key, version int16) {
		f.Add(key, version, randomBody(r, key, version).AppendTo(nil))
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		judgedAlike(t, key, version, body)
	})
}

// unhex reads hexadecimal digits, with blanks between what belongs together.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckRequestBombs(t *testing.T) {
	const fetchHead = "00000001 00000000 00000001 00 00000000 ffffffff " // v15 on, up to the topics
	for _, tc := range []struct {
		name         string
		key, version int16
		body         string
		want         string // of the error
		offset       int
	}{
		{"heartbeat with 2^28 tags", 12, 4, "01 00000000 01 00 8080808001", "more tags", 7},
		{"as many tags as bytes", 12, 4, "01 00000000 01 00 03 0000 0000", "more tags", 7},
		{"a tag longer than the body", 12, 4, "01 00000000 01 00 01 63 02 00", "a tag longer than what is left", 7},
		{"a count of tags over 32 bits", 12, 4, "01 00000000 01 00 ffffffff7f", "32 bits", 7},
		{"tags of a topic", 1, 17, fetchHead + "02" + strings.Repeat("00", 16) + "01 ffffffff0f 01 01 00", "more tags", 39},
		{"tags of a partition", 1, 17, fetchHead + "02" + strings.Repeat("00", 16) + "02" + strings.Repeat("00", 32) + "ffffff7f 00 01 01 00", "more tags", 71},
		{"nested in the replica state", 1, 15, fetchHead + "01 01 01 01 01 11 00000000 0000000000000000 ffffffff0f", "more tags", 39},
		{"replica state that says less than its tag", 1, 15, fetchHead + "01 01 01 01 01 0e 00000000 0000000000000000 00 00", "a tag longer than its field", 24},
		{"replica state that says more than its tag", 1, 15, fetchHead + "01 01 01 01 01 0c 00000000 0000000000000000 00", "it ends too early", 39},
		{"array of 2^31-1 topics", 3, 1, "7fffffff 0000", "an array of more elements", 0},
		{"compact array whose length wraps around", 3, 9, "8080808008 00 00 00 00", "an array of more elements", 0},
		{"array with room for its counts only", 3, 1, "00000003 0000 00", "an array of more elements", 0},
		{"array of numbers", 2, 0, "ffffffff 00000001 0001 61 10000000 00", "an array of more elements", 11},
		{"null string", 12, 4, "00 00000000 01 00 00", "null", 0},
		{"negative string", 12, 0, "fff0 00000000 0000", "null", 0},
		{"string longer than the body", 12, 4, "7f 00000000 01 00 00", "it ends too early", 0},
		{"bytes longer than the body", 14, 0, "0000 00000000 0000 00000001 0000 7fffffff", "bytes longer", 14},
		{"bytes of length -2", 14, 0, "0000 00000000 0000 00000001 0000 fffffffe", "bytes of a negative length", 14},
		{"cursor of 0xfe", 75, 0, "01 00000000 fe 00", "neither null nor there", 5},
		{"nothing", 12, 4, "", "it ends too early", 0},
		{"an unknown version", 12, 99, "", "not known", 0},
		{"a negative version", 12, -1, "", "not known", 0},
		{"a negative key", -1, 0, "", "not known", 0},
		{"an unknown key", 999, 0, "", "not known", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			_, err := CheckRequest(tc.key, tc.version, unhex(t, tc.body))
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			var bad *MalformedError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) || bad.Offset != tc.offset {
				t.Fatalf("got %v, want %q at byte %d", err, tc.want, tc.offset)
			}
		})
	}
}

// TestCheckRequestTakes: what is unusual and yet fine for kmsg.
func TestCheckRequestTakes(t *testing.T) {
	for _, tc := range []struct {
		name         string
		key, version int16
		body         string
	}{
		{"null array", 3, 1, "ffffffff"},
		{"array of length -2", 3, 1, "fffffffe"},
		{"compact array of length -2", 3, 9, "ffffffff0f 00 00 00 00"},
		{"compact null array", 3, 9, "00 00 00 00 00"},
		{"null where an array must stand", 2, 0, "ffffffff ffffffff"},
		{"null where bytes must stand", 14, 0, "0000 00000000 0000 00000001 0000 ffffffff"},
		{"null cursor", 75, 0, "01 00000000 ff 00"},
		{"null instance id", 12, 3, "0000 00000000 0000 ffff"},
		{"bytes behind the end", 12, 0, "0000 00000000 0000 0102030405"},
		{"a tag that comes twice", 12, 4, "01 00000000 01 00 02 630161 630162"},
		{"replica state", 1, 15, "00000001 00000000 00000001 00 00000000 ffffffff 01 01 01 02 000101 01 0d 00000000 0000000000000000 00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := unhex(t, tc.body)
			decoded, err := CheckRequest(tc.key, tc.version, body)
			if err != nil {
				t.Fatal(err)
			}
			decodesWithin(t, tc.key, tc.version, body, decoded)
		})
	}
}

// TestCheckRequestEstimates: what a large frame of the smallest elements decodes to
// is foreseen, and not far too high.
func TestCheckRequestEstimates(t *testing.T) {
	const n = 100_000
	for _, tc := range []struct {
		name         string
		key, version int16
		body         []byte
		atMost       int // times of what is allocated
	}{
		{"topics of a Produce", 0, 9, append(append([]byte{0, 0, 0, 0, 0, 0, 0}, kmsgCount(n)...), append([]byte(strings.Repeat("\x01\x01\x00", n)), 0)...), 2},
		{"topics of a Metadata", 3, 1, append([]byte{0, 1, 0x86, 0xa0}, make([]byte, 2*n)...), 2},
		{"tags, the map just grown", 12, 4, append([]byte{1, 0, 0, 0, 0, 1, 0}, manyTags(7<<14+1)...), 2},
		{"tags, the smallest map just grown", 12, 4, append([]byte{1, 0, 0, 0, 0, 1, 0}, manyTags(9)...), 3},
		{"topics with one tag each", 0, 9, append(append([]byte{0, 0, 0, 0, 0, 0, 0}, kmsgCount(n)...), append([]byte(strings.Repeat("\x01\x01\x01\x63\x00", n)), 0)...), 2},
		{"log directories, a tag that grows", 63, 1, heartbeatTags(n / 100), 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			decoded, err := CheckRequest(tc.key, tc.version, tc.body)
			if err != nil {
				t.Fatal(err)
			}
			decodesWithin(t, tc.key, tc.version, tc.body, decoded)
			got := allocates(func() { _ = requestOf(tc.key, tc.version).ReadFrom(tc.body) })
			t.Logf("%d bytes: estimated %d, allocated %d", len(tc.body), decoded, got)
			if decoded > tc.atMost*got {
				t.Errorf("estimated %d, allocated %d", decoded, got)
			}
		})
	}
}

// kmsgCount is the compact length of an array of n elements.
func kmsgCount(n int) []byte { return appendUvarint(nil, n+1) }

func appendUvarint(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// manyTags is a section of n empty tags.
func manyTags(n int) []byte {
	b := appendUvarint(nil, n)
	for key := range n {
		b = append(appendUvarint(b, 1000+key), 0)
	}
	return b
}

// heartbeatTags is a BrokerHeartbeat whose tag of log directories comes again and
// again, each time with one more.
func heartbeatTags(times int) []byte {
	b := appendUvarint(requestOf(63, 1).AppendTo(nil)[:4+8+8+2], times)
	for i := range times {
		count := kmsgCount(i % 300)
		b = append(appendUvarint(append(b, 0), len(count)+16*(i%300)), count...)
		b = append(b, make([]byte, 16*(i%300))...)
	}
	return b
}

func TestCheckRequestDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	eachRequest(func(key, version int16) {
		body := randomBody(r, key, version).AppendTo(nil)
		if n := testing.AllocsPerRun(3, func() { _, _ = CheckRequest(key, version, body) }); n > 0 {
			t.Errorf("key %d version %d: %v allocations", key, version, n)
		}
	})
}

func BenchmarkCheckRequest(b *testing.B) {
	fetch := kmsg.NewPtrFetchRequest()
	topic := kmsg.NewFetchRequestTopic()
	for range 4 {
		topic.Partitions = append(topic.Partitions, kmsg.NewFetchRequestTopicPartition())
	}
	fetch.Topics = append(fetch.Topics, topic)
	metadata := kmsg.NewPtrMetadataRequest()
	for _, name := range []string{"payments.orders", "payments.refunds", "payments.audit"} {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		metadata.Topics = append(metadata.Topics, t)
	}
	heartbeat := kmsg.NewPtrHeartbeatRequest()
	heartbeat.Group, heartbeat.MemberID = "payments.app", "payments.app-0b7f4e9c-52a4-4b1e-9c9b-6a3df4a2f9aa"
	for name, req := range map[string]kmsg.Request{"Fetch": fetch, "Metadata": metadata, "Heartbeat": heartbeat} {
		b.Run(name, func(b *testing.B) {
			req.SetVersion(min(req.MaxVersion(), 12))
			body := req.AppendTo(nil)
			key, version := req.Key(), req.GetVersion()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := CheckRequest(key, version, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
