package proc

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestCPUIsThatOfTheProcess(t *testing.T) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		t.Fatal(err)
	}
	begin, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 1<<28; n++ {
	}
	end, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := func(r syscall.Rusage) time.Duration { return time.Duration(r.Utime.Nano() + r.Stime.Nano()) }
	if d, most := end-begin, used(after)-used(before)+20*time.Millisecond; d <= 0 || d > most {
		t.Errorf("%v used, by getrusage at most %v", d, most)
	}
	if _, err := CPU(1 << 22); err == nil {
		t.Error("a process that is none has used time")
	}
}

func TestPeakIsReset(t *testing.T) {
	b := make([]byte, 64<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	rss, err := RSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if peak, err := PeakRSS(os.Getpid()); err != nil || peak < int64(len(b)) || rss < int64(len(b)) {
		t.Errorf("resident %d, peak %d, %v", rss, peak, err)
	}
	if err := ResetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if b[0] != 1 { // it is in use until here
		t.Fail()
	}
	if err := ResetPeak(1 << 22); err == nil {
		t.Error("the peak of a process that is none was reset")
	}
}
