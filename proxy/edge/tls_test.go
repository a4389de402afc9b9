package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

var serial atomic.Int64

func newAuthority() *authority {
	a := &authority{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), NotBefore: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key))))
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue makes a certificate for 127.0.0.1 and a name.
func (a *authority) issue(name string) (certificate, key []byte) {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))})
}

// files writes files into a directory and returns their paths in order.
func files(t testing.TB, dir string, contents map[string][]byte) {
	t.Helper()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// put writes a certificate and key of a name into a directory.
func put(t testing.TB, dir string, a *authority, name string) {
	t.Helper()
	certificate, key := a.issue(name)
	files(t, dir, map[string][]byte{"c": certificate, "k": key, "ca": a.pem()})
}

func serverIn(dir string, auth ClientAuth) ServerOptions {
	return ServerOptions{Certificate: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k"), ClientCA: filepath.Join(dir, "ca"), ClientAuth: auth}
}

func clientIn(dir string) ClientOptions {
	return ClientOptions{Certificate: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k"), CA: filepath.Join(dir, "ca")}
}

// shake does one handshake over loopback and returns both ends' states.
func shake(t testing.TB, server *tls.Config, client *tls.Config) (s, c tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			clientErr = err
			return
		}
		conn := tls.Client(raw, client)
		defer func() { _ = conn.Close() }()
		if _, clientErr = conn.Write([]byte("x")); clientErr == nil { // with TLS 1.3 a refused certificate shows at the first read
			_, clientErr = conn.Read(make([]byte, 1))
		}
		c = conn.ConnectionState()
	}()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Server(raw, server)
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	if serverErr = conn.HandshakeContext(t.Context()); serverErr == nil {
		_, _ = io.CopyN(conn, conn, 1)
	}
	s = conn.ConnectionState()
	_ = conn.Close()
	<-done
	return s, c, serverErr, clientErr
}

func TestClientAuth(t *testing.T) {
	a, other := newAuthority(), newAuthority()
	dir, mine, foreign := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, dir, a, "gateway")
	put(t, mine, a, "alice")
	put(t, foreign, other, "mallory")
	files(t, foreign, map[string][]byte{"ca": a.pem()})
	for _, c := range []struct {
		auth   ClientAuth
		client string // the directory with its certificate; "" for none
		good   bool
		want   string // the peer's name
	}{
		{ClientAuthNone, "", true, ""},
		{ClientAuthNone, mine, true, ""},
		{ClientAuthNone, foreign, true, ""},
		{"", "", true, ""},
		{ClientAuthRequested, "", true, ""},
		{ClientAuthRequested, mine, true, "alice"},
		{ClientAuthRequested, foreign, false, ""},
		{ClientAuthRequired, "", false, ""},
		{ClientAuthRequired, mine, true, "alice"},
		{ClientAuthRequired, foreign, false, ""},
	} {
		server, err := NewServer(serverIn(dir, c.auth))
		if err != nil {
			t.Fatal(err)
		}
		o := ClientOptions{CA: filepath.Join(dir, "ca")}
		if c.client != "" {
			o = clientIn(c.client)
		}
		client, err := NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		state, _, serverErr, clientErr := shake(t, server.Config(), client.Config("127.0.0.1"))
		name := ""
		if len(state.VerifiedChains) > 0 {
			name = state.PeerCertificates[0].Subject.CommonName
		}
		if (serverErr == nil) != c.good || (clientErr == nil) != c.good || name != c.want {
			t.Errorf("%s, %q: %q, %v, %v", c.auth, c.client, name, serverErr, clientErr)
		}
		if serverErr != nil && ExplainHandshake(serverErr) == "" {
			t.Error("no explanation")
		}
	}
}

