package proxy

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/protocol"
	"sluice/proxy/auth"
	"sluice/proxy/policy"
)

// clientLogin is where a connection at a listener with sasl stands: either the gateway
// is the server, or the broker is and the gateway reads along (readalong.go).
type clientLogin struct {
	session  *auth.Session // of the address that a balancer tells, so made late
	observer *auth.Observer
	raw      bool                   // the next frame of the client is a bare token (handshake version 0)
	began    bool                   // with a handshake; ApiVersions comes before, if at all
	asked    int                    // ApiVersions before the handshake
	proof    atomic.Pointer[string] // the principal that is proved, empty if it cannot be known; nil: nobody
}

// newClientLogin is nil where clients do not log in.
func newClientLogin(e *entrance) *clientLogin {
	switch {
	case e == nil || e.sasl == nil:
		return nil
	case e.sasl.Passthrough:
		return &clientLogin{observer: auth.NewObserver(e.sasl.OAuth.PrincipalClaim)}
	}
	return &clientLogin{}
}

func (l *clientLogin) proved() bool { return l.proof.Load() != nil }

// exchanging: what comes next belongs to an exchange that has begun.
func (l *clientLogin) exchanging() bool {
	return l.began && (l.session == nil || l.session.Authenticating())
}

const (
	// maxLogin bounds a request of SASL, and its answer.
	maxLogin = auth.MaxToken + maxHeader
	// maxAsked is how often ApiVersions is answered before the handshake: once, and
	// once more to a client that has asked in too new a version.
	maxAsked = 2
	// loginTimeout bounds what a token waits for: its turn to be verified, and keys.
	loginTimeout = 10 * time.Second
	// bareToken stands for the version of a token that has no header.
	bareToken = -1
)

// parse is the header of the next request. A token without one has that of a
// SaslAuthenticate.
func (c *conn) parse(b []byte) (more int, err error) {
	if c.sasl != nil && c.sasl.raw {
		return c.parseToken(b)
	}
	return c.header.Parse(b, c.gw.settings.MaxFrame)
}

// parseToken reads the length before a token that has no header, as a
// SaslAuthenticate of the last header's client ID.
func (c *conn) parseToken(b []byte) (more int, err error) {
	if len(b) < 4 {
		return 4, nil
	}
	size := int32(binary.BigEndian.Uint32(b))
	if size < 0 || size > auth.MaxToken {
		return 0, &protocol.HeaderError{Reason: reasonMalformed, What: "a SASL token of " + itoa(int(size)) + " bytes"}
	}
	c.header.Size, c.header.Body = size, 4
	c.header.Key, c.header.Version, c.header.CorrelationID = protocol.KeySaslAuthenticate, bareToken, 0
	return 0, nil
}

// authenticate is the stage of a request at a listener with sasl. What belongs to SASL
// is done here; nothing else passes before the client is known, or after it no longer
// is.
func (c *conn) authenticate(h *protocol.Header) (done bool, err error) {
	l := c.sasl
	if c.standing == nil { // until it has a tenant
		c.clientID, c.listener = h.ClientID, c.port.at.Load().listener
		c.standing = &standing{counters: c.gw.metrics.tenant(unmatched, "")}
		if l.observer == nil {
			l.session = auth.NewSession(c.arrival.address)
		}
	}
	switch {
	case h.Key == protocol.KeySaslHandshake || h.Key == protocol.KeySaslAuthenticate:
		if l.observer != nil {
			return true, c.passLogin(h)
		}
		return true, c.logIn(h)
	case l.proved() && !l.exchanging():
		if l.session != nil && l.session.Expired(c.in.at) {
			return false, &closing{reason: reasonExpired, hold: true, text: "the session has ended, and the client has not authenticated again"}
		}
		return false, nil
	case h.Key == protocol.KeyApiVersions && !l.began && l.asked < maxAsked:
		l.asked++
		if l.session != nil {
			return true, c.answerApiVersions(h, protocol.Lookup(h.Key))
		}
		return false, nil // its slice answers, by the client ID
	}
	what := "API key " + itoa(int(h.Key))
	if api := protocol.Lookup(h.Key); api != nil {
		what = api.Name
	}
	return false, &closing{reason: reasonNotAuthenticated, hold: true, text: what + " before the client has authenticated: set security.protocol to SASL_SSL or SASL_PLAINTEXT"}
}

// readLogin reads a request of SASL. Its bytes stay in q.frame, which the caller
// releases.
func (c *conn) readLogin(h *protocol.Header, q *query) (err error) {
	*q = query{header: *h, api: protocol.Lookup(h.Key)}
	switch {
	case h.Size > maxLogin:
		return &closing{reason: reasonTooLarge, hold: true, text: "a " + q.api.Name + " of " + itoa(int(h.Size)) + " bytes"}
	case h.Version != bareToken && !q.api.Knows(h.Version):
		return &closing{reason: reasonUnsupported, hold: true, text: q.api.Name + " version " + itoa(int(h.Version)) + " is not offered"}
	}
	if err := c.ours(); err != nil {
		return err
	}
	if q.frame, err = c.readFrame(h); err != nil {
		return err
	}
	if h.Version != bareToken {
		q.req, err = c.decode(q)
	} else {
		token := kmsg.NewPtrSASLAuthenticateRequest()
		token.SASLAuthBytes = q.frame.bytes[h.Body:]
		q.req = token
	}
	if err != nil {
		q.frame.release()
	}
	return err
}

