package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"
)

// Outside gives f a testing.TB of its own, so that a program that is no test can
// start brokers with [Start]. What f logs goes to log; its first failure, or why
// it was skipped, is the error. When Outside returns, all that f started is stopped.
func Outside(ctx context.Context, name string, log io.Writer, f func(tb testing.TB)) error {
	ctx, cancel := context.WithCancel(ctx)
	o := &outside{ctx: ctx, name: name, log: log}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer o.clean()
		defer cancel()
		f(o)
	}()
	<-done
	return o.err
}

// outside is what the package uses of a testing.TB; any other method panics, for
// there is none.
type outside struct {
	testing.TB
	ctx      context.Context
	name     string
	log      io.Writer
	err      error
	cleanups []func()
}

// Helper does nothing.
func (o *outside) Helper() {}

// Name is that of the program.
func (o *outside) Name() string { return o.name }

// Context ends before what was started is stopped.
func (o *outside) Context() context.Context { return o.ctx }

// Failed reports whether there was an error.
func (o *outside) Failed() bool { return o.err != nil }

// Log writes a line.
func (o *outside) Log(args ...any) { fmt.Fprintln(o.log, args...) }

// Logf writes a line.
func (o *outside) Logf(format string, args ...any) { fmt.Fprintf(o.log, format+"\n", args...) }

// Error notes an error and goes on.
func (o *outside) Error(args ...any) { o.fail(fmt.Sprint(args...)) }

// Errorf notes an error and goes on.
func (o *outside) Errorf(format string, args ...any) { o.fail(fmt.Sprintf(format, args...)) }

// Fatal ends f with an error.
func (o *outside) Fatal(args ...any) {
	o.fail(fmt.Sprint(args...))
	runtime.Goexit()
}

// Fatalf ends f with an error.
func (o *outside) Fatalf(format string, args ...any) {
	o.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// Skip ends f: nobody asked for a program that does nothing, so it is an error.
func (o *outside) Skip(args ...any) { o.Fatal(args...) }

func (o *outside) fail(text string) { o.err = errors.Join(o.err, errors.New(text)) }

// Cleanup is called when f has ended, the last one first.
func (o *outside) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }

// TempDir is removed when f has ended.
func (o *outside) TempDir() string {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (o *outside) clean() {
	for len(o.cleanups) > 0 {
		last := o.cleanups[len(o.cleanups)-1]
		o.cleanups = o.cleanups[:len(o.cleanups)-1]
		last()
	}
}
