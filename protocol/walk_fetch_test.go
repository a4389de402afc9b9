package protocol

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func randomFetch(r *rand.Rand, version int16) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	if version >= 1 {
		resp.ThrottleMillis = r.Int32()
	}
	if version >= 7 {
		resp.ErrorCode, resp.SessionID = int16(r.IntN(100)), r.Int32()
	}
	for range r.IntN(4) {
		resp.Topics = append(resp.Topics, randomFetchTopic(r, version))
	}
	if version < 12 {
		return resp
	}
	resp.UnknownTags = randomTags(r, 1)
	for range r.IntN(3) {
		b := kmsg.NewFetchResponseBroker()
		b.NodeID, b.Host, b.Port = r.Int32(), "broker-"+randomName(r, 200), r.Int32()
		resp.Brokers = append(resp.Brokers, b)
	}
	return resp
}

func randomFetchTopic(r *rand.Rand, version int16) kmsg.FetchResponseTopic {
	t := kmsg.NewFetchResponseTopic()
	if version <= 12 {
		t.Topic = randomName(r, 30)
	} else {
		t.TopicID = [16]byte{byte(r.IntN(256)), 15: byte(r.IntN(256))}
	}
	t.UnknownTags = randomTags(r, 0)
	for range r.IntN(4) {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.ErrorCode, p.HighWatermark = r.Int32(), int16(r.IntN(100)), r.Int64()
		if version >= 4 {
			p.LastStableOffset = r.Int64()
			if r.IntN(2) == 0 {
				p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			}
			for range r.IntN(3) {
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID, a.FirstOffset, a.UnknownTags = r.Int64(), r.Int64(), randomTags(r, 0)
				p.AbortedTransactions = append(p.AbortedTransactions, a)
			}
		}
		if version >= 5 {
			p.LogStartOffset = r.Int64()
		}
		if version >= 11 && r.IntN(2) == 0 {
			p.PreferredReadReplica = int32(r.IntN(1000))
		}
		p.RecordBatches = randomBytes(r, 3000)
		if version >= 12 {
			p.UnknownTags = randomTags(r, 3)
			if r.IntN(2) == 0 {
				p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = int32(r.IntN(1000)), r.Int32()
				p.CurrentLeader.UnknownTags = randomTags(r, 0)
			}
			if r.IntN(4) == 0 {
				p.DivergingEpoch.EndOffset, p.SnapshotID.Epoch = r.Int64(), r.Int32()
			}
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// walkFetch walks a copy of a body fed in pieces, and returns it as it is sent on.
// It checks what every caller relies on. Behind the body another frame stands.
func walkFetch(t testing.TB, w *FetchWalk, version int16, body []byte, n Nodes, next func() int, splice bool) ([]byte, error) {
	t.Helper()
	h, need, err := ParseFetchHead(body, version)
	if err != nil || need > 0 {
		return nil, &MalformedError{What: "no head"}
	}
	w.Reset(version, len(body)-h.Size, h.Topics, n)
	stream := append(bytes.Clone(body), nextFrame...)
	original := bytes.Clone(stream)
	at, have, calls := h.Size, h.Size, 0
	for {
		if calls++; calls > 2*len(body)+10 {
			t.Fatal("does not end")
		}
		n, err := w.Next(stream[at:have])
		if n < 0 || n > have-at {
			t.Fatalf("walked %d of %d bytes", n, have-at)
		}
		if !bytes.Equal(stream[at+n:], original[at+n:]) {
			t.Fatal("changed bytes that it has not walked")
		}
		at += n
		switch {
		case err != nil:
			return stream[:len(body)], err
		case w.Done():
			if at != len(body) {
				t.Fatalf("done at byte %d of %d", at, len(body))
			}
			return stream[:len(body)], nil
		case have-at > maxWindow:
			t.Fatalf("%d bytes are not enough", have-at)
		case have >= len(body):
			t.Fatal("asks for bytes behind the body")
		}
		if splice && have == at && w.Skip() > 0 {
			at += w.Skip()
			have = at
			w.Skipped(w.Skip())
		}
		have = min(have+next(), len(stream))
	}
}

// wantFetch is a decoded response as it must reach the client.
func wantFetch(resp *kmsg.FetchResponse, n Nodes) (want *kmsg.FetchResponse, records int64) {
	resp.Brokers = nil
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if resp.Version >= 11 {
				p.PreferredReadReplica = n.Virtual(p.PreferredReadReplica)
			}
			// What the encoding leaves out is -1, and stays so.
			p.CurrentLeader.LeaderID = n.Virtual(p.CurrentLeader.LeaderID)
			records += int64(len(p.RecordBatches))
		}
	}
	return resp, records
}

// checkFetch compares what was sent on with the decoded original.
func checkFetch(t testing.TB, w *FetchWalk, version int16, sent []byte, original *kmsg.FetchResponse, n Nodes) {
	t.Helper()
	hadBrokers := len(original.Brokers) > 0
	tagsBefore := original.UnknownTags
	want, records := wantFetch(original, n)
	got := &kmsg.FetchResponse{Version: version}
	if !readsExactly(sent, got, &kmsg.FetchResponse{Version: version}) {
		t.Fatalf("v%d: kmsg does not take what is sent on", version)
	}
	if hadBrokers && !w.HasEndpoints() {
		t.Fatalf("v%d: endpoints not reported", version)
	}
	if !w.HasEndpoints() && !reflect.DeepEqual(got.UnknownTags, tagsBefore) {
		t.Fatalf("v%d: tags changed", version)
	}
	got.UnknownTags, want.UnknownTags = kmsg.Tags{}, kmsg.Tags{}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("v%d:\n got %.3000v\nwant %.3000v", version, got, want)
	}
	if w.RecordBytes != records {
		t.Fatalf("v%d: %d record bytes, want %d", version, w.RecordBytes, records)
	}
}