// logIn is a request of SASL where the gateway is the server.
func (c *conn) logIn(h *protocol.Header) error {
	var q query
	if err := c.readLogin(h, &q); err != nil {
		return err
	}
	defer q.frame.release()
	defer c.theirs()
	if r, ok := q.req.(*kmsg.SASLHandshakeRequest); ok {
		return c.shakeHands(&q, r)
	}
	return c.prove(&q, q.req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
}

// loginServer is the server of the policy in force: a session outlives reloads.
func (c *conn) loginServer() *auth.Server {
	if e := c.port.at.Load().entrance; e != nil && e.server != nil {
		return e.server
	}
	return c.entrance.server
}

func (c *conn) shakeHands(q *query, r *kmsg.SASLHandshakeRequest) error {
	l := c.sasl
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.Version = r.Version
	resp.SupportedMechanisms, resp.ErrorCode = l.session.Handshake(c.loginServer(), r.Mechanism)
	l.began = true
	if resp.ErrorCode != 0 {
		return c.answerLast(q, resp, &closing{
			reason: reasonAuthentication, hold: true,
			text: "SaslHandshake with mechanism " + quote(r.Mechanism) + ": " + errorName(resp.ErrorCode),
		})
	}
	l.raw = r.Version == 0
	return c.answer(c.pending(q), resp)
}

// prove takes a token. Whose client ID belongs to nobody learns that first, and with a
// good token too whom it belongs to: both as a failure, whose text users read.
func (c *conn) prove(q *query, token []byte) error {
	began, l := time.Now(), c.sasl
	snap := c.gw.snapshot.Load()
	ctx, cancel := context.WithTimeout(c.ctx, loginTimeout)
	defer cancel()
	if snap.policy.IdentifyBy != policy.ByPrincipal && claimed(snap.policy, q.header.ClientID) == nil {
		_, refused := admit(snap.policy, policy.Client{ID: q.header.ClientID})
		return c.refuseLogin(q, began, refused)
	}
	outcome := l.session.Authenticate(ctx, token)
	switch {
	case outcome.Failure != nil:
		f := outcome.Failure
		c.gw.metrics.authFailures.WithLabelValues(c.port.at.Load().listener, string(f.Reason)).Inc()
		return c.failLogin(q, began, f.Text, &closing{reason: reasonAuthentication, text: string(f.Reason) + ": " + f.Detail})
	case outcome.Done:
		principal := l.session.Principal()
		if _, refused := admit(snap.policy, policy.Client{ID: q.header.ClientID, Principal: principal, Address: c.arrival.address}); refused != nil {
			return c.refuseLogin(q, began, refused)
		}
		l.proof.Store(&principal)
		l.raw = false
		c.gw.log.Debug("authenticated", zap.String("principal", principal), zap.String("mechanism", string(l.session.Mechanism())), zap.Stringer("remote", c.arrival.remote))
	}
	return c.answerToken(q, outcome.Reply, outcome.Lifetime)
}

// answerToken answers a token that has not failed.
func (c *conn) answerToken(q *query, reply []byte, lifetime time.Duration) error {
	p := c.pending(q)
	if q.header.Version == bareToken {
		p.local = append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)
		return c.push(p)
	}
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.Version, resp.SASLAuthBytes, resp.SessionLifetimeMillis = q.header.Version, reply, lifetime.Milliseconds()
	if lifetime > 0 {
		resp.SessionLifetimeMillis = max(resp.SessionLifetimeMillis, 1)
	}
	return c.answer(p, resp)
}

// refuseLogin fails who may not come in, whatever was proved.
func (c *conn) refuseLogin(q *query, began time.Time, refused *policy.Refused) error {
	return c.failLogin(q, began, refusalText(refused), &closing{reason: refused.Reason, text: refused.Text})
}

// failLogin answers a failure some four seconds after its token came, and ends the
// connection. A token without a header has no such answer.
func (c *conn) failLogin(q *query, began time.Time, text string, why *closing) error {
	c.sasl.proof.Store(nil)
	c.gw.metrics.held.Inc()
	slept := c.sleep(holdMin + rand.N(holdJitter) - time.Since(began))
	c.gw.metrics.held.Dec()
	if !slept {
		return why
	}
	if q.header.Version == bareToken {
		return why
	}
	return c.answerLast(q, failedLogin(q.header.Version, text), why)
}

// failedLogin is the answer to a token that fails.
func failedLogin(version int16, text string) kmsg.Response {
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.Version, resp.ErrorCode, resp.ErrorMessage, resp.SASLAuthBytes = version, auth.CodeFailed, &text, []byte{}
	return resp
}

// answerLast answers behind what is in flight, and ends the connection.
func (c *conn) answerLast(q *query, resp kmsg.Response, why *closing) error {
	p := c.pending(q)
	p.denied = true
	if err := c.answer(p, resp); err != nil {
		return err
	}
	c.finish()
	return why
}

// claimedVersions are the versions that a client is offered which has yet to prove
// who it is: those of the slice that its client ID names; where only principals name
// tenants, what all slices can do.
func (c *conn) claimedVersions(ctx context.Context, clientID string) (*protocol.Versions, error) {
	snap := c.gw.snapshot.Load()
	if snap.policy.IdentifyBy != policy.ByPrincipal {
		t := claimed(snap.policy, clientID)
		if t == nil {
			return nil, nil
		}
		return snap.virtual(t).versions(ctx)
	}
	var all *protocol.Versions
	var failed error
	for _, s := range snap.slices {
		v, err := s.Versions(ctx)
		if err != nil {
			failed = err
			continue
		}
		if all != nil {
			both := all.Intersect(*v)
			v = &both
		}
		all = v
	}
	if all != nil {
		failed = nil
	}
	return all, failed
}
