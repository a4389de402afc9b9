package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ClientAuth says whether clients show a certificate, in the words of Kafka's
// ssl.client.auth.
type ClientAuth string

// What ssl.client.auth may be.
const (
	ClientAuthNone      ClientAuth = "none"
	ClientAuthRequested ClientAuth = "requested" // one that is shown must be good
	ClientAuthRequired  ClientAuth = "required"
)

// ServerOptions are what a listener's TLS is made of.
type ServerOptions struct {
	// Certificate and Key are PEM files: the certificate, with those between it and
	// the root behind it, and its key.
	Certificate, Key string
	// ClientCA is a PEM file with the authorities of client certificates; needed
	// unless ClientAuth is none.
	ClientCA   string
	ClientAuth ClientAuth
	// MinVersion is tls.VersionTLS12 if 0.
	MinVersion uint16
}

// Server is TLS towards clients. Connections that are open, or in their handshake,
// keep what they began with when files change.
type Server struct {
	o ServerOptions

	reloading sync.Mutex
	current   atomic.Pointer[serverState]
}

type serverState struct {
	material material
	// config has session tickets of its own: a client that shows one of before a
	// change is judged anew.
	config *tls.Config
	leaf   *x509.Certificate
}

// NewServer loads the files.
func NewServer(o ServerOptions) (*Server, error) {
	s := &Server{o: o}
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload implements [Reloader].
func (s *Server) Reload() (changed bool, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	m, err := readMaterial(s.o.Certificate, s.o.Key, s.o.ClientCA)
	if err != nil {
		return false, fmt.Errorf("TLS: %w", err)
	}
	if now := s.current.Load(); now != nil && now.material.sum == m.sum {
		return false, nil
	}
	next, err := s.load(m)
	if err != nil {
		return false, fmt.Errorf("TLS: %w", err)
	}
	s.current.Store(next)
	return true, nil
}

func (s *Server) load(m material) (*serverState, error) {
	pair, err := m.pair(s.o.Certificate, s.o.Key)
	switch {
	case err != nil:
		return nil, err
	case pair == nil:
		return nil, errors.New("a listener needs a certificate and its key")
	}
	pool, err := m.pool(s.o.ClientCA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{*pair}, ClientCAs: pool,
		MinVersion: max(s.o.MinVersion, tls.VersionTLS12),
	}
	switch {
	case s.o.ClientAuth == ClientAuthNone || s.o.ClientAuth == "":
	case pool == nil:
		return nil, fmt.Errorf("client_auth %s needs a file of authorities: without one, any certificate that the system trusts would do", s.o.ClientAuth)
	case s.o.ClientAuth == ClientAuthRequested:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case s.o.ClientAuth == ClientAuthRequired:
		config.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("client_auth %q is not none, requested or required", s.o.ClientAuth)
	}
	return &serverState{m, config, pair.Leaf}, nil
}

// Config is for [tls.Server], once for all connections: each handshake takes what
// holds when it begins.
func (s *Server) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // of each real one too
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().config, nil
		},
	}
}

// Expires is when the certificate in force ends.
func (s *Server) Expires() time.Time { return s.current.Load().leaf.NotAfter }
