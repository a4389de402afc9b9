package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/proxy/auth"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// secret is a file with a secret.
func secret(t testing.TB, text string) Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Source{File: path}
}

// one knows one token.
type one struct{ token string }

func (o one) Verify(_ context.Context, token string) (string, time.Time, error) {
	if token != o.token {
		return "", time.Time{}, errors.New("another token")
	}
	return "sluice", time.Now().Add(time.Hour), nil
}

// broker answers on a connection as a broker does, with the gateway's own server.
type broker struct {
	server  *auth.Server
	session *auth.Session
}

func newBroker(t testing.TB, token string, mechanisms ...auth.Mechanism) *broker {
	t.Helper()
	users := auth.NewCredentials()
	for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
		if err := users.Add("sluice", m, must(auth.NewVerifier(m, "secret", auth.MinIterations))); err != nil {
			t.Fatal(err)
		}
	}
	if mechanisms == nil {
		mechanisms = auth.Mechanisms
	}
	server, err := auth.NewServer(auth.Options{
		Mechanisms: mechanisms, Credentials: func() *auth.Credentials { return users }, Tokens: one{token},
		MaxReauth: time.Minute, Guard: auth.NewGuard(auth.GuardOptions{FailureBurst: 1000}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &broker{server, auth.NewSession(netip.Addr{})}
}

// answer is the answer to a request, without its length.
func (b *broker) answer(t testing.TB, request []byte) []byte {
	t.Helper()
	key, version := int16(binary.BigEndian.Uint16(request)), int16(binary.BigEndian.Uint16(request[2:]))
	body := request[8+2+int(binary.BigEndian.Uint16(request[8:])):]
	out := append([]byte(nil), request[4:8]...)
	switch key {
	case 17:
		r := kmsg.NewPtrSASLHandshakeRequest()
		r.Version = version
		if err := r.ReadFrom(body); err != nil {
			t.Error(err)
		}
		answer := kmsg.NewPtrSASLHandshakeResponse()
		answer.Version = version
		answer.SupportedMechanisms, answer.ErrorCode = b.handshake(r.Mechanism)
		return answer.AppendTo(out)
	case 36:
		r := kmsg.NewPtrSASLAuthenticateRequest()
		r.Version = version
		if err := r.ReadFrom(body); err != nil {
			t.Error(err)
		}
		answer := kmsg.NewPtrSASLAuthenticateResponse()
		answer.Version = version
		o := b.session.Authenticate(t.Context(), r.SASLAuthBytes)
		answer.SASLAuthBytes, answer.SessionLifetimeMillis = o.Reply, o.Lifetime.Milliseconds()
		if o.Failure != nil {
			answer.ErrorCode, answer.ErrorMessage = o.Failure.Code, &o.Failure.Text
		}
		return answer.AppendTo(out)
	}
	t.Errorf("key %d", key)
	return nil
}

func (b *broker) handshake(mechanism string) ([]string, int16) {
	return b.session.Handshake(b.server, mechanism)
}

// serve answers until the connection ends.
func (b *broker) serve(t testing.TB, conn net.Conn) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		answer := b.answer(t, request)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// do logs in over a connection to b.
func do(t testing.TB, l *Login, b *broker) (*Exchange, error) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan struct{})
	go func() { defer close(done); b.serve(t, server) }()
	e := l.Begin("broker:9092", "sluice", 1)
	err := e.Do(t.Context(), client)
	_ = client.Close()
	<-done
	return e, err
}

func TestMechanisms(t *testing.T) {
	t.Setenv("SLUICE_TEST_PASSWORD", "secret")
	for _, c := range []struct {
		o    Options
		good bool
	}{
		{Options{Mechanism: "PLAIN", Username: "sluice", Password: Source{Env: "SLUICE_TEST_PASSWORD"}}, true},
		{Options{Mechanism: "PLAIN", Username: "sluice", Password: secret(t, "other")}, false},
		{Options{Mechanism: "SCRAM-SHA-256", Username: "sluice", Password: secret(t, "secret")}, true},
		{Options{Mechanism: "SCRAM-SHA-512", Username: "sluice", Password: secret(t, "secret\r")}, true},
		{Options{Mechanism: "SCRAM-SHA-512", Username: "sluice", Password: secret(t, "other")}, false},
		{Options{Mechanism: "OAUTHBEARER", Token: secret(t, "a.b.c")}, true},
		{Options{Mechanism: "OAUTHBEARER", Token: secret(t, "x.y.z")}, false},
	} {
		l := must(New(c.o))
		b := newBroker(t, "a.b.c")
		e, err := do(t, l, b)
		if c.good && (err != nil || b.session.Principal() != "User:sluice" || e.Lifetime() != time.Minute) {
			t.Errorf("%s: %v, %q, %v", c.o.Mechanism, err, b.session.Principal(), e.Lifetime())
		}
		if !c.good && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", c.o.Mechanism, err)
		}
		if err != nil && strings.Contains(err.Error(), "other") {
			t.Errorf("the secret is in the text: %v", err)
		}
		if l.Mechanism().Name() != c.o.Mechanism {
			t.Error(l.Mechanism().Name())
		}
	}
	if _, err := New(Options{Mechanism: "GSSAPI"}); err == nil {
		t.Error("GSSAPI is taken")
	}
}

