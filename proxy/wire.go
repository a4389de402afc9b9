package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// wireBuffer is the size of a read buffer: large reads are where a gateway beats
// a TCP load balancer, which relays Kafka in pieces of 15 KB.
const wireBuffer = 64 << 10

var wireBuffers = sync.Pool{New: func() any { b := make([]byte, wireBuffer); return &b }}

// wire reads one socket and passes on what it read. Its buffer is taken from a pool
// when there is something to read and given back when all of it is used, so that an
// idle connection, and one that sent half a header and then fell silent, holds no
// buffer.
//
// What is passed on is written straight from the read buffer, and not before the
// next read: all that one read brought goes out in one write. Whoever waits for
// anything else calls flush first.
type wire struct {
	half
	conn net.Conn
	raw  syscall.RawConn // nil where the transport has none; then reads hold a buffer: see trickle
	out  *outlet         // where what is passed on goes

	small  []byte  // for trickle
	pooled *[]byte // the pooled buffer behind buf, nil when buf is a small remainder
	buf    []byte
	r, w   int // buf[r:w] has been read and not used
	s, e   int // buf[s:e], before r, is passed on and not written

	at time.Time // when the last read returned: one look at the clock for all that it brought

	tryRead func(fd uintptr) bool // kept, so that a read allocates nothing
	tryOnce func(fd uintptr)
	n       int
	err     error
}

func newWire(conn net.Conn, out *outlet) *wire {
	b := &wire{conn: conn, out: out, raw: rawConn(conn), at: time.Now()}
	b.tryRead = b.readOnce
	b.tryOnce = func(fd uintptr) { b.readOnce(fd) }
	return b
}

