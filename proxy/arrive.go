package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
)

// arrival is what a connection brings along before its first request.
type arrival struct {
	pending bool       // nothing of it has been read yet
	socket  net.Conn   // below TLS
	tls     *tls.Conn  // nil: none
	remote  net.Addr   // the client, as far as is known: not the balancer
	address netip.Addr // of remote
	host    string     // that the client asked for (SNI)
	proved  string     // the principal in its certificate
}

// receive prepares what comes in at an entrance. The connection to work with is
// returned.
func (a *arrival) receive(client net.Conn, e *entrance) net.Conn {
	a.remote, a.address = client.RemoteAddr(), addressOf(client.RemoteAddr())
	if e.open() {
		return client
	}
	a.pending, a.socket = true, client
	if e.tls == nil {
		return client
	}
	a.tls = tls.Server(client, e.tls)
	return a.tls
}

// addressOf is the zero Addr where the transport has none.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

// arrive reads what comes before the first request: whom a balancer speaks for,
// and TLS. The janitor bounds the time for all of it with first_frame_timeout.
func (c *conn) arrive() error {
	c.arrival.pending = false
	c.in.block()
	err := c.readProxyHeader()
	if err == nil && c.arrival.tls != nil {
		err = c.handshake()
	}
	if c.ctx.Err() != nil && err == nil {
		err = errPairsClosed // whoever ended it has told why
	}
	return err
}

// readProxyHeader reads the header of a balancer that is listed.
func (c *conn) readProxyHeader() error {
	a, listed := &c.arrival, false
	for _, n := range c.entrance.balancers {
		listed = listed || n.Contains(a.address)
	}
	if !listed {
		return nil
	}
	// Longer than the janitor waits, who tells of it.
	source, err := edge.ReadProxyHeader(a.socket, 2*c.gw.settings.FirstFrameTimeout)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, io.EOF):
		return &closing{reason: reasonProxyHeader, quiet: true, text: err.Error()} // a look whether the port is open
	case err != nil:
		return &closing{reason: reasonProxyHeader, noise: true, text: err.Error()}
	case source.IsValid():
		a.remote, a.address = net.TCPAddrFromAddrPort(source), source.Addr()
	}
	return nil
}

// handshake is that of TLS.
func (c *conn) handshake() error {
	a := &c.arrival
	err := a.tls.HandshakeContext(c.ctx)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, io.EOF):
		return &closing{reason: reasonTLS, quiet: true, text: edge.ExplainHandshake(err)}
	case err != nil:
		// Held, since clients that are set up wrongly come again and again.
		return &closing{reason: reasonTLS, noise: true, hold: true, text: edge.ExplainHandshake(err)}
	}
	state := a.tls.ConnectionState()
	a.host = state.ServerName
	if c.entrance.names != nil && len(state.VerifiedChains) > 0 {
		if a.proved, err = auth.CertificatePrincipal(state.PeerCertificates[0], c.entrance.names); err != nil {
			return &closing{reason: reasonTLS, hold: true, text: err.Error()}
		}
	}
	return nil
}

// destination is the broker that the client has come for, by its port or by the host
// that it asked for: its slice and its node there; "" and -1 at a bootstrap address.
func (c *conn) destination() (slice string, node int32) {
	at := c.port.at.Load()
	if e := at.entrance; e != nil && e.hosts != nil && c.arrival.host != "" {
		if s, n, ok := e.hosts.Broker(c.arrival.host); ok {
			return s, n
		}
	}
	return at.slice, at.node
}

// broker is the node of the connection's slice that the client has come for; -1: any.
func (c *conn) broker() int32 {
	name, node := c.destination()
	if name != c.slice.Name() {
		return -1
	}
	return node
}
