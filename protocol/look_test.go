package protocol

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomFetchRequest is what a consumer, or with follower set a replica, may send.
func randomFetchRequest(r *rand.Rand, version int16, follower bool) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version = version
	req.MaxBytes, req.MaxWaitMillis, req.Rack = r.Int32(), r.Int32(), randomName(r, r.IntN(5))
	if version >= 7 {
		req.SessionID, req.SessionEpoch = r.Int32(), r.Int32N(3)-1
	}
	if follower {
		req.ReplicaID, req.ReplicaState.ID = r.Int32(), r.Int32()
	}
	for range r.IntN(4) {
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = randomName(r, 1+r.IntN(20)), topicID(randomName(r, 8))
		for range r.IntN(4) {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = r.Int32(), r.Int64(), r.Int32()
			if version >= 12 {
				p.UnknownTags = randomTags(r, 7)
			}
			t.Partitions = append(t.Partitions, p)
		}
		if version >= 12 {
			t.UnknownTags = randomTags(r, 7)
		}
		req.Topics = append(req.Topics, t)
	}
	for range r.IntN(3) {
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Topic, t.TopicID = randomName(r, 1+r.IntN(20)), topicID(randomName(r, 8))
		t.Partitions = []int32{1, 2, 3}[:r.IntN(4)]
		req.ForgottenTopics = append(req.ForgottenTopics, t)
	}
	if version >= 12 {
		req.UnknownTags = randomTags(r, 7)
	}
	return req
}

type lookedAt struct {
	name      string
	id        [16]byte
	forgotten bool
}

func look(version int16, body []byte) (l FetchLook, topics []lookedAt) {
	l.Reset(version, body)
	for l.Next() {
		topics = append(topics, lookedAt{string(l.TopicName), l.TopicID, l.Forgotten})
	}
	return l, topics
}

// checkLook compares what a look saw of a body that it took with what kmsg reads.
func checkLook(t *testing.T, version int16, body []byte, l *FetchLook, topics []lookedAt) {
	t.Helper()
	req := &kmsg.FetchRequest{Version: version}
	if err := req.ReadFrom(body); err != nil {
		t.Fatalf("v%d: kmsg does not take %x: %v", version, body, err)
	}
	if IsFollowerFetch(req) {
		t.Fatalf("v%d: a follower passed", version)
	}
	if l.MaxBytes != FetchMaxBytes(req) || version >= 7 && (l.SessionID != req.SessionID || l.SessionEpoch != req.SessionEpoch) {
		t.Fatalf("v%d: %+v of %s", version, l, show(req))
	}
	var want []lookedAt
	add := func(name string, id [16]byte, forgotten bool) {
		if version >= fetchByID {
			name = ""
		} else {
			id = [16]byte{}
		}
		want = append(want, lookedAt{name, id, forgotten})
	}
	for _, topic := range req.Topics {
		add(topic.Topic, topic.TopicID, false)
	}
	for _, topic := range req.ForgottenTopics {
		add(topic.Topic, topic.TopicID, true)
	}
	if len(topics) != len(want) {
		t.Fatalf("v%d: %v, want %v", version, topics, want)
	}
	for i := range want {
		if topics[i] != want[i] {
			t.Fatalf("v%d: %v, want %v", version, topics[i], want[i])
		}
	}
}

func TestFetchLook(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for version := int16(3); version <= fetchMaxVersion; version++ {
		for range 200 {
			body := randomFetchRequest(r, version, false).AppendTo(nil)
			l, topics := look(version, body)
			if !l.Plain() {
				t.Fatalf("v%d: %x is not plain", version, body)
			}
			checkLook(t, version, body, &l, topics)
			for n := range body {
				if l, _ := look(version, body[:n]); l.Plain() {
					t.Fatalf("v%d: plain without its last %d bytes", version, len(body)-n)
				}
			}
			if l, _ := look(version, append(body, 0)); l.Plain() {
				t.Fatalf("v%d: plain with a byte more", version)
			}
			if l, _ := look(version, randomFetchRequest(r, version, true).AppendTo(nil)); l.Plain() {
				t.Fatalf("v%d: a follower is plain", version)
			}
		}
	}
	for _, version := range []int16{0, 1, 2, fetchMaxVersion + 1} {
		if l, _ := look(version, make([]byte, 100)); l.Plain() {
			t.Errorf("v%d is plain", version)
		}
	}
}

