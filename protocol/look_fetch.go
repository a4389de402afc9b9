package protocol

// FetchLook reads of a Fetch request what limits, sessions and rules ask for,
// without decoding it and without allocating: consumers that keep no session
// (KIP-227) name all their partitions in each request.
//
//	l.Reset(version, body)
//	for l.Next() { … l.TopicName or l.TopicID … }
//	if !l.Plain() { … decode it … }
//
// It takes versions 3 to 18: earlier ones have no bound for the whole answer.
type FetchLook struct {
	MaxBytes     int32 // how many bytes are asked for at most; never below 0
	SessionID    int32 // v7+; 0: none
	SessionEpoch int32 // v7+; above 0: the session goes on

	TopicName []byte   // v3 to 12; part of the body
	TopicID   [16]byte // v13+
	Forgotten bool     // the topic is one to be taken out of the session

	c        cursor
	version  int16
	flexible bool
	topics   int  // not read yet, of the list that is read
	inner    bool // it says what only brokers say
	ended    bool
}

// How many tags have a meaning in some version of a Fetch request.
const (
	fetchKnownTags          = 2 // cluster id, and replica state (v15+, KIP-903)
	fetchPartitionKnownTags = 2 // replica directory id (v17+, KIP-853), and high watermark (v18+)
)

// Reset begins the look at a body of that version.
func (l *FetchLook) Reset(version int16, body []byte) {
	*l = FetchLook{version: version, flexible: version >= 12, c: cursor{b: body}}
	c := &l.c
	if version < 3 || version > fetchMaxVersion {
		c.fail("a version without max_bytes, or one that is not known")
		return
	}
	if version <= 14 {
		l.inner = c.int32() >= 0
	}
	c.take(4 + 4) // max_wait_ms, min_bytes
	l.MaxBytes = max(c.int32(), 0)
	if version >= 4 {
		c.take(1) // isolation level
	}
	if version >= 7 {
		l.SessionID, l.SessionEpoch = c.int32(), c.int32()
	}
	l.topics = c.count(l.flexible, 2, len(body))
}

// Next goes to the next topic that the request names; false if there is none, or
// what follows cannot be read.
func (l *FetchLook) Next() bool {
	if l.topics == 0 && !l.Forgotten && l.version >= 7 && !l.c.stopped() {
		l.Forgotten = true
		l.topics = l.c.count(l.flexible, 2, len(l.c.b))
	}
	if l.topics == 0 || l.c.stopped() {
		l.end()
		return false
	}
	l.topics--
	c := &l.c
	if l.version >= 13 {
		copy(l.TopicID[:], c.take(len(l.TopicID)))
	} else {
		l.TopicName = c.string(l.flexible)
	}
	if l.Forgotten {
		c.take(4 * c.count(l.flexible, 4, len(c.b)))
	} else {
		l.partitions()
	}
	l.skipTags(0)
	return !c.stopped()
}

// partitions passes over the partitions of a topic.
func (l *FetchLook) partitions() {
	size := 4 + 8 + 4 // index, offset, max_bytes
	if l.version >= 5 {
		size += 8 // log start offset
	}
	if l.version >= 9 {
		size += 4 // leader epoch
	}
	if l.version >= 12 {
		size += 4 // last fetched epoch
	}
	c := &l.c
	n := c.count(l.flexible, size, len(c.b))
	if !l.flexible {
		c.take(n * size)
		return
	}
	for ; n > 0 && !c.stopped(); n-- {
		c.take(size)
		l.skipTags(fetchPartitionKnownTags)
	}
}

// end reads what stands behind the topics.
func (l *FetchLook) end() {
	if l.ended || l.c.stopped() {
		return
	}
	l.ended = true
	if l.version >= 11 {
		l.c.string(l.flexible) // rack
	}
	l.skipTags(fetchKnownTags)
}

// skipTags passes over a section of tags. Those with keys below known mean something,
// and only to brokers: no consumer sends them.
func (l *FetchLook) skipTags(known uint32) {
	if !l.flexible {
		return
	}
	for tags := l.c.uvarint(); tags > 0 && !l.c.stopped(); tags-- {
		if l.c.uvarint() < known {
			l.inner = true
		}
		l.c.take(int(l.c.uvarint()))
	}
}

// Plain reports, once Next has returned false, whether all of the request has been
// read and is what consumers send. If not it must be decoded, which says what is
// wrong with it, or who claims to be a follower ([IsFollowerFetch]).
func (l *FetchLook) Plain() bool {
	return l.ended && !l.c.stopped() && l.c.at == len(l.c.b) && !l.inner
}
