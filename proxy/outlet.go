package proxy

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// outlet writes to one side of a connection, where a peer that stops reading would
// hold the writer for ever. It tells the janitor of the write that is under way. One
// goroutine writes at a time.
type outlet struct {
	to    io.Writer
	raw   syscall.RawConn // of to; nil where it has none
	clock *atomic.Int64   // the gateway's: less exact than the time, and cheaper to read
	watch *watch          // of the client who is not to blame for the time that writes take; nil for none

	tryOnce func(fd uintptr) // kept, so that a write allocates nothing
	b       []byte
	n       int
	err     error

	since atomic.Int64 // what the clock said when the write began; 0: none is under way
	size  atomic.Int64 // its bytes
}

// set says where to write.
func (o *outlet) set(to io.Writer) {
	o.to, o.raw = to, rawConn(to)
	o.tryOnce = o.writeOnce
}

// write writes b for a half: if the peer does not take it at once, the half blocks.
func (o *outlet) write(b []byte, h *half) (n int, err error) {
	if h.onLoop {
		if o.raw != nil {
			if n, err = o.try(b); err != nil || n == len(b) {
				return n, err
			}
		}
		h.block()
	}
	began := o.begin(len(b) - n)
	more, err := o.to.Write(b[n:])
	o.end(began)
	return n + more, err
}

// try writes what the peer takes at once.
func (o *outlet) try(b []byte) (int, error) {
	o.b = b
	err := o.raw.Control(o.tryOnce)
	o.b = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(o.err, syscall.EAGAIN):
		return 0, nil
	case o.err != nil:
		return 0, os.NewSyscallError("write", o.err)
	}
	return o.n, nil
}

func (o *outlet) writeOnce(fd uintptr) {
	for {
		o.n, o.err = send(int(fd), o.b)
		if !errors.Is(o.err, syscall.EINTR) {
			return
		}
	}
}

// begin tells of a write of so many bytes, and end that it is over.
func (o *outlet) begin(size int) (began int64) {
	began = o.clock.Load()
	o.size.Store(int64(size))
	o.since.Store(began)
	return began
}

func (o *outlet) end(began int64) {
	if took := o.clock.Load() - began; took > 0 && o.watch != nil {
		o.watch.since.Add(took)
	}
	o.since.Store(0)
}

// underway is how long a write has been going on at that time, unix nanoseconds; 0 if
// none is. It is at most one period of the clock too long.
func (o *outlet) underway(now int64) time.Duration {
	if since := o.since.Load(); since != 0 {
		return time.Duration(now - since)
	}
	return 0
}
