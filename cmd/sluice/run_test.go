package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience bounds every wait, for a machine that is busy; none takes as long.
const patience = 10 * time.Second

// child is the command as a process of its own.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // of standard error, closed at its end
	seen  []string

	stdout strings.Builder
}

// start runs the command line in a process that does not outlive the test.
func start(t *testing.T, args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(self, args...), lines: make(chan string, 10_000)}
	c.cmd.Env = append(os.Environ(), asSluice+"=1")
	c.cmd.Stdout = &c.stdout
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	return c
}

// says waits for a line of the log with this message, and returns its fields.
func (c *child) says(message string) map[string]any {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, more := <-c.lines:
			if !more {
				c.t.Fatalf("ended without saying %q:\n%s", message, strings.Join(c.seen, "\n"))
			}
			c.seen = append(c.seen, line)
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
				return fields
			}
		case <-timeout:
			c.t.Fatalf("did not say %q:\n%s", message, strings.Join(c.seen, "\n"))
		}
	}
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// exits waits for the end of the process and returns its code and its standard error.
func (c *child) exits() (code int, stderr string) {
	c.t.Helper()
	timeout := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	for line := range c.lines {
		c.seen = append(c.seen, line)
	}
	_ = c.cmd.Wait() // its code is what the test asks for
	stderr = strings.Join(c.seen, "\n")
	if !timeout.Stop() {
		c.t.Fatalf("did not end:\n%s", stderr)
	}
	return c.cmd.ProcessState.ExitCode(), stderr
}

// stops asks the process to end and expects it to, with nothing cut.
func (c *child) stops() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	c.says("draining")
	if cut := c.says("stopped")["connections_cut"]; cut != 0.0 {
		c.t.Errorf("%v connections were cut", cut)
	}
	if code, stderr := c.exits(); code != 0 {
		c.t.Errorf("exit %d:\n%s", code, stderr)
	}
	if c.stdout.Len() > 0 {
		c.t.Errorf("standard output: %s", c.stdout.String())
	}
}

// site is a cluster with the topics payments.a and other.a, and a policy in front of it.
type site struct {
	cluster                *kfake.Cluster
	path, bootstrap, admin string
	policy                 string
}

func newSite(t *testing.T) *site {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "payments.a", "other.a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	base := freePorts(t, 3)
	s := &site{cluster: cluster, bootstrap: fmt.Sprintf("127.0.0.1:%d", base), admin: fmt.Sprintf("127.0.0.1:%d", base+2)}
	s.policy = fmt.Sprintf(`admin: {address: %q}
gateway: {max_connections: 100}
client_ids: {pattern: "{team}.{app}"}
slices:
  - {name: orders, slot: 0, bootstrap_servers: [%q]}
listeners:
  - name: edge
    address: %q
    broker_ports: {orders: {nodes: 0-0, ports: %[4]d-%[4]d}}
tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], topics: ["payments.*"]}]
`, s.admin, cluster.ListenAddrs()[0], s.bootstrap, base+1)
	s.path = writeFile(t, s.policy)
	return s
}

// freePorts finds n ports in a row, below those that the system hands out itself, at
// random, for other tests that look at the same time.
func freePorts(t *testing.T, n int) (first int) {
	t.Helper()
search:
	for range 100 {
		first = 20_000 + rand.IntN(12_000)
		for i := range n {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if err != nil {
				continue search
			}
			_ = ln.Close()
		}
		return first
	}
	t.Fatal("no free ports")
	return 0
}

// rewrite puts another policy into the file.
func (s *site) rewrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// client is one of the tenant payments.
func (s *site) client(t *testing.T) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.bootstrap), kgo.ClientID("payments.test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// topics are what the tenant may see.
func (s *site) topics(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, s.client(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range res.Topics {
		names = append(names, *topic.Topic)
	}
	return strings.Join(names, " ")
}

func (s *site) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	res, err := http.Get("http://" + s.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// From start to end: serves, takes a good file, refuses a bad one, and drains.
func TestRun(t *testing.T) {
	s := newSite(t)
	c := start(t, "run", "--config", s.path)
	c.says("policy applied")
	if line := c.says("serving"); line["admin"] != s.admin || line["tenants"] != 1.0 || line["version"] != buildVersion() {
		t.Errorf("serving: %v", line)
	}
	if got := s.topics(t); got != "payments.a" {
		t.Errorf("topics %q", got)
	}
	if status, body := s.get(t, "/readyz"); status != http.StatusOK || !strings.HasPrefix(body, "ready\n") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if _, body := s.get(t, "/metrics"); !strings.Contains(body, "sluice_requests_total{") || !strings.Contains(body, "process_open_fds") {
		t.Errorf("metrics:\n%s", body)
	}

	s.rewrite(t, strings.Replace(s.policy, "payments.*", "*", 1))
	c.signal(syscall.SIGHUP)
	if line := c.says("policy applied"); line["file"] != s.path {
		t.Errorf("applied: %v", line)
	}
	if got := s.topics(t); got != "other.a payments.a" && got != "payments.a other.a" {
		t.Errorf("topics after the reload: %q", got)
	}

	s.rewrite(t, strings.Replace(s.policy, "home: orders", "home: nowhere", 1))
	c.signal(syscall.SIGHUP)
	place := s.path + ":" + place(s.policy, "orders\n    rules") + ": error: "
	if line := c.says("policy"); !strings.HasPrefix(line["problem"].(string), place) {
		t.Errorf("want a problem that begins with %q: %v", place, line)
	}
	c.says("the file was not applied; the policy before it stays")
	if got := s.topics(t); !strings.Contains(got, "other.a") {
		t.Errorf("topics after the refused reload: %q", got)
	}
	c.stops()
}

// hold makes the cluster keep ListOffsets requests until let is called, and tells of
// the first on held.
func hold(t *testing.T, cluster *kfake.Cluster) (held <-chan struct{}, let func()) {
	gate, arrived := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(arrived) })
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { once(); <-gate })
		return nil, nil, false
	})
	let = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(let)
	return arrived, let
}

