package proxy

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

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
				head, err := p.head()
				if err != nil || head != want {
					t.Errorf("head: %v, %v", head, err)
					return
				}
				_ = write(head)
				if err := p.pop(write); err != nil {
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
	if _, err := p.head(); !errors.Is(err, errPairsClosed) {
		t.Errorf("head: %v", err)
	}
	if left := p.close(); len(left) != maxInFlight {
		t.Errorf("%d were left", len(left))
	}
	if left := p.close(); len(left) != 0 {
		t.Errorf("%d were left the second time", len(left))
	}
	if err := p.pop(none); err != nil || p.len() != 0 {
		t.Errorf("pop after the end: %v", err)
	}
}

func TestPairsUnasked(t *testing.T) {
	p := newPairs()
	if _, err := p.head(); err == nil {
		t.Error("an answer to nothing was taken")
	}
	broken := errors.New("broken")
	if err := p.push(&pending{local: []byte{1}}, func(*pending) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a write that fails: %v", err)
	}
}
