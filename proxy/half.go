package proxy

import (
	"errors"
	"sync/atomic"
)

// half is one direction of a connection: what reads one socket and does all that
// follows from it. Most halves are parked, most of the time: nothing of them exists but
// a few fields, and their loop calls run when the socket has something to read. One
// goroutine then handles what many sockets have brought, without a switch between
// goroutines for each.
//
// The code of a half is written as if it could wait wherever it likes. Whatever may
// wait calls block first: the loop goes on in another goroutine, and this one is the
// half's own, until the half parks again. So what is often asked runs on the loop,
// and what is seldom asked costs one goroutine for a while.
//
// Without a loop (on transports without a file descriptor, such as TLS) a half has a
// goroutine for life, and never parks.
type half struct {
	loop *loop
	id   int32       // in its loop
	run  func() bool // handles what there is; false at the end of its life

	state  atomic.Int32
	hup    atomic.Bool // the loop has seen that the peer closes: the next short read is not the last
	onLoop bool        // the loop's goroutine runs it; the runner's own field
	dry    bool        // the last read took all that there was; the runner's own field
	reads  int         // in this turn; the runner's own field
}

// maxReads is how often a half reads in one turn on the loop before others have theirs.
const maxReads = 4

const (
	halfRunning int32 = iota // also before a loop has it, and for life without one
	halfParked
	halfWoken // it runs, and there may be more to read than it knows
	halfEnded
)

// errParked: what is wanted has not come yet; run is called again when it has.
var errParked = errors.New("parked")

// begin reports whether the caller is to run the half, with turn. If it runs already
// it will look once more before it parks.
func (h *half) begin() bool {
	for {
		switch state := h.state.Load(); state {
		case halfParked:
			if h.state.CompareAndSwap(halfParked, halfRunning) {
				return true
			}
		case halfRunning:
			if h.state.CompareAndSwap(halfRunning, halfWoken) {
				return false
			}
		default:
			return false
		}
	}
}

// turn runs the half until it parks or ends. With onLoop it reports whether the caller
// still is the loop's goroutine.
func (h *half) turn(onLoop bool) bool {
	h.onLoop = onLoop
	for {
		h.dry, h.reads = false, 0
		goesOn := h.run()
		onLoop = h.onLoop
		switch {
		case !goesOn:
			h.state.Store(halfEnded)
			return onLoop
		case onLoop && !h.dry:
			h.loop.later(h)
			return true
		case h.state.CompareAndSwap(halfRunning, halfParked):
			return onLoop
		}
		h.state.Store(halfRunning)
	}
}

// block must be called before anything that may wait, or takes long.
func (h *half) block() {
	if h.onLoop {
		h.onLoop = false
		h.loop.handOver()
	}
}

// wake has a parked half run for another reason than its socket.
func (h *half) wake() {
	if h.begin() {
		h.loop.running.Go(func() { h.turn(false) })
	}
}
