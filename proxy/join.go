package proxy

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
	"sluice/proxy/policy"
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
	home := tenant.Home.Name
	c.slice = c.snap.slices[home]
	s := &standing{
		nodes:     c.snap.nodes[viewKey{c.listener, home}],
		counters:  c.gw.metrics.tenant(tenant.Name, home),
		durations: c.gw.metrics.slice(home),
		account:   c.gw.limiter.Account(time.Now(), home, tenant.Name, c.clientID),
		rules:     tenant.RulesID(),
	}
	s.answering = &judge{ctx: c.ctx, tenant: tenant, slice: c.slice, counters: s.counters, clientID: c.clientID, log: c.gw.log}
	asking := *s.answering
	asking.counting = true
	c.asking, c.standing = &asking, s
	c.seat = c.gw.seats.take(home, tenant.Name, c.clientID)
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

// versionsTimeout bounds how long a client waits for the first contact with its slice.
const versionsTimeout = 5 * time.Second

// answerApiVersions answers the one API that never goes to a broker: what its slice,
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
		if versions, err = c.slice.Versions(ctx); err != nil {
			return &closing{reason: reasonUnreachable, brief: true, text: err.Error()}
		}
		if c.account.Limited(limitRequests) {
			c.account.Reserve(time.Now(), limitRequests, 1)
		}
	}
	p := c.pending(q)
	return c.answer(p, protocol.AnswerApiVersions(h.Version, req, versions, c.sasl != nil))
}
