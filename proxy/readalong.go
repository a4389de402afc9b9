package proxy

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// passLogin is a request of SASL where the broker is the server: it goes there, and
// the next request is not looked at before the answer has passed. The observer is so
// used by one goroutine at a time: by this one before the request is sent, and by the
// one that reads the broker until the answer has passed.
func (c *conn) passLogin(h *protocol.Header) error {
	if err := c.identify(h); err != nil { // by the client ID, which says where the broker is
		return err
	}
	q := new(query) // not kept: it has a secret in it
	if err := c.readLogin(h, q); err != nil {
		return err
	}
	defer q.frame.release()
	defer c.theirs()
	if c.tenant == nil {
		return c.turnLoginAway(q)
	}
	l := c.sasl
	var err error
	switch r := q.req.(type) {
	case *kmsg.SASLHandshakeRequest:
		l.began = true
		err = l.observer.Handshake(r)
	case *kmsg.SASLAuthenticateRequest:
		err = l.observer.Token(r.SASLAuthBytes)
	}
	if err != nil {
		return &closing{reason: reasonAuthentication, hold: true, text: err.Error()}
	}
	p := c.pending(q)
	p.login = true
	if err := c.forward(q, p); err != nil {
		return err
	}
	if err := c.in.flush(); err != nil {
		return err
	}
	c.pairs.drained()
	if c.ctx.Err() != nil {
		return errPairsClosed
	}
	l.raw = l.observer.Raw()
	return nil
}

// turnLoginAway tells a client of no tenant so, as a failure of its token.
func (c *conn) turnLoginAway(q *query) error {
	if r, ok := q.req.(*kmsg.SASLHandshakeRequest); ok {
		resp := kmsg.NewPtrSASLHandshakeResponse()
		resp.Version, resp.SupportedMechanisms = r.Version, []string{r.Mechanism}
		c.sasl.began, c.sasl.raw = true, r.Version == 0
		return c.answer(c.pending(q), resp)
	}
	return c.refuseLogin(q, time.Now(), c.refused)
}

// observeAnswer passes the broker's answer to a request of SASL on, unless it lets in
// who is not to come in here.
func (c *conn) observeAnswer(p *pending, size int) error {
	if size > maxLogin || size > wireBuffer {
		return &closing{reason: reasonBrokerAnswer, text: "the broker's answer to " + p.api.Name + " has " + itoa(size) + " bytes"}
	}
	f, err := c.up.frame(size)
	if err != nil {
		return err
	}
	defer f.release()
	over, code, err := c.observe(p, f.bytes)
	if err != nil {
		return err
	}
	l := c.sasl
	principal, authenticated := l.observer.Principal()
	switch {
	case code != 0:
		l.proof.Store(nil)
		c.gw.metrics.authFailures.WithLabelValues(c.port.at.Load().listener, "broker").Inc()
		if err := f.pass(c.up); err != nil {
			return err
		}
		if err := c.up.flush(); err != nil {
			return err
		}
		return &closing{reason: reasonAuthentication, hold: true, text: "the broker refuses the client: " + errorName(code)}
	case over && authenticated:
		l.began = false
		t, refused := admit(c.snap.policy, policy.Client{ID: c.clientID, Principal: principal, Address: c.arrival.address})
		if refused != nil {
			return c.refuseProved(p, refused)
		}
		if t != c.tenant {
			return &closing{reason: reasonOtherTenant, hold: true, text: "principal " + quote(principal) + " belongs to another tenant than the client ID"}
		}
		l.proof.Store(&principal)
	}
	return f.pass(c.up)
}

// observe has the observer read an answer.
func (c *conn) observe(p *pending, frame []byte) (over bool, code int16, err error) {
	if p.version == bareToken {
		return c.sasl.observer.Answered(0, frame[4:]), 0, nil
	}
	resp, err := decodeAnswer(p.api, p.version, frame)
	if err != nil {
		return false, 0, err
	}
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		c.sasl.observer.Handshaken(r)
		code = r.ErrorCode
	case *kmsg.SASLAuthenticateResponse:
		code = r.ErrorCode
		over = c.sasl.observer.Answered(code, r.SASLAuthBytes)
	}
	return over, code, nil
}

// refuseProved answers in the place of a broker that has let somebody in, as late as
// any other failure, and ends the connection.
func (c *conn) refuseProved(p *pending, refused *policy.Refused) error {
	why := &closing{reason: refused.Reason, text: refused.Text}
	c.up.block()
	timer := time.NewTimer(holdMin + rand.N(holdJitter))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
		return why
	}
	if p.version == bareToken {
		return why
	}
	if err := c.up.write(protocol.AppendResponse(nil, p.correlation, failedLogin(p.version, refusalText(refused)))); err != nil {
		return err
	}
	return why
}

// answerHead is what an answer begins with: its size, and whose it is.
func (c *conn) answerHead(p *pending) (size int, err error) {
	b := c.up.buffered()
	size = int(int32(binary.BigEndian.Uint32(b)))
	if p.login && p.version == bareToken {
		if size < 0 {
			return 0, &closing{reason: reasonBrokerAnswer, text: "the broker sent a token of " + itoa(size) + " bytes"}
		}
		return size, nil
	}
	if err := c.up.await(8); err != nil {
		return 0, err
	}
	correlation := int32(binary.BigEndian.Uint32(c.up.buffered()[4:]))
	switch {
	case correlation != p.correlation:
		return 0, &closing{reason: reasonBrokerAnswer, text: "the broker answered request " + itoa(int(correlation)) + ", not " + itoa(int(p.correlation))}
	case size < 4:
		return 0, &closing{reason: reasonBrokerAnswer, text: "the broker sent a frame of " + itoa(size) + " bytes"}
	}
	return size, nil
}
