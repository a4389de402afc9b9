package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// minReauth is how long after one authentication the next may begin
// (KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS).
const minReauth = time.Second

// Session is one connection's authentication, from the first handshake to the end
// of the connection, with all that is repeated in between (KIP-368). It is used by
// one goroutine at a time.
type Session struct {
	address netip.Addr

	server    *Server // of the exchange under way
	mechanism Mechanism
	exchange  exchange // nil: none under way
	failed    bool

	principal string // User:name, once proved
	proved    Mechanism
	since     time.Time
	expires   time.Time // zero: never
}

// NewSession is the session of a connection from an address, which is known to
// nobody yet.
func NewSession(address netip.Addr) *Session { return &Session{address: address} }

// Principal is whom the client has proved to be, as "User:name"; empty before that,
// and after a failure.
func (s *Session) Principal() string { return s.principal }

// Mechanism is what the principal was proved with.
func (s *Session) Mechanism() Mechanism { return s.proved }

// Expired reports whether the session has outlived its lifetime. A request other
// than SaslHandshake and SaslAuthenticate then ends the connection.
func (s *Session) Expired(now time.Time) bool {
	return s.principal != "" && !s.expires.IsZero() && !now.Before(s.expires)
}

// Expires is when the session ends unless it is renewed; zero if it never does.
func (s *Session) Expires() time.Time { return s.expires }

// Authenticating reports whether a token is what the client must send next: after
// a handshake of version 0 as a bare frame, without Kafka's header.
func (s *Session) Authenticating() bool { return s.exchange != nil }

// Handshake answers a SaslHandshake with the mechanisms that are offered and an
// error code: 0, 33 for a mechanism that is not, 34 where none may begin. After an
// error the connection ends.
//
// The server is that of the policy in force: a session outlives reloads.
func (s *Session) Handshake(server *Server, mechanism string) (offered []string, code int16) {
	offered = server.mechanisms()
	now := server.o.Now()
	switch {
	case s.failed || s.exchange != nil:
		return offered, CodeIllegalState
	case s.principal != "" && (s.expires.IsZero() || now.Sub(s.since) < minReauth):
		return offered, CodeIllegalState // nothing to renew, or too soon
	case !slices.Contains(offered, mechanism):
		s.failed = true
		return offered, CodeUnsupportedMechanism
	}
	s.server, s.mechanism = server, Mechanism(mechanism)
	s.exchange = server.begin(s.mechanism, s.address, s.principal != "")
	return offered, 0
}

// Outcome is the answer to one token.
type Outcome struct {
	// Reply goes back to the client: as AuthBytes, or after a handshake of version 0
	// as a bare frame. It may be empty.
	Reply []byte
	// Done: the client is who [Session.Principal] says.
	Done bool
	// Lifetime is how long until the client must authenticate again, for
	// SessionLifetimeMs of SaslAuthenticate v1; 0 if it need not.
	Lifetime time.Duration
	// Failure is nil unless the client has failed. Its answer is held for some four
	// seconds, then the connection ends: see [Failure].
	Failure *Failure
}

// Failure is why an authentication failed.
type Failure struct {
	// Code and Text are for SaslAuthenticate's answer. The text does not say which
	// part was wrong. After a handshake of version 0 there is no answer.
	Code int16
	Text string
	// Reason is for metrics, Detail for the log, in which names are quoted. Neither
	// holds a password or a token.
	Reason Reason
	Detail string
}

// Authenticate takes the client's next token. It computes for a millisecond or so
// and may wait, within ctx, for its turn to, and for a JWKS.
func (s *Session) Authenticate(ctx context.Context, token []byte) Outcome {
	if s.exchange == nil || s.failed {
		s.end()
		return Outcome{Failure: &Failure{CodeIllegalState, "SaslAuthenticate without a SaslHandshake before it", BadMessage, "SaslAuthenticate without a SaslHandshake before it"}}
	}
	now := s.server.o.Now()
	// One that is known does not suffer from a neighbour behind the same address.
	if s.principal == "" && s.server.o.Guard.blocked(s.address, now) {
		return s.fail(failf(TooManyFailed, "too many failed authentications from this address"))
	}
	if len(token) > MaxToken {
		return s.fail(failf(BadMessage, "a token of %d bytes; at most %d are taken", len(token), MaxToken))
	}
	if s.principal != "" && s.mechanism != s.proved {
		return s.fail(failf(Changed, "authenticates again with %s, after %s", s.mechanism, s.proved))
	}
	r, err := s.exchange.step(ctx, token)
	if err != nil {
		return s.fail(err)
	}
	if r.name == "" {
		return Outcome{Reply: r.reply}
	}
	return s.succeed(r)
}

func (s *Session) succeed(r result) Outcome {
	now := s.server.o.Now()
	principal := principalType + r.name
	if s.principal != "" && s.principal != principal {
		return s.fail(failf(Changed, "authenticates again as %q, after %q", principal, s.principal))
	}
	expires := r.expires
	if limit := s.server.o.MaxReauth; limit > 0 {
		if end := now.Add(limit); expires.IsZero() || end.Before(expires) {
			expires = end
		}
	}
	var lifetime time.Duration
	if !expires.IsZero() {
		lifetime = max(expires.Sub(now), time.Millisecond) // 0 would mean for ever
	}
	s.principal, s.proved, s.since, s.expires = principal, s.mechanism, now, expires
	s.exchange = nil
	return Outcome{Reply: r.reply, Done: true, Lifetime: lifetime}
}

// fail ends the session: whoever fails, the first time or again, is nobody.
func (s *Session) fail(err error) Outcome {
	f := &failure{BadMessage, err.Error()}
	if !errors.As(err, &f) && isContext(err) {
		f.reason = GaveUp
	}
	if f.reason != GaveUp && f.reason != TooManyFailed {
		s.server.o.Guard.failed(s.address, s.server.o.Now())
	}
	text := fmt.Sprintf("Sluice: authentication failed with SASL mechanism %s", s.mechanism)
	s.end()
	return Outcome{Failure: &Failure{Code: CodeFailed, Text: text, Reason: f.reason, Detail: f.detail}}
}

func (s *Session) end() {
	s.failed, s.exchange, s.principal, s.expires = true, nil, "", time.Time{}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
