package proxy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// passRig is a gateway whose clients log in at the brokers, where alice, bob and the
// gateway itself are known.
func passRig(t testing.TB, tenants string, more ...kfake.Opt) (*rig, *tap) {
	t.Helper()
	opts := []kfake.Opt{kfake.SeedTopics(4, "payments.a"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "sluice", secret)}
	opts = append(opts, more...)
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		opts = append(opts, kfake.Superuser(m, "alice", secret), kfake.Superuser(m, "bob", secret))
	}
	cluster, tapped := tappedClusterWith(t, opts...)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return newRigAt(t, door{
		lines: "    sasl: {mode: passthrough}\n",
		slice: "    sasl: {mechanism: PLAIN, username: sluice, password: {file: " + file + "}}\n",
	}, "", tenants, cluster), tapped
}

func TestPassthrough(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r, tapped := passRig(t, boundTenant)
	for name, m := range mechanisms(t, a, "alice", secret) {
		if name == "OAUTHBEARER" {
			continue // real brokers have it
		}
		c := r.client("payments."+strings.ToLower(name), kgo.SASL(m), kgo.DefaultProduceTopic("payments.a"))
		if err := c.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, s := range tapped.connections("payments." + strings.ToLower(name)) {
			if s.sent[0].Key != 17 {
				t.Errorf("%s: the broker first hears of key %d", name, s.sent[0].Key)
			}
		}
	}
	r.noSecrets()
}

// The broker's word counts: who is let in by it and not by the tenant is told so in its
// place, and nothing of theirs is sent on.
func TestPassthroughRefuses(t *testing.T) {
	t.Parallel()
	r, tapped := passRig(t, boundTenant)
	for name, c := range map[string]struct{ id, user, password, text, reason string }{
		"borrowed":  {"payments.app", "bob", secret, `principal "User:bob" does not`, "principal"},
		"password":  {"payments.app", "alice", "wrong-" + secret, "", reasonAuthentication},
		"unmatched": {"others.app", "alice", secret, "client IDs follow {team}.{app}", "unmatched"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := r.raw(c.id, "")
			conn.t = t
			conn.ask(apiVersionsReq(3))
			began := time.Now()
			got, err := conn.login(1, "PLAIN", []byte("\x00"+c.user+"\x00"+c.password))
			if err == nil || c.text != "" && !errors.Is(err, kerr.SaslAuthenticationFailed) {
				t.Fatalf("%v %v", got, err)
			}
			if text := c.text; text != "" && (got.ErrorMessage == nil || !strings.Contains(*got.ErrorMessage, text) || time.Since(began) < 3900*time.Millisecond) {
				t.Errorf("after %v: %v", time.Since(began), got)
			}
			if c.text != "" {
				conn.ended(2 * time.Second)
			}
			if took := time.Since(began); took < 3500*time.Millisecond {
				t.Errorf("ended after %v", took)
			}
			eventually(t, 5*time.Second, "it is counted", func() bool { return r.metric("refused_connections_total", "reason", c.reason) == 1 })
		})
	}
	t.Cleanup(func() {
		r.noSecrets()
		for _, s := range tapped.strangers() {
			if s.Key != 17 && s.Key != 36 || s.ClientID == "others.app" {
				t.Errorf("the broker heard of key %d from %s", s.Key, s.ClientID)
			}
		}
	})
}

// Nothing else passes before the broker has accepted, and what is sent too early is
// not sent on.
func TestPassthroughOrder(t *testing.T) {
	t.Parallel()
	r, tapped := passRig(t, openTenant)
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, "PLAIN"
	wrong := kmsg.NewPtrSASLAuthenticateRequest()
	wrong.Version, wrong.SASLAuthBytes = 1, []byte("\x00alice\x00wrong")
	opaque := kmsg.NewPtrSASLHandshakeRequest()
	opaque.Mechanism = "GSSAPI"
	for name, reqs := range map[string][]kmsg.Request{
		"metadata":  {kmsg.NewPtrMetadataRequest()},
		"between":   {shake, kmsg.NewPtrMetadataRequest()},
		"failed":    {shake, wrong, kmsg.NewPtrMetadataRequest()},
		"pipelined": {shake, wrong, wrong},
		"bare":      {opaque},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := r.raw("payments."+name, "")
			c.t = t
			c.send(reqs...)
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			for {
				if _, _, err := c.recv(); err != nil {
					break
				}
			}
			for _, s := range tapped.requests("payments." + name) {
				if s.Key != 17 && s.Key != 36 || name == "bare" {
					t.Errorf("the broker heard of key %d", s.Key)
				}
			}
			if n := len(tapped.requests("payments."+name, 36)); n > 1 {
				t.Errorf("%d tokens", n)
			}
		})
	}
}

// Re-authentication goes to the broker as well; who fails it is nobody.
func TestPassthroughRenewal(t *testing.T) {
	t.Parallel()
	r, _ := passRig(t, boundTenant, sessions("60000"))
	c := r.raw("payments.app", "")
	c.ask(apiVersionsReq(3))
	for range 2 {
		got, err := c.login(2, "PLAIN", plainToken("alice"))
		if err != nil {
			t.Fatalf("%v %v", got, err)
		}
		c.ask(kmsg.NewPtrMetadataRequest())
		time.Sleep(1100 * time.Millisecond) // a broker's least time between two
	}
	if _, err := c.login(2, "PLAIN", append(plainToken("alice"), 'x')); err == nil {
		t.Error("a wrong password renews a session")
	}
	c.ended(6 * time.Second)
	r.noSecrets()
}
