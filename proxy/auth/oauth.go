package auth

import (
	"context"
	"regexp"
	"strings"
	"time"
)

// oauthExchange is OAUTHBEARER (RFC 7628, KIP-255): one token. A client whose token
// is refused is told so in a message that it must answer with a ^A; only then has it
// failed.
type oauthExchange struct {
	server  *Server
	refused error
}

// refusedToken is what a client is told, as Kafka's broker does by default.
const refusedToken = `{"status":"invalid_token"}`

func (e *oauthExchange) step(ctx context.Context, token []byte) (result, error) {
	if e.refused != nil {
		return result{}, e.refused
	}
	r, err := parseOAuth(token)
	if err != "" {
		return result{}, failf(BadMessage, "the OAUTHBEARER message cannot be read: %s", err)
	}
	name, expires, verifyErr := e.server.o.Tokens.Verify(ctx, r.token)
	switch {
	case verifyErr != nil && isContext(verifyErr):
		return result{}, verifyErr
	case verifyErr != nil:
		e.refused = failf(BadToken, "%v", verifyErr)
	case r.authorization != "" && r.authorization != name:
		e.refused = failf(BadToken, "the token is of %q, the client says it is %q", name, r.authorization)
	case !expires.After(e.server.o.Now()):
		// Within the clock skew: good for this once, then at once anew.
		return result{name: name, expires: e.server.o.Now().Add(time.Second)}, nil
	default:
		return result{name: name, expires: expires}, nil
	}
	return result{reply: []byte(refusedToken)}, nil
}

// oauthResponse is a client's message: whom it says it is, if it does, and its
// token.
type oauthResponse struct{ authorization, token string }

// The grammar of Kafka's broker (OAuthBearerClientInitialResponse). The keys and
// values are split by hand.
var (
	oauthHeader = regexp.MustCompile(`^n,(?:a=((?:[\x01-\x2b\x2d-\x3c\x3e-\x7f]|=2C|=3D)+))?,$`)
	oauthKey    = regexp.MustCompile(`^[A-Za-z]+$`)
	oauthValue  = regexp.MustCompile(`^[\x21-\x7E \t\r\n]+$`)
	oauthAuth   = regexp.MustCompile(`^(?i:bearer) +([-_.a-zA-Z0-9]+)$`)
)

// parseOAuth reads a client's message; what is wrong with it is not empty.
func parseOAuth(message []byte) (r oauthResponse, wrong string) {
	if len(message) > MaxToken {
		return r, "it is too long"
	}
	body, ended := strings.CutSuffix(string(message), "\x01\x01")
	header, pairs, begun := strings.Cut(body, "\x01")
	m := oauthHeader.FindStringSubmatch(header)
	if !ended || !begun || m == nil {
		return r, "it is not n,, ^A auth=Bearer TOKEN ^A ^A"
	}
	r.authorization = saslName(m[1])
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(pairs, "\x01") {
		key, value, _ := strings.Cut(pair, "=")
		if !oauthKey.MatchString(key) || !oauthValue.MatchString(value) || seen[key] {
			return r, "its keys and values are not as they should"
		}
		seen[key] = true
		if key != "auth" {
			continue // extensions are for others (KIP-342)
		}
		token := oauthAuth.FindStringSubmatch(value)
		if token == nil {
			return r, "auth is not Bearer TOKEN"
		}
		r.token = token[1]
	}
	if r.token == "" {
		return r, "it has no auth"
	}
	return r, ""
}
