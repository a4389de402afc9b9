package proxy

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"sluice/limiter"
	"sluice/protocol"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// internalClientID opens internal topics on brokers, whoever says it, and is never
// forwarded.
const internalClientID = "__admin_client"

// snapshot is one policy and what the gateway has built for it. It never changes; a
// request sees exactly one.
type snapshot struct {
	policy       *policy.Policy
	slices       map[string]*slice.Slice
	nodes        map[viewKey]protocol.Nodes
	door         adminDoor
	certificates certificates
}

// viewKey: at each listener a slice's brokers have other addresses.
type viewKey struct{ listener, slice string }

// admit finds the tenant of a client, which is not refused, or says why it has none.
func admit(p *policy.Policy, c policy.Client) (*policy.Tenant, *policy.Refused) {
	if c.ID == internalClientID {
		return nil, &policy.Refused{Reason: policy.RefusedUnmatched, Text: "client.id " + quote(c.ID) + " belongs to no tenant of any gateway"}
	}
	t, refused := p.Admit(c)
	if refused != nil {
		return nil, refused
	}
	return t, nil
}

// claimed is the tenant that a client ID names, proved or not; nil: none.
func claimed(p *policy.Policy, clientID string) *policy.Tenant {
	if clientID == internalClientID {
		return nil
	}
	return p.Identify(clientID)
}

// reload is how the last attempt to load the file ended.
type reload struct {
	at       time.Time
	problems policy.Problems
}

// Reload reads the file again and applies it: all of it or nothing. Problems with
// errors mean that the running policy stays. Calls wait for each other.
func (g *Gateway) Reload() policy.Problems {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	next, problems := policy.Load(g.options.Path)
	if g.draining.Load() {
		problems = append(problems, policy.Problem{File: g.options.Path, Line: 1, Column: 1, Text: errDraining.text})
	}
	if !problems.Failed() {
		problems = append(problems, next.CheckReload(g.snapshot.Load().policy)...)
	}
	if !problems.Failed() {
		if err := g.apply(next); err != nil {
			problems = append(problems, policy.Problem{File: g.options.Path, Line: 1, Column: 1, Text: err.Error()})
		}
	}
	g.noteReload(problems)
	return problems
}

func (g *Gateway) noteReload(problems policy.Problems) {
	now := time.Now()
	g.lastReload.Store(&reload{at: now, problems: problems})
	for _, p := range problems {
		if p.Warning {
			g.log.Warn("policy", zap.String("problem", p.String()))
		} else {
			g.log.Error("policy", zap.String("problem", p.String()))
		}
	}
	if problems.Failed() {
		g.metrics.reloadOK.Set(0)
		g.log.Error("the file was not applied; the policy before it stays", zap.String("file", g.options.Path))
		return
	}
	g.metrics.reloadOK.Set(1)
	g.metrics.reloadTime.Set(float64(now.UnixNano()) / 1e9)
	g.log.Info("policy applied", zap.String("file", g.options.Path), zap.String("hash", g.snapshot.Load().policy.Hash))
}

// apply builds all that a policy needs, and only then swaps one pointer. An error
// leaves everything as it was.
func (g *Gateway) apply(p *policy.Policy) error {
	next := &snapshot{policy: p, slices: map[string]*slice.Slice{}, nodes: map[viewKey]protocol.Nodes{}}
	follows := following{}
	entrances, err := g.entrances(p, follows)
	var outbound map[string]slice.Security
	if err == nil {
		outbound, err = g.outbound(p, follows)
	}
	if err == nil {
		next.door, err = g.adminDoor(&p.Admin, follows)
	}
	next.certificates = certificatesOf(entrances, outbound, next.door)
	var opened []*port
	if err == nil {
		opened, err = g.bind(p, entrances)
	}
	if err != nil {
		follows.drop(g.following)
		return err
	}
	var old *snapshot
	if old = g.snapshot.Load(); old == nil {
		old = &snapshot{}
	}
	for _, s := range p.Slices {
		if known := old.slices[s.Name]; known != nil {
			known.Set(s.BootstrapServers, outbound[s.Name])
			next.slices[s.Name] = known
		} else {
			next.slices[s.Name] = slice.Open(slice.Options{
				Name: s.Name, Slot: s.Slot, BootstrapServers: s.BootstrapServers, Log: g.log, RefreshEvery: g.options.RefreshEvery,
				Dial: g.options.Dial, Security: outbound[s.Name],
			})
		}
		for _, l := range p.Listeners {
			next.nodes[viewKey{l.Name, s.Name}] = nodesOf(l, s)
		}
	}
	g.limiter.Configure(time.Now(), limits(p))
	g.snapshot.Store(next)
	for _, port := range opened {
		g.serve(port)
	}
	g.unbind(p, entrances)
	g.following.drop(follows)
	g.following = follows
	for name, s := range old.slices {
		if next.slices[name] == nil {
			g.running.Go(s.Close)
		}
	}
	return nil
}

