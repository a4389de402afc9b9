package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// wirePair is a wire and the peer that writes to it, over TCP or over a pipe,
// which has no file descriptor.
func wirePair(t *testing.T, tcp bool) (*wire, net.Conn) {
	t.Helper()
	return wirePairTo(t, tcp, io.Discard)
}

func wirePairTo(t *testing.T, tcp bool, to io.Writer) (*wire, net.Conn) {
	t.Helper()
	if !tcp {
		a, b := net.Pipe()
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		return newWire(a, outletTo(to)), b
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), peer.Close() })
	return newWire(c, outletTo(to)), peer
}

func outletTo(to io.Writer) *outlet {
	o := &outlet{clock: new(atomic.Int64)}
	o.set(to)
	return o
}

// pieces writes data in pieces of the sizes that next gives.
func pieces(t *testing.T, to net.Conn, data []byte, next func() int) {
	t.Helper()
	for len(data) > 0 {
		n := min(max(next(), 1), len(data))
		if _, err := to.Write(data[:n]); err != nil {
			t.Error(err)
			return
		}
		data = data[n:]
	}
}

func noise64(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// Every way to read gives the bytes in order, however they come.
func TestWireReads(t *testing.T) {
	sizes := map[string]func(*rand.Rand) int{
		"one byte": func(*rand.Rand) int { return 1 },
		"random":   func(rng *rand.Rand) int { return rng.IntN(3000) },
		"large":    func(*rand.Rand) int { return 200_000 },
	}
	for name, next := range sizes {
		for _, tcp := range []bool{true, false} {
			want := noise64(20_000)
			if name != "one byte" {
				want = noise64(600_000)
			}
			w, peer := wirePair(t, tcp)
			go func() {
				rng := rand.New(rand.NewPCG(1, 2))
				pieces(t, peer, want, func() int { return next(rng) })
				_ = peer.Close()
			}()
			var got []byte
			for step := 0; len(got) < len(want); step++ {
				n := min(1+step*37%5000, len(want)-len(got))
				var err error
				switch step % 4 {
				case 0:
					var b []byte
					if b, err = w.peek(n); err == nil {
						got = append(got, b[:n]...)
						w.use(n)
					}
				case 1:
					b := make([]byte, n)
					err = w.readFull(b)
					got = append(got, b...)
				case 2:
					var dst bytes.Buffer
					w.out.set(&dst)
					if _, err = w.relay(n); err == nil {
						err = w.flush()
					}
					got = append(got, dst.Bytes()...)
				case 3:
					var b []byte
					b, err = w.more(nil, n)
					got = append(got, b...)
				}
				if err != nil {
					t.Fatalf("%s, tcp %v, step %d: %v", name, tcp, step, err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s, tcp %v: other bytes", name, tcp)
			}
			if _, err := w.peek(1); !errors.Is(err, io.EOF) {
				t.Errorf("%s, tcp %v: at the end: %v", name, tcp, err)
			}
		}
	}
}

// A connection with nothing to read holds no buffer, nor does one that has sent a
// few bytes and fallen silent.
func TestIdleWireHoldsNoBuffer(t *testing.T) {
	w, peer := wirePair(t, true)
	for _, sent := range []string{"", "half", " a header"} {
		before := len(w.buffered())
		if _, err := peer.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		_ = w.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := w.peek(100); err == nil {
			t.Fatal("it read what was not sent")
		}
		if w.pooled != nil {
			t.Errorf("after %q it holds a buffer", sent)
		}
		if got := len(w.buffered()); got != before+len(sent) || cap(w.buf) > 4096 {
			t.Errorf("after %q it keeps %d bytes in %d", sent, got, cap(w.buf))
		}
	}
	_ = w.conn.SetReadDeadline(time.Time{})
	if _, err := peer.Write(noise64(200)); err != nil {
		t.Fatal(err)
	}
	b, err := w.peek(100)
	if err != nil || string(b[:13]) != "half a header" {
		t.Errorf("%q, %v", b[:13], err)
	}
	w.release()
	if w.pooled != nil || len(w.buffered()) != 0 {
		t.Error("after release it holds a buffer")
	}
}

func TestWireCutShort(t *testing.T) {
	for name, read := range map[string]func(*wire) error{
		"peek":     func(w *wire) error { _, err := w.peek(100); return err },
		"readFull": func(w *wire) error { return w.readFull(make([]byte, 100)) },
		"relay": func(w *wire) error {
			left, err := w.relay(100)
			if left != 50 {
				t.Errorf("relay says that %d of 100 bytes are left", left)
			}
			return err
		},
		"more": func(w *wire) error {
			for held := []byte(nil); ; {
				var err error
				if held, err = w.more(held, 100); err != nil {
					return err
				}
			}
		},
	} {
		w, peer := wirePair(t, true)
		if _, err := peer.Write(make([]byte, 50)); err != nil {
			t.Fatal(err)
		}
		_ = peer.Close()
		if err := read(w); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHungUp(t *testing.T) {
	w, peer := wirePair(t, true)
	if w.hungUp() {
		t.Error("an open one hung up")
	}
	if _, err := peer.Write([]byte("bytes that came before do not hide it")); err != nil {
		t.Fatal(err)
	}
	if w.hungUp() {
		t.Error("one that sends hung up")
	}
	_ = peer.Close()
	eventually(t, time.Second, "it hung up", w.hungUp)
	if p, _ := wirePair(t, false); p.hungUp() {
		t.Error("a pipe hung up")
	}
}

// sized is a transport without a descriptor that notes the buffers it is given.
type sized struct {
	net.Conn
	sizes []int
}

func (s *sized) Read(b []byte) (int, error) {
	s.sizes = append(s.sizes, len(b))
	for i := range b {
		b[i] = byte(len(s.sizes))
	}
	return len(b), nil
}

// Who waits for a request over TLS holds no large buffer.
func TestTrickle(t *testing.T) {
	t.Parallel()
	conn := &sized{}
	b := newWire(conn, &outlet{})
	for range 2 {
		conn.sizes = nil
		if err := b.await(1); err != nil {
			t.Fatal(err)
		}
		if err := b.await(smallRest + 1); err != nil {
			t.Fatal(err)
		}
		if want := []int{smallRest, wireBuffer - smallRest}; !slices.Equal(conn.sizes, want) {
			t.Errorf("reads into %v, want %v", conn.sizes, want)
		}
		if got := b.buffered(); len(got) != wireBuffer || got[0] != 1 || got[smallRest] != 2 {
			t.Errorf("%d bytes, %d %d", len(got), got[0], got[smallRest])
		}
		b.use(wireBuffer)
	}
}
