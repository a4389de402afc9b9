package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"go.uber.org/zap"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// Every way to say no goes through this file: the penalty, the held close and the
// refusal broker. What each does to real clients was measured: an immediate close
// makes librdkafka come back 19 times a second, an error in ApiVersions up to
// 14,000 times, and an answer without delay makes an application's loop spin.

// Reasons for which a connection ends, as in sluice_refused_connections_total.
const (
	reasonNotKafka         = "not_kafka"
	reasonFirstFrame       = "first_frame_timeout"
	reasonFrame            = "frame_timeout"
	reasonIdle             = "idle_timeout"
	reasonMalformed        = "malformed"
	reasonOtherTenant      = "other_tenant"
	reasonUnsupported      = "unsupported_api"
	reasonConnections      = "connections"
	reasonCreationRate     = "connection_creation_rate"
	reasonMaxConns         = "max_connections"
	reasonTooLarge         = "too_large"
	reasonDeniedAcks0      = "denied_acks_0"
	reasonUnreachable      = "broker_unreachable"
	reasonBrokerClosed     = "broker_closed"
	reasonBrokerAnswer     = "broker_answer"
	reasonBrokerLogin      = "broker_login"
	reasonClientGone       = "client_gone"
	reasonClientStalled    = "client_stalled"
	reasonBrokerStalled    = "broker_stalled"
	reasonDraining         = "draining"
	reasonMoved            = "tenant_moved"
	reasonAppeared         = "topic_appeared"
	reasonTLS              = "tls_handshake"
	reasonProxyHeader      = "proxy_protocol"
	reasonAuthentication   = "authentication"
	reasonNotAuthenticated = "not_authenticated"
	reasonExpired          = "session_expired"
)

// closing is why the gateway ends a connection.
type closing struct {
	reason string
	text   string
	hold   bool // held for 4 to 5 s first
	brief  bool // held for 1 s: it may work again soon
	noise  bool // not a Kafka client: closed at once, and told once a minute and source
	quiet  bool // nothing was in flight: not worth a warning
}

func (e *closing) Error() string { return e.reason + ": " + e.text }

var (
	errDraining   = &closing{reason: reasonDraining, quiet: true, text: "the gateway is shutting down"}
	errMoved      = &closing{reason: reasonMoved, quiet: true, text: "the slice of the connection is not the tenant's any more"}
	movedUnheard  = &closing{reason: reasonMoved, brief: true, quiet: true, text: "a Produce with acks=0 came to another slice than its topic's, and has no answer that could say so"}
	deniedUnheard = &closing{reason: reasonDeniedAcks0, hold: true, text: "a Produce with acks=0 was denied, and has no answer that could say so"}
	errHungUp     = errors.New("the client hung up while its request waited")
)

// unheard is the end of a connection on which a Produce with acks=0 was refused: it has
// no answer, and a broker, too, makes its client look for another leader that way.
func (c *conn) unheard() error {
	if c.guard != nil && !c.asking.denies {
		return movedUnheard
	}
	return deniedUnheard
}

// malformed is the end of a connection that sent what cannot be walked or decoded.
func malformed(what string, err error) error {
	return &closing{reason: reasonMalformed, hold: true, text: what + ": " + err.Error()}
}

const (
	holdMin    = 4 * time.Second
	holdJitter = time.Second
	holdBrief  = time.Second
	// maxPenalty bounds how slowly refusals are answered.
	maxPenalty = 4 * time.Second
	// refusalGrace is how many answers of the refusal broker come at once: what a
	// client asks before its first refusal.
	refusalGrace = 4
	// maxRefusalFrame bounds what is read whole for a client that nobody knows.
	maxRefusalFrame = 1 << 20
)

// hold keeps a connection open for a moment, without reading it.
func (c *conn) hold(why *closing) {
	var d time.Duration
	switch {
	case why.hold:
		d = holdMin + rand.N(holdJitter)
	case why.brief:
		d = holdBrief
	default:
		return
	}
	c.in.release()
	c.gw.metrics.held.Inc()
	defer c.gw.metrics.held.Dec()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.gw.quit:
	}
}

// penalty is how long the nth refusal in a row waits: the first not at all, then
// longer and longer.
func penalty(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(time.Second<<min(n-1, 2), maxPenalty)
}

// penalise waits before an answer in which all is refused. The first request that
// passes resets it.
func (c *conn) penalise(atLeast time.Duration) bool {
	d := max(penalty(c.refusals), atLeast)
	c.refusals++
	return c.sleep(d)
}

// refuse answers a request of which nothing is left to ask a broker.
func (c *conn) refuse(q *query) error {
	if q.denied && !c.penalise(q.hold) || q.elsewhere && !c.sleep(q.hold) {
		return errPairsClosed
	}
	p := c.pending(q)
	p.denied, p.elsewhere = q.denied, q.elsewhere
	return c.answer(p, q.refused)
}

