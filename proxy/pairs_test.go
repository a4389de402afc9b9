package proxy

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func nothingPassed() error { return nil }

// Answers made here and a broker's come in the order of the requests, whoever is
// slow.
func TestPairsKeepOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := newPairs()
		var mu sync.Mutex
		var got []int32
		write := func(e *pending) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e.correlation)
			return nil
		}
		const n = 1000
		toBroker := make(chan *pending, n)
		var broker sync.WaitGroup
		broker.Go(func() {
			for want := range toBroker {
				head, err := p.head(func() {})
				if err != nil || head != want {
					t.Errorf("head: %v, %v", head, err)
					return
				}
				_ = write(head)
				if _, err := p.pop(nothingPassed, write); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range int32(n) {
			e := &pending{correlation: i}
			if rng.IntN(2) == 0 {
				e.local = []byte{1}
			}
			if err := p.push(e, write); err != nil {
				t.Fatal(err)
			}
			if e.local == nil {
				toBroker <- e // it was pushed before it was sent
			}
			if most := p.len(); most > maxInFlight {
				t.Fatalf("%d in flight", most)
			}
		}
		close(toBroker)
		broker.Wait()
		p.drained()
		if len(got) != n || !slices.IsSorted(got) {
			t.Fatalf("seed %d: %d answers, in order: %v", seed, len(got), slices.IsSorted(got))
		}
	}
}

func TestPairsWaitAndGiveUp(t *testing.T) {
	p := newPairs()
	none := func(*pending) error { return nil }
	for range maxInFlight {
		if err := p.push(&pending{}, none); err != nil {
			t.Fatal(err)
		}
	}
	pushed, drained := make(chan error, 1), make(chan bool, 1)
	go func() { pushed <- p.push(&pending{}, none) }()
	go func() { p.drained(); drained <- true }()
	select {
	case err := <-pushed:
		t.Fatalf("one more than the bound was taken: %v", err)
	case <-drained:
		t.Fatal("drained with requests in flight")
	case <-time.After(30 * time.Millisecond):
	}
	p.giveUp()
	if err := <-pushed; !errors.Is(err, errPairsClosed) {
		t.Errorf("push: %v", err)
	}
	<-drained
	if _, err := p.head(func() {}); !errors.Is(err, errPairsClosed) {
		t.Errorf("head: %v", err)
	}
	if left := p.close(); len(left) != maxInFlight {
		t.Errorf("%d were left", len(left))
	}
	if left := p.close(); len(left) != 0 {
		t.Errorf("%d were left the second time", len(left))
	}
	if popped, err := p.pop(nothingPassed, none); popped || err != nil || p.len() != 0 {
		t.Errorf("pop after the end: %v", err)
	}
}

func TestPairsUnasked(t *testing.T) {
	p := newPairs()
	if _, err := p.head(func() {}); err == nil {
		t.Error("an answer to nothing was taken")
	}
	broken := errors.New("broken")
	if err := p.push(&pending{local: []byte{1}}, func(*pending) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a write that fails: %v", err)
	}
}

// An answer made here is written once, also when it is pushed in the moment in which
// the other goroutine has just written the last one.
func TestPairsWriteOnce(t *testing.T) {
	for range 5 {
		p := newPairs()
		var wrote atomic.Int32
		none := func(*pending) error { return nil }
		_ = p.push(&pending{}, none)
		_ = p.push(&pending{local: []byte{1}}, none)
		pushed, popped := make(chan error, 1), make(chan error, 1)
		write := func(e *pending) error {
			if wrote.Add(1) > 1 {
				return nil
			}
			// Both must wait for the lock so long (and once in vain) that it goes from
			// one to the other in the order in which they came.
			p.mu.Lock()
			go func() {
				time.Sleep(5 * time.Millisecond)
				go func() {
					pushed <- p.push(&pending{local: []byte{1}}, func(*pending) error {
						wrote.Add(1)
						time.Sleep(5 * time.Millisecond) // the other one looks meanwhile
						return nil
					})
				}()
				time.Sleep(5 * time.Millisecond)
				p.mu.Unlock()
				p.mu.Lock()
				time.Sleep(5 * time.Millisecond)
				p.mu.Unlock()
			}()
			return nil
		}
		if _, err := p.head(func() {}); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := p.pop(nothingPassed, write)
			popped <- err
		}()
		if err := <-popped; err != nil {
			t.Fatal(err)
		}
		if err := <-pushed; err != nil {
			t.Fatal(err)
		}
		if n := wrote.Load(); n != 2 || p.len() != 0 {
			t.Fatalf("%d answers were written for 2, %d are left", n, p.len())
		}
	}
}
