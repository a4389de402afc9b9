package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Observer reads along while a client authenticates at a broker. It believes a name
// only after the broker has, reads messages by the broker's own grammar, and says
// that it does not know where another reading is possible: with GSSAPI and other
// mechanisms, and with delegation tokens, whose owner is not told.
//
// The name is that of Kafka's default KafkaPrincipalBuilder; a broker with another
// one may see another principal.
//
// After SaslHandshake version 0, frames have no header: see [Observer.Raw]. It is
// used by one goroutine at a time, as the frames pass.
type Observer struct {
	claim string

	mechanism string
	raw       bool // frames without headers, until the exchange is over
	owed      bool // the answer to a token is still to come
	turns     int  // tokens sent in this exchange
	name      string
	readable  bool // name is what the broker will see, if it accepts

	principal     string
	authenticated bool
}

// ErrPipelined means that a client sends another token, or begins anew, while the answer to
// its token is still to come. No client does; an attacker would so have the answer
// to its own name taken for that to another, and after a bare token it cannot be
// told whether what comes is a token or a request that must be judged. What it sent
// must not be sent on, and the connection must end.
var ErrPipelined = errors.New("more was sent before the answer to a SASL token")

// ErrUnreadable means that the client uses a mechanism whose tokens say nothing of when the
// exchange is over, and sends them without headers (SaslHandshake version 0). The
// request must not be sent on.
var ErrUnreadable = errors.New("SaslHandshake version 0 with a mechanism that cannot be followed")

// NewObserver reads the name in tokens of OAUTHBEARER from this claim; "" is "sub".
func NewObserver(principalClaim string) *Observer {
	if principalClaim == "" {
		principalClaim = "sub"
	}
	return &Observer{claim: principalClaim}
}

// Principal is whom the broker has accepted, as "User:name". It is empty while that
// is open, after a failure, and where it cannot be known: then authenticated tells
// the last apart.
func (o *Observer) Principal() (principal string, authenticated bool) {
	return o.principal, o.authenticated
}

// Raw reports whether the next frames of both sides are bare tokens.
func (o *Observer) Raw() bool { return o.raw }

// Handshake takes a SaslHandshake before it is sent on. From a version 0 on, the
// frames that follow are bare tokens: a broker that refuses the mechanism closes.
func (o *Observer) Handshake(r *kmsg.SASLHandshakeRequest) error {
	if o.owed || o.raw {
		return ErrPipelined
	}
	_, known := ParseMechanism(r.Mechanism)
	if r.Version == 0 && !known {
		return ErrUnreadable
	}
	o.mechanism, o.turns, o.name, o.readable = r.Mechanism, 0, "", false
	o.raw = r.Version == 0
	return nil
}

// Handshaken takes the answer to a SaslHandshake. An error ends what there was; the
// broker closes.
func (o *Observer) Handshaken(r *kmsg.SASLHandshakeResponse) {
	if r.ErrorCode != 0 {
		o.drop()
	}
}

// Token takes a client's token before it is sent on: a bare frame, or the AuthBytes
// of SaslAuthenticate.
func (o *Observer) Token(token []byte) error {
	if o.owed {
		return ErrPipelined
	}
	o.owed = true
	o.turns++
	m, _ := ParseMechanism(o.mechanism)
	switch {
	case m == Plain:
		o.name, _, o.readable = parsePlain(token)
	case m.scram() && o.turns == 1:
		c, ok := parseClientFirst(token)
		o.name, o.readable = c.name, ok && !c.tokenauth
	case m == OAuthBearer && !bytes.Equal(token, []byte{1}):
		o.name, o.readable = o.claimed(token)
	}
	return nil
}

// claimed is the name in a token whose signature the broker judges.
func (o *Observer) claimed(message []byte) (string, bool) {
	r, wrong := parseOAuth(message)
	parts := strings.Split(r.token, ".")
	if wrong != "" || len(parts) != 3 {
		return "", false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !utf8.Valid(payload) {
		return "", false
	}
	name, err := topLevelString(payload, o.claim)
	return name, err == nil && goodClaim(name)
}

// topLevelString is the value of a key of a JSON object that has it once.
func topLevelString(object []byte, key string) (string, error) {
	if !json.Valid(object) {
		return "", errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", errors.New("not an object")
	}
	value, found := "", false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return "", err
		}
		if name != key {
			continue
		}
		if found || json.Unmarshal(raw, &value) != nil {
			return "", fmt.Errorf("%s is there twice, or no text", key)
		}
		found = true
	}
	if !found {
		return "", fmt.Errorf("no %s", key)
	}
	return value, nil
}

// Answered takes the broker's answer to a token: a bare frame (code 0), or the
// AuthBytes and error code of SaslAuthenticate. It reports whether the exchange is
// over; [Observer.Principal] then says how.
func (o *Observer) Answered(code int16, token []byte) (over bool) {
	o.owed = false
	if code != 0 {
		o.drop()
		return true
	}
	if !o.complete(token) {
		return false
	}
	o.raw, o.authenticated, o.principal = false, true, ""
	if o.readable {
		o.principal = principalType + o.name
	}
	return true
}

// complete reports whether the broker's answer is the one that ends the exchange
// well. Of an unknown mechanism each answer may be: its name stays unknown.
func (o *Observer) complete(answer []byte) bool {
	switch m, _ := ParseMechanism(o.mechanism); m {
	case Plain:
		return o.turns == 1
	case OAuthBearer:
		return len(answer) == 0
	case ScramSHA256, ScramSHA512:
		return o.turns == 2 && bytes.HasPrefix(answer, []byte("v="))
	default:
		return true
	}
}

// drop forgets the identity: whoever fails to authenticate again is nobody.
func (o *Observer) drop() {
	*o = Observer{claim: o.claim}
}
