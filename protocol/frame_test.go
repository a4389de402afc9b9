package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const testMaxFrame = 100 << 20

// Every API in every version: what kmsg writes is read back, with all kinds of
// client ids, and from any number of bytes.
func TestParseHeaderReadsWhatKmsgWrites(t *testing.T) {
	var h Header
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		req := kmsg.RequestForKey(key)
		for version := int16(0); version <= req.MaxVersion(); version++ {
			if key == 7 && version == 0 {
				continue // ControlledShutdown v0 has no client id
			}
			req.SetVersion(version)
			for _, f := range []*kmsg.RequestFormatter{
				kmsg.NewRequestFormatter(),
				kmsg.NewRequestFormatter(kmsg.FormatterClientID("")),
				kmsg.NewRequestFormatter(kmsg.FormatterClientID("payments.app.prod")),
			} {
				frame := f.AppendRequest(nil, req, -7)
				for n, need := 0, 1; need > 0; n = need {
					var err error
					if need, err = h.Parse(frame[:n:n], testMaxFrame); err != nil || need > len(frame) || need > 0 && need <= n {
						t.Fatalf("%d v%d: needs %d with %d of %d: %v", key, version, need, n, len(frame), err)
					}
				}
				if again := AppendRequest([]byte{9}, &h, req); !bytes.Equal(again[1:], frame) {
					t.Fatalf("%d v%d: %+v\n%x written for\n%x", key, version, h, again[1:], frame)
				}
				if body := req.AppendTo(nil); !bytes.Equal(frame[h.Body:], body) || int(h.Size) != len(frame)-4 {
					t.Fatalf("%d v%d: body at %d of %x", key, version, h.Body, frame)
				}
			}
		}
	}
}

func TestParseHeaderSkipsTags(t *testing.T) {
	frame := []byte{0, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 1, 0, 2, 'm', 'e', 2, 5, 3, 1, 2, 3, 0x81, 1, 0, 0xaa}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	for n := range len(frame) {
		h, need, err := ParseHeader(frame[:n:n], testMaxFrame)
		switch {
		case err != nil:
			t.Fatal(err)
		case n < len(frame)-1 && (need <= n || need > len(frame)-1):
			t.Fatalf("needs %d with %d", need, n)
		case n == len(frame)-1 && (need > 0 || h.Body != n || h.ClientID != "me"):
			t.Fatalf("%+v, needs %d", h, need)
		}
	}
}

func TestParseHeaderOfUnknownVersions(t *testing.T) {
	for _, tc := range []struct{ key, version int16 }{{18, 127}, {18, 32767}, {3, 99}} {
		frame := []byte{0, 0, 0, 12, 0, byte(tc.key), byte(tc.version >> 8), byte(tc.version), 0, 0, 0, 5, 0, 2, 'm', 'e'}
		h, need, err := ParseHeader(frame, testMaxFrame)
		if err != nil || need > 0 || h.Key != tc.key || h.Version != tc.version || h.CorrelationID != 5 || h.ClientID != "me" {
			t.Errorf("%+v, needs %d, %v", h, need, err)
		}
	}
}

