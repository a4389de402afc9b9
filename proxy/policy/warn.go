package policy

import (
	"slices"
	"strings"
	"time"

	"sluice/protocol"
)

// clientFrame is what a client may send in one request by default
// (max.request.size of the Java producer).
const clientFrame = 1 << 20

// A Java producer has five requests in flight on a connection
// (max.in.flight.requests.per.connection), and gives each 30 s (request.timeout.ms).
const (
	clientInFlight = 5
	clientTimeout  = 30 * time.Second
)

// warn reports what is legal and will hurt. It runs on a policy without errors.
func (c *compiler) warn() {
	c.warnDeadRules(c.defaults.rules, c.defaults.rules)
	for n, s := range c.sources {
		if c.policy.IdentifyBy != ByPrincipal {
			c.warnShadowed(n, s.tenant)
		}
		c.warnDeadRules(s.rules, slices.Concat(c.defaults.rules, s.rules))
		c.warnIncompleteRules(s)
		c.warnRules(s)
		c.warnLimits(s)
	}
	c.warnReach()
	c.warnRoutes()
	c.warnUnproved()
}

// warnShadowed reports a tenant whose every client ID an earlier one takes.
func (c *compiler) warnShadowed(n int, t *Tenant) {
	var by []string
	for i := range t.matchers {
		earlier, ok := c.policy.shadow(n, &t.matchers[i])
		if !ok {
			return
		}
		if name := c.policy.Tenants[earlier].Name; !contains(by, name) {
			by = append(by, name)
		}
	}
	if len(by) > 0 && t != c.policy.Unmatched {
		c.warnf(t.at, "tenant %s is never reached: %s before it takes all its client IDs", t.Name, strings.Join(by, " and "))
	}
}

// warnDeadRules reports the allows among rules that a deny among all takes back
// whole.
func (c *compiler) warnDeadRules(rules, all []*rule) {
	var denies []*rule
	for _, r := range all {
		if r.deny {
			denies = append(denies, r)
		}
	}
	if len(denies) == 0 {
		return
	}
	for _, r := range rules {
		if r.deny {
			continue
		}
		if r.globs == nil {
			c.warnDead(r, nil, denies)
		}
		for i := range r.globs {
			c.warnDead(r, &r.globs[i], denies)
		}
	}
}

// warnDead reports the operations that r allows on g (nil: on its whole resource)
// and that one of denies takes back.
func (c *compiler) warnDead(r *rule, g *placedGlob, denies []*rule) {
	for _, d := range denies {
		dead := r.ops & d.effect().deny
		if d.ops&bit(protocol.OpAll) == 0 {
			dead &^= bit(protocol.OpAll) // ALL without the denied ones is still something
		}
		if dead == 0 || !d.coversRule(r, g) {
			continue
		}
		at, on := r.at, "this rule"
		if g != nil {
			at, on = g.at, `"`+g.text+`"`
		}
		c.warnf(at, "%s can never be allowed by %s: the deny at line %d covers it", strings.Join(dead.names(), ", "), on, d.at.line)
	}
}

func (r *rule) coversRule(other *rule, g *placedGlob) bool {
	if r.everything {
		return true
	}
	if other.everything || r.resource != other.resource {
		return false
	}
	if g == nil {
		return true // the cluster
	}
	return slices.ContainsFunc(r.globs, func(wide placedGlob) bool { return wide.coversNames(g.glob) })
}

// warnIncompleteRules reports rules that let a client begin what they do not let it
// finish.
func (c *compiler) warnIncompleteRules(s *tenantSource) {
	t := s.tenant
	if len(c.defaults.rules)+len(s.rules) == 0 {
		c.warnf(t.at, "tenant %s has no rules, so everything is denied: to limit only, add {allow: [ALL], everything: true}", t.Name)
		return
	}
	if t.AllowedSome(protocol.OpRead, protocol.Topic) && !t.AllowedSome(protocol.OpRead, protocol.Group) {
		c.warnf(s.rulesAt, "tenant %s may READ topics but no group: a consumer with a group.id will be refused", t.Name)
	}
	if t.AllowedSome(protocol.OpWrite, protocol.TransactionalID) && !t.AllowedSome(protocol.OpWrite, protocol.Topic) {
		c.warnf(s.rulesAt, "tenant %s may WRITE transactional_ids but no topic: its transactions can hold nothing", t.Name)
	}
}

// warnLimits reports limits that cannot hold what they promise.
func (c *compiler) warnLimits(s *tenantSource) {
	t, g := s.tenant, c.policy.Gateway
	connections := s.limits.limits[connectionsLimit]
	if t.Limits.Connections > g.MaxConnections {
		c.warnf(connections.at, "connections: %d is above gateway.max_connections (%d)", t.Limits.Connections, g.MaxConnections)
	}
	if rate := t.Limits.Rates[ProducerByteRate]; rate > 0 && !t.Observe {
		held, each := rate*g.MaxThrottle.Seconds(), max(t.Limits.Connections, 1)
		if need := float64(each) * clientFrame; need > held {
			c.warnf(s.limits.limits[ProducerByteRate].at,
				"producer_byte_rate: %d connections with a request of 1MiB each are %s, but %s per second lets %s through in max_throttle (%s): beyond that tenant %s overruns its limit; lower connections, or raise the rate",
				each, formatSize(need), formatSize(rate), formatSize(held), formatDuration(g.MaxThrottle), t.Name)
		}
	}
	if !t.Observe {
		c.warnTimeout(s.limits.limits[ProducerByteRate])
		c.warnTimeout(s.perClientID.limits[ProducerByteRate])
	}
	if m := s.limits.limits[ControllerMutationRate]; m.own && m.value > 0 && !t.AllowedSome(protocol.OpCreate, protocol.Topic) {
		c.warnf(m.at, "controller_mutation_rate has no effect: tenant %s may CREATE no topic", t.Name)
	}
	for l := Limit(0); l <= connectionsLimit; l++ {
		one, whole := s.perClientID.limits[l], s.limits.limits[l]
		if whole.value > 0 && one.value > whole.value {
			c.warnf(one.at, "limits_per_client_id: %s is above what tenant %s as a whole has, so it never holds", l, t.Name)
		}
	}
}

// warnTimeout reports a producer_byte_rate under which the requests that a client
// sends behind one another take longer than it waits for the last of them.
func (c *compiler) warnTimeout(rate setting) {
	if rate.value == 0 {
		return
	}
	each := min(clientFrame/rate.value, c.policy.Gateway.MaxThrottle.Seconds())
	if all := clientInFlight * each; all > clientTimeout.Seconds() {
		c.warnf(rate.at, "producer_byte_rate: %d requests in flight of 1MiB each take %.0fs at %s per second, and clients give up after %s (request.timeout.ms) and send again: use 175kB or more, or have clients send less at once (batch.size, max.request.size)",
			clientInFlight, all, formatSize(rate.value), formatDuration(clientTimeout))
	}
}
