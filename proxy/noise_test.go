package proxy

import (
	"bytes"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// short is a gateway block with little patience.
const short = "first_frame_timeout: 300ms, frame_timeout: 400ms, idle_timeout: 10m"

func TestNoise(t *testing.T) {
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, short, openTenant, cluster)
	random := make([]byte, 4096)
	rng := rand.NewChaCha8([32]byte{7})
	_, _ = rng.Read(random)
	random[0] = 0x91 // a negative length
	half := (&raw{t: t, clientID: kmsg.StringPtr("payments.app"), sent: map[int32]kmsg.Request{}}).frame(apiVersionsReq(3))
	for _, c := range []struct {
		name, reason string
		bytes        []byte
		atMost       time.Duration
	}{
		{"http", "http", []byte("GET / HTTP/1.1\r\nHost: kafka\r\n\r\n"), time.Second},
		{"tls", "tls", append([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}, random[:200]...), time.Second},
		{"random", "not_kafka", random, time.Second},
		{"2 GB", "oversize", []byte{0x7f, 0xff, 0xff, 0xff, 0, 18, 0, 3, 0, 0, 0, 1}, time.Second},
		{"negative length", "not_kafka", []byte{0xff, 0xff, 0xff, 0xff}, time.Second},
		{"unknown key", "not_kafka", []byte{0, 0, 0, 20, 0x7f, 0, 0, 3, 0, 0, 0, 1, 0, 0}, time.Second},
		{"client id beyond the frame", "bad_header", []byte{0, 0, 0, 12, 0, 18, 0, 3, 0, 0, 0, 1, 0, 99, 0, 0}, time.Second},
		{"silence", "first_frame_timeout", nil, 2 * time.Second},
		{"half a length", "first_frame_timeout", half[:2], 2 * time.Second},
		{"half a header", "first_frame_timeout", half[:9], 2 * time.Second},
		{"half a frame", "frame_timeout", half[:len(half)-3], 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, all := r.metric("refused_connections_total", "reason", c.reason), r.metric("refused_connections_total")
			conn := r.raw("", "")
			conn.t = t
			if len(c.bytes) > 0 {
				conn.write(c.bytes)
			}
			conn.ended(c.atMost)
			eventually(t, time.Second, "the count", func() bool { return r.metric("refused_connections_total", "reason", c.reason) == before+1 })
			if got := r.metric("refused_connections_total"); got != all+1 {
				t.Errorf("%v connections counted, want one", got-all)
			}
		})
	}
	if n := r.lines("noise on the port", nil); n != 1 {
		t.Errorf("%d lines for one source within a minute, want 1", n)
	}
	if seen := tap.strangers(); len(seen) > 0 {
		t.Errorf("a broker saw %d requests", len(seen))
	}
	eventually(t, time.Second, "no connection is counted", func() bool { return r.metric("connections") == 0 })
}

// A sender that drips bytes has the time of one frame, and not more with each byte.
func TestDripIsNotPatient(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, short, openTenant, cluster)
	for name, reason := range map[string]string{"first": reasonFirstFrame, "later": reasonFrame} {
		c := r.raw("payments.app", "")
		if name == "later" {
			c.ask(apiVersionsReq(3))
		}
		c.next++
		frame := c.frame(metadataReq(9, "payments.a", string(bytes.Repeat([]byte("x"), 300))))
		began := time.Now()
		for i := range frame {
			if _, err := c.Write(frame[i : i+1]); err != nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: a drip was borne for %v", name, took)
		}
		if name == "first" {
			reason = reasonFirstFrame // its header alone takes too long
		}
		eventually(t, time.Second, reason, func() bool { return r.metric("refused_connections_total", "reason", reason) == 1 })
	}
	if seen := tap.requests("payments.app", 3); len(seen) > 0 {
		t.Error("half a request reached the broker")
	}
}

// Two hundred noisy connections leave nothing behind.
func TestNoiseLeavesNothing(t *testing.T) {
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, short, openTenant, cluster)
	first := r.raw("payments.app", "")
	first.ask(apiVersionsReq(3)) // the slice is known
	_ = first.Close()
	eventually(t, time.Second, "the first connection is gone", func() bool { return len(r.connections()) == 0 })
	goroutines, heap := runtime.NumGoroutine(), liveHeap()
	for range 5 {
		var conns []net.Conn
		for i := range 40 {
			c, err := net.Dial("tcp", r.bootstrap)
			if err != nil {
				t.Fatal(err)
			}
			// 2 GB, and then what looks like it; or half a frame of 50 MB.
			b := []byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9}
			if i%2 == 0 {
				b = append([]byte{3, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 1, 0, 12}, "payments.app\x00"...)
			}
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	}
	eventually(t, 5*time.Second, "all connections are gone", func() bool { return len(r.connections()) == 0 })
	eventually(t, 5*time.Second, "all goroutines are gone", func() bool { return runtime.NumGoroutine() <= goroutines })
	if now := liveHeap(); now > heap+8<<20 {
		t.Errorf("heap grew from %d to %d KiB", heap>>10, now>>10)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "idle_timeout: 400ms", openTenant, cluster)
	idle, polling := r.raw("payments.app", ""), r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	idle.ask(apiVersionsReq(3))
	polling.send(fetchReq(11, 1500*time.Millisecond, "payments.a"))
	if took := idle.ended(2 * time.Second); took < 300*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	if got := r.metric("refused_connections_total", "reason", reasonIdle); got != 1 {
		t.Errorf("%v counted as idle, want 1", got)
	}
	began := time.Now()
	if _, _, err := polling.recv(); err != nil {
		t.Errorf("a long poll was cut: %v", err)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Fatalf("the poll took only %v: it proves nothing", took)
	}
	// Its idleness begins with the answer.
	if took := polling.ended(2 * time.Second); took < 300*time.Millisecond {
		t.Errorf("closed %v after the answer", took)
	}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func TestNoiseIsToldOnceAMinute(t *testing.T) {
	var n noise
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		from  address
		after time.Duration
		want  bool
	}{
		{"10.0.0.1:1000", 0, true},
		{"10.0.0.1:1001", time.Second, false},
		{"10.0.0.2:1000", time.Second, true},
		{"10.0.0.1:1002", 59 * time.Second, false},
		{"10.0.0.1:1003", 60 * time.Second, true},
		{"10.0.0.1:1004", 61 * time.Second, false},
		{"[fe80::1]:5", 61 * time.Second, true},
		{"pipe", 61 * time.Second, true},
	} {
		if got := n.first(c.from, now.Add(c.after)); got != c.want {
			t.Errorf("%s after %v: %v", c.from, c.after, got)
		}
	}
	n.forget(now.Add(10 * time.Minute))
	if len(n.told) != 0 {
		t.Errorf("%d sources remembered", len(n.told))
	}
	for i := range 2 * maxNoiseSources {
		n.first(address(net.JoinHostPort(net.IPv4(10, 1, byte(i>>8), byte(i)).String(), "1")), now)
	}
	if len(n.told) > maxNoiseSources {
		t.Errorf("%d sources remembered, at most %d", len(n.told), maxNoiseSources)
	}
}
