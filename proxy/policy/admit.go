package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// IdentifyBy is what finds the tenant of a client.
type IdentifyBy string

// What client_ids.identify_by may be.
const (
	// ByClientID: the client ID names the tenant; principals that it lists confirm it.
	ByClientID IdentifyBy = "client_id"
	// ByPrincipal: the principal names it; client_ids that it has confirm it.
	ByPrincipal IdentifyBy = "principal"
	// ByBoth: as client_id, and every tenant lists principals.
	ByBoth IdentifyBy = "both"
)

func parseIdentifyBy(s string) (IdentifyBy, error) {
	word, err := oneOf(string(ByClientID), string(ByPrincipal), string(ByBoth))(s)
	return IdentifyBy(word), err
}

// Client is what is known of who sends a request.
type Client struct {
	// ID is the client ID of the request.
	ID string
	// Principal is who the connection has proved to be, as "User:name"; empty if
	// nothing is proved, or it cannot be known.
	Principal string
	// Address is where it comes from.
	Address netip.Addr
}

// Refused is why a client has no tenant.
type Refused struct {
	// Reason is one of a bounded set, for metrics.
	Reason string
	// Text says it to whoever runs the client. It names nothing of the tenant but its
	// name, and nothing that the client did not say itself.
	Text string
}

// Reasons to refuse a client.
const (
	RefusedUnmatched   = "unmatched"
	RefusedNoPrincipal = "no_principal" // none proved, and the tenant asks for one
	RefusedPrincipal   = "principal"    // another one
	RefusedNetwork     = "network"
)

// Admit finds the tenant of a client and checks all that the tenant lists: its
// principals and networks must hold too. The tenant of a client that is refused is
// nil where none was found; refused is nil if the client may come in.
func (p *Policy) Admit(c Client) (t *Tenant, refused *Refused) {
	if p.IdentifyBy == ByPrincipal {
		t, refused = p.byPrincipal(c)
	} else {
		t = p.Identify(c.ID)
	}
	switch {
	case refused != nil:
		return t, refused
	case t == nil:
		return nil, &Refused{RefusedUnmatched, p.unmatchedText(c.ID)}
	case len(t.principals) > 0 && c.Principal == "":
		return t, &Refused{RefusedNoPrincipal, fmt.Sprintf("client.id %q belongs to tenant %s, whose clients must prove who they are; this connection has not", c.ID, t.Name)}
	case len(t.principals) > 0 && !t.lists(c.Principal):
		return t, &Refused{RefusedPrincipal, fmt.Sprintf("client.id %q belongs to tenant %s, and principal %q does not", c.ID, t.Name, c.Principal)}
	case len(t.networks) > 0 && !t.near(c.Address):
		return t, &Refused{RefusedNetwork, fmt.Sprintf("client.id %q belongs to tenant %s, which is not served at this address", c.ID, t.Name)}
	}
	return t, nil
}

// byPrincipal finds the first tenant that lists the principal, and whose client_ids,
// if it has any, match too.
func (p *Policy) byPrincipal(c Client) (*Tenant, *Refused) {
	var parts [maxParts]string
	split := p.pattern != nil && p.pattern.split(c.ID, &parts)
	var listed *Tenant
	for _, t := range p.Tenants {
		if c.Principal == "" || !t.lists(c.Principal) {
			continue
		}
		if len(t.matchers) == 0 || slices.ContainsFunc(t.matchers, func(m matcher) bool { return m.matches(c.ID, &parts, split) }) {
			return t, nil
		}
		if listed == nil {
			listed = t
		}
	}
	switch {
	case p.Unmatched != nil:
		return p.Unmatched, nil
	case c.Principal == "":
		return nil, &Refused{RefusedNoPrincipal, "clients must prove who they are here; this connection has not"}
	case listed != nil:
		return nil, &Refused{RefusedUnmatched, fmt.Sprintf("principal %q belongs to tenant %s, and client.id %q does not", c.Principal, listed.Name, c.ID)}
	}
	return nil, &Refused{RefusedPrincipal, fmt.Sprintf("principal %q belongs to no tenant of this gateway", c.Principal)}
}

func (p *Policy) unmatchedText(id string) string {
	text := fmt.Sprintf("client.id %q belongs to no tenant of this gateway", id)
	if pattern := p.PatternText(); pattern != "" {
		text += "; client IDs follow " + pattern
	}
	return text
}

// AsksForPrincipal reports whether a client that could be t's has to prove who it
// is.
func (t *Tenant) AsksForPrincipal() bool { return len(t.principals) > 0 }

func (t *Tenant) lists(principal string) bool {
	return slices.ContainsFunc(t.principals, func(g placedGlob) bool { return g.match(principal) })
}