func TestServerNeeds(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority()
	put(t, dir, a, "gateway")
	_, otherKey := a.issue("x")
	files(t, dir, map[string][]byte{"other": otherKey, "empty": nil, "bad": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "large": make([]byte, maxPEM+1)})
	for _, c := range []struct {
		change func(*ServerOptions)
		want   string
	}{
		{func(o *ServerOptions) { o.Certificate = "" }, "needs a certificate"},
		{func(o *ServerOptions) { o.Certificate = filepath.Join(dir, "none") }, "none: no such file"},
		{func(o *ServerOptions) { o.Key = filepath.Join(dir, "other") }, "private key does not match"},
		{func(o *ServerOptions) { o.Key = filepath.Join(dir, "empty") }, "failed to find"},
		{func(o *ServerOptions) { o.ClientCA = filepath.Join(dir, "empty") }, "no PEM certificate in it"},
		{func(o *ServerOptions) { o.ClientCA = filepath.Join(dir, "bad") }, "bad: "},
		{func(o *ServerOptions) { o.ClientCA = filepath.Join(dir, "large") }, "is larger than"},
		{func(o *ServerOptions) { o.ClientCA = "" }, "needs a file of authorities"},
		{func(o *ServerOptions) { o.ClientAuth = "maybe" }, `"maybe" is not none`},
	} {
		o := serverIn(dir, ClientAuthRequired)
		c.change(&o)
		if _, err := NewServer(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	for _, o := range []ClientOptions{{CA: filepath.Join(dir, "none")}, {CA: filepath.Join(dir, "empty")}, {Certificate: filepath.Join(dir, "c"), Key: filepath.Join(dir, "other")}} {
		if _, err := NewClient(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, newAuthority(), "gateway")
	server := must(NewServer(serverIn(dir, ClientAuthNone)))
	client := must(NewClient(ClientOptions{CA: filepath.Join(dir, "ca")})).Config("127.0.0.1")
	client.MinVersion, client.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, _, serverErr, _ := shake(t, server.Config(), client); serverErr == nil {
		t.Error("TLS 1.1 is taken")
	}
	o := serverIn(dir, ClientAuthNone)
	o.MinVersion = tls.VersionTLS13
	client.MaxVersion = tls.VersionTLS12
	if _, _, serverErr, _ := shake(t, must(NewServer(o)).Config(), client); serverErr == nil {
		t.Error("TLS 1.2 is taken in spite of the file")
	}
}

func TestServerName(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, newAuthority(), "kafka.example.com")
	server := must(NewServer(serverIn(dir, ClientAuthNone)))
	ca := filepath.Join(dir, "ca")
	if _, _, _, err := shake(t, server.Config(), must(NewClient(ClientOptions{CA: ca})).Config("other.example.com")); err == nil {
		t.Error("another name is taken")
	}
	state, _, _, err := shake(t, server.Config(), must(NewClient(ClientOptions{CA: ca, ServerName: "kafka.example.com"})).Config("other.example.com"))
	if err != nil || state.ServerName != "kafka.example.com" {
		t.Errorf("%q %v", state.ServerName, err)
	}
}

func TestReload(t *testing.T) {
	a, b := newAuthority(), newAuthority()
	dir := t.TempDir()
	put(t, dir, a, "gateway")
	server := must(NewServer(serverIn(dir, ClientAuthNone)))
	config := server.Config()
	fromA := must(NewClient(ClientOptions{CA: filepath.Join(dir, "ca")}))
	works := func(c *Client) bool {
		_, _, _, err := shake(t, config, c.Config("127.0.0.1"))
		return err == nil
	}
	if !works(fromA) {
		t.Fatal("does not work")
	}
	if changed, err := server.Reload(); changed || err != nil {
		t.Errorf("the same files: %t %v", changed, err)
	}
	for name, content := range map[string][]byte{"c": []byte("broken"), "k": []byte("broken"), "ca": nil} {
		before := must(os.ReadFile(filepath.Join(dir, name)))
		files(t, dir, map[string][]byte{name: content})
		if changed, err := server.Reload(); changed || err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("a broken %s: %t %v", name, changed, err)
		}
		if _, err := fromA.Reload(); name == "ca" && err == nil {
			t.Error("a client takes a broken file")
		}
		if !works(fromA) {
			t.Error("the old ones are not kept")
		}
		files(t, dir, map[string][]byte{name: before})
	}
	put(t, dir, b, "gateway")
	if changed, err := server.Reload(); !changed || err != nil {
		t.Errorf("new files: %t %v", changed, err)
	}
	fromB := must(NewClient(ClientOptions{CA: filepath.Join(dir, "ca")}))
	if works(must(NewClient(ClientOptions{CA: writeFile(t, a.pem())}))) || !works(fromB) {
		t.Error("the new certificate does not hold")
	}
	if changed, err := fromA.Reload(); !changed || err != nil || !works(fromA) {
		t.Errorf("the client's own reload: %t %v", changed, err)
	}
	if until := time.Until(server.Expires()); until < 50*time.Minute || until > time.Hour {
		t.Errorf("expires in %v", until)
	}
}

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	files(t, dir, map[string][]byte{"f": content})
	return filepath.Join(dir, "f")
}

