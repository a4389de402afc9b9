package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/wire"
)

const (
	dialTimeout = 30 * time.Second
	// copied is the largest frame of which each connection has copies of its own.
	copied = 16<<10 + 256
	// compared is how much of each answer is compared with that of the first.
	compared   = 64
	readBuffer = 256 << 10
)

// conn is one connection. One goroutine works on it in a closed loop; in an open
// loop one writes and one reads.
type conn struct {
	net   net.Conn
	job   Job
	frame int    // length of a request
	sent  int32  // requests written: the last correlation id
	seen  int32  // answers read
	all   []byte // small frames, ready to be written together
	head  []byte // of a large frame: what holds the correlation id
	rest  []byte // of a large frame, shared by all connections

	answer int    // the length of every answer, with its length
	first  []byte // the beginning of every answer, behind the correlation id

	buf         []byte
	begin, end  int // what was read and not looked at
	left        int // bytes to come of the answer whose beginning was seen
	outstanding int

	requests, bytes atomic.Int64
}

// atOnce is how many connections are opened at a time: few where each first answer
// is decoded from much memory.
func atOnce(j Job) int {
	if j.Size > 4<<20 {
		return 4
	}
	return 64
}

// dialAll opens all connections, some at a time, and sends the first request on each.
func dialAll(ctx context.Context, j Job, frame []byte, atOnce int) ([]*conn, error) {
	conns := make([]*conn, j.Conns)
	errs := make([]error, j.Conns)
	turn := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range conns {
		turn <- struct{}{}
		wg.Go(func() {
			conns[i], errs[i] = dial(ctx, j, frame)
			<-turn
		})
	}
	wg.Wait()
	return conns, errors.Join(errs...)
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.net.Close()
		}
	}
}

// dial opens a connection, asks for ApiVersions as all clients do, and sends the
// job's request once.
func dial(ctx context.Context, j Job, frame []byte) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := j.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	c := &conn{net: nc, job: j, frame: len(frame)}
	if err := c.greet(frame); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("load: %s: first requests: %w", j.Address, err)
	}
	if len(frame) > copied {
		c.head, c.rest = bytes.Clone(frame[:12]), frame[12:]
	} else {
		for range max(1, j.Pipeline) {
			c.all = append(c.all, frame...)
		}
	}
	c.buf = make([]byte, min(max(c.answer*max(1, j.Pipeline), 4<<10), readBuffer))
	return c, nil
}

// open connects, and shakes hands where the job speaks TLS.
func (j Job) open(ctx context.Context) (net.Conn, error) {
	if j.CA == "" {
		return (&net.Dialer{}).DialContext(ctx, "tcp", j.Address)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(j.CA)) {
		return nil, errors.New("what to trust is no certificate")
	}
	return (&tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}).DialContext(ctx, "tcp", j.Address)
}

// greet exchanges what comes before the measurement.
func (c *conn) greet(frame []byte) error {
	_ = c.net.SetDeadline(time.Now().Add(dialTimeout))
	versions := kmsg.NewPtrApiVersionsResponse()
	versions.Version = wire.ApiVersionsVersion
	if _, err := c.exchange(wire.ApiVersions(c.job.ClientID), versions); err != nil {
		return err
	}
	if versions.ErrorCode != 0 {
		return kerr.ErrorForCode(versions.ErrorCode)
	}
	resp := kmsg.ResponseForKey(int16(binary.BigEndian.Uint16(frame[4:])))
	resp.SetVersion(int16(binary.BigEndian.Uint16(frame[6:])))
	b, err := c.exchange(frame, resp)
	if err != nil {
		return err
	}
	c.answer, c.first = len(b), bytes.Clone(b[8:min(len(b), compared)])
	_ = c.net.SetDeadline(time.Time{})
	return check(resp)
}

// exchange sends a frame with correlation id 0 and decodes its answer.
func (c *conn) exchange(frame []byte, resp kmsg.Response) ([]byte, error) {
	if _, err := c.net.Write(frame); err != nil {
		return nil, err
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c.net, b); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	if size < 4 || size > 1<<30 {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	b = append(b, make([]byte, size)...)
	if _, err := io.ReadFull(c.net, b[4:]); err != nil {
		return nil, err
	}
	return b, wire.ReadAnswer(b, resp)
}

// check says what is wrong with the first answer.
func check(resp kmsg.Response) error {
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("produce: not one partition in the answer")
		}
		return kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode)
	case *kmsg.FetchResponse:
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return err
		}
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("fetch: not one partition in the answer")
		}
		p := r.Topics[0].Partitions[0]
		return errors.Join(kerr.ErrorForCode(p.ErrorCode), wire.CheckBatches(p.RecordBatches))
	case *kmsg.MetadataResponse:
		if len(r.Topics) == 0 {
			return errors.New("metadata: no topics")
		}
	}
	return nil
}

// send writes n requests.
func (c *conn) send(n int) error {
	c.outstanding += n
	if c.rest == nil && c.job.Joined {
		for i := range n {
			c.sent++
			wire.SetCorrelation(c.all[i*c.frame:], c.sent)
		}
		_, err := c.net.Write(c.all[:n*c.frame])
		return err
	}
	for range n {
		c.sent++
		if err := c.one(); err != nil {
			return err
		}
	}
	return nil
}

// one writes one request, with the correlation id that is due.
func (c *conn) one() error {
	if c.rest == nil {
		wire.SetCorrelation(c.all, c.sent)
		_, err := c.net.Write(c.all[:c.frame])
		return err
	}
	wire.SetCorrelation(c.head, c.sent)
	parts := net.Buffers{c.head, c.rest}
	_, err := parts.WriteTo(c.net)
	return err
}

// receive reads once and returns how many answers are complete with that.
func (c *conn) receive() (int, error) {
	if c.begin > 0 {
		c.end = copy(c.buf, c.buf[c.begin:c.end])
		c.begin = 0
	}
	n, err := c.net.Read(c.buf[c.end:])
	if err != nil {
		return 0, err
	}
	c.end += n
	if c.job.API != Produce {
		c.bytes.Add(int64(n))
	}
	answers := 0
	for {
		if c.left == 0 {
			if c.end-c.begin < min(c.answer, compared) {
				break
			}
			if err := c.next(c.buf[c.begin:c.end]); err != nil {
				return answers, err
			}
			c.left = c.answer
		}
		taken := min(c.left, c.end-c.begin)
		c.begin += taken
		if c.left -= taken; c.left > 0 {
			break
		}
		answers++
	}
	if c.begin == c.end {
		c.begin, c.end = 0, 0
	}
	c.requests.Add(int64(answers))
	if c.job.API == Produce {
		c.bytes.Add(int64(answers * c.frame))
	}
	return answers, nil
}

// next checks that the answer that begins is the next one, and like the first.
func (c *conn) next(b []byte) error {
	c.seen++
	size, correlation := int(binary.BigEndian.Uint32(b))+4, int32(binary.BigEndian.Uint32(b[4:]))
	switch {
	case size != c.answer:
		return fmt.Errorf("an answer of %d bytes after one of %d", size, c.answer)
	case correlation != c.seen:
		return fmt.Errorf("the answer to request %d where that to %d was due", correlation, c.seen)
	case !bytes.HasPrefix(b[8:], c.first):
		return fmt.Errorf("an answer that is not like the first: %x, not %x", b[8:8+len(c.first)], c.first)
	}
	return nil
}