func TestRefusedMechanism(t *testing.T) {
	l := must(New(Options{Mechanism: "PLAIN", Username: "sluice", Password: secret(t, "secret")}))
	_, err := do(t, l, newBroker(t, "", auth.ScramSHA512))
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `it takes ["SCRAM-SHA-512"]`) {
		t.Error(err)
	}
}

func TestMissingSecret(t *testing.T) {
	for _, s := range []Source{{}, {File: "/none/secret"}, {Env: "SLUICE_TEST_NOT_SET"}, secret(t, ""), secret(t, strings.Repeat("x", maxSecret+1)), {File: t.TempDir()}} {
		l := must(New(Options{Mechanism: "SCRAM-SHA-256", Username: "sluice", Password: s}))
		if _, err := do(t, l, newBroker(t, "")); err == nil || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestRenewAfter(t *testing.T) {
	e := &Exchange{lifetime: 100 * time.Second}
	for chance, want := range map[float64]time.Duration{-1: 85 * time.Second, 0: 85 * time.Second, 0.5: 90 * time.Second, 1: 95 * time.Second, 2: 95 * time.Second} {
		if d, ok := e.RenewAfter(chance); d.Round(time.Millisecond) != want || !ok {
			t.Errorf("%v: %v %t", chance, d, ok)
		}
	}
	if _, ok := (&Exchange{}).RenewAfter(0); ok {
		t.Error("a session without an end is renewed")
	}
}

// On a connection in use, the exchange is carried by its owner. A secret that has
// changed holds from the next one on.
func TestReauthentication(t *testing.T) {
	s := secret(t, "secret")
	l := must(New(Options{Mechanism: "SCRAM-SHA-512", Username: "sluice", Password: s}))
	b := newBroker(t, "")
	step := func() error {
		e := l.Begin("b:1", "sluice", 9)
		request := e.First()
		for request != nil {
			var err error
			if request, err = e.Next(t.Context(), b.answer(t, request[4:])); err != nil {
				return err
			}
		}
		if _, err := e.Next(t.Context(), nil); err == nil {
			t.Error("it goes on after its end")
		}
		return nil
	}
	if err := step(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.File, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // a broker takes no second login within a second
	if err := step(); !errors.Is(err, ErrRefused) || b.session.Principal() != "" {
		t.Errorf("%v %q", err, b.session.Principal())
	}
}

func TestDoEnds(t *testing.T) {
	l := must(New(Options{Mechanism: "PLAIN", Username: "sluice", Password: secret(t, "secret")}))
	client, server := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, server) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.Begin("b:1", "", 1).Do(ctx, client); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a broker that says nothing: %v", err)
	}
	for sent, want := range map[string]string{
		"": "closed the connection", "\x15\x03\x03\x00\x02\x02\x28": "speaks TLS", "\x00\x00\x00\x02xx": "an answer of 2 bytes",
		"\x00\x00\x00\x04\x00\x00\x00\x00": "another request", "\x00\x00\x00\x05\x7f\xff\xff\xf8\x00": "cannot be read",
	} {
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, server) }()
		go func() {
			_, _ = server.Write([]byte(sent))
			_ = server.Close()
		}()
		if err := l.Begin("b:1", "", 1).Do(t.Context(), client); err == nil || !strings.Contains(err.Error(), want) {
			if sent != "" || err == nil { // the broker's close may meet the write
				t.Errorf("%q: %v", sent, err)
			}
		}
	}
}

// Answers cut at every byte end the login, and never complete it.
func TestCutAtEveryByte(t *testing.T) {
	l := must(New(Options{Mechanism: "SCRAM-SHA-256", Username: "sluice", Password: secret(t, "secret")}))
	for turn := range 3 {
		for cut := 0; ; cut++ {
			b, e := newBroker(t, ""), l.Begin("b:1", "sluice", 1)
			request := e.First()
			var err error
			for range turn {
				if request, err = e.Next(t.Context(), b.answer(t, request[4:])); err != nil {
					t.Fatal(err)
				}
			}
			answer := b.answer(t, request[4:])
			if cut >= len(answer) {
				break
			}
			if next, err := e.Next(t.Context(), answer[:cut]); err == nil {
				t.Fatalf("answer %d cut to %d bytes of %d: %q", turn, cut, len(answer), next)
			}
		}
	}
}

