package proxy

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// join makes the connection one of a tenant's (or, with nil, nobody's) under the
// snapshot in c.snap.
func (c *conn) join(tenant *policy.Tenant) {
	c.tenant = tenant
	c.listener = c.port.at.Load().listener
	c.known = known{}
	c.gw.metrics.connections.WithLabelValues(name(tenant), c.listener).Inc()
	if tenant == nil {
		c.slice = nil
		c.standing = &standing{counters: c.gw.metrics.tenant(unmatched, "")}
		return
	}
	sees := c.snap.virtual(tenant)
	c.slice = c.station(sees)
	served := c.slice.Name()
	if c.stray = sees.slice(c.slice.Slot()) != c.slice; c.stray {
		served = tenant.Home.Name
	}
	s := &standing{
		nodes:     c.snap.nodes[viewKey{c.listener, served}],
		counters:  c.gw.metrics.tenant(tenant.Name, served),
		durations: c.gw.metrics.slice(served),
		account:   c.gw.limiter.Account(time.Now(), served, tenant.Name, c.clientID),
		rules:     tenant.RulesID() + tenant.RoutesID(),
	}
	s.answering = &judge{virtual: sees, ctx: c.ctx, counters: s.counters, clientID: c.clientID, log: c.gw.log}
	if c.stray {
		s.answering.stray = c.slice
	}
	asking := *s.answering
	asking.counting = true
	c.asking, c.standing = &asking, s
	c.place()
	c.seat = c.gw.seats.take(served, tenant.Name, c.clientID)
}

// place sets who judges what passes over the connection: the tenant's rules alone where
// all that the tenant has lives in the connection's slice, else they and a guard.
func (c *conn) place() {
	c.guard, c.judging = nil, c.answering
	if !c.tenant.Everything() && !c.tenant.Observe {
		c.filtering = c.answering
	}
	if !c.stray && len(c.answering.slots) == 1 {
		return
	}
	slot := c.slice.Slot()
	c.guard = &protocol.Guard{Judge: enforced(c.tenant, c.asking), Cluster: c.asking, Slot: slot}
	c.judging = &protocol.Guard{Judge: c.answering, Cluster: c.answering, Slot: slot}
	c.filtering = &protocol.Guard{Judge: enforced(c.tenant, c.answering), Cluster: c.answering, Slot: slot}
}

// station is the slice that the connection is one to for as long as it lasts: that of
// the broker whose port, or host, the client has come for, else the tenant's home.
func (c *conn) station(sees *virtual) *slice.Slice {
	if c.up != nil {
		return c.upTo
	}
	if at, _ := c.destination(); at != "" && !c.passesLogins() {
		if s := c.snap.slices[at]; s != nil {
			return s
		}
	}
	return sees.slices[0]
}

// passesLogins reports whether clients log in at a broker: their connections then lead
// to their tenant's home and nowhere else, since only that broker knows what they may.
func (c *conn) passesLogins() bool {
	return c.entrance != nil && c.entrance.sasl != nil && c.entrance.sasl.Passthrough
}

// leave undoes join. Requests in flight keep the account that they were charged to.
func (c *conn) leave() {
	if !c.named {
		return
	}
	c.gw.metrics.connections.WithLabelValues(name(c.tenant), c.listener).Dec()
	if c.tenant == nil {
		return
	}
	c.giveSeat()
	c.account.Close(time.Now())
	c.standing, c.tenant = nil, nil
}

// giveSeat gives the connection's place back, once.
func (c *conn) giveSeat() {
	if c.seat != nil {
		c.gw.seats.leave(c.seat)
		c.seat = nil
	}
}

// versionsTimeout bounds how long a client waits for the first contact with its slices.
const versionsTimeout = 5 * time.Second

// answerApiVersions answers the one API that never goes to a broker: what its slices,
// kmsg and the table all know.
func (c *conn) answerApiVersions(h *protocol.Header, api *protocol.API) error {
	c.in.block()
	f, err := c.readFrame(h)
	if err != nil {
		return err
	}
	defer f.release()
	c.watch.whole()
	q := &query{header: *h, api: api, frame: f}
	var req *kmsg.ApiVersionsRequest
	if api.Knows(h.Version) {
		decoded, err := c.decode(q)
		if err != nil {
			return err
		}
		req = decoded.(*kmsg.ApiVersionsRequest)
		c.software = req.ClientSoftwareName
	}
	ctx, cancel := context.WithTimeout(c.ctx, versionsTimeout)
	defer cancel()
	var versions *protocol.Versions
	switch {
	case !c.named:
		if versions, err = c.claimedVersions(ctx, h.ClientID); err != nil {
			return &closing{reason: reasonUnreachable, brief: true, text: err.Error()}
		}
	case c.tenant != nil:
		if versions, err = c.asking.versions(ctx); err != nil {
			return &closing{reason: reasonUnreachable, brief: true, text: err.Error()}
		}
		if c.account.Limited(limitRequests) {
			c.account.Reserve(time.Now(), limitRequests, 1)
		}
	}
	p := c.pending(q)
	return c.answer(p, protocol.AnswerApiVersions(h.Version, req, versions, c.sasl != nil))
}
