package sink

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/wire"
)

func serve(t *testing.T, topics int) *Sink {
	t.Helper()
	s, err := Start("127.0.0.1:0", topics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *Sink) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func answer(t *testing.T, c net.Conn) []byte {
	t.Helper()
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b))...)
	if _, err := io.ReadFull(c, b[4:]); err != nil {
		t.Fatal(err)
	}
	return b
}

// A client, and with it the gateway, takes the sink for a cluster.
func TestClientTakesItForACluster(t *testing.T) {
	s := serve(t, 100)
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Address()), kgo.DefaultProduceTopic(wire.Topic), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := kadm.NewClient(cl).Metadata(ctx)
	if err != nil || len(m.Topics) != 101 || len(m.Brokers) != 1 {
		t.Fatalf("%d topics, %d brokers, %v", len(m.Topics), len(m.Brokers), err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("hello")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if c := s.Counts(); c.ProduceRequests != 1 || c.Damaged != 0 {
		t.Errorf("%+v %s", c, s.Damage())
	}
}

func TestAnswersPairAndBytesAreCounted(t *testing.T) {
	s := serve(t, 0)
	c := dial(t, s)
	produce, fetch := wire.Produce("a.b.c", 100<<10), wire.Fetch("a.b.c", 1<<20)
	var all []byte
	for i := range int32(6) {
		f := produce
		if i%2 == 1 {
			f = fetch
		}
		wire.SetCorrelation(f, i)
		all = append(all, f...)
	}
	go func() { _, _ = c.Write(all) }()
	received := 0
	for i := range 6 {
		b := answer(t, c)
		if got := binary.BigEndian.Uint32(b[4:]); got != uint32(i) {
			t.Fatalf("the answer to %d in the place of %d", got, i)
		}
		if i%2 == 1 {
			received += len(b)
			resp := kmsg.NewPtrFetchResponse()
			resp.Version = wire.FetchVersion
			if err := wire.ReadAnswer(b, resp); err != nil {
				t.Fatal(err)
			}
			if got := resp.Topics[0].Partitions[0].RecordBatches; len(got) < 1<<20-2 || wire.CheckBatches(got) != nil {
				t.Errorf("%d bytes of records: %v", len(got), wire.CheckBatches(got))
			}
		}
	}
	want := Counts{ProduceRequests: 3, ProduceBytes: int64(3 * len(produce)), FetchRequests: 3, FetchBytes: int64(received), Connections: 1}
	if got := s.Counts(); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	broken := wire.Produce("a.b.c", 500)
	broken[len(broken)-20]++
	for name, frame := range map[string][]byte{
		"a changed byte": broken,
		"an unknown API": {0, 0, 0, 10, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0},
		"no header":      {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"not a request":  []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		s := serve(t, 0)
		c := dial(t, s)
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s is answered", name)
		}
		s.Close()
		if got := s.Counts(); got.Damaged != 1 || s.Damage() == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestACloseIsNoDamage(t *testing.T) {
	s := serve(t, 0)
	c := dial(t, s)
	if _, err := c.Write(wire.Produce("a.b.c", 500)[:300]); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	s.Close()
	if got := s.Counts(); got != (Counts{}) {
		t.Errorf("%+v", got)
	}
}
