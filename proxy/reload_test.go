package proxy

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// get asks the admin server and returns status and body.
func (r *rig) get(path string) (int, string) {
	w := httptest.NewRecorder()
	r.Admin().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// attempt writes a changed file and reloads; the file is put back.
func (r *rig) attempt(part, by string) string {
	r.t.Helper()
	was, err := os.ReadFile(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.Contains(string(was), part) {
		r.t.Fatalf("the file has no %q", part)
	}
	defer func() { _ = os.WriteFile(r.path, was, 0o600) }()
	if err := os.WriteFile(r.path, []byte(strings.Replace(string(was), part, by, 1)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	problems := r.Reload()
	if !problems.Failed() {
		r.t.Errorf("%q was taken", by)
	}
	var text []string
	for _, p := range problems {
		text = append(text, p.String())
	}
	return strings.Join(text, "\n")
}

func TestBadFileChangesNothing(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "max_throttle: 8s", openTenant, cluster)
	c := r.raw("payments.app", "")
	c.ask(metadataReq(9, "payments.a"))
	eventually(t, 5*time.Second, "it is ready", func() bool { status, _ := r.get("/readyz"); return status == 200 })
	snap := r.snapshot.Load()
	for _, k := range []struct{ part, by, want string }{
		{"home: orders\n", "home: nowhere\n", "nowhere"},
		{"home: orders\n", "home: orders\n    limits: {producer_byte_rate: 5 bananas}\n", "bananas"},
		{"tenants:\n", "tenants:\n  - [\n", "sluice.yaml:"},
		{"max_throttle: 8s", "max_throttle: 7s", "max_throttle"},
		{"max_throttle: 8s", "max_throttle: 8s, idle_timeout: 1m", "idle_timeout"},
		{"admin: {address: 127.0.0.1:0}", "admin: {address: 127.0.0.1:1}", "admin"},
		{"address: " + r.bootstrap, "address: 127.0.0.1:1", "listener edge"},
		{"- name: edge", "- name: other", "listener"},
		{"slot: 0", "slot: 5", "slot"},
	} {
		text := r.attempt(k.part, k.by)
		if !strings.Contains(text, k.want) {
			t.Errorf("%q: the problems do not name %q:\n%s", k.by, k.want, text)
		}
		if first := strings.TrimPrefix(text, r.path+":"); first == text || first[0] < '1' || first[0] > '9' {
			t.Errorf("%q: no position: %s", k.by, text)
		}
		if r.snapshot.Load() != snap {
			t.Fatalf("%q: the policy changed", k.by)
		}
		if r.metric("config_last_reload_successful") != 0 {
			t.Errorf("%q: the metric says success", k.by)
		}
		status, body := r.get("/readyz")
		if status != 200 || !strings.Contains(body, "last reload: refused") || !strings.Contains(body, k.want) {
			t.Errorf("%q: /readyz %d:\n%s", k.by, status, body)
		}
		c.ask(metadataReq(9, "payments.a"))
	}
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	if _, body := r.get("/readyz"); r.metric("config_last_reload_successful") != 1 || !strings.Contains(body, "last reload: applied") {
		t.Errorf("after a good one: %s", body)
	}
}

// A hundred reloads under load: nobody notices.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, "", ruledTenant, cluster)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var produced, consumed atomic.Int64
	var failed atomic.Pointer[error]
	stop := make(chan struct{})
	var work sync.WaitGroup
	p := r.client("payments.app", kgo.AllowAutoTopicCreation())
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := p.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: make([]byte, 100)}).FirstErr(); err != nil {
				failed.Store(&err)
				return
			}
			produced.Add(1)
		}
	})
	c := r.client("payments.reader", kgo.ConsumeTopics("payments.a"), kgo.ConsumerGroup("payments.g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consumer, done := context.WithCancel(ctx)
	work.Go(func() {
		for consumer.Err() == nil {
			fs := c.PollFetches(consumer)
			if err := fs.Err(); err != nil && !errors.Is(err, context.Canceled) {
				failed.Store(&err)
				return
			}
			consumed.Add(int64(fs.NumRecords()))
		}
	})
	eventually(t, 10*time.Second, "there is load", func() bool { return consumed.Load() > 20 })
	was := produced.Load()
	for i := 0; i < 100 || produced.Load() < was+50 && ctx.Err() == nil; i++ {
		// Each is another policy: limits come and go, and so does a rule.
		tenants := ruledTenant
		if i%2 == 0 {
			tenants += "      - {allow: [READ], topics: [\"extra.*\"]}\n    limits: {producer_byte_rate: 100MiB, request_rate: 100000}\n"
		}
		r.write("", tenants)
		if p := r.Reload(); p.Failed() {
			t.Fatal(p)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if produced.Load() < was+50 {
		t.Errorf("only %d records meanwhile: it proves nothing", produced.Load()-was)
	}
	if n := tap.dropped(); n > 0 {
		t.Errorf("%d connections to the brokers were dropped", n)
	}
	close(stop)
	eventually(t, 10*time.Second, "all that was produced is consumed", func() bool {
		return consumed.Load() == produced.Load() || failed.Load() != nil
	})
	done()
	work.Wait()
	if err := failed.Load(); err != nil {
		t.Errorf("a client saw: %v", *err)
	}
	if got := r.metric("refused_connections_total"); got != 0 {
		t.Errorf("%v connections were closed", got)
	}
}

// A level in debt stays in debt, and new limits hold for connections that are open.
func TestReloadAndBuckets(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant+"    limits: {producer_byte_rate: 50kB, burst: 100ms}\n", cluster)
	c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	c.ask(produceReq(9, 1, 50_000, "payments.a")) // takes a turn; in debt by about a second
	for range 5 {
		r.write("", openTenant+"    limits: {producer_byte_rate: 50kB, burst: 100ms, request_rate: 1000}\n")
		if p := r.Reload(); p.Failed() {
			t.Fatal(p)
		}
	}
	began := time.Now()
	c.ask(produceReq(9, 1, 50_000, "payments.a"))
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("after reloads 50 kB at 50 kB/s took %v", took)
	}
	r.write("", openTenant)
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	if took := c.timed(produceReq(9, 1, 200_000, "payments.a")); took > 500*time.Millisecond {
		t.Errorf("without a limit it took %v", took)
	}
	r.write("", openTenant+"    limits: {request_rate: 2, burst: 500ms}\n")
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	began = time.Now()
	for range 3 {
		c.ask(metadataReq(9, "payments.a"))
	}
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("three requests at two per second took %v", took)
	}
}