func FuzzNext(f *testing.F) {
	source := secret(f, "a.b.c")
	f.Add(uint8(0), []byte("\x7f\xff\xff\xf8\x00\x00\x00\x00\x00\x00"), []byte("\x7f\xff\xff\xf9\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		m := []string{"PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"}[which%3]
		e := must(New(Options{Mechanism: m, Username: "u", Password: source, Token: source})).Begin("b:1", "c", 1)
		e.First()
		if _, err := e.Next(t.Context(), first); err == nil {
			_, _ = e.Next(t.Context(), second)
		}
	})
}

func TestSecretsAreHidden(t *testing.T) {
	s := NewSecret("hunter2")
	l := must(New(Options{Mechanism: "PLAIN", Username: "u", Password: secret(t, "hunter2")}))
	var logged strings.Builder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel)
	zap.New(core).Info("x", zap.Any("a", s), zap.Stringer("b", s), zap.Reflect("c", struct{ S Secret }{s}), zap.Reflect("l", l))
	zap.New(core).Sugar().Infow("x", "a", s, "b", struct{ S Secret }{s})
	for _, text := range []string{
		fmt.Sprint(s), s.String(), s.GoString(), fmt.Sprintf("%v %+v %#v %q %s %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%+v %#v", struct{ S Secret }{s}, &struct{ S Secret }{s}),
		string(must(json.Marshal(map[string]any{"s": s, "p": &s}))), logged.String(), fmt.Sprintf("%+v", l),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("seen: %s", text)
		}
	}
	if s.Reveal() != "hunter2" || s.Empty() || !(Secret{}).Empty() {
		t.Error("not the secret")
	}
}

// What vouches for the endpoint is asked each time.
func TestTokenEndpointTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"a.b.c"}`)
	}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	good, pool := x509.NewCertPool(), x509.NewCertPool()
	good.AddCert(server.Certificate())
	l := must(New(Options{
		Mechanism: "OAUTHBEARER", TokenEndpoint: server.URL, ClientID: "id", ClientSecret: secret(t, "hunter2"),
		TokenTLS: func() *tls.Config { return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12} },
	}))
	if _, err := do(t, l, newBroker(t, "a.b.c")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("not vouched for: %v", err)
	}
	pool = good
	if _, err := do(t, l, newBroker(t, "a.b.c")); err != nil {
		t.Error(err)
	}
}

func TestTokenEndpoint(t *testing.T) {
	var asked atomic.Int32
	reply := func() string { return `{"access_token":"a.b.c","token_type":"Bearer","expires_in":100}` }
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodPost || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka x" || user != "id" || password != "hunter2%2B" {
			t.Errorf("%s %v %q %q", r.Method, r.Form, user, password)
		}
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, reply())
	}))
	defer server.Close()
	l := must(New(Options{Mechanism: "OAUTHBEARER", TokenEndpoint: server.URL, ClientID: "id", ClientSecret: secret(t, "hunter2+"), Scope: "kafka x"}))
	now := time.Now()
	l.tokens.now = func() time.Time { return now }
	for range 3 {
		if _, err := do(t, l, newBroker(t, "a.b.c")); err != nil {
			t.Fatal(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	now = now.Add(81 * time.Second)
	if _, err := do(t, l, newBroker(t, "a.b.c")); err != nil || asked.Load() != 2 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	for _, c := range []struct {
		status      int
		reply, want string
	}{
		{401, `{"error":"invalid_client","error_description":"hunter2"}`, "the answer is 401, invalid_client"},
		{400, `{"error":"hunter2"}`, "the answer is 400"},
		{302, ``, "the answer is 302"},
		{200, `hunter2`, "not the JSON"},
		{200, `{}`, "has no access_token"},
		{200, `{"access_token":"a b"}`, "has no access_token"},
		{200, `{"access_token":"a.b","token_type":"mac"}`, "not a bearer token"},
	} {
		now = now.Add(time.Hour)
		status, reply = c.status, func() string { return c.reply }
		_, err := do(t, l, newBroker(t, "a.b.c"))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d %s: %v", c.status, c.reply, err)
		}
	}
	server.Close()
	if _, err := do(t, l, newBroker(t, "a.b.c")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if _, life, err := parseToken(200, []byte(`{"access_token":"a"}`)); err != nil || life != unsaid {
		t.Errorf("%v %v", life, err)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(200, []byte(`{"access_token":"a.b.c","token_type":"Bearer","expires_in":3600}`))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		token, life, err := parseToken(status, data)
		if err == nil && (token.Empty() || life < time.Second) {
			t.Errorf("%v", life)
		}
	})
}
