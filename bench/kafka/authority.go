package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Authority issues certificates and tokens for one test. Its files are gone when
// the test ends.
type Authority struct {
	// CAFile has its certificate, PEM.
	CAFile string
	// JWKSFile has the public key that its tokens are signed with.
	JWKSFile string

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// The issuer and audience of an authority's tokens.
const (
	TokenIssuer   = "https://issuer.example.com"
	TokenAudience = "kafka"
	tokenKeyID    = "key"
)

// NewAuthority makes an authority with a fresh key.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: tb.TempDir(), key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: "authority of a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err == nil {
		a.certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		tb.Fatalf("kafka: authority: %v", err)
	}
	a.CAFile = a.write(tb, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: a.key.Public(), KeyID: tokenKeyID, Algorithm: string(jose.ES256), Use: "sig"}}}
	text, err := json.Marshal(set)
	if err != nil {
		tb.Fatalf("kafka: authority: %v", err)
	}
	a.JWKSFile = a.write(tb, "jwks.json", text)
	return a
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("kafka: key: %v", err)
	}
	return key
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		tb.Fatalf("kafka: serial: %v", err)
	}
	return n
}

func (a *Authority) write(tb testing.TB, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatalf("kafka: %v", err)
	}
	return path
}

// Pair are the files of a certificate. Both is what Kafka wants: key and certificate
// in one.
type Pair struct{ Certificate, Key, Both string }

// Issue makes a certificate for a subject, good for clients and for servers at these
// host names and at 127.0.0.1. The files begin with name.
func (a *Authority) Issue(tb testing.TB, name string, subject pkix.Name, hosts ...string) Pair {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: subject, DNSNames: append([]string{"localhost"}, hosts...), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		tb.Fatalf("kafka: certificate: %v", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatalf("kafka: certificate: %v", err)
	}
	c := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	k := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return Pair{a.write(tb, name+".crt", c), a.write(tb, name+".key", k), a.write(tb, name+".pem", append(k, c...))}
}

// TLS is what a franz-go client needs to trust the authority, with a certificate of
// its own unless that is the zero Pair.
func (a *Authority) TLS(tb testing.TB, own Pair) *tls.Config {
	tb.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if own != (Pair{}) {
		pair, err := tls.LoadX509KeyPair(own.Certificate, own.Key)
		if err != nil {
			tb.Fatalf("kafka: certificate: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// Token is a token for a subject that lives so long.
func (a *Authority) Token(tb testing.TB, subject string, life time.Duration) string {
	tb.Helper()
	key := jose.SigningKey{Algorithm: jose.ES256, Key: a.key}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithHeader("kid", tokenKeyID).WithType("JWT"))
	if err != nil {
		tb.Fatalf("kafka: token: %v", err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Subject: subject, Issuer: TokenIssuer, Audience: jwt.Audience{TokenAudience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}).Serialize()
	if err != nil {
		tb.Fatalf("kafka: token: %v", err)
	}
	return token
}

// TokenFile is a file with a token, as Kafka's clients read one.
func (a *Authority) TokenFile(tb testing.TB, subject string, life time.Duration) string {
	tb.Helper()
	return a.write(tb, "token-"+subject, []byte(a.Token(tb, subject, life)))
}
