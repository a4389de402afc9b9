package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions of the requests that the bench sends.
const (
	ProduceVersion     = 13
	FetchVersion       = 17
	MetadataVersion    = 12
	ApiVersionsVersion = 3
)

// Topic is the one topic that the bench writes and reads, in partition 0.
const Topic = "bench.events"

// TopicID is its id.
var TopicID = [16]byte{'b', 'e', 'n', 'c', 'h', 1}

// MaxBatch is the largest record batch, in bytes; more is sent in several. It is
// what brokers take by default.
const MaxBatch = 1 << 20

// minBatch is a batch of one record without a value, and a little.
const minBatch = 80

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batches are record batches of size bytes in all, each of at most [MaxBatch] and
// with one record. Where the length of a length leaves no such batch it is up to
// two bytes less. It panics if size is below 80.
func Batches(size int) []byte {
	if size < minBatch {
		panic(fmt.Sprintf("wire: a record batch of %d bytes", size))
	}
	out := make([]byte, 0, size)
	for offset := int64(0); size-len(out) >= minBatch; offset++ {
		next := min(size-len(out), MaxBatch)
		if rest := size - len(out) - next; rest > 0 && rest < minBatch {
			next -= minBatch
		}
		out = append(out, batch(next, offset)...)
	}
	return out
}

// batch is the largest batch of at most size bytes.
func batch(size int, offset int64) []byte {
	value := size - minBatch
	b := encode(value, offset)
	for {
		larger := encode(value+max(1, size-len(b)-2), offset)
		if len(larger) > size {
			return b
		}
		value += max(1, size-len(b)-2)
		b = larger
	}
}

func encode(value int, offset int64) []byte {
	rec := kmsg.NewRecord()
	rec.Value = make([]byte, value)
	for i := range rec.Value {
		rec.Value[i] = byte('a' + i%23)
	}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1) // the zero length itself took one byte
	b := kmsg.NewRecordBatch()
	b.FirstOffset = offset
	b.Magic, b.NumRecords = 2, 1
	b.FirstTimestamp, b.MaxTimestamp = 1_700_000_000_000, 1_700_000_000_000
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	b.Records = rec.AppendTo(nil)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// CheckBatches walks record batches and says what is wrong with them: a length
// that does not fit, a checksum that is not that of the bytes.
func CheckBatches(b []byte) error {
	if len(b) == 0 {
		return errors.New("no record batch")
	}
	for len(b) > 0 {
		if len(b) < 61 {
			return fmt.Errorf("%d bytes are no record batch", len(b))
		}
		n := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if n < 61 || n > len(b) {
			return fmt.Errorf("a record batch of %d bytes in %d", n, len(b))
		}
		if crc32.Checksum(b[21:n], castagnoli) != binary.BigEndian.Uint32(b[17:]) {
			return errors.New("a record batch with a wrong checksum")
		}
		b = b[n:]
	}
	return nil
}

// Produce is the frame of a Produce request, acks=1, with size bytes of record
// batches. Its correlation id is 0; see [SetCorrelation].
func Produce(clientID string, size int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = ProduceVersion, 1, 30_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID = Topic, TopicID
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = Batches(size)
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	return frame(clientID, req)
}

// Fetch is the frame of a Fetch request without a session, which the sink answers
// with size bytes of record batches.
func Fetch(clientID string, size int) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version = FetchVersion
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, int32(size)
	req.SessionEpoch = -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = Topic, TopicID
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.CurrentLeaderEpoch, partition.LogStartOffset = -1, -1
	partition.PartitionMaxBytes = int32(size)
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	return frame(clientID, req)
}

// Metadata is the frame of a Metadata request for all topics.
func Metadata(clientID string) []byte {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = MetadataVersion
	return frame(clientID, req)
}

// ApiVersions is the frame that every client begins with.
func ApiVersions(clientID string) []byte {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = ApiVersionsVersion
	req.ClientSoftwareName, req.ClientSoftwareVersion = "sluice-bench", "1"
	return frame(clientID, req)
}

func frame(clientID string, req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, 0)
}

// SetCorrelation writes the correlation id of a request's frame.
func SetCorrelation(frame []byte, id int32) { binary.BigEndian.PutUint32(frame[8:], uint32(id)) }

// Header is the header of a request.
type Header struct {
	Size        int // of the frame without its length
	Key         int16
	Version     int16
	Correlation int32
	Len         int // of length and header: where the body begins
}

// errHeader is a header that is none.
var errHeader = errors.New("no request header")

// flexibleFrom is, by API key, the first version whose header ends in tags.
var flexibleFrom = func() (from [kmsg.MaxKey + 1]int16) {
	for key := range from {
		from[key] = math.MaxInt16
		req := kmsg.RequestForKey(int16(key))
		if req == nil {
			continue
		}
		for version := req.MaxVersion(); version >= 0; version-- {
			if req.SetVersion(version); req.IsFlexible() {
				from[key] = version
			}
		}
	}
	return from
}()

// ParseHeader reads the header at the beginning of b. more is how many bytes of
// b it needs when it needs more than there are, else 0.
func ParseHeader(b []byte) (h Header, more int, err error) {
	const fixed = 14 // to the length of the client id
	if len(b) < fixed {
		return h, fixed, nil
	}
	h = Header{
		Size:        int(int32(binary.BigEndian.Uint32(b))),
		Key:         int16(binary.BigEndian.Uint16(b[4:])),
		Version:     int16(binary.BigEndian.Uint16(b[6:])),
		Correlation: int32(binary.BigEndian.Uint32(b[8:])),
	}
	h.Len = fixed + max(0, int(int16(binary.BigEndian.Uint16(b[12:]))))
	if h.Key < 0 || int(h.Key) >= len(flexibleFrom) || h.Size < h.Len-4 {
		return h, 0, errHeader
	}
	if h.Version >= flexibleFrom[h.Key] {
		if len(b) <= h.Len {
			return h, h.Len + 1, nil
		}
		if b[h.Len] != 0 { // nobody sends tags in request headers
			return h, 0, errHeader
		}
		h.Len++
	}
	if h.Len > h.Size+4 {
		return h, 0, errHeader
	}
	return h, 0, nil
}

// Answer is the frame of a response with its correlation id.
func Answer(correlation int32, resp kmsg.Response) []byte {
	b := make([]byte, 8, 256)
	binary.BigEndian.PutUint32(b[4:], uint32(correlation))
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) { // KIP-511
		b = append(b, 0)
	}
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// ReadAnswer decodes a response's frame into resp, whose version is set.
func ReadAnswer(frame []byte, resp kmsg.Response) error {
	body := 8
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		body++
	}
	if len(frame) < body {
		return fmt.Errorf("a response of %d bytes", len(frame))
	}
	return resp.ReadFrom(frame[body:])
}