func TestTenantRemoved(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, "", twoTenants, cluster)
	c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	c.ask(produceReq(9, 1, 10, "payments.a"))
	all := strings.Replace(openTenant, "payments", "others", 2)
	r.write("", all)
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	if got := produced(c.ask(produceReq(9, 1, 10, "payments.a")))["payments.a"]; got != 44 {
		t.Errorf("a removed tenant's Produce: error %d, want 44", got)
	}
	if r.metric("connections", "tenant", unmatched) != 1 || r.metric("connections", "tenant", "payments") != 0 {
		t.Error("its connection is counted as another's")
	}
	before := len(tap.requests("payments.app"))
	// It comes back, on the same connection.
	r.write("", twoTenants)
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	if got := produced(c.ask(produceReq(9, 1, 10, "payments.a")))["payments.a"]; got != 0 {
		t.Errorf("back again: error %d", got)
	}
	if got := len(tap.requests("payments.app")); got != before+1 || len(tap.connections("payments.app")) != 1 {
		t.Errorf("%d requests on %d connections", got, len(tap.connections("payments.app")))
	}
	// A real client gets an error by name while it is gone.
	p := r.client("payments.app")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rec := func() error { return p.ProduceSync(ctx, &kgo.Record{Topic: "payments.a"}).FirstErr() }
	if err := rec(); err != nil {
		t.Fatal(err)
	}
	r.write("", all)
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	if err := rec(); !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("the client saw %v", err)
	}
}

