package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a process may take from SIGTERM to its end.
const stopGrace = 12 * time.Second

// outputMax bounds what is kept of one stream of a process, in bytes.
const outputMax = 64 << 20

// Event is one line that a client program printed. Which fields it carries
// depends on Event, and is said at the head of each program.
type Event struct {
	Millis     int64   `json:"ms"`    // Unix time in milliseconds; of a bucket, its start
	Event      string  `json:"event"` // what happened
	Client     string  `json:"client"`
	Topic      string  `json:"topic"`
	Partition  int32   `json:"partition"`
	Group      string  `json:"group"`
	Member     string  `json:"member"`
	Generation int32   `json:"generation"`
	Bytes      int64   `json:"bytes"`
	Records    int64   `json:"records"`
	Repeated   int64   `json:"repeated"` // records whose sequence did not grow within their partition
	Sum        string  `json:"sum"`      // a checksum, free of order, over producers and sequences
	Error      string  `json:"error"`    // the exception's class, or librdkafka's name of the error
	Message    string  `json:"message"`
	Count      int64   `json:"count"`
	Op         string  `json:"op"`
	Name       string  `json:"name"`
	Value      string  `json:"value"`
	Number     float64 `json:"number"`
}

// Time is when the event happened.
func (e Event) Time() time.Time { return time.UnixMilli(e.Millis) }

// Result is what a process left.
type Result struct {
	Stdout string
	Stderr string
	// Err is nil after exit code 0. A process that could not be started, or that
	// its context ended, has an error too.
	Err error
}

// Events are the lines of standard output that are events.
func (r Result) Events() []Event { return parse(r.Stdout) }

// Find returns the events of this name.
func (r Result) Find(event string) []Event {
	var found []Event
	for _, e := range r.Events() {
		if e.Event == event {
			found = append(found, e)
		}
	}
	return found
}

// Done returns a program's last word: its sums. ok is false if it never came.
func (r Result) Done() (done Event, ok bool) {
	all := r.Find("done")
	if len(all) == 0 {
		return Event{}, false
	}
	return all[len(all)-1], true
}

// Samples are the bytes over time of all clients of the program.
func (r Result) Samples() []Sample { return samples(r.Find("bytes")) }

// ClientSamples are the bytes over time of one client of the program.
func (r Result) ClientSamples(client string) []Sample {
	var own []Event
	for _, e := range r.Find("bytes") {
		if e.Client == client {
			own = append(own, e)
		}
	}
	return samples(own)
}

// String shows all there is, for the message of a failed test: the streams
// without buckets, at most a hundred lines of each.
func (r Result) String() string {
	var lines []string
	for line := range strings.Lines(r.Stdout) {
		if !strings.Contains(line, `"event":"bytes"`) && !strings.Contains(line, `"event": "bytes"`) {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return fmt.Sprintf("error: %v\nstdout:\n%s\nstderr:\n%s", r.Err,
		tail(strings.Join(lines, "\n"), 100), tail(r.Stderr, 100))
}

func parse(text string) []Event {
	var events []Event
	for line := range strings.Lines(text) {
		if e, ok := parseLine(line); ok {
			events = append(events, e)
		}
	}
	return events
}

func parseLine(line string) (e Event, ok bool) {
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
		return Event{}, false
	}
	return e, e.Event != ""
}

// tail returns the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Process is a running tool or client program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	news   chan struct{} // closed and replaced whenever there is more output
	err    error
}

// stream takes what a process writes to one of its streams.
type stream struct {
	process *Process
	buffer  *bytes.Buffer
}

// Write keeps b, up to outputMax in all, and wakes those who wait for output.
func (s stream) Write(b []byte) (int, error) {
	p := s.process
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.buffer.Len()+len(b) <= outputMax {
		s.buffer.Write(b)
	}
	close(p.news)
	p.news = make(chan struct{})
	return len(b), nil
}

// failed is a process that never was.
func failed(err error) *Process {
	p := &Process{done: make(chan struct{}), news: make(chan struct{}), err: err}
	close(p.done)
	return p
}

// start starts a program. When the context ends the program gets SIGTERM, and
// is killed after stopGrace.
func start(ctx context.Context, input, name string, args ...string) *Process {
	p := &Process{done: make(chan struct{}), news: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, name, args...)
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Stdout, p.cmd.Stderr = stream{p, &p.stdout}, stream{p, &p.stderr}
	if input != "" {
		p.cmd.Stdin = strings.NewReader(input)
	}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopGrace
	if err := p.cmd.Start(); err != nil {
		return failed(err)
	}
	go func() {
		err := p.cmd.Wait()
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	return p
}

// Wait waits for the process's own end.
func (p *Process) Wait() Result {
	<-p.done
	return p.sofar()
}

func (p *Process) sofar() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Result{Stdout: p.stdout.String(), Stderr: p.stderr.String(), Err: p.err}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Events are the events printed so far.
func (p *Process) Events() []Event { return p.sofar().Events() }

// Pause stops the process where it is, until [Process.Resume]; its connections stay.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a process go on that was paused.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) error {
	if p.cmd == nil {
		return p.Wait().Err
	}
	return p.cmd.Process.Signal(s)
}

// Stop asks the process to come to its end, with SIGTERM, kills it if it does
// not, and returns what it left. Java programs that print their sums do so.
func (p *Process) Stop() Result {
	if p.cmd == nil {
		return p.Wait()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	return p.Wait()
}

// WaitFor waits until an event printed so far, or to come, matches, and returns
// it. It is an error if the process or the context ends first.
func (p *Process) WaitFor(ctx context.Context, match func(Event) bool) (Event, error) {
	seen := 0
	for {
		p.mu.Lock()
		text, news := p.stdout.String()[seen:], p.news
		p.mu.Unlock()
		for line := range strings.Lines(text) {
			if !strings.HasSuffix(line, "\n") {
				break
			}
			seen += len(line)
			if e, ok := parseLine(line); ok && match(e) {
				return e, nil
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("kafka: no such event: %w", ctx.Err())
		case <-p.done:
			if len(p.sofar().Stdout) > seen {
				continue
			}
			return Event{}, fmt.Errorf("kafka: the program ended without such an event\n%s", p.sofar())
		}
	}
}