func TestFetchWalkPatchesWhatWasEncoded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w FetchWalk
	for version := int16(0); version <= fetchMaxVersion; version++ {
		for i := range 150 {
			body := randomFetch(r, version).AppendTo(nil)
			original := &kmsg.FetchResponse{Version: version}
			if err := original.ReadFrom(bytes.Clone(body)); err != nil {
				t.Fatal(err)
			}
			n := Nodes{Slot: r.IntN(3)}
			sent, err := walkFetch(t, &w, version, body, n, pieceSizes(r), i%2 == 0)
			if err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			if bytes.Contains(sent[len(sent)-min(len(sent), 100):], []byte("broker-")) {
				t.Fatalf("v%d: an address is sent on", version)
			}
			checkFetch(t, &w, version, sent, original, n)
		}
	}
}

// The least that a topic and a partition can be passes for as many as are claimed.
func TestFetchWalkTakesTheSmallest(t *testing.T) {
	var w FetchWalk
	for version := int16(0); version <= fetchMaxVersion; version++ {
		for _, partitions := range []int{0, 50} {
			resp := kmsg.NewPtrFetchResponse()
			resp.Version, resp.Topics = version, make([]kmsg.FetchResponseTopic, 50)
			for range partitions {
				resp.Topics[49].Partitions = append(resp.Topics[49].Partitions, kmsg.NewFetchResponseTopicPartition())
			}
			body := resp.AppendTo(nil)
			sent, err := walkFetch(t, &w, version, body, Nodes{}, func() int { return 7 }, false)
			if err != nil || !bytes.Equal(sent, body) {
				t.Fatalf("v%d: %v", version, err)
			}
		}
	}
}

