package kafka

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func shell(ctx context.Context, script string) *Process { return start(ctx, "", "sh", "-c", script) }

func TestProcessResult(t *testing.T) {
	r := shell(t.Context(), `echo '{"ms":1,"event":"bytes","bytes":7}'; echo noise; echo '{"ms":2,"event":"done","records":3}'; echo oops >&2; exit 4`).Wait()
	if r.Err == nil || !strings.Contains(r.Err.Error(), "4") || r.Stderr != "oops\n" {
		t.Errorf("error %v, stderr %q", r.Err, r.Stderr)
	}
	if n := len(r.Events()); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if done, ok := r.Done(); !ok || done.Records != 3 {
		t.Errorf("done %v %+v", ok, done)
	}
	if s := r.Samples(); len(s) != 1 || s[0].Bytes != 7 {
		t.Errorf("samples %v", s)
	}
	if text := r.String(); strings.Contains(text, "bytes") || !strings.Contains(text, "noise") {
		t.Errorf("shown as %s", text)
	}
}

func TestProcessThatCannotStart(t *testing.T) {
	p := start(t.Context(), "", "no-such-program-of-sluice")
	if r := p.Wait(); r.Err == nil {
		t.Error("no error")
	}
	if r := p.Stop(); r.Err == nil {
		t.Error("no error from Stop")
	}
}

func TestProcessWaitFor(t *testing.T) {
	p := shell(t.Context(), `echo '{"event":"a"}'; echo '{"event":"b","count":1}'; read x`)
	t.Cleanup(func() { p.Stop() })
	e, err := p.WaitFor(t.Context(), func(e Event) bool { return e.Event == "b" })
	if err != nil || e.Count != 1 {
		t.Errorf("%v, %+v", err, e)
	}
	if _, err = p.WaitFor(t.Context(), func(e Event) bool { return e.Event == "c" }); err == nil {
		t.Error("found an event that never came")
	}
}

func TestProcessStopLetsItFinish(t *testing.T) {
	p := shell(t.Context(), `trap 'echo "{\"event\":\"done\"}"; exit 0' TERM; echo '{"event":"start"}'; while :; do sleep 0.01; done`)
	if _, err := p.WaitFor(t.Context(), func(e Event) bool { return e.Event == "start" }); err != nil {
		t.Fatal(err)
	}
	r := p.Stop()
	if _, ok := r.Done(); !ok || r.Err != nil {
		t.Errorf("after Stop: %s", r)
	}
}

func TestProcessEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := start(ctx, "", "sleep", "60").Wait(); !errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", r.Err)
	}
}

func TestCachedTrustsOnlyWhatIsComplete(t *testing.T) {
	root := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", root)
	t.Setenv("HOME", root)
	half := func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o600); err != nil {
			return err
		}
		return errors.New("interrupted")
	}
	if _, err := cached("x", half); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Fatalf("error %v", err)
	}
	fills := 0
	whole := func(dir string) error {
		fills++
		return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o600)
	}
	for range 2 {
		dir, err := cached("x", whole)
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 || files[0].Name() != "whole" {
			t.Errorf("in the cache: %v %v", files, err)
		}
	}
	if fills != 1 {
		t.Errorf("filled %d times, want once", fills)
	}
}

// fakeTB records how a test was ended.
type fakeTB struct {
	testing.TB
	fatal, skip string
}

func (f *fakeTB) Helper()           {}
func (f *fakeTB) Name() string      { return "fake" }
func (f *fakeTB) Fatal(args ...any) { f.fatal = args[0].(string); panic(f) }
func (f *fakeTB) Skip(args ...any)  { f.skip = args[0].(string); panic(f) }

func TestMissingFailsUnderCI(t *testing.T) {
	for _, ci := range []string{"", "true"} {
		t.Setenv("CI", ci)
		f := &fakeTB{}
		func() {
			defer func() { _ = recover() }()
			missing(f, "java is not here")
		}()
		if (f.fatal != "") != (ci != "") || (f.skip != "") != (ci == "") || !strings.Contains(f.fatal+f.skip, "java is not here") {
			t.Errorf("CI=%q: fatal %q, skip %q", ci, f.fatal, f.skip)
		}
	}
}