func (t *Tenant) near(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(t.networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// principalPrefix begins all principals.
const principalPrefix = "User:"

// principals reads a tenant's list of globs over principals.
func (c *compiler) principals(o *object) []placedGlob {
	n := o.get("principals")
	var globs []placedGlob
	for _, item := range c.list(n, "principals") {
		text, ok := scalar(&c.reporter, item, "principals", parseText)
		if !ok {
			continue
		}
		literal, _, wild := strings.Cut(text, "*")
		if !strings.HasPrefix(text, principalPrefix) && (!wild || !strings.HasPrefix(principalPrefix, literal)) {
			c.errorf(item.at, `principals: no principal can match %q: they are written as "User:name"`, text)
			continue
		}
		g := compileGlob(text)
		if g.text == "*" || g.text == principalPrefix+"*" {
			c.warnf(item.at, "principals: %q takes everyone who proves to be someone", text)
		}
		globs = append(globs, placedGlob{g, item.at})
	}
	if n != nil && n.empty() {
		c.errorf(o.place("principals"), `principals is empty: list principals, as ["User:alice"], or leave it out`)
	}
	return globs
}

// proves reports whether every client of a listener has a principal that the gateway
// itself has verified.
func (l *Listener) proves() bool {
	return l.TLS != nil && l.TLS.ClientAuth == clientAuthRequired || l.SASL != nil && !l.SASL.Passthrough
}

// knows reports whether a client of a listener can have a principal.
func (l *Listener) knows() bool {
	return l.TLS != nil && l.TLS.ClientAuth != clientAuthNone || l.SASL != nil
}

// checkIdentities checks that who clients are can be known in the way that tenants
// ask for.
func (c *compiler) checkIdentities() {
	var passthrough *Listener
	knows := false
	for _, l := range c.policy.Listeners {
		knows = knows || l.knows()
		if l.SASL != nil && l.SASL.Passthrough && passthrough == nil {
			passthrough = l
		}
		switch {
		case c.policy.IdentifyBy == ByPrincipal && !l.proves():
			c.errorf(c.identifyByAt, "identify_by: principal needs sasl with mode: terminate, or tls with client_auth: required, on listener %s: elsewhere a principal is known too late, or not at all", l.Name)
		case c.policy.IdentifyBy == ByBoth && !l.knows():
			c.errorf(c.identifyByAt, "identify_by: both needs sasl, or tls with client_auth, on listener %s", l.Name)
		}
	}
	for _, t := range c.policy.Tenants {
		c.checkTenantIdentity(t, passthrough, knows)
	}
	if passthrough == nil {
		return
	}
	for _, s := range c.policy.Slices {
		if s.SASL == nil && (s.TLS == nil || s.TLS.Certificate == "") {
			c.warnf(s.at, "slice %s has no sasl: where clients log in at its brokers, the gateway needs credentials of its own, with DESCRIBE on the cluster and all topics", s.Name)
		}
	}
}

func (c *compiler) checkTenantIdentity(t *Tenant, passthrough *Listener, knows bool) {
	o := c.places[t]
	given := o.get("principals") != nil
	switch {
	case c.policy.IdentifyBy != ByClientID && !given && t != c.policy.Unmatched:
		c.missing(o, t.at, "identify_by: %s needs principals in every tenant: tenant %s has none", c.policy.IdentifyBy, t.Name)
	case given && !knows && c.policy.IdentifyBy == ByClientID:
		c.errorf(o.place("principals"), "tenant %s can never be reached: it lists principals, and no listener has sasl, or tls with client_auth, to prove one", t.Name)
	}
	if n := o.get("reach"); passthrough != nil && n != nil && !n.empty() {
		c.errorf(o.place("reach"), "a spanning tenant cannot log in at several clusters at once: listener %s has sasl with mode: passthrough; use terminate, client certificates, or no authentication", passthrough.Name)
	}
}

// warnUnproved reports listeners where no client can prove what some tenants ask
// for.
func (c *compiler) warnUnproved() {
	var asking []string
	for _, t := range c.policy.Tenants {
		if t.AsksForPrincipal() {
			asking = append(asking, t.Name)
		}
	}
	if len(asking) == 0 {
		return
	}
	who := "tenant " + asking[0]
	if len(asking) > 1 {
		who += fmt.Sprintf(" and %d more", len(asking)-1)
	}
	for _, l := range c.policy.Listeners {
		if !l.knows() {
			c.warnf(l.at, "at listener %s no client can prove a principal, which %s asks for: its clients are refused there", l.Name, who)
		}
	}
}
