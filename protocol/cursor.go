package protocol

import (
	"encoding/binary"
	"fmt"
)

const (
	// maxString is the longest string Kafka can encode: lengths are int16 in the
	// classic encoding, and brokers hold compact strings to the same.
	maxString = 1<<15 - 1
	// maxUvarint is how many bytes an unsigned varint of 32 bits takes at most.
	maxUvarint = 5
)

// MalformedError says what is wrong with the bytes of a message.
type MalformedError struct {
	Message string // the message, such as "Produce request"
	Version int16
	Offset  int    // where in the message's body the field or group of fields begins
	What    string // what is wrong
}

// Error implements error.
func (e *MalformedError) Error() string {
	return fmt.Sprintf("malformed %s v%d at byte %d of its body: %s", e.Message, e.Version, e.Offset, e.What)
}

// cursor reads a group of fields that is wanted whole. It does not fail at each
// field: once short or bad, it stays so and returns zeros, and the reader of the
// group looks at the end.
type cursor struct {
	b     []byte
	at    int
	short bool   // b ends before the group does
	bad   string // what is wrong; empty if nothing is
}

// take returns the next n bytes, nil if there are not as many.
func (c *cursor) take(n int) []byte {
	if n > len(c.b)-c.at {
		c.short = true
		c.at = len(c.b)
		return nil
	}
	p := c.b[c.at : c.at+n : c.at+n]
	c.at += n
	return p
}

func (c *cursor) int16() int16 {
	if p := c.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (c *cursor) int32() int32 {
	if p := c.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// uvarint reads an unsigned varint of 32 bits. More than 32 bits are an error:
// Kafka drops them silently, and nothing that Kafka reads otherwise may pass.
func (c *cursor) uvarint() uint32 {
	if c.at < len(c.b) && c.b[c.at] < 0x80 { // nearly always
		c.at++
		return uint32(c.b[c.at-1])
	}
	var x uint32
	for i := range maxUvarint {
		if c.at >= len(c.b) {
			c.short = true
			return 0
		}
		v := c.b[c.at]
		c.at++
		if i == maxUvarint-1 && v > 0x0f {
			c.fail("a varint of more than 32 bits")
			return 0
		}
		x |= uint32(v&0x7f) << (7 * i)
		if v < 0x80 {
			break
		}
	}
	return x
}

// count reads the length of an array of elements of at least min bytes each, of
// which no more than left can follow. Null is 0, as are all negative lengths.
func (c *cursor) count(flexible bool, minBytes, left int) int {
	var n int32
	if flexible {
		n = int32(c.uvarint()) - 1
	} else {
		n = c.int32()
	}
	if c.stopped() || n <= 0 {
		return 0
	}
	if int(n) > (left-c.at)/minBytes {
		c.fail("an array of more elements than there are bytes")
		return 0
	}
	return int(n)
}

// length reads the length of nullable bytes of which no more than left can follow.
// Null is 0, as are all negative lengths.
func (c *cursor) length(flexible bool, left int) int {
	n := int64(0)
	if flexible {
		n = int64(c.uvarint()) - 1
	} else {
		n = int64(c.int32())
	}
	if n > int64(left-c.at) {
		c.fail("bytes longer than what is left")
		return 0
	}
	return int(max(n, 0))
}

// nullableString reads a string that may be null; it is a part of the cursor's
// bytes.
func (c *cursor) nullableString(flexible bool) (s []byte, ok bool) {
	n := int64(0)
	if flexible {
		n = int64(c.uvarint()) - 1
	} else {
		n = int64(c.int16())
	}
	switch {
	case c.stopped() || n < 0:
		return nil, false
	case n > maxString:
		c.fail("a string of more than 32767 bytes")
		return nil, false
	}
	s = c.take(int(n))
	return s, !c.short
}

// string reads a string that may not be null.
func (c *cursor) string(flexible bool) []byte {
	s, ok := c.nullableString(flexible)
	if !ok && !c.stopped() {
		c.fail("null where a string must stand")
	}
	return s
}

// stopped reports whether the group cannot be read any further.
func (c *cursor) stopped() bool { return c.short || c.bad != "" }

func (c *cursor) fail(what string) {
	if !c.stopped() {
		c.bad = what
	}
}

// stream is what the walks of streaming messages share: how much of the body is
// left, what of it needs no look, and the section of tags that is being walked.
type stream struct {
	message  string
	version  int16
	flexible bool
	size     int // bytes of the body in all
	left     int // bytes of it not walked yet
	skip     int // the next bytes that need no look; never more than left
	tags     int // tags of the present section not walked yet
	err      error
}

// open begins a group of fields at the start of b.
func (s *stream) open(b []byte) cursor {
	if len(b) > s.left {
		b = b[:s.left]
	}
	return cursor{b: b}
}

// close ends a group and reports how many bytes it took; false if the group needs
// more bytes or is malformed (s.err).
func (s *stream) close(c *cursor) (n int, ok bool) {
	switch {
	case c.bad != "":
		s.fail(c.bad)
		return 0, false
	case !c.short:
		s.left -= c.at
		return c.at, true
	case len(c.b) == s.left:
		s.fail("it ends too early")
	}
	return 0, false
}

func (s *stream) fail(what string) {
	if s.err == nil {
		s.err = &MalformedError{Message: s.message, Version: s.version, Offset: s.size - s.left, What: what}
	}
}

// pass lets n bytes go by without a look.
func (s *stream) pass(n int) {
	s.skip -= n
	s.left -= n
}

// beginTags walks the number of tags of a section; a message without tags has no
// sections, and nothing is walked.
func (s *stream) beginTags(b []byte) (int, bool) {
	if !s.flexible {
		return 0, true
	}
	c := s.open(b)
	tags := c.uvarint()
	if int64(tags) > int64(s.left-c.at)/2 {
		c.fail("more tags than there are bytes")
	}
	n, ok := s.close(&c)
	if ok {
		s.tags = int(tags)
	}
	return n, ok
}

// tag reads the key and the size of the section's next tag; its bytes follow.
func (s *stream) tag(c *cursor) (key uint32, size int) {
	key = c.uvarint()
	n := c.uvarint()
	if int64(n) > int64(s.left-c.at) {
		c.fail("a tag longer than what is left")
		return key, 0
	}
	return key, int(n)
}

// skipTag walks a tag's key and size, and has its bytes skipped.
func (s *stream) skipTag(b []byte) (int, bool) {
	c := s.open(b)
	_, size := s.tag(&c)
	n, ok := s.close(&c)
	if ok {
		s.tags--
		s.skip = size
	}
	return n, ok
}

// end reports whether the body ends here, where the message does; it fails if not.
func (s *stream) end() bool {
	if s.left > 0 {
		s.fail("bytes behind its end")
	}
	return s.left == 0
}

// minTopic is how many bytes a topic takes at least, in Produce requests and in
// Fetch responses.
func (s *stream) minTopic() int {
	switch {
	case s.version >= 13:
		return 16 + 1 + 1 // id, partitions, tags
	case s.flexible:
		return 1 + 1 + 1 // name, partitions, tags
	}
	return 2 + 4 // name, partitions
}
