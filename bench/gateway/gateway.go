package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/bench/kafka"
)

const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 40 * time.Second
)

// Gateway is a running sluice process.
type Gateway struct {
	// Address is its bootstrap address, Admin that of metrics and health.
	Address, Admin string
	// Path is its policy file.
	Path string

	tb      testing.TB
	options Options
	brokers []*kafka.Broker
	ports   int // the first of those in use
	command *exec.Cmd
	exited  chan struct{}
	log     syncBuffer
}

// sliceNames are those of the slices, in the order of the brokers.
var sliceNames = []string{"orders", "clicks"}

var build struct {
	sync.Once
	path string
	err  error
}

// executable builds cmd/sluice once for the test process.
func executable(tb testing.TB) string {
	tb.Helper()
	build.Do(func() {
		dir, err := os.MkdirTemp("", "sluice-bench-") //nolint:usetesting // it outlives the test that is first to want it
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "sluice")
		out, err := exec.CommandContext(context.Background(), "go", "build", "-o", build.path, "sluice/cmd/sluice").CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		tb.Fatal(build.err)
	}
	return build.path
}

// Options are what the policy file says. Lines of YAML stand without indentation.
type Options struct {
	// Settings are what stands in the gateway block, Tenants the text from "tenants:" on.
	Settings, Tenants string
	// Servers are bootstrap servers of the slices in place of the brokers' plain
	// addresses, and Slices further lines of each.
	Servers, Slices []string
	// Listener has further lines of the listener.
	Listener string
	// Env is what the process has in its environment beside the test's own.
	Env []string
	// Unready: its slices cannot be reached, and StartWith does not wait for them.
	Unready bool
}

// Start runs a gateway in front of one or two brokers, whose slices are called
// orders and clicks, and stops it when the test ends. tenants is the file's text
// from "tenants:" on; settings is what stands in its gateway block.
func Start(tb testing.TB, settings, tenants string, brokers ...*kafka.Broker) *Gateway {
	tb.Helper()
	return StartWith(tb, Options{Settings: settings, Tenants: tenants}, brokers...)
}

// StartWith is Start for those who say more.
func StartWith(tb testing.TB, o Options, brokers ...*kafka.Broker) *Gateway {
	tb.Helper()
	g := &Gateway{tb: tb, options: o, brokers: brokers, Path: filepath.Join(tb.TempDir(), "sluice.yaml")}
	first, err := freePorts(2 + 4*len(brokers))
	if err != nil {
		tb.Fatal(err)
	}
	g.ports = first
	g.Address, g.Admin = loopback(first), loopback(first+1)
	g.Write(o.Settings, o.Tenants)
	g.Run()
	tb.Cleanup(func() {
		g.Stop()
		if tb.Failed() {
			tb.Logf("the end of the gateway's log:\n%s", tail(g.Log(), 40))
		}
	})
	return g
}

// Run starts the process, again after [Gateway.Stop] or [Gateway.Kill], with the file as
// it is now, and waits until its slices can be reached.
func (g *Gateway) Run() {
	g.tb.Helper()
	g.command = exec.CommandContext(context.Background(), executable(g.tb), "run", "--config", g.Path) //nolint:gosec // our own binary
	g.command.Env = append(os.Environ(), g.options.Env...)
	g.command.Stderr, g.command.Stdout = &g.log, &g.log
	if err := g.command.Start(); err != nil {
		g.tb.Fatal(err)
	}
	exited, command := make(chan struct{}), g.command
	g.exited = exited
	go func() { defer close(exited); _ = command.Wait() }()
	if !g.options.Unready {
		g.Ready(len(g.brokers))
	}
}

// Kill ends the process at once, as a crash does.
func (g *Gateway) Kill() {
	_ = g.command.Process.Kill() // an error means that it has ended
	<-g.exited
}