// Certificates change again and again while clients connect: nobody sees an error.
func TestRotationUnderLoad(t *testing.T) {
	a := newAuthority()
	dir := t.TempDir()
	put(t, dir, a, "gateway")
	server := must(NewServer(serverIn(dir, ClientAuthRequired)))
	client := must(NewClient(clientIn(dir)))
	config := server.Config()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var handshakes atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _, serverErr, clientErr := shake(t, config, client.Config("127.0.0.1"))
				if serverErr != nil || clientErr != nil {
					t.Errorf("%v, %v", serverErr, clientErr)
					return
				}
				handshakes.Add(1)
			}
		})
	}
	for i := range 50 {
		put(t, dir, a, "gateway") // written one by one, as cert-manager does not
		if changed, err := server.Reload(); !changed || err != nil {
			t.Errorf("rotation %d: %t %v", i, changed, err)
		}
		if changed, err := client.Reload(); !changed || err != nil {
			t.Errorf("rotation %d: %t %v", i, changed, err)
		}
	}
	stop()
	wg.Wait()
	t.Logf("%d handshakes during 50 rotations", handshakes.Load())
}

// A client whose authority is taken back does not come in again with the session of
// before.
func TestNoResumptionAfterReload(t *testing.T) {
	a, b := newAuthority(), newAuthority()
	dir, mine := t.TempDir(), t.TempDir()
	put(t, dir, a, "gateway")
	put(t, mine, a, "alice")
	server := must(NewServer(serverIn(dir, ClientAuthRequired)))
	config, client := server.Config(), must(NewClient(clientIn(mine)))
	if _, _, err, _ := shake(t, config, client.Config("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if s, _, err, _ := shake(t, config, client.Config("127.0.0.1")); err != nil || !s.DidResume {
		t.Fatalf("resumed: %t, %v", s.DidResume, err)
	}
	files(t, dir, map[string][]byte{"ca": b.pem()})
	if _, err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if s, _, err, _ := shake(t, config, client.Config("127.0.0.1")); err == nil {
		t.Errorf("taken in, resumed: %t", s.DidResume)
	}
}

// script is a Reloader that says what it is told to.
type script struct{ says []string }

func (s *script) Reload() (bool, error) {
	if len(s.says) == 0 {
		return false, nil
	}
	say := s.says[0]
	s.says = s.says[1:]
	switch say {
	case "same":
		return false, nil
	case "new":
		return true, nil
	}
	return false, errors.New(say)
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{says: []string{"same", "new", "half", "new", "bad", "bad", "bad", "worse", "worse", "same", "bad", "bad"}}
		var got []string
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		Watch(ctx, s, time.Second, func(err error) {
			if err == nil {
				err = errors.New("new")
			}
			got = append(got, err.Error())
		})
		if strings.Join(got, " ") != "new new bad worse bad" {
			t.Errorf("%q", got)
		}
	})
}

func TestExplainHandshake(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, newAuthority(), "gateway")
	config := must(NewServer(serverIn(dir, ClientAuthNone))).Config()
	for sent, want := range map[string]string{
		"\x00\x00\x00\x20\x00\x12\x00\x03": "Kafka without TLS on a TLS port", "GET / HTTP/1.1\r\n": "speaks HTTP", "PROXY TCP4 1": "PROXY protocol", "SSH-2.0-x\r\n": "neither Kafka nor TLS",
		"": "went away",
	} {
		client, server := net.Pipe()
		go func() {
			_, _ = client.Write([]byte(sent))
			if sent == "" {
				client.Close()
			}
			_, _ = io.Copy(io.Discard, client)
		}()
		err := tls.Server(server, config).HandshakeContext(t.Context())
		if err == nil || !strings.Contains(ExplainHandshake(err), want) {
			t.Errorf("%q: %v: %s", sent, err, ExplainHandshake(err))
		}
		client.Close()
		server.Close()
	}
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		go func() { _, _ = io.Copy(io.Discard, server) }()
		_, _ = server.Write([]byte("\x00\x00\x00\x20\x00\x12\x00\x03"))
	}()
	err := tls.Client(client, must(NewClient(ClientOptions{})).Config("x")).HandshakeContext(t.Context())
	if err == nil || !strings.Contains(ExplainBroker(err), "may be a plain one") || ExplainBroker(errors.New("x")) != "x" {
		t.Errorf("%v", err)
	}
}