// rawConn is nil where the transport has none.
func rawConn(conn io.Writer) syscall.RawConn {
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// buffered is what has been read and not used. Valid until the next fill.
func (b *wire) buffered() []byte { return b.buf[b.r:b.w] }

// use marks the first n bytes as used.
func (b *wire) use(n int) {
	b.r += n
	b.rewind()
}

func (b *wire) rewind() {
	if b.r == b.w && b.s == b.e {
		b.r, b.w, b.s, b.e = 0, 0, 0, 0
	}
}

// pass marks the first n bytes as used and to be written.
func (b *wire) pass(n int) error {
	if b.e != b.r { // what was used in between does not go out
		if err := b.flush(); err != nil {
			return err
		}
		b.s = b.r
	}
	b.r += n
	b.e = b.r
	return nil
}

// unwritten is a write that failed: left bytes did not go out.
type unwritten struct {
	left int
	err  error
}

func (e *unwritten) Error() string { return e.err.Error() }
func (e *unwritten) Unwrap() error { return e.err }

// flush writes what is passed on. The error is an [unwritten].
func (b *wire) flush() error {
	if b.s == b.e {
		return nil
	}
	p := b.buf[b.s:b.e]
	b.s, b.e = 0, 0
	n, err := b.out.write(p, &b.half)
	b.rewind()
	if err != nil {
		return &unwritten{len(p) - n, err}
	}
	return nil
}

// write puts p behind what is passed on. The error is an [unwritten].
func (b *wire) write(p []byte) error {
	if err := b.flush(); err != nil {
		return err
	}
	if n, err := b.out.write(p, &b.half); err != nil {
		return &unwritten{len(p) - n, err}
	}
	return nil
}

// errBeyondBuffer: what must be seen at once is larger than the read buffer, such as
// the names that a Produce begins with.
var errBeyondBuffer = errors.New("names longer than " + strconv.Itoa(wireBuffer) + " bytes in all")

// holds reports whether the next n bytes have been read.
func (b *wire) holds(n int) bool { return b.w-b.r >= n }

// peek returns the next bytes, at least n of them, without using them.
// errBeyondBuffer: n is more than wireBuffer. io.ErrUnexpectedEOF: the peer closed in
// the middle.
func (b *wire) peek(n int) ([]byte, error) {
	if n > wireBuffer {
		return nil, errBeyondBuffer
	}
	for b.w-b.r < n {
		if err := b.fill(); err != nil {
			if b.w > b.r {
				err = unexpected(err)
			}
			return nil, err
		}
	}
	return b.buf[b.r:b.w], nil
}

// await makes sure that the next n bytes are buffered. On a loop it does not wait for
// them: errParked. Its errors are otherwise those of peek.
func (b *wire) await(n int) error {
	if n > wireBuffer {
		return errBeyondBuffer
	}
	for b.w-b.r < n {
		err := b.flush()
		switch {
		case err != nil:
		case b.raw == nil && b.w == b.r:
			err = b.trickle()
		default:
			err = b.poll()
		}
		if err != nil && b.w > b.r {
			err = unexpected(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// poll reads once; on a loop only what is there: errParked if that is nothing.
func (b *wire) poll() error {
	if b.loop == nil {
		return b.fill()
	}
	if b.dry || b.onLoop && b.reads >= maxReads {
		b.rest()
		return errParked
	}
	b.reads++
	b.n, b.err = 0, nil
	// Not Read, which would tell the runtime that somebody may wait for the socket.
	if err := b.raw.Control(b.tryOnce); err != nil {
		return err
	}
	return b.took()
}

// trickle reads the first of what comes next where a read holds its buffer while it
// waits, as TLS does: most connections wait most of the time.
func (b *wire) trickle() error {
	b.shrink()
	if b.small == nil {
		b.small = make([]byte, smallRest)
	}
	b.buf, b.r, b.w = b.small, 0, 0
	n, err := b.conn.Read(b.buf)
	b.at = time.Now()
	if b.w = n; n > 0 {
		return nil
	}
	return err
}

// fill reads at least one more byte, waiting for it without a pooled buffer. It
// moves what is buffered.
func (b *wire) fill() error {
	if err := b.flush(); err != nil {
		return err
	}
	b.block()
	if b.raw == nil {
		b.grow()
		n, err := b.conn.Read(b.buf[b.w:])
		b.at = time.Now()
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
	return b.took()
}

// took takes in what readOnce has read.
func (b *wire) took() error {
	if errors.Is(b.err, syscall.EAGAIN) {
		b.dry = true
		return nil
	}
	if b.err != nil {
		return os.NewSyscallError("read", b.err)
	}
	b.at = time.Now()
	if b.n == 0 {
		return io.EOF
	}
	b.dry = b.n < len(b.buf)-b.w && !b.hup.Load()
	b.w += b.n
	return nil
}

// readOnce is one attempt at reading; false makes the runtime wait until the
// socket is readable. It must try first: readiness is edge-triggered.
func (b *wire) readOnce(fd uintptr) bool {
	b.grow()
	for {
		b.n, b.err = receive(int(fd), b.buf[b.w:])
		switch {
		case errors.Is(b.err, syscall.EINTR):
		case errors.Is(b.err, syscall.EAGAIN):
			b.n = 0
			b.rest()
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

// smallRest is the most that is copied out of a pooled buffer so that it can be given
// back while nothing comes.
const smallRest = 512

// rest gives the pooled buffer back unless much of a frame is in it.
func (b *wire) rest() {
	if b.w-b.r <= smallRest {
		b.shrink()
	}
}

// maxSpared is the most that is copied out of a pooled buffer before somebody waits
// with it for something else.
const maxSpared = 4 << 10

// spare gives the pooled buffer back if little is in it.
func (b *wire) spare() {
	if b.w-b.r <= maxSpared && b.s == b.e {
		b.shrink()
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

// release gives the pooled buffer back for good, with all that is in it.
func (b *wire) release() {
	b.s, b.e = 0, 0
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
	if err := b.flush(); err != nil {
		return err
	}
	b.block()
	b.dry = false
	_, err := io.ReadFull(b.conn, dst[n:])
	b.at = time.Now()
	return unexpected(err)
}

// frame is a request or an answer held whole: in a read buffer, or, where it does not
// fit, in memory of its own.
type frame struct {
	bytes []byte
	in    *wire  // whose buffer begins with it; nil: it has memory of its own
	free  func() // gives back what was reserved for it; may be nil
}

// frame reads the next size bytes. They stay in the buffer until the frame is
// released or passed on; nothing may be read before.
func (b *wire) frame(size int) (frame, error) {
	if size <= wireBuffer {
		p, err := b.peek(size)
		if err != nil {
			return frame{}, err
		}
		return frame{bytes: p[:size], in: b}, nil
	}
	p := make([]byte, size)
	return frame{bytes: p}, b.readFull(p)
}

// pass writes the frame as it is, through the wire that read it.
func (f *frame) pass(through *wire) error {
	if f.in == nil {
		return through.write(f.bytes)
	}
	f.in = nil
	return through.pass(len(f.bytes))
}

// release lets go of a frame. One that was passed on has its bytes written later.
func (f *frame) release() {
	if f.in != nil {
		f.in.use(len(f.bytes))
		f.in = nil
	}
	if f.free != nil {
		f.free()
		f.free = nil
	}
}

// more appends what can be read to dst, up to max bytes in all; at least one more.
func (b *wire) more(dst []byte, max int) ([]byte, error) {
	if b.r == b.w {
		if err := b.fill(); err != nil {
			return dst, unexpected(err)
		}
	}
	n := min(max-len(dst), b.w-b.r)
	dst = append(dst, b.buf[b.r:b.r+n]...)
	b.use(n)
	return dst, nil
}

// relay passes the next n bytes on as they come. It returns how many it has not
// passed on; of those that it has, an [unwritten] error says how many did not go out.
func (b *wire) relay(n int) (left int, err error) { return b.carry(n, b.fill, true) }

// copyOn is relay that does not splice.
func (b *wire) copyOn(n int) (left int, err error) { return b.carry(n, b.fill, false) }

// pour is relay that on a loop does not wait: errParked, and it is to be called again
// for what is left.
func (b *wire) pour(n int) (left int, err error) { return b.carry(n, b.pollOut, true) }

// pollOut is poll once what is passed on is written.
func (b *wire) pollOut() error {
	if err := b.flush(); err != nil {
		return err
	}
	return b.poll()
}

func (b *wire) carry(n int, more func() error, mayBeSpliced bool) (left int, err error) {
	for n > 0 {
		if have := min(n, b.w-b.r); have > 0 {
			if err := b.pass(have); err != nil {
				return n, err
			}
			n -= have
			continue
		}
		if mayBeSpliced && b.splices(n) {
			return b.splice(n)
		}
		if err := more(); err != nil {
			return n, unexpected(err)
		}
	}
	return 0, nil
}

// unexpected is the end of the bytes where there must be more.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
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