// askOffsets sends a ListOffsets request and hands over how it ended.
func askOffsets(t *testing.T, cl *kgo.Client) <-chan error {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic, topic.Partitions = "payments.a", []kmsg.ListOffsetsRequestTopicPartition{kmsg.NewListOffsetsRequestTopicPartition()}
	req.Topics = append(req.Topics, topic)
	ended := make(chan error, 1)
	go func() {
		res, err := req.RequestWith(t.Context(), cl)
		if err == nil && (len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 || res.Topics[0].Partitions[0].ErrorCode != 0) {
			err = fmt.Errorf("answer %+v", res)
		}
		ended <- err
	}()
	return ended
}

func wait[T any](t *testing.T, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
	return v
}

// What is in flight at SIGTERM is answered, and only then the process ends.
func TestRunDrains(t *testing.T) {
	s := newSite(t)
	held, let := hold(t, s.cluster)
	c := start(t, "run", "--config", s.path)
	c.says("serving")
	answered := askOffsets(t, s.client(t))
	wait(t, held, "the request at the broker")
	c.signal(syscall.SIGTERM)
	c.says("draining")
	let()
	if err := wait(t, answered, "the answer"); err != nil {
		t.Errorf("what was in flight: %v", err)
	}
	if cut := c.says("stopped")["connections_cut"]; cut != 0.0 {
		t.Errorf("%v connections were cut", cut)
	}
	if code, stderr := c.exits(); code != 0 {
		t.Errorf("exit %d:\n%s", code, stderr)
	}
}

// A second SIGTERM or SIGINT does not wait; a SIGHUP meanwhile changes nothing.
func TestRunStopsAtOnce(t *testing.T) {
	s := newSite(t)
	held, _ := hold(t, s.cluster)
	c := start(t, "run", "--config", s.path)
	c.says("serving")
	askOffsets(t, s.client(t))
	wait(t, held, "the request at the broker")
	c.signal(syscall.SIGTERM)
	c.says("draining")
	c.signal(syscall.SIGHUP)
	select {
	case line := <-c.lines:
		t.Errorf("did not wait for the answer after SIGHUP: %s", line)
	case <-time.After(100 * time.Millisecond):
	}
	c.signal(syscall.SIGINT)
	if cut := c.says("stopped")["connections_cut"]; cut == 0.0 {
		t.Error("no connection was cut")
	}
	if code, stderr := c.exits(); code != 0 {
		t.Errorf("exit %d:\n%s", code, stderr)
	}
}

// However many SIGHUPs wait behind a reload, the SIGTERM after them is not lost. The
// reload is slow because its file is a pipe that has no writer yet.
func TestRunStopsAfterManyReloads(t *testing.T) {
	s := newSite(t)
	c := start(t, "run", "--config", s.path)
	c.says("policy applied")
	c.says("serving")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pipe, s.path); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		c.signal(syscall.SIGHUP)
		time.Sleep(20 * time.Millisecond) // signals that come together count as one
	}
	c.signal(syscall.SIGTERM)
	time.Sleep(20 * time.Millisecond)
	// Each reload that waits for the file gets it: the one that runs, and the one that
	// may come between it and the end.
	go func() {
		for t.Context().Err() == nil {
			f, err := os.OpenFile(s.path, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails without a reader
			if err == nil {
				_, _ = f.WriteString(s.policy)
				_ = f.Close()
			}
			time.Sleep(100 * time.Millisecond) // the reader must see the end of the file
		}
	}()
	c.says("policy applied")
	c.says("draining")
	c.says("stopped")
	if code, stderr := c.exits(); code != 0 {
		t.Errorf("exit %d:\n%s", code, stderr)
	}
}

func TestRunAddressInUse(t *testing.T) {
	for _, which := range []string{"listener", "admin"} {
		s := newSite(t)
		address, want := s.bootstrap, "sluice: cannot start: "
		if which == "admin" {
			address, want = s.admin, "sluice: admin.address: "
		}
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		code, stderr := start(t, "run", "--config", s.path).exits()
		_, last, _ := strings.Cut(stderr, want)
		if code != exitFailed || !strings.Contains(last, address) || !strings.Contains(last, "address already in use") {
			t.Errorf("%s: exit %d, want %d and %q with %s:\n%s", which, code, exitFailed, want, address, stderr)
		}
	}
}
