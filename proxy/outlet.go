package proxy

import (
	"io"
	"sync/atomic"
	"time"
)

// outlet writes to one side of a connection, where a peer that stops reading would
// hold the writer for ever. It tells the janitor of the write that is under way. One
// goroutine writes at a time.
type outlet struct {
	to    io.Writer
	clock *atomic.Int64 // the gateway's: less exact than the time, and cheaper to read
	watch *watch        // of the client who is not to blame for the time that writes take; nil for none

	since atomic.Int64 // what the clock said when the write began; 0: none is under way
	size  atomic.Int64 // its bytes
}

func (o *outlet) Write(b []byte) (int, error) {
	began := o.clock.Load()
	o.size.Store(int64(len(b)))
	o.since.Store(began)
	n, err := o.to.Write(b)
	if took := o.clock.Load() - began; took > 0 && o.watch != nil {
		o.watch.since.Add(took)
	}
	o.since.Store(0)
	return n, err
}

// underway is how long a write has been going on at that time, unix nanoseconds; 0 if
// none is. It is at most one period of the clock too long.
func (o *outlet) underway(now int64) time.Duration {
	if since := o.since.Load(); since != 0 {
		return time.Duration(now - since)
	}
	return 0
}
