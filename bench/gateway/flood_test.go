package gateway

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
	"sluice/bench/sink"
	"sluice/bench/stats"
	"sluice/bench/wire"
	"sluice/proxy/auth"
)

const (
	// floodRate is failing logins in a second, from one address.
	floodRate = 100
	// The other client: so many connections, and requests in a second in all.
	calmConns, calmRate = 20, 1000
	floodRounds         = 5
	floodRound          = 3 * time.Second
	// A flood may make the other client's p99 so many times as long. Where that is less
	// than what a machine's scheduler adds, it does not count.
	floodRatio, floodNoise = 1.5, 2 * time.Millisecond
)

// TestLoginFlood has one address try passwords while another client works: rounds
// without and with the flood alternate, and the median of their ratios counts.
func TestLoginFlood(t *testing.T) {
	s, err := sink.Start("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	users := filepath.Join(t.TempDir(), "users")
	err = auth.ChangeCredentials(users, func(c *auth.Credentials) error {
		v, err := auth.NewVerifier(auth.ScramSHA256, alicePassword, auth.DefaultIterations)
		if err == nil {
			err = c.Add("alice", auth.ScramSHA256, v)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	g := StartWith(t, Options{
		Tenants: aliceTenants, Servers: []string{s.Address()},
		Listener: fmt.Sprintf("sasl: {mode: terminate, mechanisms: [PLAIN], credentials: %s, allow_plain_without_tls: true}\n", users),
	}, &kafka.Broker{Address: s.Address()})
	for attempt := 1; ; attempt++ {
		wrong := floodHurts(t, g)
		switch {
		case wrong == "":
			tellsNo(t, g, alicePassword, bobPassword)
			return
		case attempt == attempts:
			t.Fatal(wrong)
		}
		t.Logf("%s; again", wrong)
	}
}

// floodHurts measures, and says what is wrong.
func floodHurts(t *testing.T, g *Gateway) string {
	t.Helper()
	calm := make([]*calmConn, calmConns)
	for i := range calm {
		calm[i] = newCalmConn(t, g.Address)
	}
	before := g.Metric("sluice_authentication_failures_total", "listener", "edge")
	var alone, beside, ratios, more []float64
	for range floodRounds {
		quiet := p99(t, calm)
		stop := tryPasswords(t, g.Address)
		time.Sleep(time.Second)
		loud := p99(t, calm)
		stop()
		alone, beside = append(alone, quiet.Seconds()), append(beside, loud.Seconds())
		ratios, more = append(ratios, loud.Seconds()/quiet.Seconds()), append(more, (loud-quiet).Seconds())
		time.Sleep(5 * time.Second) // those that are held
	}
	failed := g.Metric("sluice_authentication_failures_total", "listener", "edge") - before
	for _, c := range calm {
		_ = c.Close()
	}
	t.Logf("p99 alone %.2f ms, beside %d failing logins a second %.2f ms (medians of %d rounds); the median of the ratios is %.2f; %.0f failures",
		stats.Median(alone)*1e3, floodRate, stats.Median(beside)*1e3, floodRounds, stats.Median(ratios), failed)
	switch {
	case failed < floodRounds*floodRate:
		return fmt.Sprintf("%.0f logins have failed: that is no flood", failed)
	case stats.Median(ratios) > floodRatio && stats.Median(more) > floodNoise.Seconds():
		return fmt.Sprintf("a flood of failing logins makes p99 %.2f times as long", stats.Median(ratios))
	}
	return ""
}

// tryPasswords tries a wrong password again and again, from an address of its own, until it is
// stopped.
func tryPasswords(t *testing.T, address string) (stop func()) {
	t.Helper()
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, "PLAIN"
	token := kmsg.NewPtrSASLAuthenticateRequest()
	token.Version, token.SASLAuthBytes = 1, []byte("\x00alice\x00"+bobPassword)
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID("payments.flood"))
	try := append(format.AppendRequest(nil, shake, 1), format.AppendRequest(nil, token, 2)...)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	ended, ticker := make(chan struct{}), time.NewTicker(time.Second/floodRate)
	var flooding sync.WaitGroup
	flooding.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
			c, err := dialer.DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			flooding.Go(func() {
				defer func() { _ = c.Close() }()
				if _, err := c.Write(try); err != nil {
					t.Error(err)
				}
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
				_, _ = io.Copy(io.Discard, c) // until it is told, and the connection ends
			})
		}
	})
	return func() {
		ticker.Stop()
		close(ended)
		flooding.Wait()
	}
}

// calmConn is a connection of alice's.
type calmConn struct {
	*rawConn
	frame []byte
}

func newCalmConn(t *testing.T, address string) *calmConn {
	t.Helper()
	c := &calmConn{rawConn: dial(t, address), frame: wire.Produce("payments.calm", 500)}
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, "PLAIN"
	c.send(t, "payments.calm", shake)
	c.receive(t, shaken())
	token := kmsg.NewPtrSASLAuthenticateRequest()
	token.Version, token.SASLAuthBytes = 1, []byte("\x00alice\x00"+alicePassword)
	c.send(t, "payments.calm", token)
	told := kmsg.NewPtrSASLAuthenticateResponse()
	told.Version = 1
	if c.receive(t, told); told.ErrorCode != 0 {
		t.Fatalf("alice is not let in: %v", told)
	}
	return c
}

func shaken() *kmsg.SASLHandshakeResponse {
	r := kmsg.NewPtrSASLHandshakeResponse()
	r.Version = 1
	return r
}

// p99 sends requests evenly over a round, whatever the answers do, and counts from when
// each was due.
func p99(t *testing.T, conns []*calmConn) time.Duration {
	t.Helper()
	every := time.Second * time.Duration(len(conns)) / calmRate
	var mu sync.Mutex
	var took []time.Duration
	var broken atomic.Pointer[error]
	var working sync.WaitGroup
	begin := time.Now().Add(50 * time.Millisecond)
	n := int(floodRound / every)
	for i, c := range conns {
		due := func(k int) time.Time {
			return begin.Add(time.Duration(k)*every + every*time.Duration(i)/time.Duration(len(conns)))
		}
		working.Go(func() {
			for k := range n {
				time.Sleep(time.Until(due(k)))
				if _, err := c.Write(c.frame); err != nil {
					broken.Store(&err)
					return
				}
			}
		})
		working.Go(func() {
			mine := make([]time.Duration, 0, n)
			_ = c.SetReadDeadline(begin.Add(floodRound + 30*time.Second))
			for k := range n {
				var size [4]byte
				_, err := io.ReadFull(c, size[:])
				if err == nil {
					_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])))
				}
				if err != nil {
					broken.Store(&err)
					return
				}
				mine = append(mine, time.Since(due(k)))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	working.Wait()
	if err := broken.Load(); err != nil {
		t.Fatalf("the other client: %v", *err)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
