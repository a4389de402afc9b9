package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
	"sluice/proxy/login"
)

// failureHold is after how long a failed login is answered in this test.
const failureHold = time.Second

// door lets clients in to an embedded broker that have logged in over TLS, as a
// gateway with mode: terminate does, and as simply as it can be done.
type door struct {
	net.Listener
	tls    *tls.Config
	server *auth.Server
	inside chan net.Conn
	ended  context.Context
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.inside:
		return c, nil
	case <-d.ended.Done():
		return nil, net.ErrClosed
	}
}

func (d *door) run() {
	for {
		raw, err := d.Listener.Accept()
		if err != nil {
			return
		}
		go d.serve(raw)
	}
}

func (d *door) serve(raw net.Conn) {
	client := tls.Server(raw, d.tls)
	defer func() { _ = client.Close() }()
	if err := client.HandshakeContext(d.ended); err != nil {
		return
	}
	broker, inside := net.Pipe()
	defer func() { _ = broker.Close() }()
	select {
	case d.inside <- inside:
	case <-d.ended.Done():
		return
	}
	session := auth.NewSession(netip.MustParseAddrPort(raw.RemoteAddr().String()).Addr())
	for session.Principal() == "" {
		if err := d.step(session, client, broker); err != nil {
			return
		}
	}
	go func() { _, _ = io.Copy(broker, client); _ = broker.Close() }()
	_, _ = io.Copy(client, broker)
}

// step answers one frame of a client that is not known yet.
func (d *door) step(session *auth.Session, client, broker net.Conn) error {
	frame, err := read(client)
	if err != nil {
		return err
	}
	if len(frame) < 10 {
		return errors.New("not a frame")
	}
	key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	out := append([]byte(nil), frame[4:8]...)
	body := frame[8:]
	if n := int16(binary.BigEndian.Uint16(body)); n > 0 {
		body = body[2+n:]
	} else {
		body = body[2:]
	}
	if key == 36 && version >= 2 {
		body, out = body[1:], append(out, 0) // no tags
	}
	switch key {
	case 18:
		if err := write(broker, frame); err != nil {
			return err
		}
		if out, err = read(broker); err != nil {
			return err
		}
	case 17:
		request, answer := kmsg.NewPtrSASLHandshakeRequest(), kmsg.NewPtrSASLHandshakeResponse()
		request.Version, answer.Version = version, version
		if err := request.ReadFrom(body); err != nil {
			return err
		}
		answer.SupportedMechanisms, answer.ErrorCode = session.Handshake(d.server, request.Mechanism)
		out = answer.AppendTo(out)
	case 36:
		request, answer := kmsg.NewPtrSASLAuthenticateRequest(), kmsg.NewPtrSASLAuthenticateResponse()
		request.Version, answer.Version = version, version
		if err := request.ReadFrom(body); err != nil {
			return err
		}
		o := session.Authenticate(d.ended, request.SASLAuthBytes)
		answer.SASLAuthBytes = o.Reply
		if o.Failure != nil {
			time.Sleep(failureHold)
			answer.ErrorCode, answer.ErrorMessage = o.Failure.Code, &o.Failure.Text
		}
		out = answer.AppendTo(out)
	default:
		return errors.New("not yet")
	}
	return write(client, out)
}

