package proxy

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/bench/kafka"
	"sluice/proxy/auth"
)

// secret is the password of all users; nothing that is printed may have it.
const secret = "s3cr3t-of-tests"

// credentialsFile has alice and bob, for SCRAM and PLAIN.
func credentialsFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	err := auth.ChangeCredentials(path, func(c *auth.Credentials) error {
		for _, name := range []string{"alice", "bob"} {
			for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
				v, err := auth.NewVerifier(m, secret, 4096)
				if err == nil {
					err = c.Add(name, m, v)
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
	return path
}

// terminateLines are a listener's sasl where the gateway is the server.
func terminateLines(t testing.TB, a *kafka.Authority, more string) string {
	t.Helper()
	return fmt.Sprintf("    sasl: {mode: terminate, mechanisms: [PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER], credentials: %s, oauthbearer: {jwks_endpoint_url: %s, expected_issuer: %q, expected_audience: [%s]}%s}\n",
		credentialsFile(t), a.JWKSFile, kafka.TokenIssuer, kafka.TokenAudience, more)
}

const plainAllowed = ", allow_plain_without_tls: true"

// boundTenant is alice's.
const boundTenant = openTenant + "    principals: [\"User:alice\", \"User:CN=alice\"]\n"

func mechanisms(t testing.TB, a *kafka.Authority, user, password string) map[string]sasl.Mechanism {
	return map[string]sasl.Mechanism{
		"PLAIN":         plain.Auth{User: user, Pass: password}.AsMechanism(),
		"SCRAM-SHA-256": scram.Auth{User: user, Pass: password}.AsSha256Mechanism(),
		"SCRAM-SHA-512": scram.Auth{User: user, Pass: password}.AsSha512Mechanism(),
		"OAUTHBEARER":   oauth.Auth{Token: a.Token(t, user, time.Hour)}.AsMechanism(),
	}
}

// noSecrets fails if anything that was logged has a password or a token in it.
func (r *rig) noSecrets(more ...string) {
	r.t.Helper()
	for _, e := range r.logs.All() {
		line := fmt.Sprint(e.Message, e.ContextMap())
		for _, s := range append(more, secret, "eyJ") {
			if strings.Contains(line, s) {
				r.t.Errorf("a secret in the log: %s", line)
			}
		}
	}
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: tlsLines(t, a, "") + terminateLines(t, a, "")}, "", boundTenant, fakeCluster(t, "payments.a"))
	for name, m := range mechanisms(t, a, "alice", secret) {
		c := r.client("payments.app", kgo.DialTLSConfig(a.TLS(t, kafka.Pair{})), kgo.SASL(m), kgo.DefaultProduceTopic("payments.a"))
		if err := c.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := r.lines("authenticated", map[string]string{"principal": "User:alice"}); n < 4 {
		t.Errorf("%d lines", n)
	}
	r.noSecrets()
}

// login asks as a client that authenticates; the answer to the last token is returned.
func (c *raw) login(version int16, mechanism string, tokens ...[]byte) (*kmsg.SASLAuthenticateResponse, error) {
	c.t.Helper()
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, mechanism
	if got := c.ask(shake).(*kmsg.SASLHandshakeResponse); got.ErrorCode != 0 {
		return nil, kerr.ErrorForCode(got.ErrorCode)
	}
	var last *kmsg.SASLAuthenticateResponse
	for _, token := range tokens {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = version, token
		c.send(req)
		_, resp, err := c.recv()
		if err != nil {
			return nil, err
		}
		last = resp.(*kmsg.SASLAuthenticateResponse)
		if err := kerr.ErrorForCode(last.ErrorCode); err != nil {
			return last, err
		}
	}
	return last, nil
}

func plainToken(user string) []byte { return []byte("\x00" + user + "\x00" + secret) }

// Whoever fails is told so late, and not more than the reason.
func TestFailures(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", boundTenant, fakeCluster(t, "payments.a"))
	for name, c := range map[string]struct{ id, user, password, text, reason string }{
		"password":      {"payments.app", "alice", "wrong-" + secret, "Sluice: authentication failed with SASL mechanism PLAIN", reasonAuthentication},
		"nobody":        {"payments.app", "carol", secret, "Sluice: authentication failed with SASL mechanism PLAIN", reasonAuthentication},
		"unmatched":     {"others.app", "alice", "wrong-" + secret, `client.id "others.app" belongs to no tenant of this gateway; client IDs follow {team}.{app}`, "unmatched"},
		"borrowed":      {"payments.app", "bob", secret, `client.id "payments.app" belongs to tenant payments, and principal "User:bob" does not`, "principal"},
		"admin's own":   {internalClientID, "alice", secret, "belongs to no tenant", "unmatched"},
		"empty message": {"payments.app", "", "", "authentication failed", reasonAuthentication},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := r.metric("refused_connections_total", "reason", c.reason)
			conn := r.raw(c.id, "")
			conn.t = t
			began := time.Now()
			got, err := conn.login(1, "PLAIN", []byte("\x00"+c.user+"\x00"+c.password))
			if !errors.Is(err, kerr.SaslAuthenticationFailed) || got.ErrorMessage == nil || !strings.Contains(*got.ErrorMessage, c.text) {
				t.Fatalf("%v %v", got, err)
			}
			if took := time.Since(began); took < 3900*time.Millisecond {
				t.Errorf("answered after %v", took)
			}
			conn.ended(2 * time.Second)
			eventually(t, 5*time.Second, "it is counted", func() bool { return r.metric("refused_connections_total", "reason", c.reason) > before })
		})
	}
	t.Cleanup(func() { r.noSecrets() })
}

