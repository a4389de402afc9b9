package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

func TestHandshake(t *testing.T) {
	server := testServer(t, newClock(), nil)
	s := NewSession(peer)
	if s.Authenticating() {
		t.Error("authenticating before the handshake")
	}
	offered, code := s.Handshake(server, "PLAIN")
	if code != 0 || strings.Join(offered, " ") != "SCRAM-SHA-512 SCRAM-SHA-256 PLAIN" || !s.Authenticating() {
		t.Errorf("%v %d", offered, code)
	}
	if _, code := s.Handshake(server, "PLAIN"); code != CodeIllegalState {
		t.Errorf("a second handshake: %d", code)
	}
	for _, name := range []string{"GSSAPI", "OAUTHBEARER", "plain", ""} {
		s := NewSession(peer)
		if offered, code := s.Handshake(server, name); code != CodeUnsupportedMechanism || len(offered) != 3 {
			t.Errorf("%q: %d %v", name, code, offered)
		}
		if o := s.Authenticate(t.Context(), nil); o.Failure == nil || o.Failure.Code != CodeIllegalState {
			t.Errorf("a token after %q: %+v", name, o)
		}
	}
	if o := NewSession(peer).Authenticate(t.Context(), []byte("\x00alice\x00alice-secret")); o.Failure == nil || o.Failure.Code != CodeIllegalState {
		t.Errorf("a token without a handshake: %+v", o)
	}
}

