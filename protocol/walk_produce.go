package protocol

// ProduceEvent says where a [ProduceWalk] stands.
type ProduceEvent uint8

const (
	// ProduceMore: the walk needs more bytes than it was given.
	ProduceMore ProduceEvent = iota
	// ProduceHead: TransactionalID, Acks, TimeoutMillis and Topics are known.
	ProduceHead
	// ProduceTopic: TopicName or TopicID, and Partitions are known.
	ProduceTopic
	// ProducePartition: Partition and RecordBytes are known; the records follow.
	ProducePartition
	// ProduceDone: the body has been walked to its end.
	ProduceDone
)

// What stands next in the body of a Produce request.
const (
	produceHead = iota
	produceTopic
	producePartition
	producePartitionTags
	produceTopicTags
	produceBodyTags
	produceEnd
)

// ProduceWalk walks the body of a Produce request of version 0 to 13 as it
// streams. It asks for 33 KiB in one piece at the most, never looks at record
// bytes, and takes what Kafka's encoding allows: tags anywhere, of any size.
//
// A walk can be used again; with the same transactional id it does not allocate.
type ProduceWalk struct {
	// Of the request, from ProduceHead on.
	TransactionalID    string
	HasTransactionalID bool // false: null, or a version below 3
	Acks               int16
	TimeoutMillis      int32
	Topics             int // how many topics there are

	// Of the topic, from ProduceTopic on.
	TopicName  []byte   // version 0 to 12; part of the bytes given to Next, valid until it is called again
	TopicID    [16]byte // version 13 on
	Partitions int      // how many partitions of it there are

	// Of the partition, from ProducePartition on.
	Partition   int32
	RecordBytes int // length of the records; 0 if they are null

	stream
	next           uint8
	topicsLeft     int
	partitionsLeft int
}

// produceMaxVersion is the last version that the walk knows.
const produceMaxVersion = 13

// Reset begins the walk of a body of that many bytes.
func (w *ProduceWalk) Reset(version int16, body int) {
	id := w.TransactionalID // kept: that of the next request is most likely the same
	*w = ProduceWalk{TransactionalID: id}
	w.stream = stream{
		message: "Produce request", version: version, flexible: version >= 9,
		size: body, left: body,
	}
	if version < 0 || version > produceMaxVersion {
		w.fail("a version that is not known")
	}
}

// Next walks on in b, which begins where the last call stopped: behind the bytes
// that it consumed. After [ProduceMore] it must be called with the bytes that were
// not consumed and more behind them. Bytes behind the body are not touched. Once
// it has failed (always with a *[MalformedError]) it fails for good.
func (w *ProduceWalk) Next(b []byte) (consumed int, ev ProduceEvent, err error) {
	w.TopicName = nil
	for w.err == nil {
		if w.skip > 0 {
			n := min(w.skip, len(b)-consumed)
			w.pass(n)
			consumed += n
			if w.skip > 0 {
				return consumed, ProduceMore, nil
			}
		}
		if w.next == produceEnd && w.tags == 0 {
			if w.end() {
				return consumed, ProduceDone, nil
			}
			break
		}
		n, ev, ok := w.step(b[consumed:])
		if !ok {
			break
		}
		consumed += n
		if ev != ProduceMore {
			return consumed, ev, nil
		}
	}
	return consumed, ProduceMore, w.err
}

// Skip returns how many of the next bytes need no walking (records, mostly): they
// may go past the walk, which is then told with [ProduceWalk.Skipped].
func (w *ProduceWalk) Skip() int { return w.skip }

// Skipped says that n bytes, at most [ProduceWalk.Skip], went past the walk.
func (w *ProduceWalk) Skipped(n int) { w.pass(min(max(n, 0), w.skip)) }

// Offset returns how many bytes of the body have been walked.
func (w *ProduceWalk) Offset() int { return w.size - w.left }

// step walks the group of fields that stands next at the start of b, and says how
// long it is; not ok if it is not all there or malformed, and then nothing has
// changed. ProduceMore as the event means that there is none.
func (w *ProduceWalk) step(b []byte) (n int, ev ProduceEvent, ok bool) {
	if w.tags > 0 {
		n, ok = w.skipTag(b)
		return n, ProduceMore, ok
	}
	switch w.next {
	case produceHead:
		n, ok = w.head(b)
		return n, ProduceHead, ok
	case produceTopic:
		n, ok = w.topic(b)
		return n, ProduceTopic, ok
	case producePartition:
		n, ok = w.partition(b)
		return n, ProducePartition, ok
	}
	n, ok = w.beginTags(b)
	if !ok {
		return n, ProduceMore, false
	}
	switch w.next {
	case producePartitionTags:
		w.next = w.afterPartition()
	case produceTopicTags:
		w.next = w.afterTopic()
	case produceBodyTags:
		w.next = produceEnd
	}
	return n, ProduceMore, true
}

func (w *ProduceWalk) head(b []byte) (int, bool) {
	var id []byte
	var hasID bool
	c := w.open(b)
	if w.version >= 3 {
		id, hasID = c.nullableString(w.flexible)
	}
	acks, timeout := c.int16(), c.int32()
	topics := c.count(w.flexible, w.minTopic(), w.left)
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	w.HasTransactionalID = hasID
	if w.TransactionalID != string(id) {
		w.TransactionalID = string(id)
	}
	w.Acks, w.TimeoutMillis = acks, timeout
	w.Topics, w.topicsLeft = topics, topics
	w.next = w.afterTopic()
	return n, true
}

func (w *ProduceWalk) topic(b []byte) (int, bool) {
	var name, id []byte
	c := w.open(b)
	if w.version >= 13 {
		id = c.take(len(w.TopicID))
	} else {
		name = c.string(w.flexible)
	}
	partitions := c.count(w.flexible, w.minPartition(), w.left)
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	w.TopicName = name
	copy(w.TopicID[:], id)
	w.Partitions, w.partitionsLeft = partitions, partitions
	w.topicsLeft--
	w.next = w.afterPartition()
	return n, true
}

func (w *ProduceWalk) partition(b []byte) (int, bool) {
	c := w.open(b)
	partition := c.int32()
	records := c.length(w.flexible, w.left)
	n, ok := w.close(&c)
	if !ok {
		return 0, false
	}
	w.Partition, w.RecordBytes, w.skip = partition, records, records
	w.partitionsLeft--
	w.next = producePartitionTags
	return n, true
}

func (w *ProduceWalk) afterPartition() uint8 {
	if w.partitionsLeft > 0 {
		return producePartition
	}
	return produceTopicTags
}

func (w *ProduceWalk) afterTopic() uint8 {
	if w.topicsLeft > 0 {
		return produceTopic
	}
	return produceBodyTags
}

// minPartition is how many bytes a partition takes at least.
func (w *ProduceWalk) minPartition() int {
	if w.flexible {
		return 4 + 1 + 1 // index, records, tags
	}
	return 4 + 4 // index, records
}
