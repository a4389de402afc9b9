package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
)

// TLSServer is TLS towards clients, or towards those who read the admin address.
// Files are PEM; their paths are whole.
type TLSServer struct {
	Certificate, Key string
	// ClientCA has the authorities of client certificates.
	ClientCA string
	// ClientAuth is none, requested or required (ssl.client.auth).
	ClientAuth string
	// MinVersion is TLSv1.2 or TLSv1.3.
	MinVersion string
	// NameRules make principals of certificates (ssl.principal.mapping.rules); never
	// nil.
	NameRules *auth.NameRules

	rulesText string
}

// TLSClient is TLS towards brokers. Files are PEM; their paths are whole.
type TLSClient struct {
	// CA has the authorities of the brokers' certificates; "": the system's.
	CA string
	// Certificate and Key are what the gateway shows; "": nothing.
	Certificate, Key string
	// ServerName is what the brokers' certificates name; "": the host dialled.
	ServerName string
}

// Words for client_auth and the versions of TLS, as Kafka has them.
const (
	clientAuthNone, clientAuthRequested, clientAuthRequired = "none", "requested", "required"
	tls12, tls13                                            = "TLSv1.2", "TLSv1.3"
)

// oneOf reads one of a few words.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !contains(words, s) {
			return "", fmt.Errorf("must be %s, not %q", strings.Join(words, " or "), s)
		}
		return s, nil
	}
}

// path reads the name of a file, which is relative to the policy's own, and notes
// it for [FileProblems].
func (c *compiler) path(o *object, key, what string, secret bool) string {
	text, ok := scalar(&c.reporter, o.get(key), key, parseText)
	if !ok {
		return ""
	}
	if !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(c.policy.File), text)
	}
	c.policy.files = append(c.policy.files, fileRef{what: what, path: text, secret: secret, at: o.get(key).at})
	return text
}

// section is the mapping at a key; nil if it is not there or is no mapping, which
// is reported. An empty one is a mapping without fields.
func (c *compiler) section(o *object, key, what string, known ...string) *object {
	n := o.get(key)
	if n == nil || n.kind == nullKind {
		return nil
	}
	s := c.object(n, what, known...)
	if n.kind != mappingKind {
		return nil
	}
	return s
}

// tlsServer reads a listener's tls; nil if there is none.
func (c *compiler) tlsServer(o *object, what string) *TLSServer {
	s := c.section(o, "tls", what, "certificate", "key", "client_ca", "client_auth", "min_version", "principal_mapping_rules")
	if s == nil {
		return nil
	}
	r := &c.reporter
	t := &TLSServer{
		Certificate: c.path(s, "certificate", "certificate", false), Key: c.path(s, "key", "key", true), ClientCA: c.path(s, "client_ca", "client_ca", false),
		ClientAuth: clientAuthNone, MinVersion: tls12, rulesText: "DEFAULT",
	}
	c.content(s, "certificate", pairContent(t.Certificate, t.Key), t.Certificate, t.Key)
	c.content(s, "client_ca", opens(edge.Authorities, t.ClientCA), t.ClientCA)
	if s.get("certificate") == nil || s.get("key") == nil {
		c.missing(s, s.at, "%s needs certificate and key: two PEM files", what)
	}
	set(r, s.get("client_auth"), "client_auth", oneOf(clientAuthNone, clientAuthRequested, clientAuthRequired), &t.ClientAuth)
	set(r, s.get("min_version"), "min_version", oneOf(tls12, tls13), &t.MinVersion)
	switch rules := s.get("principal_mapping_rules"); {
	case t.ClientAuth != clientAuthNone && s.get("client_ca") == nil:
		c.missing(s, s.place("client_auth"), "client_auth %s needs client_ca: the authorities whose certificates count", t.ClientAuth)
	case t.ClientAuth == clientAuthNone && s.get("client_ca") != nil && s.get("client_auth") == nil:
		c.warnf(s.place("client_ca"), "client_ca has no effect without client_auth: requested, or required")
	case t.ClientAuth == clientAuthNone && rules != nil:
		c.warnf(s.place("principal_mapping_rules"), "principal_mapping_rules have no effect without client_auth: requested, or required")
	}
	set(r, s.get("principal_mapping_rules"), "principal_mapping_rules", parseText, &t.rulesText)
	t.NameRules, _ = scalar(r, s.get("principal_mapping_rules"), "principal_mapping_rules", auth.ParseNameRules)
	if t.NameRules == nil {
		t.NameRules, _ = auth.ParseNameRules("DEFAULT")
	}
	return t
}

// tlsClient reads a slice's tls; nil if there is none.
func (c *compiler) tlsClient(o *object) *TLSClient {
	s := c.section(o, "tls", "a slice's tls", "ca", "certificate", "key", "server_name")
	if s == nil {
		return nil
	}
	t := &TLSClient{
		CA:          c.path(s, "ca", "ca", false),
		Certificate: c.path(s, "certificate", "certificate", false), Key: c.path(s, "key", "key", true),
	}
	c.content(s, "ca", opens(edge.Authorities, t.CA), t.CA)
	c.content(s, "certificate", pairContent(t.Certificate, t.Key), t.Certificate, t.Key)
	if one, other := s.get("certificate"), s.get("key"); (one == nil) != (other == nil) {
		c.missing(s, s.at, "certificate and key go together: what the gateway shows to brokers, and its key")
	}
	set(&c.reporter, s.get("server_name"), "server_name", parseHost, &t.ServerName)
	return t
}

