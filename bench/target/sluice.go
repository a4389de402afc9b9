package target

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ClientID is the client ID of the bench, which the policies know.
const ClientID = "bench.load.prod"

// head is what both policies have in common. Node 1 is the broker.
const head = `admin:
  address: %s
  pprof: true
client_ids:
  pattern: "{team}.{app}.{env}"
  unmatched: refuse
slices:
  - name: orders
    slot: 0
    bootstrap_servers: [%s]
%slisteners:
  - name: edge
    address: %s
    advertised_host: 127.0.0.1
    broker_ports:
      orders: {nodes: 1-2, ports: %d-%d}
`

// openTenants is one tenant that may do everything and is held to nothing.
const openTenants = `tenants:
  - name: bench
    client_ids: {team: bench}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

// sliceLimits, and those of fullTenants, are far above what a machine can do.
const sliceLimits = "    limits: {producer_byte_rate: 900GiB, consumer_byte_rate: 900GiB}\n"

const fullDefaults = `defaults:
  limits: {request_rate: 50000000, connections: 10000}
  limits_per_client_id: {producer_byte_rate: 400GiB, consumer_byte_rate: 400GiB, request_rate: 40000000}
  rules:
    - {allow: [DESCRIBE], topics: ["shared.*"]}
    - {deny: [WRITE], topics: ["*.audit"]}
`

const fullTenant = `  - name: %[1]s
    client_ids: {team: %[1]s}
    home: orders
    limits: {producer_byte_rate: 500GiB, consumer_byte_rate: 500GiB}
    rules:
      - {allow: [READ], topics: ["shared.*"]}
      - {allow: [READ, WRITE, CREATE], topics: ["%[1]s.*"]}
      - {allow: [READ], groups: ["%[1]s.*"]}
      - {allow: [WRITE, DESCRIBE], transactional_ids: ["%[1]s.*"]}
      - {deny: [WRITE], topics: ["%[1]s.locked.*"]}
`

// tenants is how many the full policy has; the bench's is in the middle.
const tenants = 50

func fullTenants() string {
	var b strings.Builder
	b.WriteString(fullDefaults + "tenants:\n")
	for i := range tenants {
		name := fmt.Sprintf("team%03d", i)
		if i == tenants/2 {
			name = "bench"
		}
		fmt.Fprintf(&b, fullTenant, name)
	}
	return b.String()
}

// withTLS ends a listener.
const withTLS = "    tls: {certificate: %s, key: %s}\n"

func policyText(admin, broker, bootstrap string, firstPort int, full bool, own *Certificate) string {
	limits, rest := "", openTenants
	if full {
		limits, rest = sliceLimits, fullTenants()
	}
	if own != nil {
		rest = fmt.Sprintf(withTLS, own.File, own.KeyFile) + rest
	}
	return fmt.Sprintf(head, admin, broker, limits, bootstrap, firstPort, firstPort+1) + rest
}

// Build builds the sluice binary of the checkout in dir, as `make build` does.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "sluice")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "sluice/cmd/sluice")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Sluice starts a sluice binary in front of a broker. full is a policy with fifty
// tenants, rules, and limits at every level that are not reached; else there is one
// tenant that may do everything. With a certificate, clients speak TLS to it, and it
// speaks plain text to the broker.
func Sluice(dir, name, binary, broker string, full bool, own *Certificate) (*Target, error) {
	port, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	t := &Target{Name: name, Bootstrap: loopback(port), Admin: loopback(port + 1), Address: loopback(port + 2)}
	if own != nil {
		t.CA = own.PEM
	}
	path, err := write(dir, fmt.Sprintf("sluice-%d.yaml", port), policyText(t.Admin, broker, t.Bootstrap, port+2, full, own))
	if err != nil {
		return nil, err
	}
	if t.child, err = start(binary, "run", "--config", path); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t.PID = t.child.cmd.Process.Pid
	if err := t.child.ready(t.ready); err != nil {
		t.Stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

// Profile reads a CPU profile of Sluice, over so many seconds from now on.
func (t *Target) Profile(ctx context.Context, seconds int) ([]byte, error) {
	status, body, err := t.ask(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("profile of %s: %d %s", t.Name, status, body)
	}
	return []byte(body), err
}

func (t *Target) ready() error {
	status, body, err := t.get("/readyz")
	if err == nil && (status != http.StatusOK || !strings.Contains(body, ": reachable")) {
		err = fmt.Errorf("/readyz: %d %s", status, body)
	}
	return err
}

func (t *Target) get(path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return t.ask(ctx, path)
}

func (t *Target) ask(ctx context.Context, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Admin+path, http.NoBody)
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

// Bytes are Sluice's own counters sluice_bytes_total: of Produce requests, and of
// answers to Fetch.
func (t *Target) Bytes() (in, out int64, err error) {
	_, body, err := t.get("/metrics")
	if err != nil {
		return 0, 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		return 0, 0, fmt.Errorf("metrics of %s: %w", t.Name, err)
	}
	for _, m := range families["sluice_bytes_total"].GetMetric() {
		switch direction(m) {
		case "in":
			in += int64(m.GetCounter().GetValue())
		case "out":
			out += int64(m.GetCounter().GetValue())
		}
	}
	return in, out, nil
}

func direction(m *dto.Metric) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == "direction" {
			return l.GetValue()
		}
	}
	return ""
}
