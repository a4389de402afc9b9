package sink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/wire"
)

// NodeID is the only broker's node id.
const NodeID = 1

const (
	readBuffer = 64 << 10
	// inline is the largest answer that is copied behind others to be written with them.
	inline = 32 << 10
)

// Counts are what came and went since the start. Bytes are those of whole frames,
// with their lengths.
type Counts struct {
	ProduceRequests int64 `json:"produce_requests"`
	ProduceBytes    int64 `json:"produce_bytes"` // of requests
	FetchRequests   int64 `json:"fetch_requests"`
	FetchBytes      int64 `json:"fetch_bytes"` // of answers
	Connections     int64 `json:"connections"` // open now
	Damaged         int64 `json:"damaged"`     // connections ended for what came on them
}

// Sink is a running sink.
type Sink struct {
	listener net.Listener
	host     string
	port     int32
	topics   int
	bodies   bodies
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}

	produceRequests, produceBytes, fetchRequests, fetchBytes, connections, damaged atomic.Int64
	why                                                                            atomic.Value // string: the last damage
}

// Start listens on a loopback address and serves until [Sink.Close]. Beside the
// bench's topic it has so many further ones, of one partition each.
func Start(address string, topics int) (*Sink, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	at := listener.Addr().(*net.TCPAddr)
	s := &Sink{listener: listener, host: at.IP.String(), port: int32(at.Port), topics: topics, conns: map[net.Conn]struct{}{}}
	s.serving.Go(s.accept)
	return s, nil
}

// Address is where it listens.
func (s *Sink) Address() string { return net.JoinHostPort(s.host, strconv.Itoa(int(s.port))) }

// Counts are those of now.
func (s *Sink) Counts() Counts {
	return Counts{
		ProduceRequests: s.produceRequests.Load(), ProduceBytes: s.produceBytes.Load(),
		FetchRequests: s.fetchRequests.Load(), FetchBytes: s.fetchBytes.Load(),
		Connections: s.connections.Load(), Damaged: s.damaged.Load(),
	}
}

// Damage says why a connection was ended last, "" if none was.
func (s *Sink) Damage() string {
	why, _ := s.why.Load().(string)
	return why
}

// Close ends it and all its connections.
func (s *Sink) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func (s *Sink) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.connections.Add(1)
		s.serving.Go(func() {
			defer s.forget(c)
			if err := s.serve(c); err != nil {
				s.damaged.Add(1)
				s.why.Store(err.Error())
			}
		})
	}
}

func (s *Sink) forget(c net.Conn) {
	_ = c.Close()
	s.connections.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// conn is one connection.
type conn struct {
	sink    *Sink
	to      net.Conn
	in      *bufio.Reader
	out     []byte
	checked bool // its first Produce was looked at

	// The last Fetch's body and its answer's: a client asks the same again and again.
	asked  []byte
	answer []byte

	produced        []byte // the answer to a Produce of the version below
	producedVersion int16
}

// serve returns what was wrong with what came; nil when the other side has ended it.
func (s *Sink) serve(to net.Conn) error {
	c := &conn{sink: s, to: to, in: bufio.NewReaderSize(to, readBuffer)}
	for {
		h, err := c.header()
		if err == nil {
			err = c.request(h)
		}
		if err == nil && c.in.Buffered() < 14 {
			err = c.flush(nil)
		}
		var damage damage
		switch {
		case errors.As(err, &damage):
			return damage
		case err != nil:
			return nil //nolint:nilerr // the other side has closed, in the middle of a frame or not
		}
	}
}

// damage is what no client of the bench sends.
type damage struct{ error }

func (c *conn) header() (h wire.Header, err error) {
	for need := 14; ; {
		b, err := c.in.Peek(need)
		if err != nil {
			return h, err
		}
		h, more, err := wire.ParseHeader(b)
		if err != nil {
			return h, damage{fmt.Errorf("%w: %x", err, b)}
		}
		if more == 0 {
			_, err = c.in.Discard(h.Len)
			return h, err
		}
		need = more
	}
}

func (c *conn) request(h wire.Header) error {
	body := h.Size + 4 - h.Len
	switch h.Key {
	case int16(kmsg.Produce):
		return c.produce(h, body)
	case int16(kmsg.Fetch):
		return c.fetch(h, body)
	case int16(kmsg.Metadata), int16(kmsg.ApiVersions):
		return c.cold(h, body)
	}
	return damage{fmt.Errorf("API key %d", h.Key)}
}

func (c *conn) produce(h wire.Header, body int) error {
	if !c.checked {
		c.checked = true
		b := make([]byte, body)
		if _, err := io.ReadFull(c.in, b); err != nil {
			return err
		}
		if err := checkProduce(h, b); err != nil {
			return damage{err}
		}
	} else if _, err := c.in.Discard(body); err != nil {
		return err
	}
	s := c.sink
	s.produceRequests.Add(1)
	s.produceBytes.Add(int64(h.Size) + 4)
	if c.produced == nil || c.producedVersion != h.Version {
		c.produced, c.producedVersion = s.produceAnswer(h.Version), h.Version
	}
	return c.reply(h, c.produced)
}

func (c *conn) fetch(h wire.Header, body int) error {
	var b []byte
	var err error
	if body <= readBuffer {
		b, err = c.in.Peek(body)
	} else {
		err = damage{fmt.Errorf("a Fetch of %d bytes", body)}
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(b, c.asked) || c.answer == nil {
		if c.answer, err = c.sink.fetchAnswer(h.Version, b); err != nil {
			return damage{err}
		}
		c.asked = append(c.asked[:0], b...)
	}
	if _, err := c.in.Discard(body); err != nil {
		return err
	}
	// Counted before it is written: who has received it finds it counted.
	c.sink.fetchRequests.Add(1)
	c.sink.fetchBytes.Add(int64(len(c.answer)))
	return c.reply(h, c.answer)
}

// cold answers what is asked rarely.
func (c *conn) cold(h wire.Header, body int) error {
	b := make([]byte, body)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return err
	}
	req := kmsg.RequestForKey(h.Key)
	req.SetVersion(h.Version)
	if err := req.ReadFrom(b); err != nil {
		return damage{fmt.Errorf("%T: %w", req, err)}
	}
	if m, ok := req.(*kmsg.MetadataRequest); ok {
		return c.reply(h, c.sink.metadataAnswer(m))
	}
	return c.reply(h, apiVersionsAnswer(h.Version))
}

// reply sends an answer's frame with the request's correlation id, together with
// those that wait if it is small.
func (c *conn) reply(h wire.Header, frame []byte) error {
	if len(frame) > inline {
		head := [8]byte(frame[:8])
		binary.BigEndian.PutUint32(head[4:], uint32(h.Correlation))
		c.out = append(c.out, head[:]...)
		return c.flush(frame[8:])
	}
	at := len(c.out)
	c.out = append(c.out, frame...)
	binary.BigEndian.PutUint32(c.out[at+4:], uint32(h.Correlation))
	if len(c.out) > inline {
		return c.flush(nil)
	}
	return nil
}

// flush writes what waits, and what is shared by all connections behind it.
func (c *conn) flush(shared []byte) error {
	var err error
	switch {
	case shared != nil:
		parts := net.Buffers{c.out, shared}
		_, err = parts.WriteTo(c.to)
	case len(c.out) > 0:
		_, err = c.to.Write(c.out)
	}
	c.out = c.out[:0]
	return err
}