// A tenant that moves is led to its new home, and to no other.
func TestTenantMoved(t *testing.T) {
	t.Parallel()
	a, tapA := tappedCluster(t, "payments.a")
	b, tapB := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, a, b)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// Topics have other ids there, which franz-go does not take for the same topic:
	// by name it goes on.
	p := r.client("payments.app", kgo.MetadataMinAge(100*time.Millisecond), kgo.MaxVersions(kversion.V2_7_0()))
	for range 5 {
		if err := p.ProduceSync(ctx, &kgo.Record{Topic: "payments.a"}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c := r.raw("payments.raw", "")
	c.ask(metadataReq(9, "payments.a"))
	// In between it is nobody's: that must not make its old connection a new home's.
	gone := r.raw("payments.gone", "")
	gone.ask(metadataReq(9, "payments.a"))
	r.write("", strings.Replace(openTenant, "payments", "others", 2))
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	gone.ask(metadataReq(9, "payments.a"))
	old := len(tapA.requests("payments.app")) + len(tapA.requests("payments.gone"))
	r.write("", strings.Replace(openTenant, "home: orders", "home: clicks", 1))
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	for _, c := range []*raw{c, gone} { // they stay open, and are sent to the new home
		m := metadataOf(c.ask(metadataReq(9, "payments.a")))
		if len(m.Brokers) != 2 || m.Brokers[0].NodeID>>20 != 1 || m.Topics[0].ErrorCode != 0 || m.Topics[0].Partitions[0].Leader>>20 != 1 {
			t.Errorf("metadata: %+v", m)
		}
		if got := c.ask(produceReq(9, 1, 100, "payments.a")).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; got != kerr.NotLeaderForPartition.Code {
			t.Errorf("Produce: error %d", got)
		}
	}
	if got := r.metric("refused_connections_total", "reason", reasonMoved); got != 0 {
		t.Errorf("%v connections were closed", got)
	}
	for range 5 {
		if err := p.ProduceSync(ctx, &kgo.Record{Topic: "payments.a"}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if len(tapB.requests("payments.app", 0)) == 0 {
		t.Error("nothing was produced at the new home")
	}
	if now := len(tapA.requests("payments.app")) + len(tapA.requests("payments.gone")); now != old {
		t.Errorf("%d requests still went to the old home", now-old)
	}
}

func TestPortsComeAndGo(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, cluster)
	open := func(node int32) bool {
		c, err := net.Dial("tcp", r.brokerPort(0, node))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	kept := r.raw("payments.app", r.brokerPort(0, 0))
	kept.ask(metadataReq(9, "payments.a"))
	whole := "nodes: 0-3, ports: " + itoa(r.base+1) + "-" + itoa(r.base+4)
	part := "nodes: 0-1, ports: " + itoa(r.base+1) + "-" + itoa(r.base+2)
	r.rewrite(whole, part)
	if !open(1) || open(2) || open(3) {
		t.Errorf("ports open after some were removed: %v %v %v", open(1), open(2), open(3))
	}
	r.rewrite(part, whole)
	if !open(1) || !open(2) || !open(3) {
		t.Errorf("ports open after they came back: %v %v %v", open(1), open(2), open(3))
	}
	kept.ask(metadataReq(9, "payments.a"))
	// One that is taken: nothing changes.
	r.rewrite(whole, part)
	taken, err := net.Listen("tcp", r.brokerPort(0, 3))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if text := r.attempt(part, whole); !strings.Contains(text, itoa(r.base+4)) {
		t.Errorf("the problem does not name the port: %s", text)
	}
	if !open(1) || open(2) {
		t.Error("a reload that failed opened or closed a port")
	}
	kept.ask(&kmsg.MetadataRequest{Version: 9})
}
