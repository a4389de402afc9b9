package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/bench/kafka"
	"sluice/proxy/policy"
)

// brokerSecret is the gateway's password at brokers; nothing may ever tell it.
const brokerSecret = "open-sesame-42"

// secureRig is a gateway in front of a cluster that asks for something; security is
// what the slice says beside its servers, a line each.
func secureRig(t testing.TB, security string, cluster *kfake.Cluster) *rig {
	t.Helper()
	r := &rig{t: t, clusters: []*kfake.Cluster{cluster}, base: freePorts(t, 5)}
	r.path = filepath.Join(t.TempDir(), "sluice.yaml")
	r.bootstrap = fmt.Sprintf("127.0.0.1:%d", r.base)
	r.write("", openTenant)
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), "listeners:\n")
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(security), "\n", "\n    ") + "\n"
	if err := os.WriteFile(r.path, []byte(string(text[:at])+indented+string(text[at:])), 0o600); err != nil {
		t.Fatal(err)
	}
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatalf("policy: %v", problems)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	r.logs = logs
	if r.Gateway, err = Start(p, Options{Path: r.path, Log: zap.New(core), RefreshEvery: 200 * time.Millisecond, FollowEvery: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Drain(canceled())
		r.tellsNoSecret(brokerSecret)
	})
	return r
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// tellsNoSecret looks at all that the gateway shows.
func (r *rig) tellsNoSecret(secret string) {
	r.t.Helper()
	_, ready := r.get("/readyz")
	_, metrics := r.get("/metrics")
	var log strings.Builder
	for _, e := range r.logs.All() {
		fmt.Fprintf(&log, "%s %v\n", e.Message, e.ContextMap())
	}
	for where, text := range map[string]string{"/readyz": ready, "/metrics": metrics, "log": log.String()} {
		if strings.Contains(text, secret) {
			r.t.Errorf("%s tells the secret: %s", where, text)
		}
	}
}

// passwordFile holds the gateway's password.
func passwordFile(t testing.TB, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func scramUser() kfake.Opt { return kfake.Superuser("SCRAM-SHA-256", "sluice", brokerSecret) }

func sessions(of string) kfake.Opt {
	return kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": of})
}

func scramSlice(file string) string {
	return fmt.Sprintf("sasl: {mechanism: SCRAM-SHA-256, username: sluice, password: {file: %s}}", file)
}

// tlsCluster is a fake cluster with TLS and SCRAM.
func tlsCluster(t testing.TB, a *kafka.Authority, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	config := a.TLS(t, a.Issue(t, "broker", pkix.Name{CommonName: "broker"}))
	config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, config.RootCAs
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(2), kfake.SeedTopics(4, "payments.a"), kfake.TLS(config), kfake.EnableSASL(), scramUser())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// talk produces n records and reads them again.
func talk(t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range n {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
	for got := 0; got < n; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("fetch: %v", err)
		}
		got += fetches.NumRecords()
	}
}

// A client without TLS and SASL reaches brokers that ask for both.
func TestBrokersWithTLSAndSASL(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := secureRig(t, fmt.Sprintf("tls: {ca: %s}\n%s", a.CAFile, scramSlice(passwordFile(t, brokerSecret))), tlsCluster(t, a))
	talk(t, r.client("payments.app", kgo.ConsumeTopics("payments.a")), 100)
	if got := r.metric("broker_logins_total", "slice", "orders", "outcome", "ok"); got < 2 {
		t.Errorf("%v logins", got)
	}
	if status, body := r.get("/readyz"); status != 200 {
		t.Errorf("/readyz %d: %s", status, body)
	}
}

