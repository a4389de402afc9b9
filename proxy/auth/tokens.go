package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signatures are the algorithms that a token may be signed with: those with a
// public key. Neither "none" nor the symmetric ones are among them.
var signatures = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// TokensOptions say which tokens are good, in the words of Kafka's broker.
type TokensOptions struct {
	Keys *Keys
	// Issuer must be the token's (sasl.oauthbearer.expected.issuer); empty: any.
	Issuer string
	// Audience must have one of the token's (sasl.oauthbearer.expected.audience);
	// empty: any.
	Audience []string
	// PrincipalClaim has the name (sasl.oauthbearer.sub.claim.name), "sub" if empty.
	PrincipalClaim string
	// ClockSkew is how far clocks may differ (sasl.oauthbearer.clock.skew.seconds).
	ClockSkew time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Tokens verifies JWTs (RFC 7519). It never changes and may be used concurrently.
type Tokens struct{ o TokensOptions }

// NewTokens makes a verifier.
func NewTokens(o TokensOptions) *Tokens {
	if o.PrincipalClaim == "" {
		o.PrincipalClaim = "sub"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Tokens{o}
}

// Verify implements [TokenVerifier]. A token without an expiry is refused.
func (t *Tokens) Verify(ctx context.Context, token string) (name string, expires time.Time, err error) {
	parsed, err := jwt.ParseSigned(token, signatures)
	if err != nil || len(parsed.Headers) != 1 {
		return "", time.Time{}, errors.New("the token is not a JWT that is signed with RSA, ECDSA or EdDSA")
	}
	header := parsed.Headers[0]
	keys, err := t.o.Keys.find(ctx, header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if err != nil {
		return "", time.Time{}, err
	}
	var claims jwt.Claims
	var all map[string]json.RawMessage
	for _, key := range keys {
		if err = parsed.Claims(key.Key, &claims, &all); err == nil {
			break
		}
	}
	if err != nil {
		return "", time.Time{}, errors.New("the token's signature or claims are not good")
	}
	return t.judge(claims, all)
}

// judge judges the claims of a token whose signature is good.
func (t *Tokens) judge(claims jwt.Claims, all map[string]json.RawMessage) (string, time.Time, error) {
	now, none := t.o.Now(), time.Time{}
	switch {
	case claims.Expiry == nil:
		return "", none, errors.New("the token has no expiry (exp)")
	case !claims.Expiry.Time().Add(t.o.ClockSkew).After(now):
		return "", none, fmt.Errorf("the token expired at %s", claims.Expiry.Time().UTC().Format(time.RFC3339))
	case claims.NotBefore != nil && claims.NotBefore.Time().Add(-t.o.ClockSkew).After(now):
		return "", none, fmt.Errorf("the token is not good before %s", claims.NotBefore.Time().UTC().Format(time.RFC3339))
	case claims.IssuedAt != nil && claims.IssuedAt.Time().Add(-t.o.ClockSkew).After(now):
		return "", none, fmt.Errorf("the token is issued in the future, at %s", claims.IssuedAt.Time().UTC().Format(time.RFC3339))
	case t.o.Issuer != "" && claims.Issuer != t.o.Issuer:
		return "", none, fmt.Errorf("the token's issuer is %q, not %q", claims.Issuer, t.o.Issuer)
	case len(t.o.Audience) > 0 && !slices.ContainsFunc(t.o.Audience, claims.Audience.Contains):
		return "", none, fmt.Errorf("the token's audience is %q, not %q", []string(claims.Audience), t.o.Audience)
	}
	var name string
	if err := json.Unmarshal(all[t.o.PrincipalClaim], &name); err != nil || !goodClaim(name) {
		return "", none, fmt.Errorf("the token's claim %q is no name", t.o.PrincipalClaim)
	}
	return name, claims.Expiry.Time(), nil
}

// goodClaim reports whether a claim can be a name.
func goodClaim(name string) bool {
	return strings.TrimSpace(name) != "" && len(name) <= MaxName && !strings.ContainsFunc(name, unicode.IsControl)
}
