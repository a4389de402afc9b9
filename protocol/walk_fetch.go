package protocol

import (
	"encoding/binary"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	fetchMaxVersion = 18 // the last version that the walk knows

	// Tags of a Fetch response.
	tagCurrentLeader = 1 // of a partition, v12+ (KIP-595)
	tagNodeEndpoints = 0 // of the response, v16+ (KIP-951)
)

// FetchHead is what stands before the topics of a Fetch response.
type FetchHead struct {
	ThrottleMillis int32 // v1+
	ErrorCode      int16 // v7+
	SessionID      int32 // v7+
	Topics         int   // how many topics there are; null is 0
	Size           int   // bytes of the head, with the number of topics, from the start of the body
}

// ParseFetchHead reads the head at the start of the body of a Fetch response of
// version 0 to 18. need > 0: b must hold at least that many bytes, 15 at the most,
// and h does not count. The error is a *[MalformedError].
func ParseFetchHead(b []byte, version int16) (h FetchHead, need int, err error) {
	if version < 0 || version > fetchMaxVersion {
		return h, 0, &MalformedError{"Fetch response", version, 0, "a version that is not known"}
	}
	c := cursor{b: b}
	if version >= 1 {
		h.ThrottleMillis = c.int32()
	}
	if version >= 7 {
		h.ErrorCode = c.int16()
		h.SessionID = c.int32()
	}
	// What is left of the body is not known here: FetchWalk checks the number.
	h.Topics = c.count(version >= 12, 1, len(b)+math.MaxInt32)
	h.Size = c.at
	switch {
	case c.bad != "":
		return h, 0, &MalformedError{"Fetch response", version, 0, c.bad}
	case c.short:
		return h, len(b) + 1, nil
	}
	return h, 0, nil
}

// AppendFetchHead writes a head, and behind it the topics of refused (the answer
// of Fetch's Split; nil if nothing was refused), so that they stand first in the
// array. h.Topics is the broker's number; the number written is the sum.
func AppendFetchHead(dst []byte, version int16, h FetchHead, refused *kmsg.FetchResponse) []byte {
	topics := h.Topics
	if refused != nil {
		topics += len(refused.Topics)
	}
	if version >= 1 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(h.ThrottleMillis))
	}
	if version >= 7 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.ErrorCode))
		dst = binary.BigEndian.AppendUint32(dst, uint32(h.SessionID))
	}
	if version >= 12 {
		dst = binary.AppendUvarint(dst, uint64(topics)+1)
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(topics))
	}
	if refused != nil && len(refused.Topics) > 0 {
		dst = appendFetchTopics(dst, version, refused.Topics)
	}
	return dst
}

// appendFetchTopics writes topics as the elements of an array, without its length.
// kmsg encodes only whole responses: the head of one is cut off, and its tags.
func appendFetchTopics(dst []byte, version int16, topics []kmsg.FetchResponseTopic) []byte {
	start := len(dst)
	whole := kmsg.FetchResponse{Version: version, Topics: topics}
	dst = whole.AppendTo(dst)
	h, _, _ := ParseFetchHead(dst[start:], version) // just written: it is whole
	end := len(dst)
	if version >= 12 {
		end-- // the number of tags, 0
	}
	n := copy(dst[start:], dst[start+h.Size:end])
	return dst[:start+n]
}

// What stands next in a Fetch response behind its head.
const (
	fetchTopic = iota
	fetchPartition
	fetchAborted // one aborted transaction
	fetchAbortedTags
	fetchRecords
	fetchPartitionTags
	fetchTopicTags
	fetchBodyTags
	fetchEnd
)

// FetchWalk walks a Fetch response of version 0 to 18 behind its head as it
// streams, and patches it in place: PreferredReadReplica and CurrentLeader.LeaderID
// become virtual node ids, and the endpoints of brokers (KIP-951) are neutralised
// at equal length: their tag becomes one that no client knows, its bytes zero.
// Any tag behind the endpoints goes the same way, so that tags stay in ascending
// order; Kafka defines none.
//
// It asks for 33 KiB in one piece at the most, never looks at record bytes, and
// never allocates.
type FetchWalk struct {
	RecordBytes int64 // record bytes of all partitions walked so far

	stream
	nodes          Nodes
	next           uint8
	section        uint8 // of which section the tags are: fetchPartitionTags …
	blank          int   // the next bytes that become zero
	endpoints      bool
	topicsLeft     int
	partitionsLeft int
	abortedLeft    int
}

