package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func handshake(version int16, mechanism string) *kmsg.SASLHandshakeRequest {
	r := kmsg.NewSASLHandshakeRequest()
	r.Version, r.Mechanism = version, mechanism
	return &r
}

// watch lets a client authenticate at a server, which stands for a broker, while an
// observer reads along.
func watch(t testing.TB, o *Observer, s *Session, server *Server, m sasl.Mechanism, version int16) {
	t.Helper()
	if err := o.Handshake(handshake(version, m.Name())); err != nil {
		t.Fatal(err)
	}
	_, code := s.Handshake(server, m.Name())
	o.Handshaken(&kmsg.SASLHandshakeResponse{ErrorCode: code})
	if code != 0 {
		return
	}
	client, token, err := m.Authenticate(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if o.Raw() != (version == 0) {
			t.Fatalf("raw: %t, version %d", o.Raw(), version)
		}
		if err := o.Token(token); err != nil {
			t.Fatal(err)
		}
		before, _ := o.Principal()
		if before != s.Principal() {
			t.Fatalf("%q is believed before the broker said so", before)
		}
		out := s.Authenticate(t.Context(), token)
		if out.Failure != nil {
			if version == 1 && !o.Answered(out.Failure.Code, nil) {
				t.Fatal("a failure is not the end")
			}
			return
		}
		if over := o.Answered(0, out.Reply); over != out.Done {
			t.Fatalf("%s: over: %t, done: %t", m.Name(), over, out.Done)
		}
		if out.Done {
			return
		}
		if _, token, err = client.Challenge(out.Reply); err != nil {
			token = []byte{1} // OAUTHBEARER: the answer to an error
		}
	}
}

func TestObserver(t *testing.T) {
	clock := newClock()
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1,"sub":"alice","azp":{"sub":"x"}}`))
	v := &token{good: "a." + payload + ".c", name: "alice", expires: clock.now.Add(time.Hour)}
	server := testServer(t, clock, func(o *Options) { o.Mechanisms, o.Tokens, o.MaxReauth = Mechanisms, v, time.Hour })
	for _, version := range []int16{0, 1} {
		for _, c := range []struct {
			client sasl.Mechanism
			want   string
		}{
			{plain.Auth{User: "alice", Pass: "alice-secret"}.AsMechanism(), "User:alice"},
			{plain.Auth{User: "alice", Pass: "x"}.AsMechanism(), ""},
			{scramClient(ScramSHA256, "a,b=c", "a,b=c-secret"), "User:a,b=c"},
			{scramClient(ScramSHA512, "bob", "bob-secret"), "User:bob"},
			{scramClient(ScramSHA512, "bob", "x"), ""},
			{oauth.Auth{Token: v.good}.AsMechanism(), "User:alice"},
			{oauth.Auth{Token: "a." + payload + ".forged"}.AsMechanism(), ""},
		} {
			o, s := NewObserver(""), NewSession(peer)
			watch(t, o, s, server, c.client, version)
			got, authenticated := o.Principal()
			if got != c.want || got != s.Principal() || authenticated != (c.want != "") || authenticated && o.Raw() {
				t.Errorf("%s v%d: %q %t, the broker knows %q", c.client.Name(), version, got, authenticated, s.Principal())
			}
		}
	}
}

func TestObserverFollowsReauthentication(t *testing.T) {
	clock := newClock()
	server := testServer(t, clock, func(o *Options) { o.MaxReauth = time.Hour })
	o, s := NewObserver(""), NewSession(peer)
	alice := scramClient(ScramSHA256, "alice", "alice-secret")
	watch(t, o, s, server, alice, 1)
	clock.now = clock.now.Add(time.Minute)
	watch(t, o, s, server, alice, 1)
	if got, _ := o.Principal(); got != "User:alice" {
		t.Errorf("renewed: %q", got)
	}
	clock.now = clock.now.Add(time.Minute)
	watch(t, o, s, server, scramClient(ScramSHA256, "alice", "x"), 1)
	if got, authenticated := o.Principal(); got != "" || authenticated {
		t.Errorf("after a failure: %q %t", got, authenticated)
	}
	o, s = NewObserver(""), NewSession(peer)
	watch(t, o, s, server, alice, 1)
	watch(t, o, s, server, alice, 1) // too soon: the broker says 34
	if got, authenticated := o.Principal(); got != "" || authenticated {
		t.Errorf("after a refused handshake: %q %t", got, authenticated)
	}
}

// say has a client send a token and a broker answer it.
func say(t testing.TB, o *Observer, token, answer string) bool {
	t.Helper()
	if err := o.Token([]byte(token)); err != nil {
		t.Fatal(err)
	}
	return o.Answered(0, []byte(answer))
}

func TestObserverSaysUnknown(t *testing.T) {
	claims := func(s string) string {
		return "n,,\x01auth=Bearer a." + base64.RawURLEncoding.EncodeToString([]byte(s)) + ".c\x01\x01"
	}
	for _, c := range []struct{ name, mechanism, first, answer, second, last string }{
		{"GSSAPI", "GSSAPI", "abc", "def", "", ""},
		{"a mechanism of somebody", "AWS_MSK_IAM", "abc", "{}", "", ""},
		{"a delegation token", "SCRAM-SHA-256", "n,,n=id,r=x,tokenauth=true", "r=xy,s=AA==,i=4096", "c=biws,r=xy,p=AA==", "v=AA=="},
		{"twice, otherwise", "SCRAM-SHA-256", "n,,n=id,r=x,tokenauth=false,tokenauth=true", "r=xy,s=AA==,i=4096", "c=biws,r=xy,p=AA==", "v=AA=="},
		{"a message Kafka would not read", "SCRAM-SHA-256", "n,,n=é,r=x", "r=xy,s=AA==,i=4096", "c=biws,r=xy,p=AA==", "v=AA=="},
		{"PLAIN that is not UTF-8", "PLAIN", "\x00a\xff\x00b", "", "", ""},
		{"no such claim", "OAUTHBEARER", claims(`{"azp":"alice"}`), "", "", ""},
		{"a claim that is there twice", "OAUTHBEARER", claims(`{"sub":"alice","sub":"bob"}`), "", "", ""},
		{"a claim that is no text", "OAUTHBEARER", claims(`{"sub":7}`), "", "", ""},
		{"claims that are no object", "OAUTHBEARER", claims(`["sub","alice"]`), "", "", ""},
		{"claims that are no JSON", "OAUTHBEARER", claims(`{"sub":"alice"`), "", "", ""},
		{"an opaque token", "OAUTHBEARER", "n,,\x01auth=Bearer abc\x01\x01", "", "", ""},
	} {
		o := NewObserver("")
		if err := o.Handshake(handshake(1, c.mechanism)); err != nil {
			t.Fatal(err)
		}
		o.Handshaken(&kmsg.SASLHandshakeResponse{})
		over := say(t, o, c.first, c.answer)
		if c.second != "" {
			over = say(t, o, c.second, c.last)
		}
		if got, authenticated := o.Principal(); got != "" || !authenticated || !over {
			t.Errorf("%s: %q %t %t", c.name, got, authenticated, over)
		}
	}
}

func TestObserverTakesTheLastToken(t *testing.T) {
	claims := func(name string) string {
		return "n,,\x01auth=Bearer a." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"id":%q}`, name)) + ".c\x01\x01"
	}
	o := NewObserver("id")
	if err := o.Handshake(handshake(1, "OAUTHBEARER")); err != nil {
		t.Fatal(err)
	}
	if say(t, o, claims("admin"), refusedToken) {
		t.Error("an error message ends the exchange")
	}
	if !say(t, o, claims("bob"), "") { // Kafka's broker takes another token in place of ^A
		t.Error("not over")
	}
	if got, _ := o.Principal(); got != "User:bob" {
		t.Errorf("%q", got)
	}
}

