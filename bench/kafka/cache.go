package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// missing ends the test: something that the tests against real Kafka need is
// not there. Under CI (the environment variable CI is not empty) that is a
// failure, elsewhere a skip that says so on standard error too.
func missing(tb testing.TB, what string) {
	tb.Helper()
	text := "REAL KAFKA TEST NOT RUN: " + what
	if os.Getenv("CI") != "" {
		tb.Fatal(text)
	}
	fmt.Fprintf(os.Stderr, "\n*** %s: %s\n\n", tb.Name(), text)
	tb.Skip(text)
}

// cached returns the directory of this name in the user's cache, which fill
// completes if it is not there yet. fill works in a directory of its own that
// is renamed at the end, so nothing half-done is ever found under the name, and
// processes that come together wait for the first.
func cached(name string, fill func(dir string) error) (string, error) {
	root, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kafka: cache: %w", err)
	}
	root = filepath.Join(root, "sluice")
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("kafka: cache: %w", err)
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	temp, err := os.MkdirTemp(root, name+".part-")
	if err != nil {
		return "", fmt.Errorf("kafka: cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone already after the rename
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", fmt.Errorf("kafka: cache: %w", err)
	}
	if err := fill(temp); err != nil {
		return "", fmt.Errorf("kafka: %s: %w", name, err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return "", fmt.Errorf("kafka: cache: %w", err)
	}
	return dir, nil
}

// lock waits until this process alone holds the file. The kernel lets go of it
// when the process ends, however it ends.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kafka: cache: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("kafka: cache: lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
