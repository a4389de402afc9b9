package slice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/proxy/edge"
	"sluice/proxy/login"
)

// Security is how the brokers of a slice are spoken to. The zero value is without TLS
// and without a login.
type Security struct {
	TLS   *edge.Client
	Login *login.Login
}

// loginTimeout is how long one login over a connection may take, with the token that
// may have to be fetched for it.
const loginTimeout = 15 * time.Second

// handshake is TLS over a connection that has been dialled. It closes the connection
// if that fails.
func handshake(ctx context.Context, with *edge.Client, conn net.Conn, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	secured := tls.Client(conn, with.Config(host))
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &handshakeError{addr, err}
	}
	return secured, nil
}

// handshakeError says it in our words and unwraps to what crypto/tls says.
type handshakeError struct {
	addr  string
	cause error
}

func (e *handshakeError) Error() string {
	return "TLS with " + e.addr + ": " + edge.ExplainBroker(e.cause)
}
func (e *handshakeError) Unwrap() error { return e.cause }

// Session is what a login over a connection that Dial returned has brought. It is for
// one goroutine.
type Session struct {
	slice *Slice
	login *login.Login
	host  string
	due   time.Time
}

// Login logs in over a connection that [Slice.Dial] has returned and that carries
// nothing else yet; logged is false if the slice has no login. The session is nil if
// there is nothing to renew. When it is due is a matter of chance, between 0 and 1. An
// error is noted as the slice's, unless ctx has ended.
func (s *Slice) Login(ctx context.Context, conn net.Conn, chance float64) (session *Session, logged bool, err error) {
	how := s.target.Load().security.Login
	if how == nil {
		return nil, false, nil
	}
	attempt, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	session = &Session{slice: s, login: how, host: conn.RemoteAddr().String()}
	exchange := session.Begin()
	if err := exchange.Do(attempt, conn); err != nil {
		return nil, false, session.Failed(ctx, err)
	}
	if session.Renewed(exchange, chance); session.due.IsZero() {
		return nil, true, nil
	}
	return session, true, nil
}

// Begin begins a login, the first one or the next one.
func (s *Session) Begin() *login.Exchange {
	version := int16(1)
	if v := s.slice.versions.Load(); v != nil {
		version = v.Keys[kmsg.SASLAuthenticate.Int16()].Max
	}
	return s.login.Begin(s.host, s.slice.o.ClientID, version)
}

// Renewed notes that a login is complete.
func (s *Session) Renewed(e *login.Exchange, chance float64) {
	s.due = time.Time{}
	if after, ends := e.RenewAfter(chance); ends {
		s.due = time.Now().Add(after)
	}
	s.slice.loginErr.Store(nil)
}

// Failed notes why a login failed, unless ctx has ended, and returns it as an error
// of the slice.
func (s *Session) Failed(ctx context.Context, err error) error {
	err = fmt.Errorf("slice %s: broker at %s: %w", s.slice.o.Name, s.host, err)
	if ctx.Err() != nil {
		return err
	}
	why := err.Error()
	if before := s.slice.loginErr.Swap(&why); before == nil {
		s.slice.log.Warn("the gateway cannot log in at a broker", zap.Error(err))
	}
	return err
}

// Due reports whether the next login should come before anything else is sent.
func (s *Session) Due(now time.Time) bool { return !s.due.IsZero() && !now.Before(s.due) }

// loginRefused reports whether the slice's own client could not log in.
func loginRefused(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) || errors.Is(err, kerr.IllegalSaslState)
}

// refused says that brokers have refused the login of the slice's own client.
func (x Security) refused(err error) error {
	if x.Login == nil {
		return fmt.Errorf("the brokers ask for a login, and the slice has no sasl: %w", err)
	}
	return fmt.Errorf("the brokers refuse the gateway's login with %s: see the slice's sasl: %w", x.Login.Mechanism().Name(), err)
}

// hint says what is the likely cause when a broker closes a connection at once.
func (x Security) hint() string {
	switch {
	case x.TLS != nil && x.Login != nil:
		return "are the slice's sasl and certificate right for this listener?"
	case x.TLS != nil:
		return "does it ask for a certificate, or for SASL?"
	case x.Login != nil:
		return "is it a listener with SASL and without TLS, and is the slice's sasl right?"
	}
	return "is it a Kafka listener, without TLS or SASL?"
}
