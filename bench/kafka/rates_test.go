package kafka

import (
	"testing"
	"time"
)

// steady is so many bytes in every bucket of a stretch of time.
func steady(from time.Time, length time.Duration, bytes int64) []Sample {
	var all []Sample
	for at := time.Duration(0); at < length; at += Bucket {
		all = append(all, Sample{At: from.Add(at), Bytes: bytes})
	}
	return all
}

func TestWindows(t *testing.T) {
	begin := time.UnixMilli(1_700_000_000_000)
	samples := steady(begin, 5*time.Second, 500_000) // 5 MB/s
	got := Windows(samples, 2*time.Second)
	if len(got) != 2 {
		t.Fatalf("5 s gave %d windows of 2 s, want 2: the last second fills none", len(got))
	}
	for i, w := range got {
		if w.MB() != 5 || !w.Start.Equal(begin.Add(time.Duration(i)*2*time.Second)) {
			t.Errorf("window %d: %v from %v, want 5 MB/s", i, w.MB(), w.Start)
		}
	}
	if n := len(Sliding(samples, 2*time.Second, Bucket)); n != 31 {
		t.Errorf("5 s gave %d sliding windows of 2 s, want 31", n)
	}
}

func TestWindowsShowAStall(t *testing.T) {
	begin := time.UnixMilli(1_700_000_000_000)
	samples := append(steady(begin, 2*time.Second, 100), steady(begin.Add(4*time.Second), 2*time.Second, 100)...)
	got := Windows(samples, 2*time.Second)
	if len(got) != 3 || got[0].Rate != 1000 || got[1].Rate != 0 || got[2].Rate != 1000 {
		t.Errorf("windows %v, want 1000, 0 and 1000 bytes per second", got)
	}
}

func TestWindowsAddClients(t *testing.T) {
	begin := time.UnixMilli(1_700_000_000_000)
	late := steady(begin.Add(time.Second), time.Second, 300)
	got := Windows(append(late, steady(begin, 2*time.Second, 100)...), time.Second)
	if len(got) != 2 || got[0].Rate != 1000 || got[1].Rate != 4000 {
		t.Errorf("windows %v, want 1000 and 4000 bytes per second", got)
	}
	if Windows(nil, time.Second) != nil {
		t.Error("windows of nothing")
	}
}

func TestSamplesCut(t *testing.T) {
	begin := time.UnixMilli(1_700_000_000_000)
	samples := append(steady(begin, time.Second, 0), steady(begin.Add(time.Second), time.Second, 7)...)
	samples = append(samples, steady(begin.Add(2*time.Second), time.Second, 0)...)
	if first := FirstBytes(samples); !first.Equal(begin.Add(time.Second)) {
		t.Errorf("first bytes at %v", first)
	}
	if last := LastBytes(samples); !last.Equal(begin.Add(2*time.Second - Bucket)) {
		t.Errorf("last bytes at %v", last)
	}
	cut := Before(After(samples, begin.Add(time.Second)), begin.Add(2*time.Second))
	if len(cut) != 10 || cut[0].Bytes != 7 || cut[9].Bytes != 7 {
		t.Errorf("cut to %v", cut)
	}
	if len(samples) != 30 {
		t.Error("cutting changed its argument")
	}
}

func TestWindowsRefuseOddWidths(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a width of 150 ms was taken")
		}
	}()
	Windows(steady(time.UnixMilli(0), time.Second, 1), 150*time.Millisecond)
}
