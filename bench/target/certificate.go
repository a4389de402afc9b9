package target

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Certificate is one for 127.0.0.1 that nobody has signed but itself, and its key.
type Certificate struct {
	PEM string // what clients trust
	// File and KeyFile hold one each. BothFile holds both, as HAProxy wants them; File
	// is what Java calls a trust store of type PEM.
	File, KeyFile, BothFile string
}

// NewCertificate writes the files of a certificate into a directory: ECDSA on P-256, as
// most are today.
func NewCertificate(dir string) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c := &Certificate{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if c.File, err = write(dir, "bench.crt", c.PEM); err != nil {
		return nil, err
	}
	if c.KeyFile, err = write(dir, "bench.key", secret); err != nil {
		return nil, err
	}
	c.BothFile, err = write(dir, "bench.pem", c.PEM+secret)
	return c, err
}