// turnAway answers a client that belongs to no tenant, as a broker on which it may
// do nothing. No broker of a slice ever hears of it.
func (c *conn) turnAway(h *protocol.Header, api *protocol.API) error {
	q := &query{header: *h, api: api}
	if h.Key == protocol.KeyProduce {
		c.walk.Reset(h.Version, 4+int(h.Size)-h.Body)
		c.in.use(h.Body)
		req, err := c.drainProduce(h)
		if err != nil {
			return err
		}
		q.req = req
	} else {
		if h.Size > maxRefusalFrame {
			return &closing{reason: reasonTooLarge, hold: true, text: "a request of " + itoa(int(h.Size)) + " bytes from a client of no tenant"}
		}
		f, err := c.readFrame(h)
		if err != nil {
			return err
		}
		c.watch.whole()
		q.frame = f
		q.req, err = c.decode(q)
		f.release()
		if err != nil {
			return err
		}
	}
	host, port := c.advertised()
	resp, hold, ok := protocol.Refusal{
		Text: refusalText(c.refused), Host: host, Port: port, ClusterID: "sluice", Software: c.software,
	}.Answer(q.req)
	if !ok {
		return deniedUnheard
	}
	c.refusals++
	if !c.sleep(max(penalty(c.refusals-refusalGrace), hold)) {
		return errPairsClosed
	}
	p := c.pending(q)
	p.denied = true
	return c.answer(p, resp)
}

// refusalText is what the user of a client without a tenant reads in their own log.
func refusalText(r *policy.Refused) string { return "Sluice: " + r.Text }

// advertised is where clients reach the listener's bootstrap port.
func (c *conn) advertised() (string, int32) {
	at := c.port.at.Load()
	for _, l := range c.snap.policy.Listeners {
		if l.Name == at.listener {
			return l.AdvertisedHost, int32(l.AdvertisedPort)
		}
	}
	return "", -1
}

// admit takes the client's place among the counted connections, or refuses it.
func (c *conn) admit(tenant *policy.Tenant) error {
	c.join(tenant)
	if tenant == nil {
		c.in.block() // the log may be slow
		if c.sasl != nil && !c.sasl.proved() {
			return nil // it is told as its authentication fails
		}
		c.gw.tell(c, &closing{reason: c.refused.Reason, text: c.refused.Text})
		return nil
	}
	if over := c.gw.seats.over(c.seat, tenant); over != "" {
		c.counters.throttled("connections", over.level(), tenant.Observe, 0)
		if !tenant.Observe {
			c.giveSeat() // while it is held it takes nobody's place
			return &closing{reason: reasonConnections, hold: true, text: "too many connections of " + string(over)}
		}
	}
	if !c.account.Limited(limitCreations) {
		return nil
	}
	now := time.Now()
	turn := c.account.Reserve(now, limitCreations, 1)
	switch {
	case tenant.Observe || turn.Wait <= maxCreationWait:
		var t turns
		c.noteTurn(&t, limitCreations, turn)
		return c.await(t, maxCreationWait, false)
	default:
		c.giveSeat()
		c.account.Settle(now, limitCreations, 1, 0)
		c.counters.throttled(policy.ConnectionCreationRate.String(), turn.Level, false, 0)
		return &closing{reason: reasonCreationRate, hold: true, text: "too many new connections"}
	}
}

// maxCreationWait is how long a new connection's first answer is held for
// connection_creation_rate; 8 s break some clients, 12 s most.
const maxCreationWait = 4 * time.Second

// finish waits until what is in flight has been answered, for a while.
func (c *conn) finish() {
	ctx, cancel := context.WithTimeout(c.ctx, finishTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, c.pairs.giveUp)()
	c.pairs.drained()
}

// finishTimeout bounds how long a connection that is to end waits for its answers.
const finishTimeout = 30 * time.Second

// tell counts why a connection ends and writes its one line. Of those that fail to log
// in, each address has some lines a minute.
func (g *Gateway) tell(c *conn, why *closing) {
	g.metrics.refused.WithLabelValues(why.reason).Inc()
	if c.sasl != nil && !c.sasl.proved() && !why.noise && !why.quiet && !g.logins.first(c.arrival.remote, time.Now()) {
		return
	}
	fields := []zap.Field{zap.String("reason", why.reason), zap.String("why", why.text)}
	switch {
	case why.noise:
		if !g.noise.first(c.arrival.remote, time.Now()) {
			return
		}
		g.log.Info("noise on the port", append(fields, zap.Stringer("remote", c.arrival.remote), zap.String("listener", c.port.at.Load().listener))...)
	case why.quiet:
		c.log().Debug("connection closed", fields...)
	case c.refused != nil && why.reason == c.refused.Reason:
		c.log().Info("client refused", fields...)
	default:
		c.log().Warn("connection closed", fields...)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func quote(s string) string { return strconv.Quote(cut(s)) }

// cut keeps what clients declare short in texts.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// name of a tenant for logs and labels.
func name(t *policy.Tenant) string {
	if t == nil {
		return unmatched
	}
	return t.Name
}
