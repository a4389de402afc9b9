package proxy

import (
	"errors"
	"sync"
)

// maxInFlight bounds the requests of one connection that have no answer yet.
// Java keeps 5; librdkafka has no bound of its own. Beyond it the connection is
// not read, and TCP holds the client back.
const maxInFlight = 256

// keptPairs is how much of the queue an idle connection keeps: what most clients
// ever have in flight.
const keptPairs = 8

var errPairsClosed = errors.New("connection closed")

// pairs keeps the requests of one connection that wait for their answers, in
// order. The entry at the head is answered by exactly one goroutine: an answer
// made here by whoever brought the entry to the head, a broker's answer by the
// goroutine that reads the broker.
type pairs struct {
	mu      sync.Mutex
	change  sync.Cond
	waiting int // who waits for a change
	q       []*pending
	closed  bool
}

// await waits for a change; p.mu is held.
func (p *pairs) await() {
	p.waiting++
	p.change.Wait()
	p.waiting--
}

// changed wakes those who wait; p.mu is held.
func (p *pairs) changed() {
	if p.waiting > 0 {
		p.change.Broadcast()
	}
}

func newPairs() *pairs {
	p := &pairs{}
	p.change.L = &p.mu
	return p
}

// push adds an entry, waiting while too many are in flight. write is called for
// each answer made here that stands at the head.
func (p *pairs) push(e *pending, write func(*pending) error) error {
	p.mu.Lock()
	for len(p.q) >= maxInFlight && !p.closed {
		p.await()
	}
	if p.closed {
		p.mu.Unlock()
		return errPairsClosed
	}
	p.q = append(p.q, e)
	atHead := len(p.q) == 1
	p.changed()
	p.mu.Unlock()
	if atHead && e.local != nil {
		return p.flush(write)
	}
	return nil
}

// head waits until the entry at the head is one that a broker answers. It calls block
// before it waits.
func (p *pairs) head(block func()) (*pending, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && (len(p.q) == 0 || p.q[0].local != nil) {
		if len(p.q) == 0 {
			return nil, errors.New("the broker answered what was not asked")
		}
		block()
		p.await()
	}
	if p.closed {
		return nil, errPairsClosed
	}
	return p.q[0], nil
}

// pop takes the answered head away and writes the answers made here that follow it.
// If somebody else may write to the client from then on, what its owner has passed on
// is written first, by before. The caller may use the head again unless popped is
// false, which means that it was closed meanwhile.
func (p *pairs) pop(before func() error, write func(*pending) error) (popped bool, err error) {
	p.mu.Lock()
	if len(p.q) < 2 || p.q[1].local != nil {
		p.mu.Unlock()
		if err := before(); err != nil {
			return false, err
		}
		p.mu.Lock()
	}
	popped = len(p.q) > 0
	p.drop()
	more := len(p.q) > 0 && p.q[0].local != nil
	p.mu.Unlock()
	if more {
		return popped, p.flush(write)
	}
	return popped, nil
}

// flush writes answers made here as long as one is at the head, which the caller
// owns. A head is dropped and the next one looked at under one lock: what is pushed
// into an empty queue in between belongs to who pushes it.
func (p *pairs) flush(write func(*pending) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.q) > 0 && p.q[0].local != nil {
		e := p.q[0]
		p.mu.Unlock()
		err := write(e)
		p.mu.Lock()
		if err != nil {
			return err
		}
		p.drop()
	}
	return nil
}

// drop removes the head; p.mu is held.
func (p *pairs) drop() {
	if len(p.q) == 0 {
		return // closed meanwhile
	}
	n := copy(p.q, p.q[1:]) // a few, mostly; the array is used again
	p.q[n] = nil
	if p.q = p.q[:n]; n == 0 && cap(p.q) > keptPairs {
		p.q = nil
	}
	p.changed()
}

// len is the number of requests without an answer.
func (p *pairs) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.q)
}

// drained waits until nothing is in flight.
func (p *pairs) drained() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.q) > 0 && !p.closed {
		p.await()
	}
}

// giveUp wakes all who wait, for good.
func (p *pairs) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed()
}

// close wakes all who wait and returns what was left without an answer.
func (p *pairs) close() []*pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	left := p.q
	p.q = nil
	p.changed()
	return left
}

// first reports whether an entry is at the head.
func (p *pairs) first(e *pending) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.q) > 0 && p.q[0] == e
}
