package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// scramExchange is SCRAM (RFC 5802, RFC 7677) in Kafka's form: without channel
// binding, with names in ASCII, and without the tokenauth extension, by which the
// name is a delegation token's id, since no such token exists here.
type scramExchange struct {
	server    *Server
	mechanism Mechanism

	name        string
	known       bool
	verifier    Verifier
	nonce       string // the client's and ours
	authMessage string // what has been said so far
}

func (e *scramExchange) step(_ context.Context, token []byte) (result, error) {
	if e.nonce == "" {
		return e.first(token)
	}
	return e.final(token)
}

// first answers with the salt and iterations of the user, or for one that is not
// known with such as it could have.
func (e *scramExchange) first(token []byte) (result, error) {
	c, ok := parseClientFirst(token)
	switch {
	case !ok:
		return result{}, failf(BadMessage, "the first %s message cannot be read", e.mechanism)
	case c.tokenauth:
		return result{}, failf(BadMessage, "user %q comes with a delegation token: they are known to one cluster only", c.name)
	case len(c.name) > MaxName || len(c.nonce) > maxNonce:
		return result{}, failf(BadMessage, "a name of %d and a nonce of %d bytes; at most %d and %d are taken", len(c.name), len(c.nonce), MaxName, maxNonce)
	}
	e.name = c.name
	e.verifier, e.known = e.server.o.Credentials().lookup(e.mechanism, e.name)
	e.nonce = c.nonce + rand.Text()
	reply := fmt.Sprintf("r=%s,s=%s,i=%d", e.nonce, base64.StdEncoding.EncodeToString(e.verifier.Salt), e.verifier.Iterations)
	e.authMessage = c.bare + "," + reply
	return result{reply: []byte(reply)}, nil
}

// final checks the proof and answers with the server's own.
func (e *scramExchange) final(token []byte) (result, error) {
	c, ok := parseClientFinal(token)
	if !ok || c.binding != noBinding && !strings.HasPrefix(c.binding, noBindingAs) || c.nonce != e.nonce {
		return result{}, failf(BadMessage, "the last %s message of user %q cannot be read, or is of another exchange", e.mechanism, e.name)
	}
	e.authMessage += "," + c.withoutProof
	if proves := e.verifier.proves(e.mechanism, e.authMessage, c.proof); !proves || !e.known {
		return result{}, badCredentials(e.name, e.known)
	}
	signature := sign(e.mechanism, e.verifier.ServerKey, e.authMessage)
	return result{reply: []byte("v=" + base64.StdEncoding.EncodeToString(signature)), name: e.name}, nil
}

// maxNonce is the longest nonce of a client; Kafka's has 26 characters.
const maxNonce = 256

// noBinding and noBindingAs are what a client repeats of its GS2 header: "n,," or
// "n,a=…".
const noBinding, noBindingAs = "n,,", "n,a="

// clientFirst is a SCRAM client's first message.
type clientFirst struct {
	bare        string // without the GS2 header
	name, nonce string
	tokenauth   bool // has the extension of delegation tokens
}

// clientFirstPattern is the grammar of Kafka's broker (ScramMessages): stricter than
// the RFC's, so that nobody reads another name in a message than a broker does.
var clientFirstPattern = regexp.MustCompile(
	`^n,(?:a=((?:[\x01-\x2b\x2d-\x3c\x3e-\x7f]|=2C|=3D)+))?,(n=((?:[\x01-\x2b\x2d-\x3c\x3e-\x7f]|=2C|=3D)+),r=([\x21-\x2b\x2d-\x7e]+)((?:,[A-Za-z]+=[\x01-\x2b\x2d-\x7f]+)*))$`)

func parseClientFirst(token []byte) (clientFirst, bool) {
	if len(token) > MaxToken {
		return clientFirst{}, false
	}
	m := clientFirstPattern.FindSubmatch(token)
	if m == nil {
		return clientFirst{}, false
	}
	c := clientFirst{bare: string(m[2]), name: saslName(string(m[3])), nonce: string(m[4])}
	if authorization := string(m[1]); authorization != "" && authorization != c.name {
		return clientFirst{}, false
	}
	for extension := range strings.SplitSeq(string(m[5]), ",") {
		key, _, _ := strings.Cut(extension, "=")
		c.tokenauth = c.tokenauth || strings.EqualFold(key, "tokenauth")
	}
	return c, true
}

// saslName takes back the escaping of names.
func saslName(s string) string {
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
}

// clientFinal is a SCRAM client's last message.
type clientFinal struct {
	binding, nonce string
	withoutProof   string
	proof          []byte
}

var clientFinalPattern = regexp.MustCompile(
	`^(c=([a-zA-Z0-9/+=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]+=[\x01-\x2b\x2d-\x7f]+)*?),p=([a-zA-Z0-9/+=]+)$`)

func parseClientFinal(token []byte) (clientFinal, bool) {
	if len(token) > MaxToken {
		return clientFinal{}, false
	}
	m := clientFinalPattern.FindSubmatch(token)
	if m == nil {
		return clientFinal{}, false
	}
	binding, err := base64.StdEncoding.DecodeString(string(m[2]))
	if err != nil {
		return clientFinal{}, false
	}
	proof, err := base64.StdEncoding.DecodeString(string(m[4]))
	if err != nil {
		return clientFinal{}, false
	}
	return clientFinal{string(binding), string(m[3]), string(m[1]), proof}, true
}
