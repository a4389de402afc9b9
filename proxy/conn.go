package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/protocol"
	"sluice/proxy/edge"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// conn is one client's connection and the one to a broker that belongs to it.
//
// Two halves work on it (half.go): serve reads the client and owns all fields without
// a word on sharing; answers (answer.go) reads the broker. What both touch is
// pairs, sessions, recent, and what is atomic. Serve alone writes to the broker. To
// the client writes whoever owns the head of pairs (pairs.go), and nobody else.
type conn struct {
	gw       *Gateway
	port     *port // where the client came in
	client   net.Conn
	entrance *entrance // what it had to pass there
	arrival  arrival   // what it showed there
	in       *wire
	up       *wire          // to the broker; nil until the first request that one must answer
	upTo     *slice.Slice   // the one that up leads to
	session  *slice.Session // the gateway's own at that broker; nil if there is nothing to renew
	pairs    *pairs
	ctx      context.Context // ends when the connection does
	cancel   context.CancelFunc
	watch    watch // what the janitor looks at
	closed   sync.Once

	toClient, toBroker outlet // all writes to the two sides

	ending atomic.Pointer[closing] // why another goroutine ended it

	sasl *clientLogin // nil where clients do not log in

	// Who it is, from the first request on.
	named     bool
	clientID  string
	snap      *snapshot       // the policy that the fields below were taken from
	tenant    *policy.Tenant  // nil: nobody's; it meets the refusal broker
	refused   *policy.Refused // why it has none
	listener  string
	slice     *slice.Slice    // the one that it is a connection to
	stray     bool            // the tenant does not reach that slice: it has moved, or never lived there
	*standing                 // what its requests in flight keep, whatever comes after
	seat      *seat           // its place among the counted connections
	asking    *judge          // judges requests, and counts what it denies
	guard     *protocol.Guard // refuses, in requests, what lives in another slice; nil: all is here
	known     known           // the topics that it may read or write here
	software  string          // client_software_name, once told

	header   protocol.Header // of the request being served, or read
	begun    bool            // the next one has begun to come
	passing  int             // bytes of a Produce that are still to be passed on
	charged  int             // for the whole of it
	query    query           // the same, if it is read whole
	decoded  func()          // gives back the memory of what it was decoded to; nil if none is reserved
	refusals int             // answers in a row in which all was refused: the penalty
	walk     protocol.ProduceWalk
	out      []byte // scratch for what is encoded anew

	sessions fetchSessions
	sharing  shareSessions
	recent   recentAnswers
}

func newConn(g *Gateway, p *port, client net.Conn) *conn {
	c := &conn{gw: g, port: p, entrance: p.at.Load().entrance, pairs: newPairs()}
	client = c.arrival.receive(client, c.entrance)
	c.sasl = newClientLogin(c.entrance)
	c.client = client
	c.in = newWire(client, &c.toBroker)
	c.ctx, c.cancel = context.WithCancel(g.ctx)
	c.toClient.set(client)
	c.toClient.clock = &g.clock
	c.toBroker.clock, c.toBroker.watch = &g.clock, &c.watch
	c.watch.start()
	return c
}

// start begins the life of a connection: on a loop, or, where there is none for it, in
// a goroutine of its own.
func (c *conn) start() {
	c.in.run = c.serve
	var l *loop
	if c.in.raw != nil {
		l = c.gw.loop()
	}
	if l != nil {
		c.gw.running.Add(1) // until close
		if l.add(c.in.raw, &c.in.half) == nil {
			return
		}
		c.gw.running.Done() // no memory for it, or the gateway stops
	}
	c.gw.running.Go(func() { c.serve() })
}

// serve is the life of a connection: one request after another until one of the
// three sides ends it. It returns true when the next request has not come yet, and the
// loop will call it again.
func (c *conn) serve() bool {
	for {
		err := c.killed()
		if err == nil && c.arrival.pending {
			err = c.arrive()
		}
		if err == nil && c.passing > 0 {
			err = c.pass()
		}
		if err == nil {
			err = c.next()
		}
		if err == nil {
			err = c.request(&c.header)
		}
		if errors.Is(err, errParked) {
			return true
		}
		if err != nil {
			c.in.block()
			c.end(c.broken(err))
			c.close()
			return false
		}
	}
}

