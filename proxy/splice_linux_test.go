package proxy

import (
	"bytes"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// What is spliced comes whole and in order; what cannot be, since the process is out of
// descriptors, is copied.
func TestSpliceOrCopy(t *testing.T) {
	for _, pipes := range []bool{true, false} {
		to, taker := wirePair(t, true)
		w, peer := wirePairTo(t, true, to.conn)
		want := noise64(2_000_000)
		go func() { _, _ = peer.Write(want) }()
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, len(want))
			_, _ = io.ReadFull(taker, b)
			got <- b
		}()
		if !w.splices(len(want)) {
			t.Fatal("it would not splice")
		}
		if !pipes {
			withoutDescriptors(t)
		}
		left, err := w.relay(len(want))
		if err == nil {
			err = w.flush()
		}
		if left != 0 || err != nil {
			t.Fatalf("pipes %v: %d bytes are left: %v", pipes, left, err)
		}
		if !bytes.Equal(<-got, want) {
			t.Errorf("pipes %v: other bytes", pipes)
		}
	}
}

// withoutDescriptors lets nothing be opened until the test ends.
func withoutDescriptors(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	for len(idlePipes) > 0 {
		p := <-idlePipes
		_, _ = unix.Close(p.r), unix.Close(p.w)
	}
}
