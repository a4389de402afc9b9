package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 40 * time.Second
)

// Target is one way to the broker.
type Target struct {
	Name string
	// Address is where it takes connections for the broker, Bootstrap where a client
	// begins: the same but for Sluice.
	Address, Bootstrap string
	// PID is the process that is measured; 0 if there is none.
	PID int
	// Admin is the address of Sluice's metrics; "" for others.
	Admin string
	// CA is what clients trust, PEM; "" where they do not speak TLS.
	CA string

	child *child
}

// Direct is no proxy at all.
func Direct(broker string) *Target {
	return &Target{Name: "direct", Address: broker, Bootstrap: broker}
}

// Parse reads a target that runs already, written as name=host:port,pid.
func Parse(s string) (*Target, error) {
	name, rest, ok := strings.Cut(s, "=")
	address, process, ok2 := strings.Cut(rest, ",")
	pid, err := strconv.Atoi(process)
	if _, _, splitErr := net.SplitHostPort(address); !ok || !ok2 || name == "" || err != nil || pid <= 0 || splitErr != nil {
		return nil, fmt.Errorf("target %q: write it as name=host:port,pid", s)
	}
	return &Target{Name: name, Address: address, Bootstrap: address, PID: pid}, nil
}

// Stop ends what was started.
func (t *Target) Stop() {
	if t.child != nil {
		t.child.stop()
	}
}

// Log is what its process has written.
func (t *Target) Log() string {
	if t.child == nil {
		return ""
	}
	return t.child.log.String()
}

// child is a process of ours.
type child struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    logBuffer
}

func start(name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(context.Background(), name, args...), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait() // what it had to say stands in its log
		close(c.exited)
	}()
	return c, nil
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-c.exited:
	case <-time.After(stopTimeout):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// ready waits until check is fine.
func (c *child) ready(check func() error) error {
	deadline := time.Now().Add(readyTimeout)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-c.exited:
			return fmt.Errorf("it ended: %w\n%s", err, c.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %v: %w\n%s", readyTimeout, err, c.log.String())
		}
	}
}

// logBuffer keeps the first megabyte of what a process writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < 1<<20 {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Ports are taken from below those that the system gives to outgoing connections, of
// which thousands may be in use.
const firstPort, lastPort = 12000, 32000

// freePorts finds n free ports in a row.
func freePorts(n int) (int, error) {
	for range 500 {
		first := firstPort + rand.IntN(lastPort-firstPort)
		free := true
		for i := 0; free && i < n; i++ {
			free = bindable(first+i) == nil
		}
		if free {
			return first, nil
		}
	}
	return 0, errors.New("no free ports")
}

func bindable(port int) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", loopback(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