// Wrong credentials end the client's connection with a reason, and /readyz says so.
func TestBrokerRefusesTheLogin(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedClusterWith(t, kfake.SeedTopics(4, "payments.a"), kfake.EnableSASL(), scramUser())
	file := passwordFile(t, brokerSecret)
	r := secureRig(t, scramSlice(file), cluster)
	c := r.raw("payments.app", r.brokerPort(0, 0))
	c.ask(metadataReq(9, "payments.a"))
	if err := os.WriteFile(file, []byte(brokerSecret+"!"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = r.raw("payments.app", r.brokerPort(0, 0))
	c.send(metadataReq(9, "payments.a"))
	if took := c.ended(10 * time.Second); took < holdBrief-100*time.Millisecond {
		t.Errorf("held for %v", took)
	}
	if got := r.metric("refused_connections_total", "reason", reasonBrokerLogin); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if got := r.metric("broker_logins_total", "slice", "orders", "outcome", "failed"); got != 1 {
		t.Errorf("%v failed logins", got)
	}
	if r.lines("the gateway cannot log in at a broker", map[string]string{"slice": "orders"}) != 1 {
		t.Error("no line in the log")
	}
}

// pipelined keeps several requests in flight for a while and expects their answers in
// order. It returns how many there were.
func pipelined(t *testing.T, c *raw, d time.Duration) (n int) {
	t.Helper()
	const inFlight = 5
	var expect []int32
	for end := time.Now().Add(d); time.Now().Before(end) || len(expect) > 0; {
		for len(expect) < inFlight && time.Now().Before(end) {
			if n++; n%3 == 0 {
				c.send(metadataReq(9, "payments.a"))
			} else {
				c.send(produceReq(9, 1, 1000, "payments.a"))
			}
			expect = append(expect, c.next)
		}
		correlation, _, err := c.recv()
		if err != nil || correlation != expect[0] {
			t.Fatalf("answer to %d, want %d: %v", correlation, expect[0], err)
		}
		expect = expect[1:]
	}
	return n
}

// A login is renewed between two requests of a busy client, on a loop and in
// goroutines, and the client sees nothing of it.
func TestLoginIsRenewed(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	for name, overTLS := range map[string]bool{"in goroutines": true, "on a loop": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			security := scramSlice(passwordFile(t, brokerSecret))
			var cluster *kfake.Cluster
			var tp *tap
			if overTLS {
				cluster = tlsCluster(t, a, sessions("300"))
				security += fmt.Sprintf("\ntls: {ca: %s}", a.CAFile)
			} else {
				cluster, tp = tappedClusterWith(t, kfake.SeedTopics(4, "payments.a"), kfake.EnableSASL(), scramUser(), sessions("300"))
			}
			r := secureRig(t, security, cluster)
			c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
			c.ask(metadataReq(9, "payments.a"))
			requests := pipelined(t, c, 2*time.Second)
			if logins := r.metric("broker_logins_total", "slice", "orders", "outcome", "ok"); logins < 4 {
				t.Errorf("%v logins in 2 s of sessions of 0.3 s", logins)
			}
			t.Logf("%d requests", requests)
			if tp != nil {
				renewalsAreWhole(t, tp)
			}
		})
	}
}

// renewalsAreWhole expects nothing of the client within a login, and correlation ids
// that clients do not use.
func renewalsAreWhole(t *testing.T, tp *tap) {
	t.Helper()
	tp.mu.Lock()
	defer tp.mu.Unlock()
	renewals := 0
	for _, conn := range tp.conns {
		var keys []int16
		ours := false
		for _, s := range conn.sent {
			sasl := s.Key == kmsg.SASLHandshake.Int16() || s.Key == kmsg.SASLAuthenticate.Int16()
			if sasl && s.ClientID == "sluice" && s.CorrelationID >= 1<<31-8 {
				ours = true
			}
			switch {
			case sasl:
				keys = append(keys, s.Key)
			case ours && len(keys)%3 != 0:
				t.Errorf("%s within a login: %v", s.ClientID, keys)
			}
		}
		if ours {
			renewals += len(keys)/3 - 1
		}
	}
	if renewals < 3 {
		t.Errorf("%d renewals", renewals)
	}
}

// A renewal waits behind what the broker takes long to answer, and is none of the
// client's business.
func TestRenewalBehindALongPoll(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedClusterWith(t, kfake.SeedTopics(1, "payments.a"), kfake.EnableSASL(), scramUser(), sessions("200"))
	r := secureRig(t, scramSlice(passwordFile(t, brokerSecret)), cluster)
	c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	c.ask(metadataReq(9, "payments.a"))
	poll := fetchReq(11, 0, "payments.a")
	poll.MaxWaitMillis, poll.MinBytes = 700, 1
	c.send(poll)
	time.Sleep(250 * time.Millisecond)
	c.send(metadataReq(9, "payments.a"))
	for want := c.next - 1; want <= c.next; want++ {
		if correlation, _, err := c.recv(); err != nil || correlation != want {
			t.Fatalf("answer to %d, want %d: %v", correlation, want, err)
		}
	}
	if logins := r.metric("broker_logins_total", "slice", "orders", "outcome", "ok"); logins != 2 {
		t.Errorf("%v logins", logins)
	}
}

