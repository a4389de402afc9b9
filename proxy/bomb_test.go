package proxy

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Eleven bytes that claim 2^28 tags cost nothing, and the connection that sent them
// its life.
func TestTagBomb(t *testing.T) {
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, "", ruledTenant, cluster)
	before := r.metric("refused_connections_total", "reason", reasonMalformed)
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	conn := r.raw("payments.app", "")
	frame := conn.frame(req)
	bomb := slices.Concat(frame[:len(frame)-1], []byte{0x80, 0x80, 0x80, 0x80, 0x01})
	bomb[3] += 4
	conn.write(bomb)
	eventually(t, time.Second, "the connection is given up", func() bool {
		return r.metric("refused_connections_total", "reason", reasonMalformed) == before+1
	})
	if n := r.lines("connection closed", map[string]string{"reason": reasonMalformed, "why": "more tags than there are bytes"}); n != 1 {
		t.Errorf("%d lines say why", n)
	}
	if seen := tap.requests("payments.app", 12); len(seen) > 0 {
		t.Error("a broker saw the bomb")
	}
}

// many is a Metadata of n topics.
func many(n int) *kmsg.MetadataRequest {
	return metadataReq(1, slices.Repeat([]string{"x"}, n)...)
}

// What a request decodes to is more than its frame, and is bounded like it.
func TestDecodedMemory(t *testing.T) {
	r := newRig(t, "max_buffered: 16MiB, max_frame: 1MiB", ruledTenant, fakeCluster(t, "payments.a"))
	free := func() bool {
		m := r.budget.decoded
		if !m.all.TryAcquire(m.max) {
			return false
		}
		m.all.Release(m.max)
		return true
	}
	conn := r.raw("payments.app", "")
	small, large := many(30_000), many(100_000)
	if n := len(small.AppendTo(nil)); n > 1<<20 {
		t.Fatal(n)
	}
	// While another tenant holds all of it, the request waits.
	m := r.budget.decoded
	if err := m.all.Acquire(context.Background(), m.max); err != nil {
		t.Fatal(err)
	}
	conn.send(small)
	eventually(t, time.Second, "the tenant's share is taken", func() bool {
		s := m.tenant("payments")
		if s.TryAcquire(m.max / 4) {
			s.Release(m.max / 4)
			return false
		}
		return true
	})
	m.all.Release(m.max)
	if _, resp, err := conn.recv(); err != nil || len(metadataOf(resp).Topics) != len(small.Topics) {
		t.Fatalf("answer %v, error %v", resp != nil, err)
	}
	eventually(t, time.Second, "the memory is given back", free)

	conn.send(large)
	eventually(t, time.Second, "the connection is given up", func() bool {
		return r.lines("connection closed", map[string]string{"reason": reasonTooLarge, "why": "the request must be decoded"}) == 1
	})
	if !free() {
		t.Error("memory is held for a request that was refused")
	}
}
