package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// loopRig is one loop, alone, so that all of its halves share a goroutine.
func loopRig(t *testing.T) *loop {
	t.Helper()
	var running sync.WaitGroup
	l, err := newLoop(&running)
	if err != nil {
		t.Fatal(err)
	}
	running.Go(l.serve)
	t.Cleanup(func() {
		_ = l.file.Close()
		running.Wait()
	})
	return l
}

// reader is a half that keeps what it reads.
type reader struct {
	*wire
	peer net.Conn
	got  atomic.Int64
	end  chan error
}

// newReader puts a half on the loop; each is called with what each piece holds.
func newReader(t *testing.T, l *loop, each func(*reader)) *reader {
	t.Helper()
	w, peer := wirePair(t, true)
	r := &reader{wire: w, peer: peer, end: make(chan error, 1)}
	w.run = func() bool {
		for {
			err := r.await(1)
			if errors.Is(err, errParked) {
				return true
			}
			if err != nil {
				r.end <- err
				return false
			}
			n := len(r.buffered())
			r.use(n)
			if each != nil {
				each(r)
			}
			r.got.Add(int64(n))
		}
	}
	if err := l.add(w.raw, &w.half); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) has(t *testing.T, n int64) {
	t.Helper()
	eventually(t, 5*time.Second, "all has been read", func() bool { return r.got.Load() == n })
}

func TestLoopReadsAllThatComes(t *testing.T) {
	l := loopRig(t)
	r := newReader(t, l, nil)
	sent := int64(0)
	for n := 1; n < 3<<20; n *= 3 { // also what takes more than one turn
		if _, err := r.peer.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		sent += int64(n)
		r.has(t, sent)
	}
	eventually(t, time.Second, "it is parked", func() bool { return r.state.Load() == halfParked })
	if r.pooled != nil {
		t.Error("a parked half holds a buffer")
	}
}

// The end of the stream is seen even if it comes with the last bytes: the read that
// brings them is short, and there is no other event.
func TestLoopSeesTheEnd(t *testing.T) {
	l := loopRig(t)
	for range 200 {
		r := newReader(t, l, nil)
		if _, err := r.peer.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		_ = r.peer.Close()
		select {
		case err := <-r.end:
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("it waits for more")
		}
		r.has(t, 4)
		l.remove(&r.half)
	}
}

