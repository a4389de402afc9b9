package edge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ClientOptions are what TLS towards the brokers of a slice is made of.
type ClientOptions struct {
	// CA is a PEM file with the authorities of the brokers' certificates; "" are
	// those that the system trusts.
	CA string
	// Certificate and Key are what the gateway shows, PEM files; "" is nothing.
	Certificate, Key string
	// ServerName is what the brokers' certificates name, where that is not the host
	// that is dialled.
	ServerName string
}

// Files names the files, for people.
func (o ClientOptions) Files() string {
	var named []string
	for _, f := range []string{o.CA, o.Certificate, o.Key} {
		if f != "" {
			named = append(named, f)
		}
	}
	return strings.Join(named, ", ")
}

// Client is TLS towards brokers. Open connections keep what they began with when
// files change.
type Client struct {
	o ClientOptions

	reloading sync.Mutex
	current   atomic.Pointer[clientState]
}

type clientState struct {
	material material
	config   *tls.Config
	leaf     *x509.Certificate // nil: the gateway shows nothing
}

// sessions is how many brokers' sessions are kept for resumption.
const sessions = 256

// NewClient loads the files.
func NewClient(o ClientOptions) (*Client, error) {
	c := &Client{o: o}
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload implements [Reloader].
func (c *Client) Reload() (changed bool, err error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	m, err := readMaterial(c.o.Certificate, c.o.Key, c.o.CA)
	if err != nil {
		return false, fmt.Errorf("TLS: %w", err)
	}
	if now := c.current.Load(); now != nil && now.material.sum == m.sum {
		return false, nil
	}
	pair, err := m.pair(c.o.Certificate, c.o.Key)
	if err != nil {
		return false, fmt.Errorf("TLS: %w", err)
	}
	pool, err := m.pool(c.o.CA)
	if err != nil {
		return false, fmt.Errorf("TLS: %w", err)
	}
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(sessions)}
	next := &clientState{material: m, config: config}
	if pair != nil {
		config.Certificates, next.leaf = []tls.Certificate{*pair}, pair.Leaf
	}
	c.current.Store(next)
	return true, nil
}

// Expires is when the certificate that is shown ends; the zero time without one.
func (c *Client) Expires() time.Time {
	if leaf := c.current.Load().leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// Config is for one connection, with [tls.Client], to a broker at a host (without
// its port).
func (c *Client) Config(host string) *tls.Config {
	config := c.current.Load().config.Clone()
	if config.ServerName = c.o.ServerName; config.ServerName == "" {
		config.ServerName = host
	}
	return config
}
