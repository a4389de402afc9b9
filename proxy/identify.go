package proxy

import (
	"sluice/protocol"
	"sluice/proxy/policy"
)

// identify finds out whose request it is. The policy that it looks up is the one
// that holds for the whole request.
func (c *conn) identify(h *protocol.Header) error {
	snap := c.gw.snapshot.Load()
	if c.named && snap == c.snap && h.ClientID == c.clientID {
		return nil
	}
	tenant, refused := c.who(snap, h.ClientID)
	first := tenant
	if c.named && h.ClientID != c.clientID {
		first, _ = c.who(snap, c.clientID)
	}
	switch {
	case !c.named:
		c.clientID, c.snap, c.refused = h.ClientID, snap, refused
		c.named = true
		return c.admit(tenant)
	case name(tenant) != name(first):
		return &closing{
			reason: reasonOtherTenant, hold: true,
			text: "client ID " + quote(h.ClientID) + " names another tenant than " + quote(c.clientID) + ", which opened the connection",
		}
	case tenant != nil && c.up != nil && c.mustMove(snap, tenant):
		return errMoved
	}
	// A reload does not turn out who was let in. Who was not, or is another now, is
	// like a new connection.
	anew := tenant != nil && (c.tenant == nil || h.ClientID != c.clientID) || tenant == nil && c.tenant != nil
	c.leave()
	c.clientID, c.snap, c.refused = h.ClientID, snap, refused
	if anew {
		return c.admit(tenant)
	}
	c.join(tenant)
	return nil
}

// mustMove reports whether a connection cannot stay where it is: its slice is gone, or
// its client has logged in at a broker of a slice that the tenant has left. All others
// go on, and hear of what has moved with each request.
func (c *conn) mustMove(snap *snapshot, t *policy.Tenant) bool {
	if c.passesLogins() {
		return snap.slices[t.Home.Name] != c.upTo
	}
	return snap.slices[c.upTo.Name()] != c.upTo
}

// who finds the tenant of a client ID on this connection, by all that is known of it.
func (c *conn) who(snap *snapshot, clientID string) (*policy.Tenant, *policy.Refused) {
	if c.sasl != nil && !c.sasl.proved() { // on the way to the broker that it logs in at
		if t := claimed(snap.policy, clientID); t != nil {
			return t, nil
		}
	}
	return admit(snap.policy, policy.Client{ID: clientID, Principal: c.principal(), Address: c.arrival.address})
}

// principal is whom the client has proved to be; empty: nobody.
func (c *conn) principal() string {
	if c.sasl == nil {
		return c.arrival.proved
	}
	if proof := c.sasl.proof.Load(); proof != nil {
		return *proof
	}
	return ""
}