func TestParseHeaderNamesNoise(t *testing.T) {
	header := func(size uint32, rest ...byte) string {
		return string(append(binary.BigEndian.AppendUint32(nil, size), rest...))
	}
	request := []byte{0, 3, 0, 9, 0, 0, 0, 1}
	for _, tc := range []struct{ name, bytes, reason string }{
		{"GET", "GET / HTTP/1.1\r\n", NoiseHTTP},
		{"four bytes of POST", "POST", NoiseHTTP},
		{"HEAD", "HEAD / HTTP/1.0", NoiseHTTP},
		{"PUT", "PUT /x", NoiseHTTP},
		{"HTTP/2", "PRI * HTTP/2.0\r\n", NoiseHTTP},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", NoiseTLS},
		{"negative size", header(0xffffffff), NoiseNotKafka},
		{"size 0", header(0), NoiseNotKafka},
		{"2 GB", header(0x7fffffff), NoiseOversize},
		{"one byte too large", header(testMaxFrame+1, request...), NoiseOversize},
		{"text", "SSH-2.0-OpenSSH_9.6\r\n", NoiseNotKafka},
		{"key too large", header(20, 0, kmsg.MaxKey+1, 0, 0, 0, 0, 0, 0, 0, 0), NoiseNotKafka},
		{"negative key", header(20, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0), NoiseNotKafka},
		{"negative version", header(20, 0, 3, 0xff, 0xff, 0, 0, 0, 0, 0, 0), NoiseNotKafka},
		{"client id too long", header(20, append(request, 0, 11)...), NoiseBadHeader},
		{"tags too long", header(12, append(request, 0, 0, 1, 0)...), NoiseBadHeader},
		{"tag too long", header(20, append(request, 0, 0, 1, 0, 99)...), NoiseBadHeader},
		{"tags over the limit", header(testMaxFrame, append(request, 0, 0, 1, 0, 0xff, 0xff, 0x3f)...), NoiseBadHeader},
		{"endless tags", header(testMaxFrame, append(append(request, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), make([]byte, maxHeader)...)...), NoiseBadHeader},
		{"varint", header(20, append(request, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff)...), NoiseBadHeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, need, err := ParseHeader([]byte(tc.bytes), testMaxFrame)
			var header *HeaderError
			if !errors.As(err, &header) || header.Reason != tc.reason || need > 0 {
				t.Fatalf("needs %d, error %v (%+v), want reason %s", need, err, header, tc.reason)
			}
			if tc.reason != NoiseBadHeader && Noise([]byte(tc.bytes)) != tc.reason {
				t.Fatalf("noise %s, want %s", Noise([]byte(tc.bytes)), tc.reason)
			}
		})
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, key := range []int16{0, 1, 3, 18, 68} {
		req := kmsg.RequestForKey(key)
		req.SetVersion(req.MaxVersion())
		f.Add(kmsg.NewRequestFormatter(kmsg.FormatterClientID("a.b.c")).AppendRequest(nil, req, 1))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, need, err := ParseHeader(b, testMaxFrame)
		if need > 0 && (need <= len(b) || need > maxHeader) {
			t.Fatalf("needs %d with %d", need, len(b))
		}
		if err == nil && need == 0 && (h.Body > len(b) || h.Body > 4+int(h.Size) || len(h.ClientID) > maxString) {
			t.Fatalf("%+v of %d bytes", h, len(b))
		}
		for n := range min(len(b), 64) { // fewer bytes say the same, or ask for more
			early, needs, earlyErr := ParseHeader(b[:n:n], testMaxFrame)
			switch {
			case earlyErr != nil && err == nil:
				t.Fatalf("error with %d of %d bytes: %v", n, len(b), earlyErr)
			case earlyErr == nil && needs == 0 && early != h && err == nil:
				t.Fatalf("%+v with %d bytes, %+v with %d", early, n, h, len(b))
			}
		}
	})
}

// fill sets every field below v to something that is not its zero value.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "UnknownTags" {
				fill(r, f)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString("name")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1 + r.Int64N(100))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(1 + r.Uint64N(100))
	default:
		panic("no filling for " + v.Type().String())
	}
}

