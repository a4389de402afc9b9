package login

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Options say who the gateway is at a slice's brokers.
type Options struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism string
	// Username and Password are for PLAIN and SCRAM.
	Username string
	Password Source
	// Token is a token that somebody else renews, for OAUTHBEARER. Without one, the
	// gateway asks TokenEndpoint for tokens (RFC 6749, section 4.4, as KIP-768): with
	// ClientID and ClientSecret, for Scope, which may be empty.
	Token                          Source
	TokenEndpoint, ClientID, Scope string
	ClientSecret                   Source
	// TokenTLS is for an endpoint whose certificate the system's authorities do not
	// vouch for, asked each time; nil otherwise.
	TokenTLS func() *tls.Config
}

// Login is a slice's way to log in. Its methods may be called concurrently.
type Login struct {
	o         Options
	mechanism sasl.Mechanism
	tokens    *tokens // of a token endpoint
}

// New reads no secret yet.
func New(o Options) (*Login, error) {
	l := &Login{o: o}
	switch o.Mechanism {
	case "PLAIN":
		l.mechanism = plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := l.read(o.Password)
			return plain.Auth{User: o.Username, Pass: password.Reveal()}, err
		})
	case "SCRAM-SHA-256":
		l.mechanism = scram.Sha256(l.scram)
	case "SCRAM-SHA-512":
		l.mechanism = scram.Sha512(l.scram)
	case "OAUTHBEARER":
		if o.TokenEndpoint != "" {
			l.tokens = newTokens(o)
		}
		l.mechanism = oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := l.token(ctx)
			return oauth.Auth{Token: token.Reveal()}, err
		})
	default:
		return nil, fmt.Errorf("SASL mechanism %q is not known", o.Mechanism)
	}
	return l, nil
}

// Mechanism is for franz-go's kgo.SASL: the slice's own client then logs in on each
// of its connections, and again before a session ends.
func (l *Login) Mechanism() sasl.Mechanism { return l.mechanism }

func (l *Login) read(s Source) (Secret, error) {
	secret, err := s.Read()
	if err != nil {
		err = fmt.Errorf("login with %s: %w", l.o.Mechanism, err)
	}
	return secret, err
}

func (l *Login) scram(context.Context) (scram.Auth, error) {
	password, err := l.read(l.o.Password)
	return scram.Auth{User: l.o.Username, Pass: password.Reveal()}, err
}

func (l *Login) token(ctx context.Context) (Secret, error) {
	if l.tokens == nil {
		return l.read(l.o.Token)
	}
	token, err := l.tokens.get(ctx)
	if err != nil {
		err = fmt.Errorf("login with %s: %w", l.o.Mechanism, err)
	}
	return token, err
}