// Write writes the policy file; [Gateway.Reload] applies it.
func (g *Gateway) Write(settings, tenants string) {
	g.tb.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "admin:\n  address: %s\n  pprof: true\ngateway: {%s}\nclient_ids:\n  pattern: \"{team}.{app}\"\n  unmatched: refuse\nslices:\n", g.Admin, settings)
	for i, k := range g.brokers {
		server := k.Address
		if i < len(g.options.Servers) {
			server = g.options.Servers[i]
		}
		fmt.Fprintf(&b, "  - name: %s\n    slot: %d\n    bootstrap_servers: [%s]\n", sliceNames[i], i, server)
		if i < len(g.options.Slices) {
			b.WriteString(indented(g.options.Slices[i]))
		}
	}
	fmt.Fprintf(&b, "listeners:\n  - name: edge\n    address: %s\n    advertised_host: 127.0.0.1\n%s    broker_ports:\n", g.Address, indented(g.options.Listener))
	for i := range g.brokers {
		at := g.ports + 2 + 4*i
		fmt.Fprintf(&b, "      %s: {nodes: 1-4, ports: %d-%d}\n", sliceNames[i], at, at+3)
	}
	b.WriteString(tenants)
	if err := os.WriteFile(g.Path, []byte(b.String()), 0o600); err != nil {
		g.tb.Fatal(err)
	}
}

// indented are lines within an item of a list.
func indented(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// Ready waits until so many slices can be reached.
func (g *Gateway) Ready(slices int) {
	g.tb.Helper()
	deadline := time.Now().Add(readyTimeout)
	for {
		status, body, err := g.Get("/readyz")
		if err == nil && status == http.StatusOK && strings.Count(body, ": reachable") >= slices {
			return
		}
		select {
		case <-g.exited:
			g.tb.Fatalf("the gateway ended:\n%s", g.Log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			g.tb.Fatalf("the gateway is not ready: %v %d %s\n%s", err, status, body, g.Log())
		}
	}
}

// Get asks the admin server.
func (g *Gateway) Get(path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Admin+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Metric is the sum of a metric over all series with these labels, given as
// pairs of name and value.
func (g *Gateway) Metric(name string, labels ...string) float64 {
	g.tb.Helper()
	_, body, err := g.Get("/metrics")
	if err != nil {
		g.tb.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		g.tb.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		if has(m, labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func has(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// Reload sends SIGHUP and waits until the file has been read.
func (g *Gateway) Reload() {
	g.tb.Helper()
	before := strings.Count(g.Log(), "policy applied") + strings.Count(g.Log(), "was not applied")
	g.Signal(syscall.SIGHUP)
	deadline := time.Now().Add(10 * time.Second)
	for strings.Count(g.Log(), "policy applied")+strings.Count(g.Log(), "was not applied") == before {
		if time.Now().After(deadline) {
			g.tb.Fatal("the gateway did not reload")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Signal sends the process a signal.
func (g *Gateway) Signal(s syscall.Signal) {
	g.tb.Helper()
	if err := g.command.Process.Signal(s); err != nil {
		g.tb.Fatal(err)
	}
}

// Stop ends the process with SIGTERM and returns its exit code.
func (g *Gateway) Stop() int {
	_ = g.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.exited:
	case <-time.After(stopTimeout):
		_ = g.command.Process.Kill()
		<-g.exited
	}
	return g.command.ProcessState.ExitCode()
}

// Log is what the process has logged so far.
func (g *Gateway) Log() string { return g.log.String() }

// RSS is the process's resident memory in bytes.
func (g *Gateway) RSS() int64 { return g.status("VmRSS:") }

// PeakRSS is the most it has been.
func (g *Gateway) PeakRSS() int64 { return g.status("VmHWM:") }

func (g *Gateway) status(field string) int64 {
	g.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.command.Process.Pid))
	if err != nil {
		g.tb.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				g.tb.Fatal(err)
			}
			return kb << 10
		}
	}
	g.tb.Fatalf("no %s in /proc", field)
	return 0
}

// CPU is the processor time that the process has used.
func (g *Gateway) CPU() time.Duration {
	g.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.command.Process.Pid))
	if err != nil {
		g.tb.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name before may hold spaces
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	const ticks = 100 // USER_HZ, the same on all Linux that Go runs on
	return time.Duration(user+system) * time.Second / ticks
}

// Ports are taken from below those that the system gives to outgoing connections, which
// hold them for a minute after they are closed.
const firstPort, lastPort = 12000, 32000

// freePorts finds n free ports in a row.
func freePorts(n int) (int, error) {
	for range 500 {
		first := firstPort + rand.IntN(lastPort-firstPort-n)
		free := true
		for i := 0; free && i < n; i++ {
			l, err := net.Listen("tcp", loopback(first+i)) //nolint:noctx // it opens at once or fails
			if free = err == nil; free {
				_ = l.Close()
			}
		}
		if free {
			return first, nil
		}
	}
	return 0, errors.New("no free ports")
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// syncBuffer is a buffer that one goroutine writes and others read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
