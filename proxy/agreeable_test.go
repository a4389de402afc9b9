package proxy

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/bench/kafka"
	"sluice/protocol"
	"sluice/proxy/policy"
)

// agreeableRig is a gateway whose clients log in at a broker that takes every token of
// every mechanism, with a header and without.
func agreeableRig(t testing.TB, tenants string) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go agree(conn)
		}
	}()
	r, _ := passRig(t, tenants)
	r.Drain(context.Background())
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatal(problems)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	var known atomic.Bool // the slice; what is dialled after that is for clients
	g, err := Start(p, Options{Path: r.path, Log: zap.New(core), RefreshEvery: time.Hour, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if known.Load() {
			address = ln.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Drain(context.Background()) })
	r.Gateway, r.logs = g, logs
	eventually(t, 10*time.Second, "the slice is known", func() bool {
		s := g.snapshot.Load().slices["orders"]
		_, err := s.Versions(t.Context())
		return err == nil && len(s.NodeIDs()) > 0
	})
	known.Store(true)
	return r
}

// agree is one connection at that broker.
func agree(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var raw bool
	var mechanism string
	var turns int
	reply := func() []byte {
		turns++
		switch {
		case !strings.HasPrefix(mechanism, "SCRAM"):
			return nil
		case turns == 1:
			return []byte("r=" + scramNonce + "more,s=c2FsdA==,i=4096")
		}
		return []byte("v=c2lnbmF0dXJl")
	}
	for {
		frame := make([]byte, 4)
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
		if _, err := io.ReadFull(conn, frame[4:]); err != nil {
			return
		}
		var answer []byte
		if raw {
			token := reply()
			answer = append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...)
			raw = strings.HasPrefix(mechanism, "SCRAM") && turns < 2
		} else {
			var h protocol.Header
			if more, err := h.Parse(frame, 1<<20); more != 0 || err != nil {
				return
			}
			req := kmsg.RequestForKey(h.Key)
			req.SetVersion(h.Version)
			if req.ReadFrom(frame[h.Body:]) != nil {
				return
			}
			resp := req.ResponseKind()
			resp.SetVersion(h.Version)
			switch r := resp.(type) {
			case *kmsg.SASLHandshakeResponse:
				mechanism, turns, raw = req.(*kmsg.SASLHandshakeRequest).Mechanism, 0, h.Version == 0
				r.SupportedMechanisms = []string{mechanism}
			case *kmsg.SASLAuthenticateResponse:
				r.SASLAuthBytes = reply()
			}
			answer = protocol.AppendResponse(nil, h.CorrelationID, resp)
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

const scramNonce = "fyko+d2lbbFgONRv9qkxdawL"

// spoken are the tokens of one exchange of each mechanism.
func spoken(t testing.TB, a *kafka.Authority, user string) map[string][]string {
	scram := []string{"n,,n=" + user + ",r=" + scramNonce, "c=biws,r=" + scramNonce + "more,p=cHJvb2Y="}
	return map[string][]string{
		"PLAIN": {string(plainToken(user))}, "SCRAM-SHA-256": scram, "SCRAM-SHA-512": scram,
		"OAUTHBEARER": {"n,,\x01auth=Bearer " + a.Token(t, user, time.Hour) + "\x01\x01"},
	}
}

// handshakeReq begins an exchange; after version 0 tokens have no header.
func handshakeReq(version int16, mechanism string) *kmsg.SASLHandshakeRequest {
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = version, mechanism
	return shake
}

// tokenFrame is a token as it goes over the wire after such a handshake.
func (c *raw) tokenFrame(handshake int16, token string) []byte {
	if handshake == 0 {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...)
	}
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.Version, req.SASLAuthBytes = 2, []byte(token)
	return c.frame(req)
}

// Every mechanism passes, with both versions of the handshake, and the gateway knows
// who has come: bob is not let in with alice's client ID, though the broker does.
func TestPassthroughEveryMechanism(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := agreeableRig(t, boundTenant)
	for _, user := range []string{"alice", "bob"} {
		for mechanism, tokens := range spoken(t, a, user) {
			for version := range int16(2) {
				t.Run(user+" "+mechanism+" "+itoa(int(version)), func(t *testing.T) {
					t.Parallel()
					c := r.raw("payments.app", "")
					c.t = t
					c.ask(handshakeReq(version, mechanism))
					began := time.Now()
					for i, token := range tokens {
						c.write(c.tokenFrame(version, token))
						if user == "bob" && i == len(tokens)-1 {
							break
						}
						if version == 1 {
							if _, resp, err := c.recv(); err != nil || resp.(*kmsg.SASLAuthenticateResponse).ErrorCode != 0 {
								t.Fatalf("%v %v", resp, err)
							}
							continue
						}
						size := make([]byte, 4)
						if _, err := io.ReadFull(c, size); err != nil {
							t.Fatal(err)
						}
						if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size))); err != nil {
							t.Fatal(err)
						}
					}
					if user == "alice" {
						c.ask(kmsg.NewPtrMetadataRequest())
						return
					}
					if version == 1 {
						if _, resp, err := c.recv(); err != nil || resp.(*kmsg.SASLAuthenticateResponse).ErrorCode != 58 {
							t.Errorf("%v %v", resp, err)
						}
					}
					c.ended(7 * time.Second)
					if took := time.Since(began); took < 3900*time.Millisecond {
						t.Errorf("ended after %v", took)
					}
				})
			}
		}
	}
	t.Cleanup(func() { r.noSecrets() })
}

