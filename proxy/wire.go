package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// wireBuffer is the size of a read buffer: large reads are where a gateway beats
// a TCP load balancer, which relays Kafka in pieces of 15 KB.
const wireBuffer = 64 << 10

var wireBuffers = sync.Pool{New: func() any { b := make([]byte, wireBuffer); return &b }}

// wire reads one socket. Its buffer is taken from a pool when there is something
// to read and given back when all of it is used, so that an idle connection, and
// one that sent half a header and then fell silent, holds no buffer.
type wire struct {
	conn net.Conn
	raw  syscall.RawConn // nil where the transport has none; then reads hold a buffer

	pooled *[]byte // the pooled buffer behind buf, nil when buf is a small remainder
	buf    []byte  // buf[r:w] has been read and not used
	r, w   int

	tryRead func(fd uintptr) bool // kept, so that a read allocates nothing
	n       int
	err     error
}

func newWire(conn net.Conn) *wire {
	b := &wire{conn: conn}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			b.raw = raw
		}
	}
	b.tryRead = b.readOnce
	return b
}

// buffered is what has been read and not used. Valid until the next fill.
func (b *wire) buffered() []byte { return b.buf[b.r:b.w] }

// use marks the first n bytes as used.
func (b *wire) use(n int) {
	b.r += n
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// errBeyondBuffer: what must be seen at once is larger than the read buffer, such as
// the names that a Produce begins with.
var errBeyondBuffer = errors.New("names longer than " + strconv.Itoa(wireBuffer) + " bytes in all")

// peek returns the next bytes, at least n of them, without using them.
// errBeyondBuffer: n is more than wireBuffer. io.ErrUnexpectedEOF: the peer closed in
// the middle.
func (b *wire) peek(n int) ([]byte, error) {
	if n > wireBuffer {
		return nil, errBeyondBuffer
	}
	for b.w-b.r < n {
		if err := b.fill(); err != nil {
			if errors.Is(err, io.EOF) && b.w > b.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return b.buf[b.r:b.w], nil
}

// fill reads at least one more byte, waiting for it without a pooled buffer.
func (b *wire) fill() error {
	if b.raw == nil {
		b.grow()
		n, err := b.conn.Read(b.buf[b.w:])
		b.w += n
		if n > 0 {
			return nil
		}
		return err
	}
	b.n, b.err = 0, nil
	if err := b.raw.Read(b.tryRead); err != nil {
		return err
	}
	if b.err != nil {
		return os.NewSyscallError("read", b.err)
	}
	if b.n == 0 {
		return io.EOF
	}
	b.w += b.n
	return nil
}

// readOnce is one attempt at reading; false makes the runtime wait until the
// socket is readable. It must try first: readiness is edge-triggered.
func (b *wire) readOnce(fd uintptr) bool {
	b.grow()
	for {
		b.n, b.err = syscall.Read(int(fd), b.buf[b.w:])
		switch {
		case errors.Is(b.err, syscall.EINTR):
		case errors.Is(b.err, syscall.EAGAIN):
			b.err = nil
			b.shrink()
			return false
		default:
			return true
		}
	}
}

// grow makes room behind what is buffered.
func (b *wire) grow() {
	if b.pooled == nil {
		b.pooled = wireBuffers.Get().(*[]byte)
		b.w = copy(*b.pooled, b.buf[b.r:b.w])
		b.r, b.buf = 0, *b.pooled
		return
	}
	if b.r > 0 {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
}

// shrink gives the pooled buffer back, keeping a small copy of what is in it.
func (b *wire) shrink() {
	if b.pooled == nil {
		return
	}
	rest := append([]byte(nil), b.buf[b.r:b.w]...)
	wireBuffers.Put(b.pooled)
	b.pooled, b.buf, b.r, b.w = nil, rest, 0, len(rest)
}

// release gives the pooled buffer back for good.
func (b *wire) release() {
	b.use(b.w - b.r)
	b.shrink()
}

// readFull fills dst, first from the buffer, then straight from the socket.
func (b *wire) readFull(dst []byte) error {
	n := copy(dst, b.buffered())
	b.use(n)
	if n == len(dst) {
		return nil
	}
	_, err := io.ReadFull(b.conn, dst[n:])
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// more appends what can be read to dst, up to max bytes in all; at least one more.
func (b *wire) more(dst []byte, max int) ([]byte, error) {
	if b.r == b.w {
		if err := b.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
	}
	n := min(max-len(dst), b.w-b.r)
	dst = append(dst, b.buf[b.r:b.r+n]...)
	b.use(n)
	return dst, nil
}

// relay passes the next n bytes on to dst as they come. It returns how many it could
// not pass on.
func (b *wire) relay(dst io.Writer, n int) (left int, err error) {
	for n > 0 {
		if b.r == b.w {
			if err := b.fill(); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return n, err
			}
		}
		piece := b.buffered()
		if len(piece) > n {
			piece = piece[:n]
		}
		wrote, err := dst.Write(piece)
		n -= wrote
		if err != nil {
			return n, err
		}
		b.use(len(piece))
	}
	return 0, nil
}

// hungUp reports whether the peer has closed its side, as far as the kernel knows
// yet; bytes that arrived before do not hide it.
func (b *wire) hungUp() bool {
	if b.raw == nil {
		return false
	}
	gone := false
	_ = b.raw.Control(func(fd uintptr) { gone = pollHangUp(int(fd)) })
	return gone
}
