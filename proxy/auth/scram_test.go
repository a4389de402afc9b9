package auth

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// clock is a clock that stands until it is moved.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.now }

var peer = netip.MustParseAddr("10.1.2.3")

// users has alice with SCRAM-SHA-256, bob with SCRAM-SHA-512 and "a,b=c" with both.
func users(t testing.TB) *Credentials {
	t.Helper()
	c := NewCredentials()
	for _, u := range []struct {
		name string
		m    Mechanism
	}{{"alice", ScramSHA256}, {"bob", ScramSHA512}, {"a,b=c", ScramSHA256}, {"a,b=c", ScramSHA512}} {
		v, err := NewVerifier(u.m, u.name+"-secret", MinIterations)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Add(u.name, u.m, v); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func testServer(t testing.TB, clock *clock, change func(*Options)) *Server {
	t.Helper()
	c := users(t)
	o := Options{
		Mechanisms: []Mechanism{ScramSHA512, ScramSHA256, Plain}, Credentials: func() *Credentials { return c },
		Guard: NewGuard(GuardOptions{}), Now: clock.Now,
	}
	if change != nil {
		change(&o)
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run lets one of franz-go's clients authenticate, and returns the last outcome.
func run(t testing.TB, s *Session, server *Server, m sasl.Mechanism) Outcome {
	t.Helper()
	if _, code := s.Handshake(server, m.Name()); code != 0 {
		return Outcome{Failure: &Failure{Code: code}}
	}
	client, token, err := m.Authenticate(t.Context(), "broker:9092")
	if err != nil {
		t.Fatal(err)
	}
	for {
		o := s.Authenticate(t.Context(), token)
		if o.Failure != nil {
			return o
		}
		done, next, err := client.Challenge(o.Reply)
		if err != nil {
			t.Fatalf("the client does not like %q: %v", o.Reply, err)
		}
		if done != o.Done && next == nil {
			t.Fatalf("client done: %t, server done: %t", done, o.Done)
		}
		if o.Done {
			return o
		}
		token = next
	}
}

func scramClient(m Mechanism, user, password string) sasl.Mechanism {
	a := scram.Auth{User: user, Pass: password}
	if m == ScramSHA512 {
		return a.AsSha512Mechanism()
	}
	return a.AsSha256Mechanism()
}

func TestClientsAuthenticate(t *testing.T) {
	server := testServer(t, newClock(), nil)
	for _, c := range []struct {
		name   string
		client sasl.Mechanism
		want   string
	}{
		{"SCRAM-SHA-256", scramClient(ScramSHA256, "alice", "alice-secret"), "User:alice"},
		{"SCRAM-SHA-512", scramClient(ScramSHA512, "bob", "bob-secret"), "User:bob"},
		{"a name with , and =", scramClient(ScramSHA256, "a,b=c", "a,b=c-secret"), "User:a,b=c"},
		{"the same, the other way", scramClient(ScramSHA512, "a,b=c", "a,b=c-secret"), "User:a,b=c"},
		{"PLAIN against SCRAM-SHA-256", plain.Auth{User: "alice", Pass: "alice-secret"}.AsMechanism(), "User:alice"},
		{"PLAIN against SCRAM-SHA-512", plain.Auth{User: "bob", Pass: "bob-secret"}.AsMechanism(), "User:bob"},
		{"PLAIN with an authorization id", plain.Auth{User: "bob", Pass: "bob-secret", Zid: "bob"}.AsMechanism(), "User:bob"},
		{"another authorization id", plain.Auth{User: "bob", Pass: "bob-secret", Zid: "alice"}.AsMechanism(), ""},
		{"another password", scramClient(ScramSHA256, "alice", "x"), ""},
		{"another password, PLAIN", plain.Auth{User: "bob", Pass: "x"}.AsMechanism(), ""},
		{"no such user", scramClient(ScramSHA256, "nobody", "x"), ""},
		{"no such user, PLAIN", plain.Auth{User: "nobody", Pass: "x"}.AsMechanism(), ""},
		{"a verifier of the other kind", scramClient(ScramSHA256, "bob", "bob-secret"), ""},
		{"a delegation token", scram.Auth{User: "alice", Pass: "alice-secret", IsToken: true}.AsSha256Mechanism(), ""},
	} {
		s := NewSession(peer)
		o := run(t, s, server, c.client)
		if s.Principal() != c.want || o.Done != (c.want != "") || (o.Failure == nil) != o.Done || o.Lifetime != 0 {
			t.Errorf("%s: %q, %+v", c.name, s.Principal(), o)
		}
		if o.Failure != nil && o.Failure.Text != "Sluice: authentication failed with SASL mechanism "+c.client.Name() {
			t.Errorf("%s: the client is told %q", c.name, o.Failure.Text)
		}
	}
}

// Whoever asks with a name must not learn whether there is such a user: not by the
// form of the answer, not by asking again, and not after the file has changed.
func TestUnknownUsersLookKnown(t *testing.T) {
	clock := newClock()
	c := users(t)
	server := testServer(t, clock, func(o *Options) { o.Credentials = func() *Credentials { return c } })
	ask := func(m Mechanism, name string) (salt string, iterations string) {
		s := NewSession(peer)
		s.Handshake(server, string(m))
		o := s.Authenticate(t.Context(), []byte("n,,n="+name+",r=abc"))
		if o.Failure != nil {
			t.Fatalf("%s: %+v", name, o.Failure)
		}
		_, rest, _ := strings.Cut(string(o.Reply), ",s=")
		salt, iterations, _ = strings.Cut(rest, ",i=")
		return salt, iterations
	}
	salt, iterations := ask(ScramSHA256, "alice")
	fake, fakeIterations := ask(ScramSHA256, "nobody")
	if len(salt) != len(fake) || iterations != fakeIterations {
		t.Errorf("alice: %s %s, nobody: %s %s", salt, iterations, fake, fakeIterations)
	}
	if other, _ := ask(ScramSHA256, "nobody2"); other == fake {
		t.Error("two names have one salt")
	}
	if other, _ := ask(ScramSHA512, "nobody"); other == fake {
		t.Error("two mechanisms have one salt")
	}
	read, err := ParseCredentials("f", c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	read.Remove("bob")
	*c = *read
	if again, _ := ask(ScramSHA256, "nobody"); again != fake {
		t.Error("the salt of nobody changes with the file")
	}
}

func TestSCRAMMessages(t *testing.T) {
	for text, want := range map[string]string{
		"n,,n=user,r=abc":                  "user abc n=user,r=abc",
		"n,a=user,n=user,r=abc":            "user abc n=user,r=abc",
		"n,,n=a=2Cb=3Dc,r=abc,x=y":         "a,b=c abc n=a=2Cb=3Dc,r=abc,x=y",
		"n,,n=user,r=abc,tokenauth=true":   "token",
		"n,,n=user,r=abc,a=b,TokenAuth=no": "token",
		"n,a=other,n=user,r=abc":           "", "y,,n=user,r=abc": "", "p=tls-unique,,n=user,r=abc": "", "n,,m=x,n=user,r=abc": "",
		"n,,n=,r=abc": "", "n,,n=user,r=": "", "n,,n=a=b,r=abc": "", "n,,n=a=2c,r=abc": "", "n,,n=user": "", "": "", "n,,n=us\x00er,r=abc": "",
		"n,,n=usér,r=abc": "", "n,,n=user,r=a c": "", "n,,n=user,r=abc,": "", "n,,n=user,r=abc,x": "", "n,,n=user,r=abc\n": "",
	} {
		c, ok := parseClientFirst([]byte(text))
		got := ""
		if c.tokenauth {
			got = "token"
		} else if ok {
			got = c.name + " " + c.nonce + " " + c.bare
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A proof counts only for its own exchange.
func TestSCRAMReplay(t *testing.T) {
	server := testServer(t, newClock(), nil)
	begin := func() (*Session, string, string) {
		s := NewSession(peer)
		s.Handshake(server, "SCRAM-SHA-256")
		client, token, err := scramClient(ScramSHA256, "alice", "alice-secret").Authenticate(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		o := s.Authenticate(t.Context(), token)
		_, final, err := client.Challenge(o.Reply)
		if err != nil {
			t.Fatal(err)
		}
		return s, string(token), string(final)
	}
	first, _, _ := begin()
	_, _, final := begin()
	if o := first.Authenticate(t.Context(), []byte(final)); o.Failure == nil {
		t.Error("the proof of another exchange is taken")
	}
	for name, change := range map[string]func(string) string{
		"another binding": func(s string) string {
			return strings.Replace(s, "c=biws", "c="+base64.StdEncoding.EncodeToString([]byte("y,,")), 1)
		},
		"a proof cut":        func(s string) string { return s[:len(s)-4] },
		"no proof":           func(s string) string { before, _, _ := strings.Cut(s, ",p="); return before + ",p=" },
		"a changed nonce":    func(s string) string { return strings.Replace(s, "r=", "r=x", 1) },
		"an extension added": func(s string) string { return strings.Replace(s, ",p=", ",x=y,p=", 1) },
	} {
		s, _, final := begin()
		if o := s.Authenticate(t.Context(), []byte(change(final))); o.Failure == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Any token cut at any byte is refused or answered, and never lets in.
func TestCutAtEveryByte(t *testing.T) {
	server := testServer(t, newClock(), func(o *Options) { o.Guard = NewGuard(GuardOptions{FailureBurst: 1 << 20}) })
	for _, m := range []sasl.Mechanism{
		plain.Auth{User: "alice", Pass: "alice-secret", Zid: "alice"}.AsMechanism(), scramClient(ScramSHA256, "alice", "alice-secret"),
	} {
		for turn := range 2 {
			for cut := 0; ; cut++ {
				s := NewSession(peer)
				s.Handshake(server, m.Name())
				client, token, err := m.Authenticate(t.Context(), "b")
				if err != nil {
					t.Fatal(err)
				}
				for range turn {
					o := s.Authenticate(t.Context(), token)
					if o.Done {
						token = nil
						break
					}
					if _, token, err = client.Challenge(o.Reply); err != nil {
						t.Fatal(err)
					}
				}
				if cut >= len(token) {
					break
				}
				if o := s.Authenticate(t.Context(), token[:cut]); o.Done || s.Principal() != "" {
					t.Fatalf("%s, token %d cut to %d bytes of %d lets in", m.Name(), turn, cut, len(token))
				}
			}
		}
	}
}

func FuzzSession(f *testing.F) {
	server := testServer(f, newClock(), func(o *Options) {
		o.Mechanisms = Mechanisms
		o.Tokens = noToken{}
		o.Guard = NewGuard(GuardOptions{FailureBurst: 1 << 30})
	})
	f.Add(uint8(0), []byte("n,,n=alice,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add(uint8(1), []byte("n,a=alice,n=alice,r=abc,x=y"), []byte("c=biws,r=abcdef,x=y,p="))
	f.Add(uint8(2), []byte("n,,\x01auth=Bearer a.b.c\x01x=y\x01\x01"), []byte{1})
	f.Add(uint8(3), []byte("\x00alice\x00x"), []byte{})
	f.Fuzz(func(t *testing.T, m uint8, first, second []byte) {
		s := NewSession(peer)
		if _, code := s.Handshake(server, string(Mechanisms[int(m)%len(Mechanisms)])); code != 0 {
			t.Fatal(code)
		}
		for _, token := range [][]byte{first, second} {
			if o := s.Authenticate(t.Context(), token); o.Done || s.Principal() != "" {
				t.Fatalf("%q lets in", token)
			} else if o.Failure != nil {
				break
			}
		}
	})
}

// noToken refuses every token.
type noToken struct{}

func (noToken) Verify(context.Context, string) (string, time.Time, error) {
	return "", time.Time{}, failf(BadToken, "no")
}
