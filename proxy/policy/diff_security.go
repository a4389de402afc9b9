package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"sluice/proxy/auth"
)

// compareListenerSecurity says what changes in how a listener knows its clients.
func (d *differ) compareListenerSecurity(about string, was, is *Listener) {
	d.compareWords(about, "", was.TLS.describe(), is.TLS.describe())
	d.compareWords(about, "", was.SASL.describe(), is.SASL.describe())
	d.compareWords(about, "broker_hosts are ", describeHosts(was.BrokerHosts), describeHosts(is.BrokerHosts))
	d.compareWords(about, "proxy_protocol is taken from ", join(was.ProxyProtocol), join(is.ProxyProtocol))
}

func (d *differ) compareSliceSecurity(about string, was, is *Slice) {
	d.compareWords(about, "", was.TLS.describe(), is.TLS.describe())
	d.compareWords(about, "", was.SASL.describe(), is.SASL.describe())
}

func (d *differ) compareTenantIdentity(name string, was, is *Tenant) {
	d.compareWords("tenant "+name, "principals are ", globTexts(was.principals), globTexts(is.principals))
	d.compareWords("tenant "+name, "networks are ", join(was.networks), join(is.networks))
}

func (d *differ) compareWords(about, what, was, is string) {
	if was != is {
		d.add(about, "%s%s, before: %s", what, is, was)
	}
}

func globTexts(globs []placedGlob) string {
	if len(globs) == 0 {
		return "not asked for"
	}
	texts := make([]string, len(globs))
	for i, g := range globs {
		texts[i] = fmt.Sprintf("%q", g.text)
	}
	return strings.Join(texts, ", ")
}

func join(networks []netip.Prefix) string {
	if len(networks) == 0 {
		return "not asked for"
	}
	texts := make([]string, len(networks))
	for i, n := range networks {
		texts[i] = n.String()
	}
	return strings.Join(texts, ", ")
}

func describeHosts(h *BrokerHosts) string {
	if h == nil {
		return "none"
	}
	return h.text
}

func (t *TLSServer) describe() string {
	if t == nil {
		return "no TLS"
	}
	s := fmt.Sprintf("TLS with certificate %s, key %s, from %s", t.Certificate, t.Key, t.MinVersion)
	if t.ClientAuth != clientAuthNone {
		s += fmt.Sprintf(", client_auth %s by %s, rules %s", t.ClientAuth, t.ClientCA, t.rulesText)
	}
	return s
}

func (t *TLSClient) describe() string {
	if t == nil {
		return "no TLS"
	}
	words := []string{"TLS"}
	for _, part := range []struct{ what, value string }{{"ca", t.CA}, {"certificate", t.Certificate}, {"key", t.Key}, {"server_name", t.ServerName}} {
		if part.value != "" {
			words = append(words, part.what+" "+part.value)
		}
	}
	return strings.Join(words, ", ")
}

func (s *SASLServer) describe() string {
	switch {
	case s == nil:
		return "no SASL"
	case s.Passthrough:
		return "SASL passthrough, claim " + s.OAuth.PrincipalClaim
	}
	words := make([]string, len(s.Mechanisms))
	text := "SASL terminate"
	for i, m := range s.Mechanisms {
		words[i] = string(m)
		if m == auth.OAuthBearer {
			o := s.OAuth
			words[i] += fmt.Sprintf(" (jwks %s %s, issuer %q, audience %q, claim %s, skew %s, refresh %s)", o.JWKS, o.JWKSCA, o.Issuer, o.Audience, o.PrincipalClaim, o.ClockSkew, o.Refresh)
		}
	}
	text += " with " + strings.Join(words, ", ")
	if s.Credentials != "" {
		text += ", credentials " + s.Credentials
	}
	if s.MaxReauth > 0 {
		text += ", max_reauth " + formatDuration(s.MaxReauth)
	}
	return text
}

func (s *SASLClient) describe() string {
	if s == nil {
		return "no SASL"
	}
	where := func(source SecretSource) string {
		if source.Env != "" {
			return "variable " + source.Env
		}
		return "file " + source.File
	}
	switch {
	case s.Mechanism != auth.OAuthBearer:
		return fmt.Sprintf("SASL %s as %s, password from %s", s.Mechanism, s.Username, where(s.Password))
	case s.TokenEndpoint == "":
		return fmt.Sprintf("SASL %s, token from %s", s.Mechanism, where(s.Token))
	}
	return fmt.Sprintf("SASL %s, tokens of %s from %s, client_secret from %s, scope %q, ca %q", s.Mechanism, s.ClientID, s.TokenEndpoint, where(s.ClientSecret), s.Scope, s.TokenEndpointCA)
}
