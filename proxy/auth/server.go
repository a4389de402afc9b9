package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Options are what one listener offers to those who authenticate.
type Options struct {
	// Mechanisms are offered in this order, at least one.
	Mechanisms []Mechanism
	// Credentials serve SCRAM and PLAIN. It is asked at each attempt, so that a file
	// that changed holds at once.
	Credentials func() *Credentials
	// Tokens judges the tokens of OAUTHBEARER.
	Tokens TokenVerifier
	// MaxReauth bounds a session, after which a client has to authenticate again
	// (connections.max.reauth.ms of Kafka). 0: only a token's expiry does.
	MaxReauth time.Duration
	// Guard is shared by all servers of the process.
	Guard *Guard
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// TokenVerifier judges a token of OAUTHBEARER; [Tokens] is the one there is.
type TokenVerifier interface {
	// Verify returns who a token in JWS compact form is for and when it expires. The
	// error is for the log.
	Verify(ctx context.Context, token string) (name string, expires time.Time, err error)
}

// Server is the server's side of SASL for one listener. It never changes, and may
// be used concurrently.
type Server struct{ o Options }

// NewServer checks that each mechanism has what it needs.
func NewServer(o Options) (*Server, error) {
	if len(o.Mechanisms) == 0 || o.Guard == nil {
		return nil, errors.New("SASL needs mechanisms and a guard")
	}
	for _, m := range o.Mechanisms {
		switch {
		case !slices.Contains(Mechanisms, m):
			return nil, fmt.Errorf("SASL mechanism %q is not known", m)
		case m == OAuthBearer && o.Tokens == nil:
			return nil, errors.New("OAUTHBEARER needs a JWKS to verify tokens with")
		case m != OAuthBearer && o.Credentials == nil:
			return nil, fmt.Errorf("%s needs a credentials file", m)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o}, nil
}

// mechanisms are the names offered.
func (s *Server) mechanisms() []string {
	names := make([]string, len(s.o.Mechanisms))
	for i, m := range s.o.Mechanisms {
		names[i] = string(m)
	}
	return names
}

// exchange is one mechanism's conversation with one client.
type exchange interface {
	// step takes the client's next token. A result without a name goes on.
	step(ctx context.Context, token []byte) (result, error)
}

// result is the answer to one token.
type result struct {
	reply []byte
	// name is who the client has proved to be; empty while that is open.
	name    string
	expires time.Time // of what it showed; zero: never
}

func (s *Server) begin(m Mechanism, address netip.Addr, renews bool) exchange {
	switch m {
	case Plain:
		return &plainExchange{server: s, address: address, renews: renews}
	case OAuthBearer:
		return &oauthExchange{server: s}
	default:
		return &scramExchange{server: s, mechanism: m}
	}
}

// Reason says why an authentication failed, in words of a bounded set, for metrics.
type Reason string

// Why an authentication fails.
const (
	BadMessage     Reason = "bad_message"     // the client does not keep to the mechanism
	BadCredentials Reason = "bad_credentials" // no such user, or not the password
	BadToken       Reason = "bad_token"       // a token that is expired, foreign or forged
	TooManyFailed  Reason = "too_many_failed" // the address has failed too often
	Changed        Reason = "changed"         // another principal or mechanism than before
	GaveUp         Reason = "gave_up"         // the connection ended, or the gateway is too busy
)

// failure is an error of an exchange that says what the log may know.
type failure struct {
	reason Reason
	detail string
}

func (f *failure) Error() string { return f.detail }

func failf(reason Reason, format string, args ...any) error {
	return &failure{reason, fmt.Sprintf(format, args...)}
}