// networks reads a list of networks as 10.0.0.0/8, or single addresses.
func (c *compiler) networks(o *object, key string) []netip.Prefix {
	var networks []netip.Prefix
	for _, item := range c.list(o.get(key), key) {
		if prefix, ok := scalar(&c.reporter, item, key, parseNetwork); ok {
			networks = append(networks, prefix)
		}
	}
	if n := o.get(key); n != nil && n.empty() {
		c.errorf(o.place(key), "%s is empty: list networks, as [10.0.0.0/8], or leave it out", key)
	}
	return networks
}

func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return prefix, fmt.Errorf("%q is not a network: write it as 10.0.0.0/8 or 2001:db8::/32", s)
	case prefix.Masked() != prefix:
		return prefix, fmt.Errorf("%s has bits behind its mask: the network is %s", s, prefix.Masked())
	case prefix.Addr().Is4In6():
		return prefix, fmt.Errorf("%s: write IPv4 networks as 10.0.0.0/8", s)
	}
	return prefix, nil
}

func (c *compiler) proxyProtocol(o *object) []netip.Prefix {
	s := c.section(o, "proxy_protocol", "proxy_protocol", "networks")
	if s == nil {
		return nil
	}
	if s.get("networks") == nil {
		c.missing(s, s.at, "proxy_protocol needs networks: those of the balancers, whose word on who the client is counts")
	}
	networks := c.networks(s, "networks")
	for i, n := range networks {
		if n.Bits() == 0 {
			c.warnf(s.get("networks").items[i].at, "proxy_protocol: with %s, every client may claim any address", n)
		}
	}
	return networks
}

func (c *compiler) adminSecurity(o *object) {
	a := &c.policy.Admin
	a.TLS = c.tlsServer(o, "admin's tls")
	a.BasicAuth = c.path(o, "basic_auth", "basic_auth", true)
	c.content(o, "basic_auth", opens(auth.OpenBasicUsers, a.BasicAuth), a.BasicAuth)
	set(&c.reporter, o.get("insecure"), "insecure", parseBool, &a.Insecure)
	e, err := parseEndpoint(0, false)(a.Address)
	if err != nil || loopback(e.host) {
		return
	}
	at := o.place("address")
	switch {
	case a.TLS == nil && o.get("tls") == nil && o.get("basic_auth") == nil && !a.Insecure:
		c.missing(o, at, "admin at %s can be reached from other machines: give it tls or basic_auth, bind it to 127.0.0.1, or say insecure: true", a.Address)
	case a.Insecure && a.BasicAuth == "":
		c.warnf(at, "admin at %s: whoever reaches it sees what all tenants do", a.Address)
	case a.TLS == nil && a.BasicAuth != "":
		c.warnf(at, "admin at %s: basic_auth without tls sends passwords in the clear", a.Address)
	case a.TLS != nil && a.BasicAuth == "" && a.TLS.ClientAuth != clientAuthRequired:
		c.warnf(at, "admin at %s: tls alone lets everyone in who reaches it; add basic_auth or client_auth: required", a.Address)
	}
}

// security is what guards the admin address, in words.
func (a Admin) security() string {
	words := []string{a.TLS.describe()}
	if a.BasicAuth != "" {
		words = append(words, "with basic_auth")
	}
	if a.Insecure {
		words = append(words, "insecure")
	}
	return strings.Join(words, ", ")
}

// loopback reports whether a host is one that only this machine reaches.
func loopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// parseURL reads an http or https URL.
func parseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err == nil && u.User != nil:
		return "", errors.New("a URL here has no user and password in it") // and the text must not repeat them
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("%q is not an http or https URL", s)
	}
	return s, nil
}

// plainURL reports whether a URL is one whose answer others may change.
func plainURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && !loopback(u.Hostname())
}

// SecretSource is where a secret is: in a file, or in a variable of the
// environment. The policy never holds the secret itself.
type SecretSource struct{ File, Env string }

func (c *compiler) secret(o *object, key string) (SecretSource, bool) {
	n := o.get(key)
	if n == nil {
		return SecretSource{}, false
	}
	if n.kind == scalarKind {
		c.errorf(n.at, "%s must not stand in this file: say {file: …} or {env: …} where it is", key)
		return SecretSource{}, true
	}
	s := c.section(o, key, key, "file", "env")
	if s == nil {
		return SecretSource{}, true
	}
	var source SecretSource
	source.File = c.path(s, "file", key, true)
	set(&c.reporter, s.get("env"), "env", parseEnv, &source.Env)
	if (s.get("file") == nil) == (s.get("env") == nil) {
		c.missing(s, s.at, "%s needs either file or env", key)
	}
	if source.Env != "" {
		c.policy.files = append(c.policy.files, fileRef{what: key, env: source.Env, at: s.get("env").at})
	}
	return source, true
}

// parseEnv reads the name of a variable of the environment.
func parseEnv(s string) (string, error) {
	if s == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "", errors.New("must be the name of a variable, as KAFKA_PASSWORD")
	}
	return s, nil
}

// Bounds of times in sasl.
const (
	minReauth, maxReauth   = time.Second, 30 * 24 * time.Hour
	maxSkew                = time.Hour
	minRefresh, maxRefresh = 10 * time.Second, 7 * 24 * time.Hour
)
