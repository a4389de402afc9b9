package proxy

import (
	"io"
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

	since atomic.Int64 // what the clock said when the write began; 0: none is under way
	size  atomic.Int64 // its bytes
}

// set says where to write.
func (o *outlet) set(to io.Writer) { o.to, o.raw = to, rawConn(to) }

func (o *outlet) Write(b []byte) (int, error) {
	began := o.begin(len(b))
	n, err := o.to.Write(b)
	o.end(began)
	return n, err
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
