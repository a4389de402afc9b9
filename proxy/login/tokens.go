package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	tokenTimeout  = 10 * time.Second
	maxTokenReply = 256 << 10
	// A token is used until less than a fifth of its life is left: then there is
	// time for several attempts at another.
	renewAt = 0.8
	// unsaid is how long a token is used whose life is not told.
	unsaid = time.Minute
)

// tokens are the tokens of a token endpoint, one at a time.
type tokens struct {
	o   Options
	now func() time.Time

	turn  sync.Mutex // one request at a time; the others take what it brings
	token Secret
	renew time.Time
}

func newTokens(o Options) *tokens { return &tokens{o: o, now: time.Now} }

// client is for one request: tokens are asked for too rarely to keep a connection, and
// each time what the files say of the endpoint's certificate holds.
func (t *tokens) client() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if t.o.TokenTLS != nil {
		transport.TLSClientConfig = t.o.TokenTLS()
	}
	return &http.Client{
		Transport: transport, Timeout: tokenTimeout,
		// A redirect would carry the client's secret elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get returns a token with life left.
func (t *tokens) get(ctx context.Context) (Secret, error) {
	t.turn.Lock()
	defer t.turn.Unlock()
	if !t.token.Empty() && t.now().Before(t.renew) {
		return t.token, nil
	}
	token, life, err := t.ask(ctx)
	if err != nil {
		return Secret{}, fmt.Errorf("token endpoint %s: %w", t.o.TokenEndpoint, err)
	}
	t.token, t.renew = token, t.now().Add(time.Duration(float64(life)*renewAt))
	return token, nil
}

// ask does a request for client credentials (RFC 6749, section 4.4.2).
func (t *tokens) ask(ctx context.Context) (token Secret, life time.Duration, err error) {
	secret, err := t.o.ClientSecret.Read()
	if err != nil {
		return Secret{}, 0, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.o.Scope != "" {
		form.Set("scope", t.o.Scope)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.o.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Secret{}, 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(t.o.ClientID), url.QueryEscape(secret.Reveal())) // section 2.3.1
	answer, err := t.client().Do(r)
	if err != nil {
		return Secret{}, 0, errors.Unwrap(err) // without the URL, which stands before it
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxTokenReply))
	if err != nil {
		return Secret{}, 0, err
	}
	return parseToken(answer.StatusCode, data)
}

// parseToken reads the endpoint's answer. An error says nothing of the content but
// the code that the standard has for it.
func parseToken(status int, data []byte) (token Secret, life time.Duration, err error) {
	var reply struct {
		Token   string  `json:"access_token"`
		Type    string  `json:"token_type"`
		Seconds float64 `json:"expires_in"`
		Error   string  `json:"error"`
	}
	jsonErr := json.Unmarshal(data, &reply)
	switch {
	case status != http.StatusOK && standardError(reply.Error):
		return Secret{}, 0, fmt.Errorf("the answer is %d, %s", status, reply.Error)
	case status != http.StatusOK:
		return Secret{}, 0, fmt.Errorf("the answer is %d", status)
	case jsonErr != nil:
		return Secret{}, 0, errors.New("the answer is not the JSON it should be")
	case reply.Token == "" || len(reply.Token) > maxSecret || strings.Trim(reply.Token, tokenLetters) != "":
		return Secret{}, 0, errors.New("the answer has no access_token that OAUTHBEARER could carry")
	case reply.Type != "" && !strings.EqualFold(reply.Type, "bearer"):
		return Secret{}, 0, errors.New("the token is not a bearer token")
	}
	life = unsaid
	if s := reply.Seconds; s >= 1 && s < 1e9 {
		life = time.Duration(s * float64(time.Second))
	}
	return NewSecret(reply.Token), life, nil
}

// tokenLetters are those of a token that Kafka's brokers read.
const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// standardError reports whether a word is one of the error codes of RFC 6749,
// section 5.2.
func standardError(word string) bool {
	switch word {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return true
	}
	return false
}