// A walk whose last tag is missing is not done, also when the caller has let the
// tag before it go past the walk.
func TestFetchWalkIsNotDoneBeforeTheLastTag(t *testing.T) {
	var w FetchWalk
	w.Reset(12, 5, 0, Nodes{})
	if n, err := w.Next([]byte{2, 7, 2}); n != 3 || err != nil || w.Skip() != 2 {
		t.Fatalf("walked %d, skips %d, %v", n, w.Skip(), err)
	}
	w.Skipped(2)
	if w.Done() {
		t.Fatal("done")
	}
	if _, err := w.Next(nil); err == nil {
		t.Fatal("no error for a missing tag")
	}
}

// The tags of the response stay in ascending order, also where a slice changes no id.
func TestFetchWalkHidesEndpoints(t *testing.T) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 16
	broker := kmsg.NewFetchResponseBroker()
	broker.NodeID, broker.Host, broker.Port = 1, "secret.example.com", 9092
	resp.Brokers = append(resp.Brokers, broker)
	alone := resp.AppendTo(nil)
	resp.UnknownTags.Set(1, []byte("one"))
	resp.UnknownTags.Set(300, []byte("three hundred"))
	for _, tc := range []struct {
		name string
		body []byte
		keys []uint32
	}{
		{"alone", alone, []uint32{127}},
		{"with others behind", resp.AppendTo(nil), []uint32{125, 126, 127}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var w FetchWalk
			sent, err := walkFetch(t, &w, 16, tc.body, Nodes{}, func() int { return 1 }, false)
			if err != nil || !w.HasEndpoints() || len(sent) != len(tc.body) {
				t.Fatalf("%v, endpoints %v, %d bytes", err, w.HasEndpoints(), len(sent))
			}
			h, _, _ := ParseFetchHead(sent, 16)
			c := cursor{b: sent, at: h.Size}
			var keys []uint32
			for range c.uvarint() {
				keys = append(keys, c.uvarint())
				if content := c.take(int(c.uvarint())); len(bytes.Trim(content, "\x00")) > 0 {
					t.Fatalf("%q is sent on", content)
				}
			}
			if !reflect.DeepEqual(keys, tc.keys) || c.stopped() || c.at != len(sent) {
				t.Fatalf("keys %v, want %v", keys, tc.keys)
			}
		})
	}
}

func TestFetchWalkErrors(t *testing.T) {
	partition := []byte{2, 2, 'a', 2, 0, 0, 0, 0, 0, 0}         // topics, name, partitions, index, error code
	partition = append(partition, make([]byte, 8+8+8)...)       // offsets
	partition = append(partition, 0, 0xff, 0xff, 0xff, 0xff, 0) // no aborted transactions, replica, records
	with := func(b ...byte) []byte {
		return append(append(make([]byte, 4+2+4), partition...), b...)
	}
	hidden := append(append(make([]byte, 4+2+4), 1, 128, 1), bytes.Repeat([]byte{0, 0}, 128)...)
	for _, tc := range []struct {
		name string
		body []byte
		what string
	}{
		{"short leader", with(1, 1, 4, 0, 0, 0, 0, 0, 0), "too short"},
		{"tag count", with(9, 1, 1), "more tags"},
		{"tag size", with(1, 7, 9, 0), "longer"},
		{"too early", with(0), "too early"},
		{"behind the end", with(0, 0, 0, 0), "behind"},
		{"topics", append(make([]byte, 4+2+4), 200, 1, 0), "more elements"},
		{"tags to hide", hidden, "too many"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var w FetchWalk
			_, err := walkFetch(t, &w, 12, tc.body, Nodes{}, func() int { return 1 }, false)
			var malformed *MalformedError
			if !errors.As(err, &malformed) || !strings.Contains(malformed.What, tc.what) {
				t.Fatalf("got %v, want %q", err, tc.what)
			}
			if _, again := w.Next(nil); !errors.Is(again, err) || w.Done() {
				t.Fatalf("afterwards: %v, done %v", again, w.Done())
			}
		})
	}
	var w FetchWalk
	if w.Reset(fetchMaxVersion+1, 1, 0, Nodes{}); w.err == nil {
		t.Fatal("walks a version it does not know")
	}
}

