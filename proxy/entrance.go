package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
	"sluice/proxy/policy"
)

// entrance is what stands between a listener's ports and the first request under one
// policy. It never changes.
type entrance struct {
	balancers   []netip.Prefix  // who sends a header of the PROXY protocol
	tls         *tls.Config     // nil: none
	certificate *edge.Server    // what it is made of
	names       *auth.NameRules // make principals of certificates; nil: they are not asked for
	hosts       *policy.BrokerHosts
	sasl        *policy.SASLServer // nil: none
	server      *auth.Server       // where the gateway is the server of SASL
}

// open reports whether nothing is asked of a client before its first request.
func (e *entrance) open() bool { return e == nil || len(e.balancers) == 0 && e.tls == nil }

// entrances opens what the listeners of a policy need, by their names.
func (g *Gateway) entrances(p *policy.Policy, into following) (map[string]*entrance, error) {
	all := map[string]*entrance{}
	var failed []error
	for _, l := range p.Listeners {
		e, err := g.entrance(l, into)
		if err != nil {
			failed = append(failed, fmt.Errorf("listener %s: %w", l.Name, err))
		}
		all[l.Name] = e
	}
	return all, errors.Join(failed...)
}

func (g *Gateway) entrance(l *policy.Listener, into following) (*entrance, error) {
	e := &entrance{balancers: l.ProxyProtocol, hosts: l.BrokerHosts, sasl: l.SASL}
	if l.TLS != nil {
		server, err := g.serverTLS(l.TLS, into)
		if err != nil {
			return nil, err
		}
		e.tls, e.certificate = server.Config(), server
		if l.TLS.ClientAuth != string(edge.ClientAuthNone) {
			e.names = l.TLS.NameRules
		}
	}
	if l.SASL != nil && !l.SASL.Passthrough {
		var err error
		if e.server, err = g.serverSASL(l.SASL, into); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// serverTLS is TLS towards clients, followed.
func (g *Gateway) serverTLS(t *policy.TLSServer, into following) (*edge.Server, error) {
	o := edge.ServerOptions{Certificate: t.Certificate, Key: t.Key, ClientCA: t.ClientCA, ClientAuth: edge.ClientAuth(t.ClientAuth)}
	if t.MinVersion == "TLSv1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	return follow(g, into, o, func() (*edge.Server, error) { return edge.NewServer(o) }, files[*edge.Server](g, t.Certificate))
}

// credentialsKey and keysKey tell what is followed apart from all else.
type (
	credentialsKey struct{ path string }
	keysKey        struct{ source, ca, refresh string }
)

// serverSASL is the server's side of SASL.
func (g *Gateway) serverSASL(s *policy.SASLServer, into following) (*auth.Server, error) {
	o := auth.Options{Mechanisms: s.Mechanisms, MaxReauth: s.MaxReauth, Guard: g.guard}
	if s.Credentials != "" {
		file, err := follow(g, into, credentialsKey{s.Credentials}, func() (*auth.File[auth.Credentials], error) {
			return auth.OpenCredentials(s.Credentials)
		}, files[*auth.File[auth.Credentials]](g, s.Credentials))
		if err != nil {
			return nil, err
		}
		o.Credentials = file.Current
	}
	if s.OAuth.JWKS != "" {
		source, err := g.authorities(s.OAuth.JWKSCA, into)
		if err != nil {
			return nil, err
		}
		keys, err := follow(g, into, keysKey{s.OAuth.JWKS, s.OAuth.JWKSCA, s.OAuth.Refresh.String()}, func() (*auth.Keys, error) {
			return auth.NewKeys(auth.KeysOptions{Source: s.OAuth.JWKS, Refresh: s.OAuth.Refresh, TLS: source, Report: g.report(s.OAuth.JWKS)}), nil
		}, func(ctx context.Context, k *auth.Keys) { k.Run(ctx) })
		if err != nil {
			return nil, err
		}
		o.Tokens = auth.NewTokens(auth.TokensOptions{
			Keys: keys, Issuer: s.OAuth.Issuer, Audience: s.OAuth.Audience, PrincipalClaim: s.OAuth.PrincipalClaim, ClockSkew: s.OAuth.ClockSkew,
		})
	}
	return auth.NewServer(o)
}