// Every response of kmsg in every version, with all fields filled and with none:
// the throttle time stands where ThrottleOffset says, or in no fixed place.
func TestThrottleOffset(t *testing.T) {
	const mark = 0x01020304
	variable := map[string]bool{"Produce": true, "ApiVersions": true, "CreateDelegationToken": true, "DescribeDelegationToken": true}
	r := rand.New(rand.NewPCG(1, 1))
	found := 0
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		for version := int16(0); version <= kmsg.ResponseForKey(key).MaxVersion(); version++ {
			full, empty := kmsg.ResponseForKey(key), kmsg.ResponseForKey(key)
			fill(r, reflect.ValueOf(full).Elem())
			var frames [2][]byte
			for i, resp := range []kmsg.Response{full, empty} {
				resp.SetVersion(version)
				if f := reflect.ValueOf(resp).Elem().FieldByName("ThrottleMillis"); f.IsValid() {
					f.SetInt(mark)
				}
				frames[i] = AppendResponse(nil, 7, resp)
			}
			has := bytes.Contains(frames[1], binary.BigEndian.AppendUint32(nil, mark))
			at, ok := ThrottleOffset(key, version)
			if ok != (has && !variable[kmsg.NameForKey(key)]) {
				t.Errorf("%s v%d: throttle time %v, fixed %v", kmsg.NameForKey(key), version, has, ok)
			}
			if !ok {
				continue
			}
			found++
			for _, frame := range frames {
				if binary.BigEndian.Uint32(frame[at:]) != mark {
					t.Errorf("%s v%d: not at %d of %x", kmsg.NameForKey(key), version, at, frame)
				}
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d found", found)
	}
	for _, key := range []int16{-1, kmsg.MaxKey + 1} {
		if _, ok := ThrottleOffset(key, 0); ok || FlexibleRequest(key, 9) {
			t.Errorf("key %d is known", key)
		}
	}
}

// What Kafka's documentation of the messages says, for a few of each kind.
func TestThrottleOffsetExamples(t *testing.T) {
	for _, tc := range []struct {
		key, version int16
		offset       int
		ok           bool
	}{
		{0, 9, 0, false},
		{1, 0, 0, false},
		{1, 1, 8, true},
		{1, 12, 9, true},
		{3, 2, 0, false},
		{3, 3, 8, true},
		{3, 9, 9, true},
		{17, 1, 0, false},
		{18, 3, 0, false},
		{39, 1, 18, true},
		{40, 2, 19, true},
		{41, 2, 0, false},
		{47, 0, 10, true},
		{55, 0, 0, false},
		{68, 0, 9, true},
		{1, 99, 0, false},
	} {
		if at, ok := ThrottleOffset(tc.key, tc.version); at != tc.offset || ok != tc.ok {
			t.Errorf("%d v%d: %d, %v", tc.key, tc.version, at, ok)
		}
	}
}

func TestPatchThrottle(t *testing.T) {
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version, resp.ThrottleMillis = 9, 100
	frame := AppendResponse(nil, 1, resp)
	read := func() int32 {
		at, _ := ThrottleOffset(3, 9)
		return int32(binary.BigEndian.Uint32(frame[at:]))
	}
	if !PatchThrottle(frame, 3, 9, 50) || read() != 100 {
		t.Errorf("lowered to %d", read())
	}
	if !PatchThrottle(frame, 3, 9, 300) || read() != 300 {
		t.Errorf("not raised: %d", read())
	}
	if PatchThrottle(frame[:12], 3, 9, 1) || PatchThrottle(frame, 0, 9, 1) {
		t.Error("patched what has no such field")
	}
	frame[8] = 1 // a tag in the header
	if PatchThrottle(frame, 3, 9, 400) || read() != 300 {
		t.Error("patched behind tags in the header")
	}
}

func TestResponseHeaders(t *testing.T) {
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		resp := kmsg.ResponseForKey(key)
		for version := int16(0); version <= resp.MaxVersion(); version++ {
			resp.SetVersion(version)
			if want := resp.IsFlexible() && key != KeyApiVersions; FlexibleResponse(key, version) != want {
				t.Errorf("%s v%d: flexible %v", kmsg.NameForKey(key), version, !want)
			}
			frame := AppendResponse(nil, 0x0a0b0c0d, resp)
			want := "\x0a\x0b\x0c\x0d" + strings.Repeat("\x00", ResponseHeaderSize(key, version)-4) + string(resp.AppendTo(nil))
			if string(frame[4:]) != want || int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
				t.Errorf("%s v%d: %x", kmsg.NameForKey(key), version, frame)
			}
		}
	}
}
