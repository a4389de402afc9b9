package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
)

// SASLServer is how clients of a listener log in.
type SASLServer struct {
	// Passthrough: at the broker, and the gateway reads along; else at the gateway
	// (terminate), and all but OAuth.PrincipalClaim below is set.
	Passthrough bool
	// Mechanisms are offered in this order (sasl.enabled.mechanisms).
	Mechanisms []auth.Mechanism
	// Credentials is the file of SCRAM verifiers, for SCRAM and PLAIN.
	Credentials string
	// MaxReauth is how long a session lasts at most (connections.max.reauth.ms); 0:
	// as long as the token, or for ever.
	MaxReauth time.Duration
	// OAuth is for OAUTHBEARER.
	OAuth OAuthServer

	at pos
}

// OAuthServer says which tokens are good, by the names of Kafka's settings without
// their sasl.oauthbearer.
type OAuthServer struct {
	JWKS           string // a whole path, or a URL
	JWKSCA         string // authorities for the URL; "": the system's
	Issuer         string
	Audience       []string
	PrincipalClaim string // sub.claim.name; "sub" by default
	ClockSkew      time.Duration
	Refresh        time.Duration
}

// SASLClient is how the gateway logs in at brokers.
type SASLClient struct {
	Mechanism auth.Mechanism
	// Username and Password are for PLAIN and SCRAM.
	Username string
	Password SecretSource
	// Token is a token that somebody else renews, for OAUTHBEARER; without one, the
	// gateway asks TokenEndpoint with ClientID and ClientSecret for Scope.
	Token                          SecretSource
	TokenEndpoint, ClientID, Scope string
	ClientSecret                   SecretSource
	TokenEndpointCA                string
}

var mechanismNames = func() (names []string) {
	for _, m := range auth.Mechanisms {
		names = append(names, string(m))
	}
	return names
}()

func parseMechanism(s string) (auth.Mechanism, error) {
	m, ok := auth.ParseMechanism(s)
	if !ok {
		return m, fmt.Errorf("unknown mechanism %q%s", s, suggest(s, mechanismNames))
	}
	return m, nil
}

// saslServer reads a listener's sasl; nil if there is none.
func (c *compiler) saslServer(o *object, tls bool) *SASLServer {
	s := c.section(o, "sasl", "a listener's sasl", "mode", "mechanisms", "credentials", "max_reauth", "allow_plain_without_tls", "oauthbearer")
	if s == nil {
		return nil
	}
	server := &SASLServer{at: s.at, OAuth: OAuthServer{PrincipalClaim: "sub", ClockSkew: 30 * time.Second, Refresh: time.Hour}}
	mode, ok := required(&c.reporter, s, "a listener's sasl", "mode", oneOf("terminate", "passthrough"))
	if !ok {
		return server
	}
	server.Passthrough = mode == "passthrough"
	if server.Passthrough {
		c.passthrough(s, server, tls)
		return server
	}
	server.Mechanisms = c.mechanisms(s)
	server.Credentials = c.path(s, "credentials", "credentials", true)
	c.content(s, "credentials", opens(auth.OpenCredentials, server.Credentials), server.Credentials)
	set(&c.reporter, s.get("max_reauth"), "max_reauth", durationBetween(minReauth, maxReauth), &server.MaxReauth)
	c.oauthServer(s, server)
	c.checkTerminate(s, server, tls)
	return server
}

// passthrough checks what is left to say where the broker is the server.
func (c *compiler) passthrough(s *object, server *SASLServer, tls bool) {
	for _, key := range []string{"mechanisms", "credentials", "max_reauth", "allow_plain_without_tls"} {
		if s.get(key) != nil {
			c.errorf(s.place(key), "%s has no meaning with mode: passthrough, where brokers decide", key)
		}
	}
	if oauth := c.section(s, "oauthbearer", "oauthbearer of passthrough", "sub_claim_name"); oauth != nil {
		set(&c.reporter, oauth.get("sub_claim_name"), "sub_claim_name", parseText, &server.OAuth.PrincipalClaim)
	}
	if !tls {
		c.warnf(s.place("mode"), "sasl without tls: clients with PLAIN or OAUTHBEARER send their secrets in the clear")
	}
}

