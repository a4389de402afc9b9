package protocol

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// lengthBytes is the length before each frame; it does not count itself.
	lengthBytes = 4
	// minHeader is the shortest request header: key, version, correlation id and
	// the length of the client id. ControlledShutdown v0 alone has no client id;
	// no broker since 4.0 takes it.
	minHeader = 2 + 2 + 4 + 2
	// maxHeader bounds what a header may take of a frame: the longest client id,
	// and 8 KiB of tags. Kafka defines no tags in request headers.
	maxHeader = lengthBytes + minHeader + maxString + 8<<10
)

// Reasons for which the bytes of a connection are not those of a Kafka client.
const (
	NoiseHTTP      = "http"
	NoiseTLS       = "tls"
	NoiseOversize  = "oversize"
	NoiseNotKafka  = "not_kafka"
	NoiseBadHeader = "bad_header"
)

// HeaderError says why a frame cannot be a request, or not one that is taken.
type HeaderError struct {
	Reason string // one of the Noise constants, fit for a metric's label
	What   string
}

// Error implements error.
func (e *HeaderError) Error() string { return "request header: " + e.What }

// Header is what stands before the body of each request (RequestHeader v1, and v2
// with tags, KIP-482).
type Header struct {
	Size          int32 // bytes of the frame behind its length
	Key, Version  int16
	CorrelationID int32
	ClientID      string
	NullClientID  bool // the client sent null, which Kafka takes as ""
	Body          int  // where the body begins, from the start of the frame (with its length)
}

// ParseHeader reads the header at the start of a frame; maxFrame is the largest
// Size that is taken. need > 0: b must hold at least that many bytes, never more
// than 41 KiB, and nothing else of the result counts. All errors are *[HeaderError].
//
// Of a request in a version that is not known the tags are not read, as brokers do
// with ApiVersions (KIP-511); Body then means nothing.
func ParseHeader(b []byte, maxFrame int64) (h Header, need int, err error) {
	need, err = h.Parse(b, maxFrame)
	return h, need, err
}

// Parse is [ParseHeader] into a header that is used again: a client id that is the
// same as before is not allocated anew.
func (h *Header) Parse(b []byte, maxFrame int64) (need int, err error) {
	if len(b) < lengthBytes {
		return lengthBytes, nil
	}
	size := int32(binary.BigEndian.Uint32(b))
	switch {
	case size < minHeader || int64(size) > maxFrame:
		return 0, &HeaderError{Noise(b), fmt.Sprintf("a frame of %d bytes, not between %d and %d", size, minHeader, maxFrame)}
	case len(b) < lengthBytes+minHeader:
		return lengthBytes + minHeader, nil
	}
	key, version := int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))
	if garbage(key, version) {
		return 0, &HeaderError{NoiseNotKafka, fmt.Sprintf("API key %d, version %d", key, version)}
	}
	n := int(int16(binary.BigEndian.Uint16(b[12:])))
	end := lengthBytes + minHeader + max(n, 0)
	switch {
	case end > lengthBytes+int(size):
		return 0, &HeaderError{NoiseBadHeader, "the client id is longer than the frame"}
	case len(b) < end:
		return end, nil
	}
	id := b[lengthBytes+minHeader : end]
	if FlexibleRequest(key, version) && version <= wire[key].max {
		if end, need, err = skipHeaderTags(b, end, int(size)); need > 0 || err != nil {
			return need, err
		}
	}
	h.Size, h.Key, h.Version = size, key, version
	h.CorrelationID = int32(binary.BigEndian.Uint32(b[8:]))
	if h.ClientID != string(id) {
		h.ClientID = string(id)
	}
	h.NullClientID = n < 0
	h.Body = end
	return 0, nil
}

// skipHeaderTags returns where the tags that begin at b[at] end, or how many bytes
// of the frame are needed to know.
func skipHeaderTags(b []byte, at, size int) (end, need int, err error) {
	limit := min(lengthBytes+size, maxHeader)
	c := cursor{b: b[:min(len(b), limit)], at: at}
	for tags := c.uvarint(); tags > 0 && !c.stopped(); tags-- {
		c.uvarint()
		n := c.uvarint()
		if int64(n) > int64(limit-c.at) {
			c.fail("tags longer than the frame or the limit")
			break
		}
		at = c.at + int(n)
		c.take(int(n))
	}
	switch {
	case c.bad != "":
		return 0, 0, &HeaderError{NoiseBadHeader, c.bad}
	case !c.short:
		return c.at, 0, nil
	case len(c.b) == limit:
		return 0, 0, &HeaderError{NoiseBadHeader, "tags longer than the frame or the limit"}
	}
	return 0, max(len(b)+1, at), nil
}

// Noise says what the first bytes of a frame that [ParseHeader] refuses look like,
// as one of the Noise constants. It wants four bytes at least, and sees more with
// twelve. Bytes that could be a request's are an oversize one.
func Noise(first []byte) string {
	if len(first) < lengthBytes {
		return NoiseNotKafka
	}
	switch string(first[:lengthBytes]) {
	case "GET ", "HEAD", "POST", "PUT ", "DELE", "CONN", "OPTI", "TRAC", "PATC", "PRI ":
		return NoiseHTTP
	}
	if first[0] == 0x16 && first[1] == 0x03 { // handshake record of SSL 3.0 to TLS 1.3
		return NoiseTLS
	}
	if int32(binary.BigEndian.Uint32(first)) < minHeader {
		return NoiseNotKafka
	}
	if len(first) >= lengthBytes+4 &&
		garbage(int16(binary.BigEndian.Uint16(first[4:])), int16(binary.BigEndian.Uint16(first[6:]))) {
		return NoiseNotKafka
	}
	return NoiseOversize
}