// Tokens without a header, as old clients send them.
func TestBareTokens(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", boundTenant, fakeCluster(t, "payments.a"))
	for _, user := range []string{"alice", "bob"} {
		c := r.raw("payments.app", "")
		shake := kmsg.NewPtrSASLHandshakeRequest()
		shake.Mechanism = "PLAIN"
		c.ask(shake)
		token := plainToken(user)
		c.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...))
		if user == "bob" {
			if took := c.ended(7 * time.Second); took < 3900*time.Millisecond {
				t.Errorf("ended after %v", took)
			}
			continue
		}
		var answer [4]byte
		if _, err := io.ReadFull(c, answer[:]); err != nil || answer != [4]byte{} {
			t.Fatalf("%v %v", answer, err)
		}
		if got := c.ask(apiVersionsReq(3)).(*kmsg.ApiVersionsResponse); got.ErrorCode != 0 {
			t.Error(got.ErrorCode)
		}
		c.ask(kmsg.NewPtrMetadataRequest())
	}
	r.noSecrets()
}

// Nothing passes before the client is known, and ApiVersions is answered once.
func TestBeforeAuthentication(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	cluster, tapped := tappedCluster(t, "payments.a")
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", openTenant, cluster)
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, "SCRAM-SHA-256"
	unknown := kmsg.NewPtrSASLHandshakeRequest()
	unknown.Version, unknown.Mechanism = 1, "GSSAPI"
	token := kmsg.NewPtrSASLAuthenticateRequest()
	token.SASLAuthBytes = plainToken("alice")
	all := map[string]*raw{}
	for name, reqs := range map[string][]kmsg.Request{
		"metadata":       {kmsg.NewPtrMetadataRequest()},
		"produce":        {produceReq(8, 1, 10, "payments.a")},
		"within":         {handshake, kmsg.NewPtrMetadataRequest()},
		"versions late":  {handshake, apiVersionsReq(3)},
		"versions often": {apiVersionsReq(3), apiVersionsReq(3), apiVersionsReq(3)},
		"token first":    {token},
		"two handshakes": {handshake, handshake},
		"mechanism":      {unknown},
	} {
		c := r.raw("payments.app", "")
		c.send(reqs...)
		all[name] = c
	}
	for name, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(8 * time.Second))
		if answers, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %d bytes, %v", name, len(answers), err)
		}
	}
	if sent := tapped.requests("payments.app"); len(sent) > 0 {
		t.Errorf("brokers heard of %d requests", len(sent))
	}
	c := r.raw("payments.app", "")
	offered := map[int16]bool{}
	for _, k := range c.ask(apiVersionsReq(3)).(*kmsg.ApiVersionsResponse).ApiKeys {
		offered[k.ApiKey] = true
	}
	if !offered[17] || !offered[36] || !offered[0] {
		t.Errorf("offered: %v", offered)
	}
	open := newRig(t, "", openTenant, cluster).raw("payments.app", "")
	for _, k := range open.ask(apiVersionsReq(3)).(*kmsg.ApiVersionsResponse).ApiKeys {
		if k.ApiKey == 17 || k.ApiKey == 36 {
			t.Errorf("key %d is offered without sasl", k.ApiKey)
		}
	}
	r.noSecrets()
}

// A session ends with its lifetime; it is renewed by the same principal only.
func TestSessionLifetime(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed+", max_reauth: 2s")}, "", openTenant, fakeCluster(t, "payments.a"))
	come := func() *raw {
		c := r.raw("payments.app", "")
		c.ask(apiVersionsReq(3))
		got, err := c.login(2, "PLAIN", plainToken("alice"))
		if err != nil || got.SessionLifetimeMillis <= 0 || got.SessionLifetimeMillis > 2000 {
			t.Fatalf("%v %v", got, err)
		}
		c.ask(kmsg.NewPtrMetadataRequest())
		return c
	}
	expires, renews, changes, fails := come(), come(), come(), come()
	time.Sleep(1200 * time.Millisecond)
	if _, err := renews.login(2, "PLAIN", plainToken("alice")); err != nil {
		t.Error(err)
	}
	if _, err := changes.login(2, "PLAIN", plainToken("bob")); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("as another: %v", err)
	}
	if _, err := fails.login(2, "PLAIN", append(plainToken("alice"), 'x')); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("with another password: %v", err)
	}
	changes.ended(2 * time.Second)
	fails.ended(2 * time.Second)
	expires.send(kmsg.NewPtrMetadataRequest())
	expires.ended(7 * time.Second)
	if n := r.metric("refused_connections_total", "reason", reasonExpired); n != 1 {
		t.Errorf("%v sessions expired", n)
	}
	r.noSecrets()
}