func (c *compiler) mechanisms(s *object) []auth.Mechanism {
	var mechanisms []auth.Mechanism
	for _, item := range c.list(s.get("mechanisms"), "mechanisms") {
		m, ok := scalar(&c.reporter, item, "mechanisms", parseMechanism)
		if ok && slices.Contains(mechanisms, m) {
			c.errorf(item.at, "mechanisms: %s is given twice", m)
		} else if ok {
			mechanisms = append(mechanisms, m)
		}
	}
	if n := s.get("mechanisms"); n == nil || n.empty() {
		c.missing(s, s.place("mechanisms"), "sasl needs mechanisms: some of %s", strings.Join(mechanismNames, ", "))
	}
	return mechanisms
}

func (c *compiler) oauthServer(s *object, server *SASLServer) {
	oauth := c.section(s, "oauthbearer", "oauthbearer", "jwks_endpoint_url", "jwks_ca", "expected_issuer", "expected_audience", "sub_claim_name", "clock_skew", "jwks_endpoint_refresh")
	wanted := slices.Contains(server.Mechanisms, auth.OAuthBearer)
	if oauth == nil {
		if wanted {
			c.missing(s, s.place("mechanisms"), "OAUTHBEARER needs oauthbearer: {jwks_endpoint_url: …}, with the keys to verify tokens")
		}
		return
	}
	r, to := &c.reporter, &server.OAuth
	if !wanted && len(server.Mechanisms) > 0 {
		c.warnf(s.place("oauthbearer"), "oauthbearer has no effect: OAUTHBEARER is not among the mechanisms")
	}
	to.JWKS = c.jwks(oauth)
	to.JWKSCA = c.path(oauth, "jwks_ca", "jwks_ca", false)
	c.content(oauth, "jwks_ca", opens(edge.Authorities, to.JWKSCA), to.JWKSCA)
	set(r, oauth.get("expected_issuer"), "expected_issuer", parseText, &to.Issuer)
	set(r, oauth.get("sub_claim_name"), "sub_claim_name", parseText, &to.PrincipalClaim)
	set(r, oauth.get("clock_skew"), "clock_skew", durationBetween(0, maxSkew), &to.ClockSkew)
	set(r, oauth.get("jwks_endpoint_refresh"), "jwks_endpoint_refresh", durationBetween(minRefresh, maxRefresh), &to.Refresh)
	for _, item := range c.list(oauth.get("expected_audience"), "expected_audience") {
		if text, ok := scalar(r, item, "expected_audience", parseText); ok {
			to.Audience = append(to.Audience, text)
		}
	}
	if wanted && oauth.get("expected_audience") == nil {
		c.warnf(oauth.at, "without expected_audience, tokens that were issued for other services are good here")
	}
}

// jwks reads where the keys are: a URL, or a file, also as file:/path.
func (c *compiler) jwks(oauth *object) string {
	const key = "jwks_endpoint_url"
	text, ok := required(&c.reporter, oauth, "oauthbearer", key, parseText)
	switch {
	case !ok:
		return ""
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		if _, ok := scalar(&c.reporter, oauth.get(key), key, parseURL); ok && plainURL(text) {
			c.warnf(oauth.get(key).at, "%s: without TLS, whoever is on the way can make keys up and be anyone", key)
		}
		return text
	}
	oauth.get(key).text = strings.TrimPrefix(strings.TrimPrefix(text, "file://"), "file:")
	path := c.path(oauth, key, key, false)
	c.content(oauth, key, opens(openKeys, path), path)
	return path
}

