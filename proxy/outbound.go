package proxy

import (
	"context"
	"crypto/tls"
	"fmt"

	"sluice/proxy/edge"
	"sluice/proxy/login"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// outbound makes what the slices of a policy need to speak to their brokers, by their
// names.
func (g *Gateway) outbound(p *policy.Policy, into following) (map[string]slice.Security, error) {
	all := map[string]slice.Security{}
	for _, s := range p.Slices {
		x, err := g.security(s, into)
		if err != nil {
			return nil, fmt.Errorf("slice %s: %w", s.Name, err)
		}
		all[s.Name] = x
	}
	return all, nil
}

func (g *Gateway) security(s *policy.Slice, into following) (x slice.Security, err error) {
	if s.TLS != nil {
		if x.TLS, err = g.clientTLS(edge.ClientOptions(*s.TLS), into); err != nil {
			return x, err
		}
	}
	if s.SASL != nil {
		endpoint, err := g.authorities(s.SASL.TokenEndpointCA, into)
		if err != nil {
			return x, err
		}
		x.Login, err = follow(g, into, *s.SASL, func() (*login.Login, error) { return brokerLogin(s.SASL, endpoint) }, func(context.Context, *login.Login) {})
		return x, err
	}
	return x, nil
}

// authorities is TLS towards an endpoint that those of a file vouch for, followed; nil
// without a file.
func (g *Gateway) authorities(ca string, into following) (func() *tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	c, err := g.clientTLS(edge.ClientOptions{CA: ca}, into)
	if err != nil {
		return nil, err
	}
	return func() *tls.Config { return c.Config("") }, nil // the host is the URL's
}

// clientTLS is TLS towards brokers, followed. Slices that name the
// same files share it.
func (g *Gateway) clientTLS(o edge.ClientOptions, into following) (*edge.Client, error) {
	return follow(g, into, o, func() (*edge.Client, error) { return edge.NewClient(o) }, files[*edge.Client](g, o.Files()))
}

// brokerLogin is how the gateway logs in at a slice's brokers. Its secrets are read
// with each login.
func brokerLogin(s *policy.SASLClient, endpoint func() *tls.Config) (*login.Login, error) {
	return login.New(login.Options{
		Mechanism: string(s.Mechanism), Username: s.Username, Password: login.Source(s.Password),
		Token: login.Source(s.Token), TokenEndpoint: s.TokenEndpoint, ClientID: s.ClientID, Scope: s.Scope,
		ClientSecret: login.Source(s.ClientSecret), TokenTLS: endpoint,
	})
}