// garbage reports whether no Kafka client can have sent that key and version.
func garbage(key, version int16) bool {
	return key < 0 || key > kmsg.MaxKey || version < 0
}

// FlexibleRequest reports whether a request has a header with tags (v2). Of keys
// that are not known none has.
func FlexibleRequest(key, version int16) bool {
	return key >= 0 && key <= kmsg.MaxKey && version >= wire[key].flexible
}

// FlexibleResponse reports whether a response has a header with tags (v1). That of
// ApiVersions never has, since clients read it before they know the broker.
func FlexibleResponse(key, version int16) bool {
	return key != KeyApiVersions && FlexibleRequest(key, version)
}

// ResponseHeaderSize is how many bytes stand between the length of a response
// frame and the body: the correlation id, and the empty tags of flexible ones.
func ResponseHeaderSize(key, version int16) int {
	if FlexibleResponse(key, version) {
		return 4 + 1
	}
	return 4
}

// AppendResponse appends the frame of a response: length, header and body.
func AppendResponse(dst []byte, correlationID int32, resp kmsg.Response) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if FlexibleResponse(resp.Key(), resp.GetVersion()) {
		dst = append(dst, 0)
	}
	return endFrame(resp.AppendTo(dst), start)
}

// AppendRequest appends the frame of a request: length, header and body. Key and
// version are those of req, the correlation id and the client id (null stays null)
// those of h. Tags that the header had are not kept.
func AppendRequest(dst []byte, h *Header, req kmsg.Request) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.Key()))
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.GetVersion()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	if h.NullClientID {
		dst = append(dst, 0xff, 0xff)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.ClientID)))
		dst = append(dst, h.ClientID...)
	}
	if FlexibleRequest(req.Key(), req.GetVersion()) {
		dst = append(dst, 0)
	}
	return endFrame(req.AppendTo(dst), start)
}

// endFrame writes the length of the frame that begins at start.
func endFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthBytes))
	return dst
}

// ThrottleOffset returns where throttle_time_ms stands, from the start of a
// response's frame (with its length). Not ok: the response has no such field in
// that version, or has it behind fields of varying length (Produce, ApiVersions,
// CreateDelegationToken, DescribeDelegationToken).
func ThrottleOffset(key, version int16) (offset int, ok bool) {
	if key < 0 || key > kmsg.MaxKey || wire[key].throttle < 0 || version < wire[key].throttleFirst || version > wire[key].max {
		return 0, false
	}
	return lengthBytes + ResponseHeaderSize(key, version) + int(wire[key].throttle), true
}

// PatchThrottle raises throttle_time_ms in a response's frame, or the beginning of
// it, to ms at least. It reports whether the frame now says so: not if the field
// does not stand at a fixed place ([ThrottleOffset]) within the bytes given.
func PatchThrottle(frame []byte, key, version int16, ms int32) bool {
	at, ok := ThrottleOffset(key, version)
	if !ok || len(frame) < at+4 {
		return false
	}
	if FlexibleResponse(key, version) && frame[lengthBytes+4] != 0 {
		return false // tags in the header, which Kafka does not define, move the field
	}
	raise(frame[at:], ms)
	return true
}

// raise makes the int32 at the start of b at least n.
func raise(b []byte, n int32) {
	if int32(binary.BigEndian.Uint32(b)) < n {
		binary.BigEndian.PutUint32(b, uint32(n))
	}
}

// layout is what the frame functions know of an API, by its key.
type layout struct {
	max           int16 // last version known
	flexible      int16 // first version with tags; max+1 if none
	throttle      int16 // offset of throttle_time_ms in the body; -1 if there is none at a fixed place
	throttleFirst int16 // first version with throttle_time_ms
}

// wire is measured on kmsg's messages, so that a new version needs no line here.
var wire = measure()

func measure() (all [kmsg.MaxKey + 1]layout) {
	for key := range all {
		all[key] = measureOne(int16(key))
	}
	return all
}

func measureOne(key int16) layout {
	req, resp := kmsg.RequestForKey(key), kmsg.ResponseForKey(key)
	if req == nil || resp == nil {
		return layout{max: -1, flexible: math.MaxInt16, throttle: -1}
	}
	l := layout{max: req.MaxVersion(), throttle: -1}
	for req.SetVersion(0); l.flexible <= l.max && !req.IsFlexible(); req.SetVersion(l.flexible) {
		l.flexible++
	}
	switch resp.(type) {
	case *kmsg.ProduceResponse, *kmsg.ApiVersionsResponse,
		*kmsg.CreateDelegationTokenResponse, *kmsg.DescribeDelegationTokenResponse:
		return l // the field stands behind arrays or strings
	}
	throttled, ok := resp.(kmsg.SetThrottleResponse)
	if !ok {
		return l
	}
	for v := int16(0); v <= l.max && l.throttle < 0; v++ {
		resp.SetVersion(v)
		throttled.SetThrottle(0)
		without := resp.AppendTo(nil)
		throttled.SetThrottle(-1)
		for i, b := range resp.AppendTo(nil) {
			if b != without[i] {
				l.throttle, l.throttleFirst = int16(i), v
				break
			}
		}
	}
	return l
}