// A login that cannot be renewed ends the connection and says why.
func TestRenewalFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, file string, tp *tap)
		reason string
	}{
		"the secret is gone": {func(t *testing.T, file string, _ *tap) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}, reasonBrokerLogin},
		"another password": {func(t *testing.T, file string, _ *tap) {
			if err := os.WriteFile(file, []byte(brokerSecret+"!"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, reasonBrokerClosed}, // kfake says no by closing
		"an answer that is none": {func(_ *testing.T, _ string, tp *tap) {
			tp.spoil(1<<31-8, []byte{0, 0, 0, 5, 0x7f, 0xff, 0xff, 0xf8, 9})
		}, reasonBrokerLogin},
		"an answer too large": {func(_ *testing.T, _ string, tp *tap) {
			big := make([]byte, 100_000)
			binary.BigEndian.PutUint32(big, uint32(len(big)-4))
			binary.BigEndian.PutUint32(big[4:], 1<<31-8)
			tp.spoil(1<<31-8, big)
		}, reasonBrokerAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, tp := tappedClusterWith(t, kfake.SeedTopics(1, "payments.a"), kfake.EnableSASL(), scramUser(), sessions("300"))
			file := passwordFile(t, brokerSecret)
			r := secureRig(t, scramSlice(file), cluster)
			client := r.raw("payments.app", r.brokerPort(0, 0))
			client.ask(metadataReq(9, "payments.a"))
			c.spoil(t, file, tp)
			time.Sleep(300 * time.Millisecond)
			client.send(metadataReq(9, "payments.a"))
			client.ended(10 * time.Second)
			if got := r.metric("refused_connections_total", "reason", c.reason); got != 1 {
				t.Errorf("%s counted %v times", c.reason, got)
			}
		})
	}
}

// spoil has the next answer with a correlation id, over a client's connection, be
// another one.
func (t *tap) spoil(correlation uint32, instead []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spoilt, t.spoiltBy = correlation, instead
}

// Certificates of brokers and of the gateway change under load, with no error.
func TestRotationOut(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	pair := a.Issue(t, "sluice", pkix.Name{CommonName: "sluice"})
	security := fmt.Sprintf("tls: {ca: %s, certificate: %s, key: %s}\n%s", a.CAFile, pair.Certificate, pair.Key, scramSlice(passwordFile(t, brokerSecret)))
	cluster := tlsCluster(t, a)
	r := secureRig(t, security, cluster)
	const rotations = 50
	for i := range rotations {
		a.Issue(t, "sluice", pkix.Name{CommonName: fmt.Sprintf("sluice %d", i)})
		conn := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
		conn.ask(produceReq(9, 1, 1000, "payments.a"))
		conn.Close()
		if i%10 == 0 {
			if problems := r.Reload(); problems.Failed() {
				t.Fatal(problems)
			}
		}
	}
	eventually(t, 10*time.Second, "the last one holds", func() bool { return r.lines("follows a change", nil) > 0 })
	if n := r.lines("connection closed", map[string]string{"reason": reasonUnreachable}); n != 0 {
		t.Errorf("%d connections could not be made", n)
	}
	if got := r.metric("certificate_expiry_timestamp_seconds", "kind", "slice", "name", "orders"); got < float64(time.Now().Unix()) {
		t.Errorf("expiry %v", got)
	}
	if err := os.WriteFile(pair.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if problems := r.Reload(); !problems.Failed() || !strings.Contains(problems.Error(), pair.Key) {
		t.Errorf("a reload with a bad key: %v", problems)
	}
	conn := r.raw("payments.app", r.brokerPort(0, 0))
	conn.ask(metadataReq(9, "payments.a"))
}
