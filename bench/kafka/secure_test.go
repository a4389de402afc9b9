package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/proxy/auth"
	"sluice/proxy/login"
)

// secureBroker is a broker with all kinds of secure listeners.
func secureBroker(t *testing.T) (*Broker, *Authority) {
	t.Helper()
	a := NewAuthority(t)
	return Start(t, Options{
		Secure:     &Secure{Authority: a, Passwords: map[string]string{"alice": "alice-secret"}, NameRules: "RULE:^CN=(.*?),.*$/$1/L,DEFAULT"},
		Properties: map[string]string{"connections.max.reauth.ms": "60000"},
	}), a
}

// logins are the ways to log in as alice, and one of each that fails.
func logins(t *testing.T, a *Authority) map[string][2]login.Options {
	t.Helper()
	file := func(text string) login.Source {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return login.Source{File: path}
	}
	all := map[string][2]login.Options{"OAUTHBEARER": {
		{Mechanism: "OAUTHBEARER", Token: file(a.Token(t, "alice", time.Hour))},
		{Mechanism: "OAUTHBEARER", Token: file(NewAuthority(t).Token(t, "alice", time.Hour))},
	}}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		all[m] = [2]login.Options{{Mechanism: m, Username: "alice", Password: file("alice-secret")}, {Mechanism: m, Username: "alice", Password: file("wrong")}}
	}
	return all
}

// TestSecure proves the listeners with clients that connect directly: franz-go with
// the gateway's own mechanisms, and Java.
func TestSecure(t *testing.T) {
	t.Parallel()
	b, a := secureBroker(t)
	b.CreateTopics(t, 1, "secure")
	alice := a.Issue(t, "alice", pkix.Name{CommonName: "Alice", Organization: []string{"Test"}})
	for m, o := range logins(t, a) {
		t.Run("franz-go "+m, func(t *testing.T) {
			for i, good := range []bool{true, false} {
				l, err := login.New(o[i])
				if err != nil {
					t.Fatal(err)
				}
				err = produceTo(t, b.SASLSSLAddress, kgo.DialTLSConfig(a.TLS(t, Pair{})), kgo.SASL(l.Mechanism()))
				if (err == nil) != good {
					t.Errorf("good: %t, %v", good, err)
				}
			}
		})
	}
	t.Run("franz-go mTLS", func(t *testing.T) {
		if err := produceTo(t, b.SSLAddress, kgo.DialTLSConfig(a.TLS(t, alice))); err != nil {
			t.Error(err)
		}
		if err := produceTo(t, b.SSLAddress, kgo.DialTLSConfig(a.TLS(t, Pair{}))); err == nil {
			t.Error("without a certificate")
		}
	})
	t.Run("the gateway's login and observer", func(t *testing.T) { directLogins(t, b, a) })
	t.Run("java", func(t *testing.T) { directSecureJava(t, b, a, alice) })
}

// produceTo writes one record.
func produceTo(t *testing.T, address string, options ...kgo.Opt) error {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(address), kgo.RequestRetries(1), kgo.RecordDeliveryTimeout(4*time.Second), kgo.RetryTimeout(5*time.Second))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return client.ProduceSync(ctx, &kgo.Record{Topic: "secure", Value: []byte("x")}).FirstErr()
}

func directSecureJava(t *testing.T, b *Broker, a *Authority, alice Pair) {
	token := a.TokenFile(t, "alice", time.Hour)
	run := func(address string, properties map[string]string) {
		args := append([]string{"--bootstrap", address, "--client-id", "team.secure.test", "--topics", "secure", "--records", "10"}, Props(properties)...)
		r := b.Jars.AllowFiles(token).Program(t.Context(), "Produce", args...).Wait()
		if r.Err != nil {
			t.Fatalf("%v: %s", properties["sasl.mechanism"], r)
		}
		if done := quiet(t, r); done.Records != 10 {
			t.Errorf("%v: %d records", properties["sasl.mechanism"], done.Records)
		}
	}
	for _, m := range SASLMechanisms {
		secret := "alice-secret"
		if m == "OAUTHBEARER" {
			secret = token
		}
		run(b.SASLSSLAddress, a.SASLProperties(m, "alice", secret))
	}
	run(b.SSLAddress, a.SSLProperties(alice))
}