// Reset begins the walk of the rest of a body: the number of its bytes behind the
// head, the number of topics that the head names, and the slice it comes from.
func (w *FetchWalk) Reset(version int16, rest int, topics int, n Nodes) {
	*w = FetchWalk{nodes: n}
	w.stream = stream{
		message: "Fetch response behind its head", version: version, flexible: version >= 12,
		size: rest, left: rest,
	}
	w.topicsLeft = topics
	w.next = w.afterTopic()
	switch {
	case version < 0 || version > fetchMaxVersion:
		w.fail("a version that is not known")
	case topics > rest/w.minTopic():
		w.fail("an array of more elements than there are bytes")
	}
}

// Next walks on in b, which begins where the last call stopped, patching it, and
// says how many bytes it has walked: they may be sent on. If that is less than all
// of b, and the walk is not done, it must be called again with the others and more
// bytes behind them. Bytes behind the response are not touched. Once it has failed
// (always with a *[MalformedError]) it fails for good.
func (w *FetchWalk) Next(b []byte) (walked int, err error) {
	for w.err == nil {
		if w.skip > 0 {
			n := min(w.skip, len(b)-walked)
			w.pass(n)
			walked += n
		}
		if w.blank > 0 {
			n := min(w.blank, len(b)-walked)
			clear(b[walked : walked+n])
			w.blank -= n
			w.left -= n
			walked += n
		}
		if w.skip > 0 || w.blank > 0 {
			return walked, nil
		}
		if w.next == fetchEnd && w.tags == 0 {
			w.end()
			break
		}
		n, ok := w.step(b[walked:])
		if !ok {
			break
		}
		walked += n
	}
	return walked, w.err
}

// Skip returns how many of the next bytes need no walking (records, mostly): they
// may go past the walk, which is then told with [FetchWalk.Skipped].
func (w *FetchWalk) Skip() int { return w.skip }

// Skipped says that n bytes, at most [FetchWalk.Skip], went past the walk.
func (w *FetchWalk) Skipped(n int) { w.pass(min(max(n, 0), w.skip)) }

// Done reports whether the response has been walked to its end.
func (w *FetchWalk) Done() bool {
	return w.left == 0 && w.tags == 0 && w.next == fetchEnd && w.err == nil
}

// HasEndpoints reports whether endpoints of brokers have been seen, and
// neutralised.
func (w *FetchWalk) HasEndpoints() bool { return w.endpoints }

// step walks the group of fields that stands next at the start of b, and says how
// long it is; not ok if it is not all there or malformed, and then nothing has
// changed.
func (w *FetchWalk) step(b []byte) (n int, ok bool) {
	if w.tags > 0 {
		return w.oneTag(b)
	}
	switch w.next {
	case fetchTopic:
		return w.topic(b)
	case fetchPartition:
		return w.partition(b)
	case fetchAborted:
		return w.aborted(b)
	case fetchRecords:
		return w.records(b)
	}
	n, ok = w.beginTags(b)
	if !ok {
		return 0, false
	}
	w.section = w.next
	switch w.next {
	case fetchAbortedTags:
		w.next = w.afterAborted()
	case fetchPartitionTags:
		w.next = w.afterPartition()
	case fetchTopicTags:
		w.next = w.afterTopic()
	case fetchBodyTags:
		w.next = fetchEnd
	}
	return n, true
}

func (w *FetchWalk) topic(b []byte) (int, bool) {
	c := w.open(b)
	if w.version >= 13 {
		c.take(16)
	} else {
		c.string(w.flexible)
	}
	partitions := c.count(w.flexible, w.minPartition(), w.left)
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	w.topicsLeft--
	w.partitionsLeft = partitions
	w.next = w.afterPartition()
	return n, true
}

