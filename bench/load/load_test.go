package load

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/bench/sink"
)

const clientID = "bench.load.prod"

func serve(t *testing.T) *sink.Sink {
	t.Helper()
	s, err := sink.Start("127.0.0.1:0", 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestClosedLoopAnswersAllAndCountsLikeTheSink(t *testing.T) {
	for _, j := range []Job{
		{API: Produce, Size: 500, Conns: 20},
		{API: Produce, Size: 500, Conns: 2, Joined: true},
		{API: Produce, Size: 1 << 20, Conns: 2},
		{API: Fetch, Size: 500, Conns: 20},
		{API: Fetch, Size: 3 << 20, Conns: 2},
		{API: Metadata, Conns: 2},
	} {
		s := serve(t)
		j.Address, j.ClientID, j.Pipeline, j.PID = s.Address(), clientID, 5, os.Getpid()
		j.Warmup, j.Length = 20*time.Millisecond, 100*time.Millisecond
		r, err := Run(t.Context(), j)
		if err != nil {
			t.Fatalf("%+v: %v", j, err)
		}
		got := s.Counts()
		if got.Damaged != 0 {
			t.Errorf("%+v: %s", j, s.Damage())
		}
		seen := got.ProduceRequests + got.FetchRequests
		if r.Requests == 0 || r.Bytes == 0 || r.CPU <= 0 || r.LoadCPU <= 0 || r.Seconds < .1 || j.API != Metadata && r.Requests > seen {
			t.Errorf("%+v: %+v, the sink saw %+v", j, r, got)
		}
	}
}

func TestOpenLoopKeepsTheRate(t *testing.T) {
	s := serve(t)
	j := Job{
		API: Produce, Size: 500, Conns: 5, Rate: 500, Address: s.Address(), ClientID: clientID,
		Warmup: 100 * time.Millisecond, Length: 400 * time.Millisecond,
	}
	r, err := Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	// All that were due were sent, in the warm-up too, and one for each connection before.
	if got := s.Counts().ProduceRequests; got != 250+5 {
		t.Errorf("%d requests", got)
	}
	l := r.Latency
	if l == nil || l.P50 <= 0 || l.P99 < l.P50 || l.P999 < l.P99 || l.Max < l.P999*.99 || len(l.Quantiles) != len(Quantiles) {
		t.Errorf("%+v", l)
	}
}

// relay stands between load and sink; through may change what comes from the sink.
func relay(t *testing.T, to string, through func([]byte) []byte) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
			go func() {
				defer func() { _ = c.Close() }()
				b := make([]byte, 64<<10)
				for {
					n, err := up.Read(b)
					if err != nil {
						return
					}
					if _, err := c.Write(through(b[:n])); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A stall counts for all requests that were due while it lasted, not for the one
// that was sent.
func TestAStallIsNotOmitted(t *testing.T) {
	s := serve(t)
	begin := time.Now()
	var once sync.Once
	stalled := relay(t, s.Address(), func(b []byte) []byte {
		if time.Since(begin) > 200*time.Millisecond {
			once.Do(func() { time.Sleep(300 * time.Millisecond) })
		}
		return b
	})
	r, err := Run(t.Context(), Job{
		API: Produce, Size: 500, Conns: 1, Rate: 1000, Address: stalled, ClientID: clientID,
		Warmup: 50 * time.Millisecond, Length: 750 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	// 300 of 750 were due during the stall, half of them with 150 ms to wait; without
	// those it would be one.
	if r.Latency.Quantiles[3] < 40 { // the 75th percentile
		t.Errorf("%+v", r.Latency)
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	const marks = 40 // answers that pass first
	for name, damage := range map[string]func([]byte) []byte{
		"another correlation id": func(b []byte) []byte { b[7]++; return b },
		"an error code":          func(b []byte) []byte { b[len(b)-30] ^= 3; return b },
		"a byte too few":         func(b []byte) []byte { return b[1:] },
		"silence":                nil,
	} {
		s := serve(t)
		answers := 0
		address := relay(t, s.Address(), func(b []byte) []byte {
			if answers++; answers < marks || damage == nil {
				return b
			}
			return damage(b)
		})
		if damage == nil {
			s.Close()
		}
		_, err := Run(t.Context(), Job{
			API: Produce, Size: 500, Conns: 1, Pipeline: 1, Address: address, ClientID: clientID,
			Warmup: 10 * time.Millisecond, Length: 300 * time.Millisecond,
		})
		if err == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, j := range []Job{{}, {API: "x", Conns: 1, Pipeline: 1}, {API: Fetch, Conns: 1}} {
		if _, err := Run(t.Context(), j); err == nil || !strings.HasPrefix(err.Error(), "load: ") {
			t.Errorf("%+v: %v", j, err)
		}
	}
	_, err := Run(t.Context(), Job{API: Fetch, Size: 500, Conns: 2, Pipeline: 1, Address: "127.0.0.1:1"})
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestIdleConnectionsHaveSpokenBefore(t *testing.T) {
	s := serve(t)
	r, err := Run(t.Context(), Job{
		API: Produce, Size: 500, Conns: 50, Pipeline: 3, Idle: true, Address: s.Address(), ClientID: clientID, PID: os.Getpid(), Length: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Counts(); got.ProduceRequests != 50*4 || r.Requests != 50 || r.Idle == nil || r.Seconds <= 0 || r.CPU <= 0 {
		t.Errorf("%+v, the sink saw %+v", r, got)
	}
}
