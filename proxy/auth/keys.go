package auth

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// KeysOptions say where a JWKS (RFC 7517) is.
type KeysOptions struct {
	// Source is an http or https URL, or a file, also as file:/path.
	Source string
	// Refresh is how often a URL is asked again, an hour if 0
	// (sasl.oauthbearer.jwks.endpoint.refresh.ms of Kafka). A file is read every ten
	// seconds.
	Refresh time.Duration
	// TLS is for a URL whose certificate the system's authorities do not vouch for,
	// asked each time; nil otherwise.
	TLS func() *tls.Config
	// Report takes what went wrong, and nil when all is well again, each once. It may
	// be nil.
	Report func(error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

const (
	maxJWKS        = 1 << 20 // bytes
	maxJWKSKeys    = 100
	fetchTimeout   = 5 * time.Second
	fileEvery      = 10 * time.Second
	retryEvery     = 10 * time.Second // after a failure, and for keys that are not known
	defaultRefresh = time.Hour
	minRSABits     = 2048
)

// Keys are the public keys of whoever issues tokens. They are kept when they cannot
// be fetched again. Its methods may be called concurrently.
type Keys struct {
	o KeysOptions

	keys    atomic.Pointer[[]jose.JSONWebKey]
	tried   atomic.Int64 // when they were last fetched, or should have been; Unix nanoseconds
	failure atomic.Pointer[string]
	flight  singleflight.Group
}

// NewKeys fetches nothing yet: see [Keys.Run].
func NewKeys(o KeysOptions) *Keys {
	if o.Refresh <= 0 {
		o.Refresh = defaultRefresh
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Source = strings.TrimPrefix(strings.TrimPrefix(o.Source, "file://"), "file:")
	k := &Keys{o: o}
	k.keys.Store(&[]jose.JSONWebKey{})
	return k
}

// client is for one request: keys are fetched too rarely to keep a connection, and each
// time what the files say of the source's certificate holds.
func (k *Keys) client() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: fetchTimeout, DisableKeepAlives: true}
	if k.o.TLS != nil {
		transport.TLSClientConfig = k.o.TLS()
	}
	return &http.Client{Transport: transport, Timeout: fetchTimeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("it leads elsewhere, and not over TLS")
		}
		return nil
	}}
}

func (k *Keys) remote() bool {
	return strings.HasPrefix(k.o.Source, "https://") || strings.HasPrefix(k.o.Source, "http://")
}

// Run fetches the keys now and again until ctx ends.
func (k *Keys) Run(ctx context.Context) {
	for {
		wait := fileEvery
		if err := k.Fetch(ctx); err != nil {
			wait = retryEvery
		} else if k.remote() {
			wait = k.o.Refresh
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Err is why the keys could not be fetched the last time; nil if they could.
func (k *Keys) Err() error {
	if text := k.failure.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}

// Fetch fetches the keys now. Several who ask at once share one answer.
func (k *Keys) Fetch(ctx context.Context) error {
	done := k.flight.DoChan("", func() (any, error) {
		k.tried.Store(k.o.Now().UnixNano())
		fetch, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		err := k.fetch(fetch)
		k.note(err)
		return nil, err
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note keeps what went wrong, and reports it if it is new.
func (k *Keys) note(err error) {
	before := k.failure.Load()
	var now *string
	if err != nil {
		text := err.Error()
		now = &text
	}
	k.failure.Store(now)
	if k.o.Report == nil || before == nil && now == nil || before != nil && now != nil && *before == *now {
		return
	}
	k.o.Report(err)
}

func (k *Keys) fetch(ctx context.Context) error {
	data, err := k.read(ctx)
	if err != nil {
		return fmt.Errorf("JWKS %s: %w", k.o.Source, err)
	}
	keys, err := parseKeys(data)
	if err != nil {
		return fmt.Errorf("JWKS %s: %w", k.o.Source, err)
	}
	k.keys.Store(&keys)
	return nil
}

func (k *Keys) read(ctx context.Context) ([]byte, error) {
	var from io.ReadCloser
	if !k.remote() {
		f, err := os.Open(k.o.Source)
		if err != nil {
			var pathError *os.PathError
			if errors.As(err, &pathError) {
				return nil, pathError.Err
			}
			return nil, err
		}
		from = f
	} else {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.o.Source, nil)
		if err != nil {
			return nil, err
		}
		answer, err := k.client().Do(r)
		if err != nil {
			return nil, errors.Unwrap(err) // without the URL, which stands before it
		}
		if from = answer.Body; answer.StatusCode != http.StatusOK {
			_ = from.Close()
			return nil, fmt.Errorf("the answer is %s", answer.Status)
		}
	}
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, maxJWKS+1))
	if err == nil && len(data) > maxJWKS {
		err = fmt.Errorf("it has more than %d bytes", maxJWKS)
	}
	return data, err
}

// parseKeys reads the keys that can verify a token and passes over others, which
// may be for other uses, but fails if there is none.
func parseKeys(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("it is not a JWKS: %w", err)
	}
	if len(set.Keys) > maxJWKSKeys {
		return nil, fmt.Errorf("it has %d keys; at most %d are taken", len(set.Keys), maxJWKSKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && usable(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no public key to verify signatures with")
	}
	return keys, nil
}

// usable reports whether a key is one that verifies. A symmetric one is a secret of
// two: whoever can verify with it can issue tokens.
func usable(key jose.JSONWebKey) bool {
	if _, symmetric := key.Key.([]byte); symmetric || !key.Valid() || !key.IsPublic() {
		return false
	}
	if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() < minRSABits {
		return false
	}
	return key.Use == "" || key.Use == "sig"
}

// find returns the keys that a token may be signed with. An id that is not known is
// worth one look at the source, every ten seconds.
func (k *Keys) find(ctx context.Context, id string, algorithm jose.SignatureAlgorithm) ([]jose.JSONWebKey, error) {
	keys := match(*k.keys.Load(), id, algorithm)
	if len(keys) > 0 {
		return keys, nil
	}
	if k.o.Now().Sub(time.Unix(0, k.tried.Load())) >= retryEvery {
		if err := k.Fetch(ctx); err != nil && isContext(err) && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		keys = match(*k.keys.Load(), id, algorithm)
	}
	switch err := k.Err(); {
	case len(keys) > 0:
		return keys, nil
	case err != nil:
		return nil, fmt.Errorf("no key %q to verify with: %w", id, err)
	default:
		return nil, fmt.Errorf("no key %q to verify with in the JWKS", id)
	}
}

// match are the keys with an id, or all where the token names none.
func match(keys []jose.JSONWebKey, id string, algorithm jose.SignatureAlgorithm) []jose.JSONWebKey {
	var matching []jose.JSONWebKey
	for _, key := range keys {
		if (id == "" || key.KeyID == id) && (key.Algorithm == "" || key.Algorithm == string(algorithm)) {
			matching = append(matching, key)
		}
	}
	return matching
}
