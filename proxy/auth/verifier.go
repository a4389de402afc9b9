package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
)

// Bounds of the iterations of a verifier. Kafka's clients refuse fewer than 4096;
// its tools make no more than 16384. What a file may hold is more generous.
const (
	MinIterations     = 4096
	DefaultIterations = 4096
	maxIterations     = 1 << 20
	saltSize          = 24
)

// Verifier is what a server keeps of a password for one SCRAM mechanism (RFC 5802,
// section 3). It proves a password and does not give it away.
type Verifier struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// NewVerifier makes a verifier with a fresh salt. Iterations are 4096 or more.
func NewVerifier(m Mechanism, password string, iterations int) (Verifier, error) {
	switch {
	case !m.scram():
		return Verifier{}, fmt.Errorf("%s has no verifiers: use %s or %s", m, ScramSHA256, ScramSHA512)
	case iterations < MinIterations || iterations > maxIterations:
		return Verifier{}, fmt.Errorf("%d iterations: use %d to %d", iterations, MinIterations, maxIterations)
	case password == "":
		return Verifier{}, errors.New("the password is empty")
	case len(password) > MaxPassword:
		return Verifier{}, fmt.Errorf("the password has more than %d bytes", MaxPassword)
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	return derive(m, password, salt, iterations)
}

// derive computes the keys of a password. It takes about a millisecond for 4096
// iterations.
func derive(m Mechanism, password string, salt []byte, iterations int) (Verifier, error) {
	salted, err := pbkdf2.Key(m.hash(), password, salt, iterations, m.hash()().Size())
	if err != nil {
		return Verifier{}, fmt.Errorf("key derivation: %w", err)
	}
	return Verifier{
		Iterations: iterations, Salt: salt,
		StoredKey: digest(m, sign(m, salted, "Client Key")),
		ServerKey: sign(m, salted, "Server Key"),
	}, nil
}

// accepts reports whether a password is the one that v was made of, in a time that
// does not depend on it.
func (v Verifier) accepts(m Mechanism, password string) bool {
	made, err := derive(m, password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(made.StoredKey, v.StoredKey) == 1
}

// proves reports whether a SCRAM client's proof shows the password, in a time that
// does not depend on it.
func (v Verifier) proves(m Mechanism, authMessage string, proof []byte) bool {
	key := sign(m, v.StoredKey, authMessage)
	if len(proof) != len(key) {
		return false
	}
	subtle.XORBytes(key, key, proof)
	return subtle.ConstantTimeCompare(digest(m, key), v.StoredKey) == 1
}

func sign(m Mechanism, key []byte, text string) []byte {
	mac := hmac.New(m.hash(), key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func digest(m Mechanism, data []byte) []byte {
	h := m.hash()()
	h.Write(data)
	return h.Sum(nil)
}