// An exchange that passes through and is cut anywhere leaves nothing behind, and
// nobody is known who has not been let in.
func TestPassthroughCut(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := agreeableRig(t, boundTenant)
	for mechanism, tokens := range spoken(t, a, "alice") {
		if mechanism == "SCRAM-SHA-512" {
			continue // the same bytes as those of SCRAM-SHA-256
		}
		for version := range int16(2) {
			whole := &raw{t: t, clientID: kmsg.StringPtr("payments.app"), sent: map[int32]kmsg.Request{}}
			b := whole.frame(handshakeReq(version, mechanism))
			for _, token := range tokens {
				b = append(b, whole.tokenFrame(version, token)...)
			}
			for n := range b {
				c := r.raw("payments.app", "")
				c.write(b[:n])
				_ = c.Close()
			}
		}
	}
	eventually(t, 20*time.Second, "nothing is left", func() bool {
		return len(r.connections()) == 0 && r.metric("connections") == 0
	})
	r.noSecrets()
}

// The session of a token of OAUTHBEARER ends when the token expires.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", boundTenant, fakeCluster(t, "payments.a"))
	c := r.raw("payments.app", "")
	c.ask(apiVersionsReq(3))
	got, err := c.login(2, "OAUTHBEARER", []byte("n,,\x01auth=Bearer "+a.Token(t, "alice", 3*time.Second)+"\x01\x01"))
	if err != nil || got.SessionLifetimeMillis <= 0 || got.SessionLifetimeMillis > 3000 {
		t.Fatalf("%v %v", got, err)
	}
	c.ask(kmsg.NewPtrMetadataRequest())
	time.Sleep(time.Duration(got.SessionLifetimeMillis)*time.Millisecond + 100*time.Millisecond)
	c.send(kmsg.NewPtrMetadataRequest())
	c.ended(7 * time.Second)
	if n := r.metric("refused_connections_total", "reason", reasonExpired); n != 1 {
		t.Errorf("%v sessions expired", n)
	}
	r.noSecrets()
}

// Who fails again and again is counted each time, and does not fill the log.
func TestFailedLoginsAreSampled(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: terminateLines(t, a, plainAllowed)}, "", boundTenant, fakeCluster(t, "payments.a"))
	const flood = 30
	for range flood {
		c := r.raw("payments.app", "")
		c.write(append(c.frame(handshakeReq(1, "PLAIN")), c.tokenFrame(1, "\x00alice\x00wrong-"+secret)...))
	}
	eventually(t, 20*time.Second, "all are counted", func() bool {
		return r.metric("refused_connections_total", "reason", reasonAuthentication) == flood && r.metric("authentication_failures_total") == flood
	})
	if n := r.lines("connection closed", map[string]string{"reason": reasonAuthentication}); n != loginLines {
		t.Errorf("%d lines", n)
	}
	r.noSecrets()
}
