package edge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxPEM bounds a file of certificates, in bytes; the authorities that a system
// trusts take some 250 kB.
const maxPEM = 4 << 20

// Reloader is what can be loaded again from its files: [Server] and [Client].
type Reloader interface {
	// Reload looks at the files. If they have changed and are good, they hold from
	// now on; if they are not, the error says why, and the last good ones stay.
	Reload() (changed bool, err error)
}

// Watch reloads whenever files have changed, looking at them every so often until
// ctx ends. It tells report of a change (with nil), and of an error once, if it is
// still there at the next look: while files are replaced one by one they do not fit.
func Watch(ctx context.Context, r Reloader, every time.Duration, report func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last, told := "", ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := r.Reload()
		switch {
		case err != nil:
			if text := err.Error(); text == last && text != told {
				told = text
				report(err)
			}
			last = err.Error()
			continue
		case changed:
			report(nil)
		}
		last, told = "", ""
	}
}

// material is what a set of files held at one time.
type material struct {
	sum                  [sha256.Size]byte
	certificate, key, ca []byte
}

// readMaterial reads the files that are named; "" is none.
func readMaterial(certificate, key, ca string) (m material, err error) {
	hash := sha256.New()
	for _, f := range []struct {
		path string
		to   *[]byte
	}{{certificate, &m.certificate}, {key, &m.key}, {ca, &m.ca}} {
		if f.path != "" {
			if *f.to, err = readFile(f.path); err != nil {
				return m, err
			}
		}
		fmt.Fprintf(hash, "%d ", len(*f.to))
		hash.Write(*f.to)
	}
	hash.Sum(m.sum[:0])
	return m, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // with the path
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxPEM:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxPEM)
	}
	return data, nil
}

// pair makes a certificate of the two files; nil if none is named.
func (m material) pair(certificate, key string) (*tls.Certificate, error) {
	if certificate == "" {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(m.certificate, m.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s: %w", certificate, key, err)
	}
	return &pair, nil
}

// pool makes a pool of the authorities; nil if no file is named.
func (m material) pool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pool, found := x509.NewCertPool(), false
	for rest := m.ca; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authorities in %s: %w", path, err)
		}
		pool.AddCert(certificate)
		found = true
	}
	if !found {
		return nil, fmt.Errorf("authorities in %s: %w", path, errNoCertificate)
	}
	return pool, nil
}

// Certificate reads a certificate and its key, once; it returns the one that is shown.
func Certificate(certificate, key string) (*x509.Certificate, error) {
	m, err := readMaterial(certificate, key, "")
	if err != nil {
		return nil, err
	}
	pair, err := m.pair(certificate, key)
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// Authorities reads a PEM file with the certificates of authorities, once.
func Authorities(path string) (*x509.CertPool, error) {
	m, err := readMaterial("", "", path)
	if err != nil {
		return nil, err
	}
	return m.pool(path)
}

var errNoCertificate = errors.New("no PEM certificate in it")