// request is the life of a request. Each line is a stage; any may answer early or
// end the connection, none may skip ahead.
func (c *conn) request(h *protocol.Header) error {
	defer c.freeDecoded()
	if c.sasl != nil {
		if done, err := c.authenticate(h); done || err != nil { // SASL itself, and who is not known yet
			return err
		}
	}
	if err := c.identify(h); err != nil { // the tenant, under one snapshot of the policy
		return err
	}
	api := protocol.Lookup(h.Key)
	if h.Key == protocol.KeyApiVersions {
		return c.answerApiVersions(h, api)
	}
	if err := c.offered(h, api); err != nil { // unknown APIs and versions stop here
		return err
	}
	if c.tenant == nil {
		return c.turnAway(h, api) // refuse.go
	}
	c.begin(h, api)
	if h.Key == protocol.KeyProduce {
		return c.produce(h, api) // produce.go: streams
	}
	return c.ask(h, api)
}

// ask is the life of a request that is read whole: all but Produce.
func (c *conn) ask(h *protocol.Header, api *protocol.API) error {
	q := &c.query
	*q = query{header: *h, api: api}
	var err error
	if q.frame, err = c.readFrame(h); err != nil {
		return err
	}
	defer q.done()
	c.watch.whole()
	if err := c.plan(q); err != nil { // opaque, patched, decoded, or answered here
		return err
	}
	if q.local {
		return c.refuse(q) // refuse.go
	}
	if !q.denied {
		c.refusals = 0
	} else if !c.penalise(0) {
		return errPairsClosed
	}
	p := c.pending(q)
	if err := c.charge(q, p); err != nil { // and wait for its turn
		return err
	}
	if q.local {
		return c.refuse(q)
	}
	if c.guard != nil { // the tenant has several slices, or lives in another
		if done, err := c.span(q, p); done || err != nil { // fanout.go
			return err
		}
	}
	return c.forward(q, p)
}

// next reads the next request: its header, and all of it if it fits the read buffer.
// Noise, oversize frames and silence end here, before anything is allocated for them.
func (c *conn) next() error {
	if !c.begun {
		if err := c.idle(); err != nil {
			return err
		}
		c.begun = true
	}
	for {
		if c.up == nil {
			c.in.spare() // many that come at once all wait for a broker
		}
		b := c.in.buffered()
		more, err := c.parse(b)
		size := 4 + int(c.header.Size)
		switch {
		case err != nil:
			return c.notKafka(err)
		case more > 0 && c.gw.draining.Load() && !c.named:
			return errDraining // half a first header, which is nobody's yet
		case more > 0:
			c.watch.frame(c.in.at)
			err = c.in.await(max(more, len(b)+1))
		case c.header.Body > maxHeader:
			return c.notKafka(errLongHeader)
		case c.in.holds(size):
			c.watch.whole()
			c.begun = false
			return nil
		case size > wireBuffer:
			c.watch.size(c.in.at, int64(c.header.Size))
			c.begun = false
			return nil
		default:
			c.watch.size(c.in.at, int64(c.header.Size))
			err = c.in.await(size)
		}
		if err != nil {
			return err
		}
	}
}

// idle waits for the first byte of the next request.
func (c *conn) idle() error {
	if c.in.holds(1) {
		c.watch.whole()
		if c.gw.draining.Load() {
			return errDraining
		}
		return nil
	}
	if err := c.in.flush(); err != nil {
		return err
	}
	c.watch.idle(c.in.at, c.sasl != nil && !c.sasl.proved())
	if c.gw.draining.Load() {
		return errDraining
	}
	err := c.in.await(1)
	if err != nil && c.gw.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		return errDraining
	}
	return err
}

// maxHeader bounds a request's header, so that it and the names that a Produce
// begins with fit the read buffer.
const maxHeader = 16 << 10

var errLongHeader = errors.New("request header: longer than 16 KiB")

// notKafka ends a connection whose bytes are no request. One that has spoken Kafka
// before is held like any other.
func (c *conn) notKafka(err error) error {
	why := &closing{reason: reasonNotKafka, noise: c.standing == nil, hold: c.standing != nil, text: err.Error()}
	var header *protocol.HeaderError
	if errors.As(err, &header) {
		why.reason = header.Reason
	}
	if c.standing == nil && edge.Sniff(c.in.buffered()) == edge.TLS {
		why.text = "the client speaks TLS on a port without it: set security.protocol to PLAINTEXT or SASL_PLAINTEXT, or give the listener tls"
	}
	return why
}

// begin says that the next request is to be judged.
func (c *conn) begin(h *protocol.Header, api *protocol.API) {
	c.asking.begin(h.Key)
	if c.guard != nil {
		c.guard.Begin(api, h.Version)
	}
}

// unjudged: the tenant may do everything, and all of it here.
func (c *conn) unjudged() bool { return c.guard == nil && c.tenant.Everything() }