func read(conn net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > auth.MaxToken {
		return nil, errors.New("not a frame")
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(conn, frame)
	return frame, err
}

func write(conn net.Conn, frame []byte) error {
	_, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

// startDoor starts an embedded broker behind a door, and returns its address.
func startDoor(t *testing.T, a *Authority) string {
	t.Helper()
	pair := a.Issue(t, "gateway", pkix.Name{CommonName: "gateway"})
	secure, err := edge.NewServer(edge.ServerOptions{Certificate: pair.Certificate, Key: pair.Key})
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	err = auth.ChangeCredentials(users, func(c *auth.Credentials) error {
		for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
			v, err := auth.NewVerifier(m, "alice-secret", auth.MinIterations)
			if err == nil {
				err = c.Add("alice", m, v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := auth.OpenCredentials(users)
	if err != nil {
		t.Fatal(err)
	}
	server, err := auth.NewServer(auth.Options{
		Mechanisms: auth.Mechanisms, Credentials: credentials.Current, Guard: auth.NewGuard(auth.GuardOptions{FailureBurst: 1000}),
		Tokens: auth.NewTokens(auth.TokensOptions{Keys: auth.NewKeys(auth.KeysOptions{Source: "file:" + a.JWKSFile}), Issuer: TokenIssuer, Audience: []string{TokenAudience}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "secure"), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		d := &door{Listener: l, tls: secure.Config(), server: server, inside: make(chan net.Conn), ended: t.Context()}
		go d.run()
		return d, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// TestTerminate lets real clients log in at the gateway's own server.
func TestTerminate(t *testing.T) {
	t.Parallel()
	a := NewAuthority(t)
	address := startDoor(t, a)
	for m, o := range logins(t, a) {
		for i, good := range []bool{true, false} {
			l, err := login.New(o[i])
			if err != nil {
				t.Fatal(err)
			}
			err = produceTo(t, address, kgo.DialTLSConfig(a.TLS(t, Pair{})), kgo.SASL(l.Mechanism()))
			if (err == nil) != good {
				t.Errorf("franz-go %s, good: %t, %v", m, good, err)
			}
		}
	}
	t.Run("java", func(t *testing.T) { terminateJava(t, a, address) })
	t.Run("librdkafka", func(t *testing.T) { terminatePython(t, a, address) })
}

func terminateJava(t *testing.T, a *Authority, address string) {
	token := a.TokenFile(t, "alice", time.Hour)
	jars := Resolve(t, "").AllowFiles(token)
	run := func(m, secret, records string) Result {
		args := append([]string{"--bootstrap", address, "--client-id", "team.secure.test", "--topics", "secure", "--records", records, "--drain", "10"}, Props(a.SASLProperties(m, "alice", secret))...)
		return jars.Program(t.Context(), "Produce", append(args, "--prop", "max.block.ms=10000", "--prop", "enable.idempotence=false")...).Wait()
	}
	for _, m := range SASLMechanisms {
		secret := "alice-secret"
		if m == "OAUTHBEARER" {
			secret = token
		}
		r := run(m, secret, "10")
		if done, ok := r.Done(); !ok || done.Records != 10 || done.Count != 0 {
			t.Errorf("%s: %s", m, r)
		}
	}
	for _, m := range SASLMechanisms[:2] {
		if r := run(m, "wrong", "1"); !strings.Contains(r.Stdout+r.Stderr, "Sluice: authentication failed with SASL mechanism "+m) {
			t.Errorf("%s with another password: %s", m, r)
		}
	}
}

func terminatePython(t *testing.T, a *Authority, address string) {
	python := ResolvePython(t)
	run := func(m, password string) Result {
		return python.Program(t.Context(), "produce", "--bootstrap", address, "--client-id", "team.secure.test", "--topics", "secure", "--records", "10", "--seconds", "6", "--drain", "6",
			"--prop", "security.protocol=SASL_SSL", "--prop", "ssl.ca.location="+a.CAFile, "--prop", "sasl.mechanisms="+m, "--prop", "sasl.username=alice", "--prop", "sasl.password="+password).Wait()
	}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		r := run(m, "alice-secret")
		if done, ok := r.Done(); !ok || done.Records != 10 {
			t.Errorf("%s: %s", m, r)
		}
	}
	if r := run("SCRAM-SHA-512", "wrong"); !strings.Contains(r.Stdout+r.Stderr, "Sluice: authentication failed with SASL mechanism SCRAM-SHA-512") {
		t.Errorf("another password: %s", r)
	}
}
