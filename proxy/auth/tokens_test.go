package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issuer signs tokens with keys of several kinds, by id.
type issuer map[string]struct {
	algorithm jose.SignatureAlgorithm
	key       crypto.Signer
}

func newIssuer() issuer {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return issuer{
		"rs256": {jose.RS256, rsaKey()}, "rs384": {jose.RS384, rsaKey()}, "rs512": {jose.RS512, rsaKey()}, "ps256": {jose.PS256, rsaKey()},
		"es256": {jose.ES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}, "es384": {jose.ES384, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))},
		"eddsa": {jose.EdDSA, ed},
	}
}

// jwks is the public half of the keys.
func (i issuer) jwks(ids ...string) []byte {
	var set jose.JSONWebKeySet
	for _, id := range ids {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: i[id].key.Public(), KeyID: id, Use: "sig"})
	}
	return must(json.Marshal(set))
}

func (i issuer) all() []byte {
	var ids []string
	for id := range i {
		ids = append(ids, id)
	}
	return i.jwks(ids...)
}

func (i issuer) sign(t testing.TB, id string, claims map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", id)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: i[id].algorithm, Key: i[id].key}, options)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// fileKeys are keys from a file with this content.
func fileKeys(t testing.TB, clock *clock, content []byte) (*Keys, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return NewKeys(KeysOptions{Source: path, Now: clock.Now}), path
}

func TestTokenAlgorithms(t *testing.T) {
	clock, i := newClock(), newIssuer()
	keys, _ := fileKeys(t, clock, i.all())
	tokens := NewTokens(TokensOptions{Keys: keys, Now: clock.Now})
	claims := map[string]any{"sub": "alice", "exp": clock.now.Add(time.Hour).Unix()}
	for id := range i {
		name, expires, err := tokens.Verify(t.Context(), i.sign(t, id, claims))
		if name != "alice" || err != nil || !expires.Equal(clock.now.Add(time.Hour)) {
			t.Errorf("%s: %q %v %v", id, name, expires, err)
		}
	}
	payload := base64.RawURLEncoding.EncodeToString(must(json.Marshal(claims)))
	head := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	public := must(json.Marshal(jose.JSONWebKey{Key: rsaKey().Public()}))
	hmac := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: public}, (&jose.SignerOptions{}).WithHeader("kid", "rs256")))
	good := i.sign(t, "es256", claims)
	parts := strings.Split(good, ".")
	other := strings.Split(i.sign(t, "es256", map[string]any{"sub": "bob", "exp": clock.now.Add(time.Hour).Unix()}), ".")
	for name, token := range map[string]string{
		"none":                head(`{"alg":"none"}`) + "." + payload + ".",
		"none, capitals":      head(`{"alg":"NONE","kid":"rs256"}`) + "." + payload + ".",
		"HMAC of public key":  must(jwt.Signed(hmac).Claims(claims).Serialize()),
		"another's signature": parts[0] + "." + other[1] + "." + parts[2],
		"another's key":       head(`{"alg":"ES256","kid":"es384"}`) + "." + parts[1] + "." + parts[2],
		"no signature":        parts[0] + "." + parts[1] + ".",
		"critical header":     head(`{"alg":"ES256","kid":"es256","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2],
		"no JWT":              "abc", "empty": "",
	} {
		if got, _, err := tokens.Verify(t.Context(), token); err == nil || got != "" {
			t.Errorf("%s is taken", name)
		} else if token != "" && strings.Contains(err.Error(), payload) {
			t.Errorf("%s: the token is in the text: %v", name, err)
		}
	}
	for cut := range good {
		if _, _, err := tokens.Verify(t.Context(), good[:cut]); err == nil {
			t.Fatalf("cut to %d bytes, it is taken", cut)
		}
	}
}

func TestTokenClaims(t *testing.T) {
	clock, i := newClock(), newIssuer()
	keys, _ := fileKeys(t, clock, i.jwks("es256"))
	tokens := NewTokens(TokensOptions{
		Keys: keys, Now: clock.Now, Issuer: "https://idp", Audience: []string{"kafka", "sluice"}, PrincipalClaim: "azp", ClockSkew: 30 * time.Second,
	})
	at := func(d time.Duration) int64 { return clock.now.Add(d).Unix() }
	for _, c := range []struct {
		name   string
		change map[string]any
		want   string // in the error; "" is good
	}{
		{"good", nil, ""},
		{"one of several audiences", map[string]any{"aud": []string{"x", "sluice"}}, ""},
		{"expired within the skew", map[string]any{"exp": at(-29 * time.Second)}, ""},
		{"expired", map[string]any{"exp": at(-30 * time.Second)}, "the token expired at 2026-01-02T03:03:35Z"},
		{"no expiry", map[string]any{"exp": nil}, "no expiry"},
		{"expiry is text", map[string]any{"exp": "tomorrow"}, "claims are not good"},
		{"soon", map[string]any{"nbf": at(29 * time.Second)}, ""},
		{"not yet", map[string]any{"nbf": at(31 * time.Second)}, "not good before"},
		{"from the future", map[string]any{"iat": at(31 * time.Second)}, "issued in the future"},
		{"another issuer", map[string]any{"iss": "https://other"}, `issuer is "https://other"`},
		{"no issuer", map[string]any{"iss": nil}, "issuer"},
		{"another audience", map[string]any{"aud": "x"}, "audience"},
		{"no audience", map[string]any{"aud": nil}, "audience"},
		{"no name", map[string]any{"azp": nil}, `claim "azp" is no name`},
		{"a name that is a number", map[string]any{"azp": 1}, `claim "azp" is no name`},
		{"an empty name", map[string]any{"azp": " "}, "is no name"},
		{"a name with a line break", map[string]any{"azp": "a\nb"}, "is no name"},
		{"a long name", map[string]any{"azp": strings.Repeat("x", 256)}, "is no name"},
	} {
		claims := map[string]any{"sub": "no", "azp": "alice", "iss": "https://idp", "aud": "kafka", "exp": at(time.Hour), "iat": at(0)}
		for key, value := range c.change {
			claims[key] = value
			if value == nil {
				delete(claims, key)
			}
		}
		name, _, err := tokens.Verify(t.Context(), i.sign(t, "es256", claims))
		if c.want == "" && (name != "alice" || err != nil) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v", c.name, name, err)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	clock, i := newClock(), newIssuer()
	var asked atomic.Int32
	var served atomic.Value
	served.Store(i.jwks("es256"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if b := served.Load().([]byte); b != nil {
			_, _ = w.Write(b)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer server.Close()
	var reports []string
	keys := NewKeys(KeysOptions{Source: server.URL, Now: clock.Now, Report: func(err error) { reports = append(reports, fmt.Sprint(err)) }})
	tokens := NewTokens(TokensOptions{Keys: keys, Now: clock.Now})
	verify := func(id string) error {
		_, _, err := tokens.Verify(t.Context(), i.sign(t, id, map[string]any{"sub": "alice", "exp": clock.now.Add(time.Hour).Unix()}))
		return err
	}
	if err := verify("es256"); err != nil || asked.Load() != 1 {
		t.Errorf("the first is fetched: %v, asked %d times", err, asked.Load())
	}
	served.Store(i.jwks("es384"))
	for range 5 {
		if err := verify("es384"); err == nil {
			t.Error("known without asking")
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times within ten seconds", asked.Load())
	}
	clock.now = clock.now.Add(10 * time.Second)
	if err := verify("es384"); err != nil || asked.Load() != 2 {
		t.Errorf("after a rotation: %v, asked %d times", err, asked.Load())
	}
	if err := verify("es256"); err == nil {
		t.Error("a key that was taken back is still good")
	}
	served.Store([]byte(nil))
	clock.now = clock.now.Add(10 * time.Second)
	if err := verify("eddsa"); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") || keys.Err() == nil {
		t.Errorf("%v", err)
	}
	if err := verify("es384"); err != nil {
		t.Errorf("the last keys are not kept: %v", err)
	}
	served.Store(i.jwks("es384"))
	if err := keys.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if len(reports) != 2 || !strings.Contains(reports[0], "502") || reports[1] != "<nil>" {
		t.Errorf("%q", reports)
	}
}

func TestKeysRun(t *testing.T) {
	i := newIssuer()
	keys, _ := fileKeys(t, newClock(), i.jwks("es256"))
	done := make(chan struct{})
	go func() { defer close(done); keys.Run(t.Context()) }()
	for len(*keys.keys.Load()) == 0 {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() { <-done })
}

func TestKeySets(t *testing.T) {
	i := newIssuer()
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	set := func(keys ...jose.JSONWebKey) string {
		return string(must(json.Marshal(jose.JSONWebKeySet{Keys: keys})))
	}
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"all":             {string(i.all()), len(i)},
		"a secret":        {set(jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef")}), 0},
		"a private key":   {set(jose.JSONWebKey{Key: rsaKey()}), 0},
		"for encryption":  {set(jose.JSONWebKey{Key: rsaKey().Public(), Use: "enc"}), 0},
		"a small RSA key": {set(jose.JSONWebKey{Key: small.Public()}), 0},
		"another kind":    {strings.Replace(string(i.jwks("es256")), `{"keys":[`, `{"keys":[{"kty":"new"},{"kty":"EC","crv":"secp256k1"},7,`, 1), 1},
		"none":            {`{"keys":[]}`, 0}, "no set": {`[]`, 0}, "no JSON": {`x`, 0}, "empty": {``, 0},
		"too many": {`{"keys":[` + strings.Repeat("1,", 200) + `1]}`, 0},
	} {
		keys, err := parseKeys([]byte(c.text))
		if len(keys) != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
	large, _ := fileKeys(t, newClock(), make([]byte, maxJWKS+1))
	if err := large.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
	if err := NewKeys(KeysOptions{Source: "file:/none/jwks"}).Fetch(t.Context()); err == nil || err.Error() != "JWKS /none/jwks: no such file or directory" {
		t.Error(err)
	}
	if err := NewKeys(KeysOptions{Source: "http://127.0.0.1:1/"}).Fetch(t.Context()); err == nil || strings.Count(err.Error(), "127.0.0.1:1/") != 1 {
		t.Error(err)
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add(newIssuer().all())
	f.Fuzz(func(t *testing.T, data []byte) {
		if keys, err := parseKeys(data); (len(keys) == 0) != (err != nil) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	})
}

func FuzzToken(f *testing.F) {
	clock, i := newClock(), newIssuer()
	keys, _ := fileKeys(f, clock, i.all())
	if err := keys.Fetch(f.Context()); err != nil {
		f.Fatal(err)
	}
	tokens := NewTokens(TokensOptions{Keys: keys, Now: clock.Now})
	signed := i.sign(f, "es256", map[string]any{"sub": "alice", "exp": clock.now.Add(-time.Hour).Unix()})
	f.Add(signed)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if name, _, err := tokens.Verify(t.Context(), token); err == nil {
			t.Errorf("a token for %q is taken", name)
		}
	})
}