func TestFetchHead(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for version := int16(0); version <= fetchMaxVersion; version++ {
		for range 30 {
			resp := randomFetch(r, version)
			body := resp.AppendTo(nil)
			var h FetchHead
			n := 0
			for need := 1; need > 0; n = max(n, need) {
				var err error
				if h, need, err = ParseFetchHead(body[:n:n], version); err != nil || need > 15 || need > 0 && need <= n {
					t.Fatalf("v%d: need %d with %d, %v", version, need, n, err)
				}
			}
			if h.ThrottleMillis != resp.ThrottleMillis || h.ErrorCode != resp.ErrorCode ||
				h.SessionID != resp.SessionID || h.Topics != len(resp.Topics) || h.Size != n {
				t.Fatalf("v%d: %+v in %d bytes", version, h, n)
			}
			if again := AppendFetchHead(nil, version, h, nil); !bytes.Equal(again, body[:h.Size]) {
				t.Fatalf("v%d: %x written for %x", version, again, body[:h.Size])
			}
			h.Topics = 200 // its number takes two bytes where it is a varint
			refused := &kmsg.FetchResponse{Version: version}
			for range r.IntN(3) {
				refused.Topics = append(refused.Topics, randomFetchTopic(r, version))
			}
			checkRefusedHead(t, version, h, refused)
		}
	}
}

// checkRefusedHead decodes a head that begins the array with refused topics, as if
// the broker had no topics of its own.
func checkRefusedHead(t *testing.T, version int16, h FetchHead, refused *kmsg.FetchResponse) {
	t.Helper()
	before := []byte("before")
	withAll := AppendFetchHead(bytes.Clone(before), version, h, refused)
	all, _, err := ParseFetchHead(withAll[len(before):], version)
	if err != nil || all.Topics != h.Topics+len(refused.Topics) || all.SessionID != h.SessionID {
		t.Fatalf("v%d: %+v, %v", version, all, err)
	}
	h.Topics = 0
	written := AppendFetchHead(bytes.Clone(before), version, h, refused)
	body := written[len(before):]
	if version >= 12 {
		body = append(body, 0)
	}
	want := *refused
	want.ThrottleMillis, want.ErrorCode, want.SessionID = h.ThrottleMillis, h.ErrorCode, h.SessionID
	if !bytes.HasPrefix(written, before) || !bytes.Equal(body, want.AppendTo(nil)) {
		t.Fatalf("v%d: not what kmsg writes", version)
	}
}

func FuzzFetchWalk(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for version := range uint8(fetchMaxVersion + 1) {
		for range 8 {
			if body := randomFetch(r, int16(version)).AppendTo(nil); len(body) < 2000 {
				f.Add(version, uint64(version), body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, v uint8, seed uint64, body []byte) {
		version := int16(v % (fetchMaxVersion + 1))
		r := rand.New(rand.NewPCG(seed, 0))
		n := Nodes{Slot: int(seed % 512)}
		var w FetchWalk
		once, errOnce := walkFetch(t, &w, version, body, n, func() int { return len(body) + 1 }, false)
		sent, err := walkFetch(t, &w, version, body, n, pieceSizes(r), seed%2 == 0)
		if (err == nil) != (errOnce == nil) || !bytes.Equal(sent, once) && err == nil {
			t.Fatalf("in pieces %x, %v; at once %x, %v", sent, err, once, errOnce)
		}
		if version >= 12 && tagBomb(body) {
			return
		}
		original := &kmsg.FetchResponse{Version: version}
		if !readsExactly(body, original, &kmsg.FetchResponse{Version: version}) {
			return
		}
		if err != nil {
			if !strings.Contains(err.Error(), "32767") && !strings.Contains(err.Error(), "too many tags") {
				t.Fatalf("v%d: kmsg takes it, but %v", version, err)
			}
			return
		}
		checkFetch(t, &w, version, sent, original, n)
	})
}
