package sink

import (
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/wire"
)

// maxBodies bounds how many different answers are kept.
const maxBodies = 32

// bodies are the answers to Fetch and Metadata that were made so far: a bench asks
// for few different ones, many times.
type bodies struct {
	mu   sync.Mutex
	kept map[bodyKey][]byte
}

type bodyKey struct {
	key, version int16
	size         int32
}

// get returns the answer of that key, made once.
func (b *bodies) get(key bodyKey, build func() kmsg.Response) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if frame, ok := b.kept[key]; ok {
		return frame
	}
	frame := wire.Answer(0, build())
	if b.kept == nil || len(b.kept) >= maxBodies {
		b.kept = map[bodyKey][]byte{}
	}
	b.kept[key] = frame
	return frame
}

func apiVersionsAnswer(version int16) []byte {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = version
	for _, r := range [][3]int16{{int16(kmsg.Produce), 3, 13}, {int16(kmsg.Fetch), 4, 18}, {int16(kmsg.Metadata), 0, 13}, {int16(kmsg.ApiVersions), 0, 4}} {
		key := kmsg.NewApiVersionsResponseApiKey()
		key.ApiKey, key.MinVersion, key.MaxVersion = r[0], r[1], r[2]
		resp.ApiKeys = append(resp.ApiKeys, key)
	}
	return wire.Answer(0, resp)
}

// metadataAnswer lists all topics, or the bench's alone.
func (s *Sink) metadataAnswer(req *kmsg.MetadataRequest) []byte {
	all := req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
	key := bodyKey{key: int16(kmsg.Metadata), version: req.Version}
	if all {
		key.size = 1
	}
	return s.bodies.get(key, func() kmsg.Response {
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version = req.Version
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port = NodeID, s.host, s.port
		resp.Brokers = append(resp.Brokers, broker)
		resp.ControllerID = NodeID
		resp.ClusterID = kmsg.StringPtr("sluice-bench-sink")
		resp.Topics = append(resp.Topics, topic(wire.Topic, wire.TopicID))
		if all {
			for i := range s.topics {
				resp.Topics = append(resp.Topics, topic(fmt.Sprintf("bench.topic-%05d", i), [16]byte{'t', byte(i >> 16), byte(i >> 8), byte(i)}))
			}
		}
		return resp
	})
}

func topic(name string, id [16]byte) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID = kmsg.StringPtr(name), id
	p := kmsg.NewMetadataResponseTopicPartition()
	p.Leader, p.Replicas, p.ISR = NodeID, []int32{NodeID}, []int32{NodeID}
	t.Partitions = append(t.Partitions, p)
	return t
}

// checkProduce decodes a Produce and checks its record batches.
func checkProduce(h wire.Header, body []byte) error {
	req := kmsg.NewPtrProduceRequest()
	req.Version = h.Version
	if err := req.ReadFrom(body); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	switch {
	case req.Acks == 0:
		return errors.New("produce: acks=0, which has no answer")
	case len(req.Topics) != 1 || len(req.Topics[0].Partitions) != 1:
		return errors.New("produce: not one partition of one topic")
	case req.Version >= 13 && req.Topics[0].TopicID != wire.TopicID:
		return errors.New("produce: not the bench's topic id")
	case req.Version < 13 && req.Topics[0].Topic != wire.Topic:
		return errors.New("produce: not the bench's topic")
	}
	return wire.CheckBatches(req.Topics[0].Partitions[0].Records)
}

func (s *Sink) produceAnswer(version int16) []byte {
	return s.bodies.get(bodyKey{key: int16(kmsg.Produce), version: version}, func() kmsg.Response {
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = version
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = wire.Topic, wire.TopicID
		t.Partitions = append(t.Partitions, kmsg.NewProduceResponseTopicPartition())
		resp.Topics = append(resp.Topics, t)
		return resp
	})
}

// fetchAnswer is the answer to a Fetch: as many bytes of record batches as its
// partition allows.
func (s *Sink) fetchAnswer(version int16, body []byte) ([]byte, error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version = version
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if len(req.Topics) != 1 || len(req.Topics[0].Partitions) != 1 {
		return nil, errors.New("fetch: not one partition of one topic")
	}
	size := min(req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes)
	if size < 100 {
		return nil, fmt.Errorf("fetch: of %d bytes", size)
	}
	return s.bodies.get(bodyKey{key: int16(kmsg.Fetch), version: version, size: size}, func() kmsg.Response {
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = version
		t := kmsg.NewFetchResponseTopic()
		t.Topic, t.TopicID = wire.Topic, wire.TopicID
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 1<<40, 1<<40, 0
		p.RecordBatches = wire.Batches(int(size))
		t.Partitions = append(t.Partitions, p)
		resp.Topics = append(resp.Topics, t)
		return resp
	}), nil
}
