package auth

import (
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"
)

// Mechanism is a SASL mechanism by the name that clients send in SaslHandshake.
type Mechanism string

// The mechanisms that the gateway can be the server of, and read along.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
	OAuthBearer Mechanism = "OAUTHBEARER"
)

// Mechanisms are all of them, the strongest first.
var Mechanisms = []Mechanism{ScramSHA512, ScramSHA256, OAuthBearer, Plain}

// ParseMechanism finds a mechanism by its name, which is in capitals as in Kafka.
func ParseMechanism(name string) (Mechanism, bool) {
	m := Mechanism(name)
	return m, slices.Contains(Mechanisms, m)
}

// scram reports whether m is one of the two SCRAM mechanisms.
func (m Mechanism) scram() bool { return m == ScramSHA256 || m == ScramSHA512 }

// hash is the hash function of a SCRAM mechanism.
func (m Mechanism) hash() func() hash.Hash {
	if m == ScramSHA512 {
		return sha512.New
	}
	return sha256.New
}

// Error codes of Kafka (org.apache.kafka.common.protocol.Errors) that the exchange
// answers with.
const (
	CodeUnsupportedMechanism int16 = 33 // UNSUPPORTED_SASL_MECHANISM
	CodeIllegalState         int16 = 34 // ILLEGAL_SASL_STATE
	CodeFailed               int16 = 58 // SASL_AUTHENTICATION_FAILED
)

// Bounds on what a client may send before it is known, in bytes.
const (
	// MaxToken is the largest SASL token. Kafka takes 512 KiB
	// (sasl.server.max.receive.size); tokens with many groups have some 20 KiB.
	MaxToken = 64 << 10
	// MaxName is the longest user name.
	MaxName = 255
	// MaxPassword is the longest password.
	MaxPassword = 1024
)

// principalType is the type of all principals, as Kafka's DefaultKafkaPrincipalBuilder
// has it.
const principalType = "User:"