// One that waits keeps nobody waiting, and reads on when it is done.
func TestLoopGoesOnWithoutWhoBlocks(t *testing.T) {
	l := loopRig(t)
	gate := make(chan struct{})
	slow := newReader(t, l, func(r *reader) {
		r.block()
		<-gate
	})
	quick := newReader(t, l, nil)
	for i := range int64(10) {
		for _, r := range []*reader{slow, quick} {
			if _, err := r.peer.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		quick.has(t, i+1)
	}
	if slow.got.Load() != 0 {
		t.Error("it did not wait")
	}
	close(gate)
	slow.has(t, 10)
}

// One that always has more to read takes turns with the others.
func TestLoopIsFair(t *testing.T) {
	l := loopRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer cancel()
	greedy := newReader(t, l, nil)
	flood.Go(func() {
		for b := make([]byte, 1<<20); ctx.Err() == nil; {
			if _, err := greedy.peer.Write(b); err != nil {
				return
			}
		}
	})
	quick := newReader(t, l, nil)
	for i := range int64(100) {
		if _, err := quick.peer.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		quick.has(t, i+1)
	}
}

// Events that come while a half runs, blocks or is just parking are not lost.
func TestLoopLosesNoEvent(t *testing.T) {
	l := loopRig(t)
	const readers, bytes = 20, 300
	var all sync.WaitGroup
	for i := range readers {
		r := newReader(t, l, func(r *reader) {
			if i%2 == 0 {
				r.block()
			}
		})
		all.Go(func() {
			for n := range int64(bytes) {
				if _, err := r.peer.Write([]byte{1}); err != nil {
					t.Error(err)
					return
				}
				if n%7 == 0 {
					r.wake()
				}
				if n%3 == 0 {
					r.has(t, n+1)
				}
			}
			r.has(t, bytes)
		})
	}
	all.Wait()
}

// A half that is removed is run no more, and another may have its place.
func TestLoopForgets(t *testing.T) {
	l := loopRig(t)
	first := newReader(t, l, nil)
	l.remove(&first.half)
	l.remove(&first.half) // a second time does nothing
	second := newReader(t, l, nil)
	if first.id != second.id {
		t.Errorf("ids %d and %d", first.id, second.id)
	}
	for _, r := range []*reader{first, second} {
		if _, err := r.peer.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	second.has(t, 1)
	if len(l.halves) != 1 {
		t.Errorf("%d places", len(l.halves))
	}
}

// The end of the loop loses nobody: who was to run again goes on without it.
func TestLoopEndsWithoutLosingAnybody(t *testing.T) {
	for range 20 {
		var running sync.WaitGroup
		l, err := newLoop(&running)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		running.Go(func() {
			defer close(ended)
			l.serve()
		})
		greedy := newReader(t, l, nil)
		var flood sync.WaitGroup
		flood.Go(func() {
			for b := make([]byte, 1<<20); ; {
				if _, err := greedy.peer.Write(b); err != nil {
					return
				}
			}
		})
		eventually(t, 5*time.Second, "it has much to read", func() bool { return greedy.got.Load() > 4<<20 })
		_ = l.file.Close()
		<-ended
		_ = greedy.peer.Close()
		flood.Wait()
		eventually(t, 5*time.Second, "it can be run to its end", func() bool {
			greedy.wake()
			return greedy.state.Load() == halfEnded
		})
		running.Wait()
	}
}

// A filter may ask the slice for the name of a topic: nobody else waits for it.
func TestFilterKeepsNobodyWaiting(t *testing.T) {
	l := loopRig(t)
	gate, filtering := make(chan struct{}), make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	c := connAmong(t, 1)
	answer := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	answer.Version = 1
	p := &pending{standing: c.standing, version: 1, sentVersion: 1, api: &protocol.API{
		Key: answer.Key(),
		Filter: func(kmsg.Response, protocol.Judge) {
			close(filtering)
			<-gate
		},
	}}
	asks := newReader(t, l, func(r *reader) {
		c.up = r.wire
		if _, err := c.rewrite(p, protocol.AppendResponse(nil, 0, answer), 0); err != nil {
			t.Error(err)
		}
	})
	quick := newReader(t, l, nil)
	for _, r := range []*reader{asks, quick} {
		if _, err := r.peer.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	<-filtering
	quick.has(t, 1)
	open()
	asks.has(t, 1)
}

// Who is woken before its loop has it runs once the loop does, and who is found there
// too early, by an event for another, does not run at all.
func TestLoopTakesWhoWasWoken(t *testing.T) {
	l := loopRig(t)
	w, _ := wirePair(t, true)
	runs := make(chan bool, 10)
	w.run = func() bool {
		runs <- w.onLoop
		w.dry = true
		return true
	}
	w.wake()
	if w.begin() {
		t.Fatal("it is run before it has a loop")
	}
	if err := l.add(w.raw, &w.half); err != nil {
		t.Fatal(err)
	}
	if <-runs {
		t.Error("on the loop's goroutine")
	}
	eventually(t, time.Second, "it is parked", func() bool { return w.state.Load() == halfParked })
}

// Where the kernel has no room for one more, the half is as if there were no loop.
func TestLoopThatCannotTakeMore(t *testing.T) {
	l := loopRig(t)
	w, _ := wirePair(t, true)
	_ = w.conn.Close()
	if err := l.add(w.raw, &w.half); err == nil || w.loop != nil || len(l.free) != 1 {
		t.Errorf("%v, loop %p, %d free", err, w.loop, len(l.free))
	}
	w.wake()
}

// A connection that is ended while it begins does end.
func TestKilledAtTheBeginning(t *testing.T) {
	r := newRig(t, "", openTenant, fakeCluster(t, "payments.a"))
	for range 100 {
		client, err := net.Dial("tcp", r.bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.connections() {
			c.kill(errDraining)
		}
		_ = client.Close()
	}
	eventually(t, 5*time.Second, "all have ended", func() bool { return len(r.connections()) == 0 })
}