// franz-go renews its session before it ends.
func TestRenewal(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed+", max_reauth: 3s")}, "", boundTenant, fakeCluster(t, "payments.a"))
	c := r.client("payments.app", kgo.SASL(scram.Auth{User: "alice", Pass: secret}.AsSha256Mechanism()), kgo.DefaultProduceTopic("payments.a"))
	for range 70 {
		if err := c.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.noSecrets()
}

// An exchange that is cut anywhere leaves nothing behind.
func TestCutExchange(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", openTenant, fakeCluster(t, "payments.a"))
	c := r.raw("payments.app", "")
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, "SCRAM-SHA-256"
	token := kmsg.NewPtrSASLAuthenticateRequest()
	token.Version, token.SASLAuthBytes = 1, []byte("n,,n=alice,r=fyko+d2lbbFgONRv9qkxdawL")
	whole := bytes.Join([][]byte{c.frame(apiVersionsReq(3)), c.frame(shake), c.frame(token)}, nil)
	_ = c.Close()
	for n := range whole {
		cut := r.raw("payments.app", "")
		cut.write(whole[:n])
		_ = cut.Close()
	}
	eventually(t, 10*time.Second, "nothing is left", func() bool {
		return len(r.connections()) == 0 && r.metric("connections") == 0
	})
}

// A client ID is worth nothing without what its tenant lists, whatever proves it.
func TestBorrowedClientID(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	alice := a.Issue(t, "alice", pkix.Name{CommonName: "alice"})
	bob := a.Issue(t, "bob", pkix.Name{CommonName: "bob"})
	requested := fmt.Sprintf(", client_ca: %s, client_auth: requested", a.CAFile)
	required := fmt.Sprintf(", client_ca: %s, client_auth: required", a.CAFile)
	for name, c := range map[string]struct {
		door
		reason string
	}{
		"certificate":              {door{lines: tlsLines(t, a, requested)}, "principal"},
		"certificate by both":      {door{lines: tlsLines(t, a, required), by: "both"}, "principal"},
		"certificate by principal": {door{lines: tlsLines(t, a, required), by: "principal"}, "principal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigAt(t, c.door, "", boundTenant, fakeCluster(t, "payments.a"))
			for who, pair := range map[string]kafka.Pair{"alice": alice, "bob": bob} {
				conn := r.raw("payments.app", "")
				conn.t = t
				conn.over(a.TLS(t, pair)).ask(apiVersionsReq(3))
				p := conn.ask(produceReq(8, 1, 10, "payments.a")).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
				if denied := p.ErrorCode == 44; denied != (who == "bob") {
					t.Errorf("%s: %v", who, p)
				}
			}
			if n := r.metric("refused_connections_total", "reason", c.reason); n != 1 {
				t.Errorf("%v are refused", n)
			}
			if n := r.lines("client refused", map[string]string{"principal": "User:CN=bob"}); n != 1 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

// A reload that gives a tenant to others takes it from who is connected.
func TestReloadOfPrincipals(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", boundTenant, fakeCluster(t, "payments.a"))
	come := func() *raw {
		c := r.raw("payments.app", "")
		c.ask(apiVersionsReq(3))
		if got, err := c.login(1, "PLAIN", plainToken("alice")); err != nil {
			t.Fatalf("%v %v", got, err)
		}
		c.ask(kmsg.NewPtrMetadataRequest())
		return c
	}
	c := come()
	r.rewrite("User:alice", "User:carol")
	p := c.ask(produceReq(8, 1, 10, "payments.a")).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 44 || !strings.Contains(*p.ErrorMessage, `principal "User:alice" does not`) {
		t.Errorf("%v", p)
	}
	if n := r.lines("client refused", map[string]string{"reason": "principal", "principal": "User:alice"}); n != 1 {
		t.Errorf("%d lines", n)
	}
	r.rewrite("User:carol", "User:alice")
	if p := c.ask(produceReq(8, 1, 10, "payments.a")).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode == 44 {
		t.Errorf("back again: %v", p)
	}
	come()
}

// Where the principal names the tenant, the client ID does not matter.
func TestIdentifyByPrincipal(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	tenants := `tenants:
  - {name: hers, principals: ["User:alice"], home: orders, rules: [{allow: [ALL], everything: true}]}
`
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed), by: "principal"}, "", tenants, fakeCluster(t, "payments.a"))
	c := r.client("anything", kgo.SASL(scram.Auth{User: "alice", Pass: secret}.AsSha512Mechanism()), kgo.DefaultProduceTopic("payments.a"))
	if err := c.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Error(err)
	}
	bob := r.raw("anything", "")
	if got, err := bob.login(1, "PLAIN", plainToken("bob")); !errors.Is(err, kerr.SaslAuthenticationFailed) || !strings.Contains(*got.ErrorMessage, "belongs to no tenant") {
		t.Errorf("%v %v", got, err)
	}
	r.noSecrets()
}
