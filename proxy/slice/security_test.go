package slice

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/bench/kafka"
	"sluice/proxy/edge"
	"sluice/proxy/login"
)

const secretText = "open sesame"

// loginAs is a login of alice with a password.
func loginAs(t *testing.T, mechanism, password string) *login.Login {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := login.New(login.Options{Mechanism: mechanism, Username: "alice", Password: login.Source{File: file}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// secureCluster is a fake cluster with TLS, which may ask for certificates, and SASL.
func secureCluster(t *testing.T, a *kafka.Authority, mutual bool, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	pair := a.Issue(t, strings.ReplaceAll(t.Name(), "/", "-"), pkix.Name{CommonName: "broker"})
	config := a.TLS(t, pair)
	if mutual {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, config.RootCAs
	}
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(2), kfake.SeedTopics(1, "orders"), kfake.TLS(config))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func tlsClient(t *testing.T, o edge.ClientOptions) *edge.Client {
	t.Helper()
	c, err := edge.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openSecure(t *testing.T, c *kfake.Cluster, x Security) (*Slice, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := Open(Options{Name: "orders", BootstrapServers: c.ListenAddrs(), Security: x, RefreshEvery: 100 * time.Millisecond, Log: zap.New(core)})
	t.Cleanup(s.Close)
	return s, logs
}

// settled waits until a first refresh has ended, and says how.
func settled(t *testing.T, s *Slice) Health {
	t.Helper()
	for range 1000 {
		if h := s.Health(); h.Err != notReachedYet {
			return h
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no refresh ends")
	return Health{}
}

func users() kfake.Opt { return kfake.Superuser("SCRAM-SHA-256", "alice", secretText) }

// The slice's own client and data connections speak TLS and log in.
func TestSecurity(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	pair := a.Issue(t, "sluice", pkix.Name{CommonName: "sluice"})
	ca := edge.ClientOptions{CA: a.CAFile}
	own := edge.ClientOptions{CA: a.CAFile, Certificate: pair.Certificate, Key: pair.Key}
	for name, c := range map[string]struct {
		mutual bool
		tls    edge.ClientOptions
		login  *login.Login
		opts   []kfake.Opt
	}{
		"TLS":         {tls: ca},
		"mutual TLS":  {mutual: true, tls: own},
		"TLS + SCRAM": {tls: ca, login: loginAs(t, "SCRAM-SHA-256", secretText), opts: []kfake.Opt{kfake.EnableSASL(), users()}},
		"TLS + PLAIN": {tls: ca, login: loginAs(t, "PLAIN", secretText), opts: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", secretText)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := openSecure(t, secureCluster(t, a, c.mutual, c.opts...), Security{tlsClient(t, c.tls), c.login})
			if h := settled(t, s); !h.Reachable || h.Topics != 1 {
				t.Fatalf("health %+v", h)
			}
			conn, node, err := s.Dial(t.Context(), 1)
			if err != nil || node != 1 {
				t.Fatalf("node %d: %v", node, err)
			}
			defer conn.Close()
			if _, ok := conn.(*tls.Conn); !ok {
				t.Errorf("it is a %T", conn)
			}
			session, logged, err := s.Login(t.Context(), conn, 0.5)
			if err != nil || session != nil || logged != (c.login != nil) {
				t.Errorf("session %v of a cluster where it lasts for ever: %v", session, err)
			}
		})
	}
}

// What is wrong is said, and the secret is not.
func TestSecurityGoesWrong(t *testing.T) {
	a, other := kafka.NewAuthority(t), kafka.NewAuthority(t)
	sasl := []kfake.Opt{kfake.EnableSASL(), users()}
	for name, c := range map[string]struct {
		mutual bool
		x      Security
		opts   []kfake.Opt
		want   string
	}{
		"another authority":  {x: Security{TLS: tlsClient(t, edge.ClientOptions{CA: other.CAFile})}, want: "certificate signed by unknown authority"},
		"another name":       {x: Security{TLS: tlsClient(t, edge.ClientOptions{CA: a.CAFile, ServerName: "else.example.com"})}, want: "not else.example.com"},
		"no certificate":     {mutual: true, x: Security{TLS: tlsClient(t, edge.ClientOptions{CA: a.CAFile})}, want: "certificate required"},
		"without TLS":        {want: "closed the connection without an answer"},
		"a wrong mechanism":  {x: Security{tlsClient(t, edge.ClientOptions{CA: a.CAFile}), wrongMechanism(t)}, opts: sasl, want: "refuse the gateway's login with OAUTHBEARER"},
		"a missing password": {x: Security{tlsClient(t, edge.ClientOptions{CA: a.CAFile}), missingSecret(t)}, opts: sasl, want: "the variable NO_SUCH_VARIABLE is not set"},
		"a wrong password":   {x: Security{tlsClient(t, edge.ClientOptions{CA: a.CAFile}), loginAs(t, "SCRAM-SHA-256", secretText+"!")}, opts: sasl, want: "are the slice's sasl and certificate right"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, logs := openSecure(t, secureCluster(t, a, c.mutual, c.opts...), c.x)
			h := settled(t, s)
			if h.Reachable || !strings.Contains(h.Err, c.want) {
				t.Errorf("health %+v, want %q", h, c.want)
			}
			for _, e := range logs.All() {
				if text := e.Message; strings.Contains(text, secretText) {
					t.Errorf("the log tells the secret: %s", text)
				}
			}
			if strings.Contains(h.Err, secretText) {
				t.Errorf("it tells the secret: %s", h.Err)
			}
		})
	}
}

func wrongMechanism(t *testing.T) *login.Login {
	t.Helper()
	t.Setenv("SLUICE_TEST_TOKEN", "a.b.c")
	l, err := login.New(login.Options{Mechanism: "OAUTHBEARER", Token: login.Source{Env: "SLUICE_TEST_TOKEN"}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func missingSecret(t *testing.T) *login.Login {
	t.Helper()
	l, err := login.New(login.Options{Mechanism: "PLAIN", Username: "alice", Password: login.Source{Env: "NO_SUCH_VARIABLE"}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Other credentials hold from the next connection on, and a failed login of a data
// connection is part of the slice's health.
func TestSetSecurity(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	with := tlsClient(t, edge.ClientOptions{CA: a.CAFile})
	c := secureCluster(t, a, false, kfake.EnableSASL(), users(), kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "60000"}))
	s, logs := openSecure(t, c, Security{with, loginAs(t, "SCRAM-SHA-256", "wrong")})
	if h := settled(t, s); h.Reachable {
		t.Fatalf("health %+v", h)
	}
	conn, _, err := s.Dial(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = s.Login(t.Context(), conn, 0); err == nil || !strings.Contains(err.Error(), "login: ") {
		t.Errorf("login: %v", err)
	}
	if logs.FilterMessage("the gateway cannot log in at a broker").Len() != 1 {
		t.Errorf("log: %v", logs.All())
	}
	s.Set(c.ListenAddrs(), Security{with, loginAs(t, "SCRAM-SHA-256", secretText)})
	for i := 0; !s.Health().Reachable; i++ {
		if i == 1000 {
			t.Fatalf("health %+v", s.Health())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if conn, _, err = s.Dial(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	session, _, err := s.Login(t.Context(), conn, 0)
	if err != nil || session == nil || session.Due(time.Now().Add(50*time.Second)) || !session.Due(time.Now().Add(51*time.Second)) {
		t.Errorf("session %+v: %v", session, err)
	}
}