// checkTerminate checks that mechanisms have what they need, and are safe.
func (c *compiler) checkTerminate(s *object, server *SASLServer, tls bool) {
	var allowed bool
	set(&c.reporter, s.get("allow_plain_without_tls"), "allow_plain_without_tls", parseBool, &allowed)
	plain, oauth := slices.Contains(server.Mechanisms, auth.Plain), slices.Contains(server.Mechanisms, auth.OAuthBearer)
	passwords := slices.ContainsFunc(server.Mechanisms, func(m auth.Mechanism) bool { return m != auth.OAuthBearer })
	switch {
	case passwords && s.get("credentials") == nil:
		c.missing(s, s.at, "SCRAM and PLAIN need credentials: a file that `sluice credentials add` writes")
	case !passwords && oauth && s.get("credentials") != nil:
		c.warnf(s.place("credentials"), "credentials has no effect: neither SCRAM nor PLAIN is among the mechanisms")
	}
	switch {
	case tls || !plain && !oauth:
		if allowed {
			c.warnf(s.place("allow_plain_without_tls"), "allow_plain_without_tls has no effect here")
		}
	case plain && !allowed:
		c.errorf(s.place("mechanisms"), "PLAIN without tls sends passwords in the clear: give the listener tls, or say allow_plain_without_tls: true")
	case plain:
		c.warnf(s.place("allow_plain_without_tls"), "PLAIN without tls sends passwords in the clear")
	default:
		c.warnf(s.place("mechanisms"), "OAUTHBEARER without tls sends tokens in the clear")
	}
}

// saslClient reads a slice's sasl; nil if there is none.
func (c *compiler) saslClient(o *object, tls bool) *SASLClient {
	s := c.section(o, "sasl", "a slice's sasl", "mechanism", "username", "password", "token", "token_endpoint_url", "token_endpoint_ca", "client_id", "client_secret", "scope")
	if s == nil {
		return nil
	}
	client := &SASLClient{}
	m, ok := required(&c.reporter, s, "a slice's sasl", "mechanism", parseMechanism)
	if !ok {
		return client
	}
	client.Mechanism = m
	mine, others := []string{"username", "password"}, []string{"token", "token_endpoint_url", "token_endpoint_ca", "client_id", "client_secret", "scope"}
	if m == auth.OAuthBearer {
		mine, others = others, mine
		c.oauthClient(s, client)
	} else {
		client.Username, _ = required(&c.reporter, s, string(m), "username", parseText)
		if client.Password, ok = c.secret(s, "password"); !ok {
			c.missing(s, s.at, "%s needs password: {file: …} or {env: …}", m)
		}
	}
	for _, key := range others {
		if s.get(key) != nil {
			c.errorf(s.place(key), "%s has no meaning with %s, which takes %s", key, m, strings.Join(mine, ", "))
		}
	}
	if !tls && (m == auth.Plain || m == auth.OAuthBearer) {
		c.warnf(s.place("mechanism"), "%s without tls sends the gateway's secret to brokers in the clear", m)
	}
	return client
}

func (c *compiler) oauthClient(s *object, client *SASLClient) {
	r := &c.reporter
	token, hasToken := c.secret(s, "token")
	client.Token = token
	if hasToken {
		for _, key := range []string{"token_endpoint_url", "token_endpoint_ca", "client_id", "client_secret", "scope"} {
			if s.get(key) != nil {
				c.errorf(s.place(key), "%s has no meaning beside token", key)
			}
		}
		return
	}
	if s.get("token_endpoint_url") == nil {
		c.missing(s, s.at, "OAUTHBEARER needs token: {file: …}, or token_endpoint_url with client_id and client_secret")
		return
	}
	if set(r, s.get("token_endpoint_url"), "token_endpoint_url", parseURL, &client.TokenEndpoint) && plainURL(client.TokenEndpoint) {
		c.warnf(s.get("token_endpoint_url").at, "token_endpoint_url: without TLS, the client secret goes in the clear")
	}
	client.ClientID, _ = required(r, s, "token_endpoint_url", "client_id", parseText)
	client.TokenEndpointCA = c.path(s, "token_endpoint_ca", "token_endpoint_ca", false)
	c.content(s, "token_endpoint_ca", opens(edge.Authorities, client.TokenEndpointCA), client.TokenEndpointCA)
	set(r, s.get("scope"), "scope", parseText, &client.Scope)
	var ok bool
	if client.ClientSecret, ok = c.secret(s, "client_secret"); !ok {
		c.missing(s, s.at, "token_endpoint_url needs client_secret: {file: …} or {env: …}")
	}
}