func FuzzFetchLook(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for version := int16(3); version <= fetchMaxVersion; version++ {
		f.Add(uint8(version), randomFetchRequest(r, version, false).AppendTo(nil))
		f.Add(uint8(version), randomFetchRequest(r, version, true).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, v uint8, body []byte) {
		version := int16(v % (fetchMaxVersion + 2))
		if l, topics := look(version, body); l.Plain() {
			checkLook(t, version, body, &l, topics)
		}
	})
}

func randomProduceAnswer(r *rand.Rand, version int16) *kmsg.ProduceResponse {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version, resp.ThrottleMillis = version, r.Int32N(100)
	for range r.IntN(4) {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = randomName(r, 1+r.IntN(20)), topicID(randomName(r, 8))
		for range r.IntN(4) {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode, p.BaseOffset = r.Int32(), int16(r.Int32()), r.Int64()
			if r.IntN(2) == 0 {
				p.ErrorMessage = kmsg.StringPtr(randomName(r, r.IntN(30)))
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func TestPlainProduce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for version := int16(0); version <= produceMaxVersion; version++ {
		for range 200 {
			resp := randomProduceAnswer(r, version)
			frame := AppendResponse(nil, 7, resp)
			if !plainProduce(frame, version, 50) {
				t.Fatalf("v%d: not plain: %s", version, show(resp))
			}
			if version >= 1 {
				resp.ThrottleMillis = max(resp.ThrottleMillis, 50)
			}
			if want := AppendResponse(nil, 7, resp); string(frame) != string(want) {
				t.Fatalf("v%d:\n got %x\nwant %x", version, frame, want)
			}
			if plainProduce(frame[:len(frame)-1], version, 0) || plainProduce(append(frame, 0), version, 0) {
				t.Fatalf("v%d: plain with a byte more or less", version)
			}
		}
		if version < 10 {
			continue
		}
		hint := kmsg.NewPtrProduceResponse()
		hint.Version, hint.Brokers = version, []kmsg.ProduceResponseBroker{{NodeID: 1, Host: "broker", Port: 9092}}
		leader := randomProduceAnswer(r, version)
		p := kmsg.NewProduceResponseTopicPartition()
		p.CurrentLeader.LeaderID = 3
		leader.Topics = append(leader.Topics, kmsg.ProduceResponseTopic{Partitions: []kmsg.ProduceResponseTopicPartition{p}})
		for _, resp := range []*kmsg.ProduceResponse{hint, leader} {
			if plainProduce(AppendResponse(nil, 7, resp), version, 0) {
				t.Errorf("v%d: plain: %s", version, show(resp))
			}
		}
	}
}

// Whatever passes as plain is read by clients as an answer without a broker in it.
func FuzzPlainProduce(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for version := range uint8(produceMaxVersion + 1) {
		f.Add(version, AppendResponse(nil, 7, randomProduceAnswer(r, int16(version))))
	}
	f.Fuzz(func(t *testing.T, v uint8, frame []byte) {
		version := int16(v % (produceMaxVersion + 1))
		if !plainProduce(frame, version, 50) {
			return
		}
		at := lengthBytes + ResponseHeaderSize(KeyProduce, version)
		resp := &kmsg.ProduceResponse{Version: version}
		if err := resp.ReadFrom(frame[at:]); err != nil {
			t.Fatalf("v%d: %x: %v", version, frame, err)
		}
		if version >= 1 && resp.ThrottleMillis < 50 || len(resp.Brokers) > 0 {
			t.Fatalf("v%d: %s", version, show(resp))
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if p.CurrentLeader.LeaderID != -1 {
					t.Fatalf("v%d: %s", version, show(resp))
				}
			}
		}
	})
}

func BenchmarkFetchLook(b *testing.B) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID = 11, -1
	for range 10 {
		t := kmsg.NewFetchRequestTopic()
		t.Topic = "payments.orders"
		t.Partitions = make([]kmsg.FetchRequestTopicPartition, 12)
		req.Topics = append(req.Topics, t)
	}
	body := req.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		var l FetchLook
		for l.Reset(11, body); l.Next(); {
		}
		if !l.Plain() {
			b.Fatal("not plain")
		}
	}
}

func BenchmarkPlainProduce(b *testing.B) {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = 11
	resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "payments.orders", Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}
	frame := AppendResponse(nil, 7, resp)
	b.ReportAllocs()
	for b.Loop() {
		if !plainProduce(frame, 11, int32(binary.BigEndian.Uint16(frame))) {
			b.Fatal("not plain")
		}
	}
}