// directLogins logs in over connections of our own while an observer reads along.
func directLogins(t *testing.T, b *Broker, a *Authority) {
	for m, o := range logins(t, a) {
		for i, want := range []string{"User:alice", ""} {
			l, err := login.New(o[i])
			if err != nil {
				t.Fatal(err)
			}
			conn := dialTLS(t, b.SASLSSLAddress, a)
			observer := auth.NewObserver("")
			e := l.Begin(b.SASLSSLAddress, "team.login.test", 1)
			err = observed(t, observer, e, conn)
			principal, authenticated := observer.Principal()
			if principal != want || authenticated != (want != "") || (err == nil) != authenticated {
				t.Errorf("%s: %q %t %v", m, principal, authenticated, err)
			}
			if want == "" {
				if !errors.Is(err, login.ErrRefused) || strings.Contains(err.Error(), "wrong") {
					t.Errorf("%s: %v", m, err)
				}
				continue
			}
			if e.Lifetime() <= 0 || e.Lifetime() > time.Minute {
				t.Errorf("%s: lifetime %v", m, e.Lifetime())
			}
			time.Sleep(1100 * time.Millisecond) // the broker takes no second login within a second
			again := l.Begin(b.SASLSSLAddress, "team.login.test", 1)
			if err := observed(t, observer, again, conn); err != nil {
				t.Errorf("%s again: %v", m, err)
			}
			if principal, _ := observer.Principal(); principal != want {
				t.Errorf("%s again: %q", m, principal)
			}
			metadata := kmsg.NewPtrMetadataRequest()
			exchange(t, conn, kmsg.NewRequestFormatter().AppendRequest(nil, metadata, 7))
		}
		t.Run("version 0 "+m, func(t *testing.T) { directRaw(t, b, a, m, o[0]) })
	}
}

func dialTLS(t *testing.T, address string, a *Authority) net.Conn {
	t.Helper()
	config := a.TLS(t, Pair{})
	config.ServerName = "127.0.0.1"
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange sends a frame and returns the body of the answer, from the correlation id
// on.
func exchange(t *testing.T, conn net.Conn, frame []byte) []byte {
	t.Helper()
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// observed carries an exchange with an observer beside it.
func observed(t *testing.T, o *auth.Observer, e *login.Exchange, conn net.Conn) error {
	t.Helper()
	for request := e.First(); request != nil; {
		key := int16(binary.BigEndian.Uint16(request[4:]))
		version := int16(binary.BigEndian.Uint16(request[6:]))
		body := request[12+2+int(binary.BigEndian.Uint16(request[12:])):]
		handshake, token := kmsg.NewPtrSASLHandshakeRequest(), kmsg.NewPtrSASLAuthenticateRequest()
		handshake.Version, token.Version = version, version
		var err error
		if key == 17 {
			err = errors.Join(handshake.ReadFrom(body), o.Handshake(handshake))
		} else {
			err = errors.Join(token.ReadFrom(body), o.Token(token.SASLAuthBytes))
		}
		if err != nil {
			t.Fatal(err)
		}
		answer := exchange(t, conn, request)
		if key == 17 {
			r := kmsg.NewPtrSASLHandshakeResponse()
			r.Version = version
			err = r.ReadFrom(answer[4:])
			o.Handshaken(r)
		} else {
			r := kmsg.NewPtrSASLAuthenticateResponse()
			r.Version = version
			err = r.ReadFrom(answer[4:])
			// An OAUTHBEARER client that is refused has one more token to send, which
			// ours does not: the broker's word is final.
			if o.Answered(r.ErrorCode, r.SASLAuthBytes); err == nil && r.ErrorCode != 0 && kerr.ErrorForCode(r.ErrorCode) == nil {
				t.Errorf("code %d", r.ErrorCode)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if request, err = e.Next(t.Context(), answer); err != nil {
			return err
		}
	}
	return nil
}

// directRaw logs in after a handshake of version 0, with tokens that have no header.
func directRaw(t *testing.T, b *Broker, a *Authority, mechanism string, o login.Options) {
	l, err := login.New(o)
	if err != nil {
		t.Fatal(err)
	}
	conn, observer := dialTLS(t, b.SASLSSLAddress, a), auth.NewObserver("")
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = mechanism
	if err := observer.Handshake(handshake); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, kmsg.NewRequestFormatter().AppendRequest(nil, handshake, 1))
	session, token, err := l.Mechanism().Authenticate(t.Context(), b.SASLSSLAddress)
	if err != nil {
		t.Fatal(err)
	}
	for observer.Raw() {
		if err := observer.Token(token); err != nil {
			t.Fatal(err)
		}
		answer := exchange(t, conn, append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...))
		observer.Answered(0, answer)
		if _, token, err = session.Challenge(answer); err != nil {
			t.Fatal(err)
		}
	}
	if principal, _ := observer.Principal(); principal != "User:alice" {
		t.Errorf("%q", principal)
	}
	metadata := kmsg.NewPtrMetadataRequest()
	exchange(t, conn, kmsg.NewRequestFormatter().AppendRequest(nil, metadata, 7)) // the broker takes requests with headers again
}
