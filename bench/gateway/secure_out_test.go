package gateway

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

const secureTenants = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

// gatewayPassword is the gateway's at the brokers.
const gatewayPassword = "gateway-secret-42"

// secureBroker has listeners of all kinds, and sessions that last as long as is said.
func secureBroker(t *testing.T, reauth time.Duration) (*kafka.Broker, *kafka.Authority) {
	t.Helper()
	a := kafka.NewAuthority(t)
	b := kafka.Start(t, kafka.Options{
		Secure:     &kafka.Secure{Authority: a, Passwords: map[string]string{"sluice": gatewayPassword}, NameRules: "RULE:^CN=(.*?),.*$/$1/L,DEFAULT"},
		Properties: map[string]string{"connections.max.reauth.ms": fmt.Sprint(reauth.Milliseconds())},
	})
	b.CreateTopics(t, 3, "payments.a")
	return b, a
}

// way is one way for the gateway to speak to brokers.
type way struct{ server, slice string }

// waysOut are all of them.
func waysOut(t *testing.T, b *kafka.Broker, a *kafka.Authority) map[string]way {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(gatewayPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := a.Issue(t, "sluice", pkix.Name{CommonName: "Sluice", Organization: []string{"Test"}})
	ca := "tls: {ca: " + a.CAFile + "}\n"
	all := map[string]way{
		"plain": {b.Address, ""},
		"mTLS":  {b.SSLAddress, fmt.Sprintf("tls: {ca: %s, certificate: %s, key: %s}\n", a.CAFile, own.Certificate, own.Key)},
		"OAUTHBEARER": {b.SASLSSLAddress, ca + fmt.Sprintf("sasl: {mechanism: OAUTHBEARER, token: {file: %s}}\n",
			a.TokenFile(t, "sluice", time.Hour))},
	}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		all[m] = way{b.SASLSSLAddress, ca + fmt.Sprintf("sasl: {mechanism: %s, username: sluice, password: {file: %s}}\n", m, password)}
	}
	return all
}

// startOut runs a gateway that speaks to its broker in one way.
func startOut(t *testing.T, w way, b *kafka.Broker) *Gateway {
	t.Helper()
	g := StartWith(t, Options{Tenants: secureTenants, Servers: []string{w.server}, Slices: []string{w.slice}}, b)
	t.Cleanup(func() { tellsNo(t, g, gatewayPassword) })
	return g
}

// tellsNo looks for secrets in all that a gateway shows and has printed.
func tellsNo(t *testing.T, g *Gateway, secrets ...string) {
	t.Helper()
	all := g.Log()
	for _, path := range []string{"/readyz", "/metrics"} {
		if _, body, err := g.Get(path); err == nil {
			all += body
		}
	}
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("it tells a secret, %d bytes of it", len(secret))
		}
	}
}

// TestWaysOut has plain clients reach a broker over each way out.
func TestWaysOut(t *testing.T) {
	b, a := secureBroker(t, time.Hour)
	for name, w := range waysOut(t, b, a) {
		t.Run(name, func(t *testing.T) {
			g := startOut(t, w, b)
			t.Run("franz-go", func(t *testing.T) { producesAndConsumes(t, g, "payments.franz", 200) })
			t.Run("java", func(t *testing.T) {
				r := g.brokers[0].Jars.Program(t.Context(), "Produce", "--bootstrap", g.Address, "--client-id", "payments.java", "--topics", "payments.a", "--records", "100").Wait()
				if r.Err != nil || len(r.Find("error")) > 0 {
					t.Fatalf("%s", r)
				}
			})
			if logins := g.Metric("sluice_broker_logins_total", "outcome", "failed"); logins != 0 {
				t.Errorf("%v failed logins", logins)
			}
			if logins := g.Metric("sluice_broker_logins_total", "outcome", "ok"); (logins > 0) != strings.Contains(w.slice, "sasl:") {
				t.Errorf("%v logins", logins)
			}
		})
	}
}