// partition walks what stands before the aborted transactions, and their number.
func (w *FetchWalk) partition(b []byte) (int, bool) {
	aborted := 0
	c := w.open(b)
	c.take(4 + 2 + 8) // index, error code, high watermark
	if w.version >= 4 {
		c.take(8) // last stable offset
		if w.version >= 5 {
			c.take(8) // log start offset
		}
		aborted = c.count(w.flexible, 8+8, w.left)
	}
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	w.partitionsLeft--
	w.abortedLeft = aborted
	w.next = w.afterAborted()
	return n, true
}

func (w *FetchWalk) aborted(b []byte) (int, bool) {
	c := w.open(b)
	c.take(8 + 8) // producer id, first offset
	n, ok := w.close(&c)
	if ok {
		w.abortedLeft--
		w.next = fetchAbortedTags
	}
	return n, ok
}

// records walks the preferred read replica and the length of the records.
func (w *FetchWalk) records(b []byte) (int, bool) {
	var replica []byte
	c := w.open(b)
	if w.version >= 11 {
		replica = c.take(4)
	}
	records := c.length(w.flexible, w.left)
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	w.virtualize(replica)
	w.skip = records
	w.RecordBytes += int64(records)
	w.next = fetchPartitionTags
	return n, true
}

// oneTag walks a tag of the present section.
func (w *FetchWalk) oneTag(b []byte) (int, bool) {
	if w.section != fetchPartitionTags && w.section != fetchBodyTags {
		return w.skipTag(b)
	}
	var leader []byte
	c := w.open(b)
	key, size := w.tag(&c)
	keyEnd := uvarintEnd(c.b)
	isLeader := w.section == fetchPartitionTags && key == tagCurrentLeader
	hidden := w.section == fetchBodyTags && (key == tagNodeEndpoints || w.endpoints)
	if isLeader {
		if size < 4+4 && !c.short {
			c.fail("a current leader that is too short")
		}
		leader = c.take(4)
		size -= 4
	}
	if hidden && w.tags > maxHiddenTags {
		c.fail("too many tags")
	}
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	if isLeader {
		w.virtualize(leader)
	}
	if hidden {
		hideTag(b[:keyEnd], w.tags)
		w.endpoints = true
		w.blank = size
	} else {
		w.skip = size
	}
	w.tags--
	return n, true
}

// maxHiddenTags is how many keys of one byte there are for tags that are hidden.
const maxHiddenTags = 127

// hideTag writes a key that Kafka does not use over one of the same length: 127
// for the last tag of the section, 126 for the one before it.
func hideTag(key []byte, tagsLeft int) {
	for i := range key {
		key[i] = 0x80 // more follows
	}
	key[0] |= byte(maxHiddenTags + 1 - tagsLeft)
	key[len(key)-1] &= 0x7f
}

// uvarintEnd is how many bytes the uvarint at the start of b takes; all if it does
// not end there.
func uvarintEnd(b []byte) int {
	for i, v := range b {
		if v < 0x80 {
			return i + 1
		}
	}
	return len(b)
}

// virtualize makes a broker's node id virtual in place; nil is left.
func (w *FetchWalk) virtualize(id []byte) {
	if id == nil {
		return
	}
	node := int32(binary.BigEndian.Uint32(id))
	binary.BigEndian.PutUint32(id, uint32(w.nodes.Virtual(node)))
}

func (w *FetchWalk) afterAborted() uint8 {
	if w.abortedLeft > 0 {
		return fetchAborted
	}
	return fetchRecords
}

func (w *FetchWalk) afterPartition() uint8 {
	if w.partitionsLeft > 0 {
		return fetchPartition
	}
	return fetchTopicTags
}

func (w *FetchWalk) afterTopic() uint8 {
	if w.topicsLeft > 0 {
		return fetchTopic
	}
	return fetchBodyTags
}

// minPartition is how many bytes a partition takes at least: index, error code,
// high watermark and the length of the records; later versions take more.
func (w *FetchWalk) minPartition() int {
	if w.flexible {
		return 4 + 2 + 8 + 1
	}
	return 4 + 2 + 8 + 4
}
