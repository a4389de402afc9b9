package kafka

import (
	"context"
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// confluentKafka is the Python client, which carries its own librdkafka.
const confluentKafka = "confluent-kafka==2.16.1"

//go:embed python/*.py
var pythonSources embed.FS

// Python is a Python with confluent-kafka, the client of librdkafka, and the
// client programs.
type Python struct {
	interpreter string
	programs    string
}

// ResolvePython finds the interpreter, and makes its environment with pip if it
// is not in the cache yet. Where python3 is missing, or pip can fetch nothing,
// the test is skipped loudly, or fails under CI.
func ResolvePython(tb testing.TB) *Python {
	tb.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		missing(tb, "python3 is not on the path (install Python 3 with venv)")
	}
	venv, err := cached("python-"+confluentKafka, func(dir string) error {
		if err := runQuietly(dir, "python3", "-m", "venv", dir); err != nil {
			return err
		}
		return runQuietly(dir, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "-q", confluentKafka)
	})
	if err != nil {
		missing(tb, err.Error())
	}
	sum, _, err := digest(pythonSources)
	if err != nil {
		tb.Fatal(err)
	}
	programs, err := cached("python-programs-"+sum, func(dir string) error { return os.CopyFS(dir, pythonSources) })
	if err != nil {
		tb.Fatal(err)
	}
	return &Python{interpreter: filepath.Join(venv, "bin", "python"), programs: filepath.Join(programs, "python")}
}

// Program starts one of the librdkafka client programs: produce, consume or
// refused.
func (p *Python) Program(ctx context.Context, name string, args ...string) *Process {
	return start(ctx, "", p.interpreter, append([]string{"-B", "-u", filepath.Join(p.programs, name+".py")}, args...)...)
}