func TestServerNeeds(t *testing.T) {
	guard := NewGuard(GuardOptions{})
	for _, o := range []Options{
		{},
		{Guard: guard},
		{Mechanisms: []Mechanism{Plain}, Guard: guard},
		{Mechanisms: []Mechanism{OAuthBearer}, Guard: guard},
		{Mechanisms: []Mechanism{"GSSAPI"}, Guard: guard},
		{Mechanisms: []Mechanism{Plain}, Credentials: NewCredentials},
	} {
		if _, err := NewServer(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestReauthentication(t *testing.T) {
	clock := newClock()
	server := testServer(t, clock, func(o *Options) { o.MaxReauth = time.Minute })
	alice := scramClient(ScramSHA256, "alice", "alice-secret")
	begin := func() *Session {
		s := NewSession(peer)
		if o := run(t, s, server, alice); o.Lifetime != time.Minute {
			t.Fatalf("%+v", o)
		}
		return s
	}
	s := begin()
	if o := run(t, s, server, alice); o.Failure == nil || o.Failure.Code != CodeIllegalState {
		t.Errorf("again at once: %+v", o)
	}
	if s.Principal() != "User:alice" {
		t.Error("a refused handshake takes the identity")
	}
	clock.now = clock.now.Add(50 * time.Second)
	if o := run(t, s, server, alice); !o.Done || o.Lifetime != time.Minute || s.Principal() != "User:alice" {
		t.Errorf("again: %+v", o)
	}
	clock.now = clock.now.Add(59 * time.Second)
	if s.Expired(clock.now) {
		t.Error("expired before its time")
	}
	clock.now = clock.now.Add(time.Second)
	if !s.Expired(clock.now) {
		t.Error("not expired")
	}
	if o := run(t, s, server, alice); !o.Done {
		t.Errorf("an expired session may be renewed: %+v", o)
	}
	clock.now = clock.now.Add(50 * time.Second)
	if o := run(t, s, server, scramClient(ScramSHA256, "alice", "wrong")); o.Failure == nil || s.Principal() != "" || s.Expired(clock.now.Add(time.Hour)) {
		t.Errorf("a failed one takes the identity: %+v %q", o, s.Principal())
	}
	if _, code := s.Handshake(server, "PLAIN"); code != CodeIllegalState {
		t.Errorf("after a failure: %d", code)
	}
	s = begin()
	clock.now = clock.now.Add(2 * time.Second)
	if o := run(t, s, server, scramClient(ScramSHA256, "a,b=c", "a,b=c-secret")); o.Failure == nil || o.Failure.Reason != Changed || s.Principal() != "" {
		t.Errorf("as another: %+v", o)
	}
	s = begin()
	clock.now = clock.now.Add(2 * time.Second)
	if o := run(t, s, server, plain.Auth{User: "alice", Pass: "alice-secret"}.AsMechanism()); o.Failure == nil || o.Failure.Reason != Changed {
		t.Errorf("by another mechanism: %+v", o)
	}
}

func TestNoLifetimeNoReauthentication(t *testing.T) {
	clock := newClock()
	server := testServer(t, clock, nil)
	s := NewSession(peer)
	alice := scramClient(ScramSHA256, "alice", "alice-secret")
	run(t, s, server, alice)
	clock.now = clock.now.Add(time.Hour)
	if o := run(t, s, server, alice); o.Failure == nil || o.Failure.Code != CodeIllegalState || s.Expired(clock.now) {
		t.Errorf("%+v", o)
	}
}

func TestBounds(t *testing.T) {
	server := testServer(t, newClock(), nil)
	long := strings.Repeat("x", MaxToken+1)
	for _, c := range []struct{ mechanism, token string }{
		{"PLAIN", long},
		{"PLAIN", "\x00" + long[:MaxName+1] + "\x00x"},
		{"PLAIN", "\x00alice\x00" + long[:MaxPassword+1]},
		{"PLAIN", ""},
		{"PLAIN", "\x00\x00"},
		{"PLAIN", "\x00alice\x00"},
		{"PLAIN", "\x00\x00x"},
		{"PLAIN", "\x00a\x00b\x00c"},
		{"PLAIN", "\x00a\xff\x00b"},
		{"SCRAM-SHA-256", "n,,n=" + long[:MaxName+1] + ",r=x"},
		{"SCRAM-SHA-256", "n,,n=x,r=" + long[:maxNonce+1]},
		{"SCRAM-SHA-256", long},
	} {
		s := NewSession(peer)
		s.Handshake(server, c.mechanism)
		if o := s.Authenticate(t.Context(), []byte(c.token)); o.Failure == nil || o.Failure.Reason != BadMessage || o.Failure.Code != CodeFailed {
			t.Errorf("%s %.20q: %+v", c.mechanism, c.token, o.Failure)
		}
	}
}

// Nothing that a client keeps secret may reach the log.
func TestFailuresKeepSecrets(t *testing.T) {
	server := testServer(t, newClock(), func(o *Options) {
		o.Mechanisms, o.Tokens = Mechanisms, noToken{}
		o.Guard = NewGuard(GuardOptions{FailureBurst: 1000})
	})
	for _, c := range []struct{ mechanism, token string }{
		{"PLAIN", "\x00alice\x00hunter2"},
		{"PLAIN", "alice\x00hunter2"},
		{"PLAIN", "hunter2"},
		{"PLAIN", "\x00alice\x00hunter2\x00"},
		{"PLAIN", "bob\x00alice\x00hunter2"},
		{"SCRAM-SHA-256", "hunter2"},
		{"OAUTHBEARER", "hunter2"},
		{"OAUTHBEARER", "n,,\x01auth=Basic hunter2\x01\x01"},
		{"OAUTHBEARER", "n,,\x01auth=Bearer hunter2\x01\x01"},
	} {
		s := NewSession(peer)
		s.Handshake(server, c.mechanism)
		o := s.Authenticate(t.Context(), []byte(c.token))
		for o.Failure == nil {
			o = s.Authenticate(t.Context(), []byte{1})
		}
		if strings.Contains(o.Failure.Detail+o.Failure.Text+string(o.Reply), "hunter2") {
			t.Errorf("%s: %+v", c.mechanism, o.Failure)
		}
	}
}

func TestGuardBlocksAnAddress(t *testing.T) {
	clock := newClock()
	guard := NewGuard(GuardOptions{FailuresPerSecond: 1, FailureBurst: 3})
	server := testServer(t, clock, func(o *Options) { o.Guard = guard })
	try := func(address, password string) *Failure {
		return run(t, NewSession(netip.MustParseAddr(address)), server, scramClient(ScramSHA256, "alice", password)).Failure
	}
	for range 3 {
		if f := try("10.0.0.1", "x"); f == nil || f.Reason != BadCredentials {
			t.Fatalf("%+v", f)
		}
	}
	if f := try("10.0.0.1", "alice-secret"); f == nil || f.Reason != TooManyFailed || f.Text != "Sluice: authentication failed with SASL mechanism SCRAM-SHA-256" {
		t.Errorf("%+v", f)
	}
	if f := try("::ffff:10.0.0.1", "alice-secret"); f == nil {
		t.Error("the same address in another form passes")
	}
	if f := try("10.0.0.2", "alice-secret"); f != nil {
		t.Errorf("another address: %+v", f)
	}
	clock.now = clock.now.Add(1100 * time.Millisecond)
	if f := try("10.0.0.1", "alice-secret"); f != nil {
		t.Errorf("later: %+v", f)
	}
	try("2001:db8::1", "x")
	try("2001:db8::2", "x")
	try("2001:db8::3:4:5:6", "x")
	if f := try("2001:db8::9", "alice-secret"); f == nil {
		t.Error("a /64 is one address")
	}
}

// A client that is in does not lose its session to a neighbour who tries passwords.
func TestGuardSparesWhoRenews(t *testing.T) {
	for _, m := range []sasl.Mechanism{scramClient(ScramSHA256, "alice", "alice-secret"), plain.Auth{User: "alice", Pass: "alice-secret"}.AsMechanism()} {
		clock := newClock()
		guard := NewGuard(GuardOptions{FailureBurst: 1})
		server := testServer(t, clock, func(o *Options) { o.Guard, o.MaxReauth = guard, time.Hour })
		s := NewSession(peer)
		run(t, s, server, m)
		clock.now = clock.now.Add(time.Minute)
		guard.failed(peer, clock.now)
		if o := run(t, NewSession(peer), server, m); o.Failure == nil {
			t.Error("a new client passes")
		}
		if o := run(t, s, server, m); !o.Done {
			t.Errorf("%s: %+v", m.Name(), o.Failure)
		}
	}
}

func TestGuardIsBounded(t *testing.T) {
	clock := newClock()
	guard := NewGuard(GuardOptions{Addresses: 10})
	for i := range 1000 {
		guard.failed(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), clock.now)
		if len(guard.addresses) > 10 {
			t.Fatalf("%d addresses", len(guard.addresses))
		}
	}
	clock.now = clock.now.Add(time.Hour)
	guard.failed(peer, clock.now)
	if len(guard.addresses) != 1 {
		t.Errorf("%d addresses; those of an hour ago are as good as new", len(guard.addresses))
	}
	guard.failed(netip.Addr{}, clock.now) // a client without an address counts too
}

func TestDerivationsWaitTheirTurn(t *testing.T) {
	guard := NewGuard(GuardOptions{Derivations: 1})
	server := testServer(t, newClock(), func(o *Options) { o.Guard = guard })
	if err := guard.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := NewSession(peer)
	s.Handshake(server, "PLAIN")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := s.Authenticate(ctx, []byte("\x00alice\x00alice-secret")); o.Failure == nil || o.Failure.Reason != GaveUp {
		t.Errorf("%+v", o)
	}
	guard.release()
	s = NewSession(peer)
	s.Handshake(server, "PLAIN")
	if o := s.Authenticate(t.Context(), []byte("\x00alice\x00alice-secret")); !o.Done {
		t.Errorf("%+v", o)
	}
}

// token is a verifier that knows one token.
type token struct {
	good, name string
	expires    time.Time
	err        error
}

func (v *token) Verify(_ context.Context, given string) (string, time.Time, error) {
	if v.err != nil || given != v.good {
		return "", time.Time{}, errors.Join(v.err, errors.New("another token"))
	}
	return v.name, v.expires, nil
}

func TestOAuthBearer(t *testing.T) {
	clock := newClock()
	v := &token{good: "a.b.c", name: "alice", expires: clock.now.Add(time.Hour)}
	server := testServer(t, clock, func(o *Options) { o.Mechanisms, o.Tokens, o.MaxReauth = Mechanisms, v, 2*time.Hour })
	begin := func() *Session {
		s := NewSession(peer)
		s.Handshake(server, "OAUTHBEARER")
		return s
	}
	s := NewSession(peer)
	if o := run(t, s, server, oauth.Auth{Token: "a.b.c", Extensions: map[string]string{"team": "x"}}.AsMechanism()); !o.Done || o.Lifetime != time.Hour || s.Principal() != "User:alice" || len(o.Reply) != 0 {
		t.Errorf("%+v %q", o, s.Principal())
	}
	if o := begin().Authenticate(t.Context(), []byte("n,a=bob,\x01auth=Bearer a.b.c\x01\x01")); o.Done || len(o.Reply) == 0 {
		t.Errorf("for another: %+v", o)
	}
	// A refused token is told in a message; the client's answer to it, whatever it is,
	// ends the exchange.
	for _, answer := range []string{"\x01", "n,,\x01auth=Bearer a.b.c\x01\x01"} {
		s = begin()
		o := s.Authenticate(t.Context(), []byte("n,,\x01auth=Bearer x\x01\x01"))
		if o.Failure != nil || o.Done || string(o.Reply) != `{"status":"invalid_token"}` {
			t.Errorf("%+v", o)
		}
		o = s.Authenticate(t.Context(), []byte(answer))
		if o.Failure == nil || o.Failure.Reason != BadToken || s.Principal() != "" {
			t.Errorf("%+v", o)
		}
	}
	clock.now = clock.now.Add(2 * time.Hour) // within the skew, says the verifier
	s = begin()
	if o := s.Authenticate(t.Context(), []byte("n,,\x01auth=Bearer a.b.c\x01\x01")); !o.Done || o.Lifetime != time.Second {
		t.Errorf("just expired: %+v", o)
	}
	v.err = context.DeadlineExceeded
	if o := begin().Authenticate(t.Context(), []byte("n,,\x01auth=Bearer a.b.c\x01\x01")); o.Failure == nil || o.Failure.Reason != GaveUp {
		t.Errorf("a JWKS that does not come in time: %+v", o)
	}
}

func TestOAuthMessages(t *testing.T) {
	for text, want := range map[string]string{
		"n,,\x01auth=Bearer a.b-c_d\x01\x01":              " a.b-c_d",
		"n,a=me,\x01auth=Bearer abc\x01\x01":              "me abc",
		"n,a=a=2Cb,\x01k=v v\x01auth=bearer  abc\x01\x01": "a,b abc",
		"n,,\x01auth=Bearer abc\x01":                      "", "n,,auth=Bearer abc\x01\x01": "", "y,,\x01auth=Bearer abc\x01\x01": "", "n,,\x01\x01": "",
		"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01": "", "n,,\x01auth=Basic abc\x01\x01": "", "n,,\x01auth=Bearer a b\x01\x01": "",
		"n,,\x01auth=Bearer\x01\x01": "", "n,,\x01k1=v\x01auth=Bearer a\x01\x01": "", "n,,\x01k=\x01auth=Bearer a\x01\x01": "", "": "", "\x01": "",
		"n,,\x01auth=Bearer abc\x01\x01\x01": "", "n,,\x01Auth=Bearer abc\x01\x01": "",
	} {
		r, wrong := parseOAuth([]byte(text))
		got := ""
		if wrong == "" {
			got = r.authorization + " " + r.token
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	whole := "n,a=me,\x01k=v\x01auth=Bearer abc\x01\x01"
	for cut := range whole {
		if r, wrong := parseOAuth([]byte(whole[:cut])); wrong == "" {
			t.Errorf("cut to %d: %+v", cut, r)
		}
	}
}