// producesAndConsumes passes records through the gateway and back.
func producesAndConsumes(t *testing.T, g *Gateway, clientID string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.Address), kgo.ClientID(clientID), kgo.ConsumeTopics("payments.a"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	value := make([]byte, 10_000)
	for range n {
		cl.Produce(ctx, &kgo.Record{Topic: "payments.a", Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < n; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got += fetches.NumRecords()
	}
}

// TestSessionsThatEnd has a broker that ends sessions after a few seconds, which it
// enforces, and clients that must not notice: no connection may be lost.
func TestSessionsThatEnd(t *testing.T) {
	const session, run = 3 * time.Second, 15 * time.Second
	b, a := secureBroker(t, session)
	ways := waysOut(t, b, a)
	for _, name := range []string{"SCRAM-SHA-512", "OAUTHBEARER"} {
		t.Run(name, func(t *testing.T) {
			g := startOut(t, ways[name], b)
			var dials atomic.Int64
			cl, err := kgo.NewClient(kgo.SeedBrokers(g.Address), kgo.ClientID("payments.busy"), kgo.ConsumeTopics("payments.a"), kgo.FetchMaxWait(500*time.Millisecond),
				kgo.WithHooks(connects{&dials}))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			ctx, cancel := context.WithTimeout(t.Context(), run)
			defer cancel()
			go func() {
				for ctx.Err() == nil {
					cl.PollFetches(ctx)
				}
			}()
			var longest time.Duration
			records, settled := 0, int64(0)
			for began := time.Now(); time.Since(began) < run-2*time.Second; records++ {
				sent := time.Now()
				if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr(); err != nil {
					t.Fatal(err)
				}
				if longest = max(longest, time.Since(sent)); settled == 0 && time.Since(began) > session/2 {
					settled = dials.Load()
				}
				time.Sleep(2 * time.Millisecond)
			}
			if n := dials.Load(); n != settled {
				t.Errorf("%d connections after a while, %d at the end", settled, n)
			}
			if n := g.Metric("sluice_refused_connections_total"); n != 0 {
				t.Errorf("%v connections ended:\n%s", n, g.Log())
			}
			logins := g.Metric("sluice_broker_logins_total", "outcome", "ok")
			if logins < 8 {
				t.Errorf("%v logins", logins)
			}
			t.Logf("%d records, %v logins, the longest Produce took %v", records, logins, longest)
		})
	}
}

// connects counts the connections of a client.
type connects struct{ n *atomic.Int64 }

// OnBrokerConnect is franz-go's hook.
func (c connects) OnBrokerConnect(kgo.BrokerMetadata, time.Duration, net.Conn, error) { c.n.Add(1) }

// TestWrongWayOut shows what /readyz says of credentials that a broker refuses.
func TestWrongWayOut(t *testing.T) {
	b, a := secureBroker(t, time.Hour)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("not-"+gatewayPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := "tls: {ca: " + a.CAFile + "}\n"
	for name, c := range map[string]struct {
		way
		want string
	}{
		"a wrong password":   {way{b.SASLSSLAddress, ca + "sasl: {mechanism: SCRAM-SHA-256, username: sluice, password: {file: " + password + "}}"}, "refuse the gateway's login with SCRAM-SHA-256"},
		"no login":           {way{b.SASLSSLAddress, ca}, "does it ask for a certificate, or for SASL?"},
		"no certificate":     {way{b.SSLAddress, ca}, "certificate"},
		"another authority":  {way{b.SSLAddress, "tls: {ca: " + kafka.NewAuthority(t).CAFile + "}"}, "unknown authority"},
		"no TLS":             {way{b.SASLSSLAddress, ""}, "is this a plaintext connection speaking to a tls endpoint"},
		"TLS on a plain one": {way{b.Address, ca}, "its listener may be a plain one"},
	} {
		t.Run(name, func(t *testing.T) {
			g := StartWith(t, Options{Tenants: secureTenants, Servers: []string{c.server}, Slices: []string{c.slice}, Unready: true}, b)
			defer tellsNo(t, g, gatewayPassword)
			var body string
			for deadline := time.Now().Add(readyTimeout); !strings.Contains(body, c.want); time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("/readyz: %s", body)
				}
				_, body, _ = g.Get("/readyz")
			}
			t.Log(body)
		})
	}
}

// TestRotationOut changes the gateway's certificate fifty times under load: nothing
// fails, and new connections show the new one.
func TestRotationOut(t *testing.T) {
	b, a := secureBroker(t, time.Hour)
	g := startOut(t, waysOut(t, b, a)["mTLS"], b)
	ctx, stop := context.WithCancel(t.Context())
	var records atomic.Int64
	done := make(chan error, 1)
	go func() { done <- producesUntil(ctx, g.Address, &records) }()
	for i := range 50 {
		a.Issue(t, "sluice", pkix.Name{CommonName: "Sluice", Organization: []string{"Test"}})
		g.Reload()
		cl, err := kgo.NewClient(kgo.SeedBrokers(g.Address), kgo.ClientID("payments.new"), kgo.RequestRetries(0), kgo.DisableIdempotentWrite())
		if err != nil {
			t.Fatal(err)
		}
		err = cl.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr()
		cl.Close()
		if err != nil {
			t.Fatalf("rotation %d: %v", i, err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := g.Metric("sluice_refused_connections_total"); n != 0 {
		t.Errorf("%v connections ended", n)
	}
	t.Logf("%d records of one client meanwhile", records.Load())
}

// producesUntil writes one record after the other over one connection, without a retry.
func producesUntil(ctx context.Context, address string, n *atomic.Int64) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ClientID("payments.steady"), kgo.RequestRetries(0), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil {
		err := cl.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr()
		if err != nil && ctx.Err() == nil {
			return err
		}
		n.Add(1)
	}
	return nil
}