func TestObserverRefusesPipelining(t *testing.T) {
	for _, version := range []int16{0, 1} {
		o := NewObserver("")
		if err := o.Handshake(handshake(version, "PLAIN")); err != nil {
			t.Fatal(err)
		}
		if err := o.Token([]byte("\x00bob\x00bob-secret")); err != nil {
			t.Fatal(err)
		}
		if err := o.Token([]byte("\x00admin\x00x")); !errors.Is(err, ErrPipelined) {
			t.Errorf("v%d: a second token: %v", version, err)
		}
		if err := o.Handshake(handshake(version, "PLAIN")); !errors.Is(err, ErrPipelined) {
			t.Errorf("v%d: a second handshake: %v", version, err)
		}
		o.Answered(0, nil)
		if got, _ := o.Principal(); got != "User:bob" {
			t.Errorf("v%d: %q", version, got)
		}
	}
	o := NewObserver("")
	if err := o.Handshake(handshake(0, "GSSAPI")); !errors.Is(err, ErrUnreadable) {
		t.Errorf("GSSAPI without headers: %v", err)
	}
}

func TestObserverCutAtEveryByte(t *testing.T) {
	client, first, err := scram.Auth{User: "alice", Pass: "x", Zid: "alice"}.AsSha256Mechanism().Authenticate(t.Context(), "b")
	if err != nil || client == nil {
		t.Fatal(err)
	}
	for cut := range first {
		o := NewObserver("")
		_ = o.Handshake(handshake(1, "SCRAM-SHA-256"))
		say(t, o, string(first[:cut]), "r=x,s=AA==,i=4096")
		say(t, o, "c=biws,r=x,p=AA==", "v=AA==")
		if got, _ := o.Principal(); got != "" && got != "User:alice" {
			t.Errorf("cut to %d: %q", cut, got)
		}
	}
}

func FuzzObserver(f *testing.F) {
	f.Add("PLAIN", uint8(0), []byte("\x00a\x00b"), int16(0), []byte{})
	f.Add("OAUTHBEARER", uint8(1), []byte("n,,\x01auth=Bearer a.eyJzdWIiOiJhIn0.c\x01\x01"), int16(0), []byte{})
	f.Add("SCRAM-SHA-512", uint8(1), []byte("n,,n=a,r=b"), int16(58), []byte("v="))
	f.Fuzz(func(t *testing.T, mechanism string, version uint8, token []byte, code int16, answer []byte) {
		o := NewObserver("")
		if o.Handshake(handshake(int16(version%2), mechanism)) != nil {
			return
		}
		for range 2 {
			if o.Token(token) != nil {
				t.Fatal("not pipelined")
			}
			o.Answered(code, answer)
			if got, authenticated := o.Principal(); got != "" && (!authenticated || code != 0) {
				t.Fatalf("%q with code %d", got, code)
			}
		}
	})
}
