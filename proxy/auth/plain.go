package auth

import (
	"bytes"
	"context"
	"net/netip"
	"unicode/utf8"
)

// plainExchange is PLAIN (RFC 4616): one token with a name and a password, which a
// SCRAM verifier of either kind proves.
type plainExchange struct {
	server  *Server
	address netip.Addr
	renews  bool // a client that is known authenticates again
}

func (e *plainExchange) step(ctx context.Context, token []byte) (result, error) {
	name, password, ok := parsePlain(token)
	if !ok {
		return result{}, failf(BadMessage, "the PLAIN token is not [authorization id] NUL name NUL password, with the same name if it is twice")
	}
	if len(name) > MaxName || len(password) > MaxPassword {
		return result{}, failf(BadMessage, "a name of %d and a password of %d bytes; at most %d and %d are taken", len(name), len(password), MaxName, MaxPassword)
	}
	guard := e.server.o.Guard
	if err := guard.acquire(ctx); err != nil {
		return result{}, err
	}
	defer guard.release()
	if !e.renews && guard.blocked(e.address, e.server.o.Now()) { // others of the address have failed meanwhile
		return result{}, failf(TooManyFailed, "too many failed authentications from this address")
	}
	m, verifier, known := e.server.o.Credentials().forPlain(name)
	if accepted := verifier.accepts(m, password); !accepted || !known {
		return result{}, badCredentials(name, known)
	}
	return result{name: name}, nil
}

// parsePlain reads [authzid] NUL authcid NUL passwd. The authorization id may only
// repeat the name.
func parsePlain(token []byte) (name, password string, ok bool) {
	parts := bytes.Split(token, []byte{0})
	if len(parts) != 3 || !utf8.Valid(token) {
		return "", "", false
	}
	authorization, name, password := string(parts[0]), string(parts[1]), string(parts[2])
	if name == "" || password == "" || authorization != "" && authorization != name {
		return "", "", false
	}
	return name, password, true
}

// badCredentials says to the log, and only to it, what was wrong.
func badCredentials(name string, known bool) error {
	if known {
		return failf(BadCredentials, "user %q has another password", name)
	}
	return failf(BadCredentials, "user %q is not known", name)
}
