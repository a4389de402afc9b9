package gateway

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/bench/kafka"
	"sluice/proxy/auth"
)

// The users of the tests of what comes in; payments belongs to alice.
const (
	alicePassword = "alice-secret-42"
	bobPassword   = "bob-secret-42"
	aliceTenants  = secureTenants + "    principals: [\"User:alice\"]\n"
)

// people is a broker and a credentials file that know alice and bob.
type people struct {
	*kafka.Authority
	broker                          *kafka.Broker
	credentials                     string
	alice, bob                      kafka.Pair
	own                             kafka.Pair // the gateway's certificate
	aliceToken, aliceFile, bobToken string
}

func newPeople(t *testing.T) *people {
	t.Helper()
	a := kafka.NewAuthority(t)
	p := &people{Authority: a, credentials: filepath.Join(t.TempDir(), "users")}
	passwords := map[string]string{"sluice": gatewayPassword, "alice": alicePassword, "bob": bobPassword}
	p.broker = kafka.Start(t, kafka.Options{Secure: &kafka.Secure{Authority: a, Passwords: passwords, NameRules: "RULE:^CN=(.*?),.*$/$1/L,DEFAULT"}})
	p.broker.CreateTopics(t, 3, "payments.a")
	err := auth.ChangeCredentials(p.credentials, func(c *auth.Credentials) error {
		for _, user := range []string{"alice", "bob"} {
			for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
				v, err := auth.NewVerifier(m, passwords[user], auth.DefaultIterations)
				if err == nil {
					err = c.Add(user, m, v)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string) kafka.Pair {
		return a.Issue(t, "in-"+name, pkix.Name{CommonName: name, Organization: []string{"Test"}})
	}
	p.alice, p.bob, p.own = issue("Alice"), issue("Bob"), issue("gateway")
	p.aliceToken, p.bobToken = a.Token(t, "alice", time.Hour), a.Token(t, "bob", time.Hour)
	p.aliceFile = a.TokenFile(t, "alice", time.Hour)
	return p
}

// listener is what a listener asks of clients: mTLS, terminate or passthrough.
func (p *people) listener(kind string) string {
	tls := fmt.Sprintf("tls: {certificate: %s, key: %s", p.own.Certificate, p.own.Key)
	switch kind {
	case "mTLS":
		return tls + fmt.Sprintf(", client_ca: %s, client_auth: required, principal_mapping_rules: %q}\n", p.CAFile, "RULE:^CN=(.*?),.*$/$1/L,DEFAULT")
	case "terminate":
		return tls + fmt.Sprintf("}\nsasl: {mode: terminate, mechanisms: [PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER], credentials: %s, oauthbearer: {jwks_endpoint_url: %s, expected_issuer: %q, expected_audience: [%s]}}\n",
			p.credentials, p.JWKSFile, kafka.TokenIssuer, kafka.TokenAudience)
	default:
		return tls + "}\nsasl: {mode: passthrough}\n"
	}
}

// franz are franz-go's options to come as alice or bob.
func (p *people) franz(t *testing.T, mechanism string, bob bool) []kgo.Opt {
	pair, user, password, token := p.alice, "alice", alicePassword, p.aliceToken
	if bob {
		pair, user, password, token = p.bob, "bob", bobPassword, p.bobToken
	}
	if mechanism == "mTLS" {
		return []kgo.Opt{kgo.DialTLSConfig(p.TLS(t, pair))}
	}
	m := map[string]sasl.Mechanism{
		"PLAIN":         plain.Auth{User: user, Pass: password}.AsMechanism(),
		"SCRAM-SHA-256": scram.Auth{User: user, Pass: password}.AsSha256Mechanism(),
		"SCRAM-SHA-512": scram.Auth{User: user, Pass: password}.AsSha512Mechanism(),
		"OAUTHBEARER":   oauth.Auth{Token: token}.AsMechanism(),
	}[mechanism]
	return []kgo.Opt{kgo.DialTLSConfig(p.TLS(t, kafka.Pair{})), kgo.SASL(m)}
}

// TestWaysInAndOut has clients come in by each way and go on to the broker by each.
func TestWaysInAndOut(t *testing.T) {
	p := newPeople(t)
	out := waysOut(t, p.broker, p.Authority)
	for kind, mechanisms := range map[string][]string{"mTLS": {"mTLS"}, "terminate": kafka.SASLMechanisms, "passthrough": kafka.SASLMechanisms} {
		for name, w := range out {
			if kind == "passthrough" && name != "SCRAM-SHA-512" && name != "OAUTHBEARER" {
				continue // how the gateway itself logs in is of no matter to clients; one needs brokers with SASL
			}
			t.Run(kind+" to "+name, func(t *testing.T) {
				g := StartWith(t, Options{Tenants: aliceTenants, Servers: []string{w.server}, Slices: []string{w.slice}, Listener: p.listener(kind)}, p.broker)
				for _, m := range mechanisms {
					p.comes(t, g, m)
					if name == "SCRAM-SHA-512" {
						p.borrows(t, g, m)
					}
				}
				tellsNo(t, g, gatewayPassword, alicePassword, bobPassword, "eyJ")
			})
		}
	}
}

// comes has each client produce as alice.
func (p *people) comes(t *testing.T, g *Gateway, mechanism string) {
	t.Run(mechanism+" franz-go", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := produceAs(ctx, g, p.franz(t, mechanism, false)...); err != nil {
			t.Error(err)
		}
	})
	t.Run(mechanism+" java", func(t *testing.T) {
		properties := p.SSLProperties(p.alice)
		if secret := alicePassword; mechanism != "mTLS" {
			if mechanism == "OAUTHBEARER" {
				secret = p.aliceFile
			}
			properties = p.SASLProperties(mechanism, "alice", secret)
		}
		args := append([]string{"--bootstrap", g.Address, "--client-id", "payments.java", "--topics", "payments.a", "--records", "10"}, kafka.Props(properties)...)
		r := p.broker.Jars.AllowFiles(p.aliceFile).Program(t.Context(), "Produce", args...).Wait()
		if done, ok := r.Done(); !ok || done.Records != 10 || done.Count != 0 {
			t.Errorf("%s", r)
		}
	})
	if mechanism == "OAUTHBEARER" {
		return // librdkafka takes a token from a callback alone
	}
	t.Run(mechanism+" librdkafka", func(t *testing.T) {
		args := []string{
			"--bootstrap", g.Address, "--client-id", "payments.python", "--topics", "payments.a", "--records", "10", "--seconds", "10", "--drain", "10",
			"--prop", "ssl.ca.location=" + p.CAFile,
		}
		if mechanism == "mTLS" {
			args = append(args, "--prop", "security.protocol=SSL", "--prop", "ssl.certificate.location="+p.alice.Certificate, "--prop", "ssl.key.location="+p.alice.Key)
		} else {
			args = append(args, "--prop", "security.protocol=SASL_SSL", "--prop", "sasl.mechanisms="+mechanism, "--prop", "sasl.username=alice", "--prop", "sasl.password="+alicePassword)
		}
		r := kafka.ResolvePython(t).Program(t.Context(), "produce", args...).Wait()
		if done, ok := r.Done(); !ok || done.Records != 10 {
			t.Errorf("%s", r)
		}
	})
}

// borrows has bob come with a client ID of alice's tenant.
func (p *people) borrows(t *testing.T, g *Gateway, mechanism string) {
	t.Run(mechanism+" borrowed", func(t *testing.T) {
		before := g.Metric("sluice_refused_connections_total", "reason", "principal")
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if err := produceAs(ctx, g, p.franz(t, mechanism, true)...); err == nil {
			t.Error("bob comes in")
		}
		if n := g.Metric("sluice_refused_connections_total", "reason", "principal"); n <= before {
			t.Errorf("%v are refused for their principal", n)
		}
	})
}

// produceAs writes a few records and reads one.
func produceAs(ctx context.Context, g *Gateway, options ...kgo.Opt) error {
	options = append([]kgo.Opt{kgo.SeedBrokers(g.Address), kgo.ClientID("payments.franz"), kgo.DefaultProduceTopic("payments.a"), kgo.ConsumeTopics("payments.a")}, options...)
	cl, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for range 10 {
		if err := cl.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			return err
		}
	}
	return cl.PollFetches(ctx).Err()
}
