package gateway

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceVersion is old enough to name topics, new enough for record batches.
const produceVersion = 8

// rawConn speaks Kafka without a client's manners.
type rawConn struct {
	net.Conn
	correlation int32
}

func dial(t *testing.T, address string) *rawConn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return &rawConn{Conn: c}
}

func (c *rawConn) send(t *testing.T, clientID string, req kmsg.Request) {
	t.Helper()
	c.correlation++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, c.correlation)
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// receive reads one answer to a request that is not flexible.
func (c *rawConn) receive(t *testing.T, resp kmsg.Response) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(60 * time.Second))
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
}

// leader is the address of the broker that leads partition 0 of a topic.
func leader(t *testing.T, cl *kgo.Client, topic string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range resp.Topics[0].Partitions {
		if p.Partition != 0 {
			continue
		}
		for _, b := range resp.Brokers {
			if b.NodeID == p.Leader {
				return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
			}
		}
	}
	t.Fatalf("no leader of %s", topic)
	return ""
}

func produceRequest(topic string, partition int32, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = produceVersion, 1, 30_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// recordBatch is a batch of one record with a value of so many bytes.
func recordBatch(t *testing.T, size int) []byte {
	t.Helper()
	rec := kmsg.NewRecord()
	rec.Value = make([]byte, size)
	body := rec.AppendTo(nil)
	rec.Length = int32(len(body) - 1) // the zero length itself took one byte
	b := kmsg.NewRecordBatch()
	b.Magic, b.NumRecords = 2, 1
	b.FirstTimestamp = time.Now().UnixMilli()
	b.MaxTimestamp = b.FirstTimestamp
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	b.Records = rec.AppendTo(nil)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