// nodesOf is how clients of a listener see the brokers of a slice.
func nodesOf(l *policy.Listener, s *policy.Slice) protocol.Nodes {
	if l.BrokerHosts != nil {
		return protocol.Nodes{Slot: s.Slot, Address: func(node int32) (string, int32, bool) {
			return l.BrokerHosts.Host(s.Name, node), int32(l.AdvertisedPort), true
		}}
	}
	ports, host := l.BrokerPorts[s.Name], l.AdvertisedHost
	return protocol.Nodes{Slot: s.Slot, Address: func(node int32) (string, int32, bool) {
		_, advertised, ok := ports.Port(node)
		return host, int32(advertised), ok
	}}
}

// limits are the policy's as the limiter takes them.
func limits(p *policy.Policy) limiter.Config {
	of := func(l policy.Limits) limiter.Limits {
		out := make(limiter.Limits, policy.NumRates)
		for i, rate := range l.Rates {
			out[i] = limiter.Limit{Rate: rate, Burst: l.Burst}
		}
		return out
	}
	c := limiter.Config{MaxDebt: p.Gateway.MaxThrottle, Slices: map[string]limiter.Limits{}, Tenants: map[string]limiter.TenantLimits{}}
	for _, s := range p.Slices {
		c.Slices[s.Name] = of(s.Limits)
	}
	for _, t := range p.Tenants {
		c.Tenants[t.Name] = limiter.TenantLimits{Tenant: of(t.Limits), PerClientID: of(t.LimitsPerClientID)}
	}
	return c
}

// portPlace is where a listening port stands in the policy.
type portPlace struct {
	listener string
	slice    string // "" at a bootstrap port
	node     int32  // -1 at a bootstrap port
	entrance *entrance
}

// portPlaces are all ports that a policy listens on, by address.
func portPlaces(p *policy.Policy, entrances map[string]*entrance) map[string]portPlace {
	all := map[string]portPlace{}
	for _, l := range p.Listeners {
		all[l.Address] = portPlace{l.Name, "", -1, entrances[l.Name]}
		for s, r := range l.BrokerPorts {
			for node := r.FirstNode; node <= r.LastNode; node++ {
				port, _, _ := r.Port(node)
				all[l.BrokerAddress(port)] = portPlace{l.Name, s, node, entrances[l.Name]}
			}
		}
	}
	return all
}

// bind listens on the ports of p that are not open yet, and on none if one fails.
func (g *Gateway) bind(p *policy.Policy, entrances map[string]*entrance) ([]*port, error) {
	var opened []*port
	var failed []error
	for address, at := range portPlaces(p, entrances) {
		if g.ports[address] != nil {
			continue
		}
		ln, err := g.options.Listen("tcp", address)
		if err != nil {
			failed = append(failed, fmt.Errorf("listener %s: %w", at.listener, err))
			continue
		}
		opened = append(opened, newPort(address, ln, at))
	}
	if failed == nil {
		return opened, nil
	}
	for _, o := range opened {
		_ = o.ln.Close()
	}
	return nil, errors.Join(failed...)
}

// unbind gives the open ports their new meaning and closes those without one.
func (g *Gateway) unbind(p *policy.Policy, entrances map[string]*entrance) {
	wanted := portPlaces(p, entrances)
	for address, port := range g.ports {
		at, ok := wanted[address]
		if ok {
			port.at.Store(&at)
			continue
		}
		_ = port.ln.Close()
		delete(g.ports, address)
	}
}