// offered ends the connection on what is not in its ApiVersions, as a broker does.
func (c *conn) offered(h *protocol.Header, api *protocol.API) error {
	if offers(api, h.Version) {
		return nil
	}
	what := "an API that is not offered"
	if api != nil {
		what = api.Name
	}
	return &closing{reason: reasonUnsupported, hold: true, text: what + " version " + itoa(int(h.Version)) + " is not offered to this client"}
}

// offers reports whether an API is offered to clients in that version.
func offers(api *protocol.API, version int16) bool {
	return api != nil && api.Access != protocol.Login && api.Knows(version)
}

// pending is what the answer will need to know of the request.
func (c *conn) pending(q *query) *pending {
	p := pendings.Get().(*pending)
	p.api, p.version, p.sentVersion = q.api, q.header.Version, q.header.Version
	p.correlation, p.refused, p.standing = q.header.CorrelationID, q.refused, c.standing
	if q.req != nil {
		p.sentVersion = q.req.GetVersion()
		if q.api.Decode {
			p.req = q.req
		}
	}
	return p
}

// forward sends a request to the broker.
func (c *conn) forward(q *query, p *pending) error {
	if err := c.connect(); err != nil {
		p.settle(time.Now(), 0)
		return err
	}
	if q.changed {
		p.sentVersion = q.req.GetVersion()
	}
	p.sent = c.in.at
	if err := c.push(p); err != nil {
		return err
	}
	if !q.changed {
		return q.frame.pass(c.in)
	}
	c.out = protocol.AppendRequest(c.out[:0], &q.header, q.req)
	err := c.in.write(c.out)
	c.trim()
	return err
}

// broken is the end of a connection whose requests could not be sent whole.
func (c *conn) broken(err error) error {
	var unsent *unwritten
	if !errors.As(err, &unsent) || c.ctx.Err() != nil {
		return err
	}
	return &closing{reason: reasonBrokerClosed, text: "a request could not be sent on whole: " + err.Error()}
}

// answer puts an answer made here in its place among the others.
func (c *conn) answer(p *pending, resp kmsg.Response) error {
	p.local = protocol.AppendResponse(nil, p.correlation, resp)
	return c.push(p)
}

// push puts a request among those that wait for their answers.
func (c *conn) push(p *pending) error {
	if c.pairs.len() >= maxInFlight {
		if err := c.ours(); err != nil {
			return err
		}
		defer c.theirs()
	}
	return c.pairs.push(p, c.answerFromServe)
}

// connect dials the broker that the connection's port stands for, or any broker
// of the slice at a bootstrap port, once, and logs in. It is called before each
// request is sent, so that a login that ends is renewed in time.
func (c *conn) connect() error {
	if c.stray { // whatever names something was refused, or asked at home
		return errMoved
	}
	if c.up != nil {
		if c.session != nil && c.session.Due(c.in.at) {
			return c.renew()
		}
		return nil
	}
	if err := c.ours(); err != nil {
		return err
	}
	defer c.theirs()
	ctx, cancel := context.WithTimeout(c.ctx, dialTimeout)
	defer cancel()
	up, _, err := c.slice.Dial(ctx, c.broker())
	if err != nil {
		return &closing{reason: reasonUnreachable, brief: true, text: err.Error()}
	}
	if c.session, err = c.login(up); err != nil {
		_ = up.Close()
		return &closing{reason: reasonBrokerLogin, brief: true, text: err.Error()}
	}
	c.toBroker.set(up)
	c.up, c.upTo = newWire(up, &c.toClient), c.slice
	// Whoever writes to the broker is not to be stuck there when the connection ends.
	context.AfterFunc(c.ctx, func() { _ = up.Close() })
	c.up.run = c.answers
	if c.in.loop == nil || c.up.raw == nil || c.in.loop.add(c.up.raw, &c.up.half) != nil {
		c.gw.running.Go(func() { c.answers() })
	}
	return nil
}

// ours begins to wait for something other than the client.
func (c *conn) ours() error {
	if err := c.in.flush(); err != nil {
		return err
	}
	c.in.block()
	c.watch.ours()
	return nil
}

// theirs goes on after waiting for something other than the client.
func (c *conn) theirs() {
	c.in.at = time.Now()
	c.watch.theirs(c.in.at)
}

// trim lets go of a scratch buffer that one large request has grown.
func (c *conn) trim() {
	if cap(c.out) > wireBuffer {
		c.out = nil
	}
}

func (c *conn) log() *zap.Logger {
	fields := []zap.Field{
		zap.String("client_id", c.clientID), zap.String("tenant", name(c.tenant)),
		zap.String("listener", c.listener), zap.Stringer("remote", c.arrival.remote),
	}
	if p := c.principal(); p != "" {
		fields = append(fields, zap.String("principal", p))
	}
	return c.gw.log.With(fields...)
}
