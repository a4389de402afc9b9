package policy

import (
	"net/netip"
	"time"

	"sluice/protocol"
)

// Policy is one compiled file. It never changes.
type Policy struct {
	// File is the name of the file it came from.
	File string
	// Hash is a short digest of the file's content, the same for the same bytes.
	Hash      string
	Admin     Admin
	Gateway   Gateway
	Slices    []*Slice    // file order, at least one
	Listeners []*Listener // file order, at least one
	Tenants   []*Tenant   // file order, at least one
	// IdentifyBy is what finds a client's tenant.
	IdentifyBy IdentifyBy
	// Unmatched takes the clients that no tenant matches; nil: they are refused.
	Unmatched *Tenant

	routes    []*route // file order
	pattern   *pattern // nil: the file has none
	identity  identity
	positions positions
	files     []fileRef
	contents  []fileContent
}

// positions are the places in the file that later comparisons speak about.
type positions struct {
	admin, gateway, listeners, maxConnections pos
	gatewayKeys                               map[string]pos
}

// Admin is the listener for metrics, health and profiles.
type Admin struct {
	// Address is host:port, 127.0.0.1:9644 by default. Port 0 is any free one.
	Address string
	// Pprof serves /debug/pprof.
	Pprof bool
	// TLS is nil: without.
	TLS *TLSServer
	// BasicAuth is a file of users, "name:hash" a line with bcrypt's hash; "": none.
	BasicAuth string
	// Insecure allows an address that others can reach, with neither.
	Insecure bool
}

// Gateway holds the bounds of the process as a whole.
type Gateway struct {
	// MaxThrottle is the longest that a Produce is held for its limit. Default 8s.
	MaxThrottle time.Duration
	// MaxFrame is the largest request in bytes, default 100MiB. MaxBuffered is what
	// all buffered frames may take together, default 256MiB; one tenant may take a
	// quarter of it.
	MaxFrame, MaxBuffered int64
	// MaxConnections is how many clients may be connected at once. Default 10000.
	MaxConnections int
	// FirstFrameTimeout is from accept to the first whole header (default 10s),
	// FrameTimeout for one frame (30s), IdleTimeout without a request and without an
	// answer outstanding (10m), DrainTimeout from SIGTERM to the end (30s).
	FirstFrameTimeout, FrameTimeout, IdleTimeout, DrainTimeout time.Duration
}

// Slice is one Kafka cluster.
type Slice struct {
	Name string
	// Slot is 0 to 511 and never reused: it is part of every node id shown.
	Slot int
	// BootstrapServers are host:port, at least one.
	BootstrapServers []string
	// Limits are what the slice takes from all tenants together.
	Limits Limits
	// TLS towards its brokers; nil: without.
	TLS *TLSClient
	// SASL is how the gateway logs in at its brokers; nil: it does not. Where clients
	// log in at a broker themselves, it is the service client's only.
	SASL *SASLClient

	at, slotAt pos
}

// Listener is where clients connect: one address for bootstrap, and one port for
// each broker of each slice.
type Listener struct {
	Name string
	// Address is the bootstrap address to listen on, host:port; an empty host is
	// all interfaces. Broker ports are opened on the same host.
	Address string
	// AdvertisedHost is the host that clients are told.
	AdvertisedHost string
	// AdvertisedPort is the bootstrap port that clients are told: the address's own
	// unless the file says advertised_port.
	AdvertisedPort int
	// BrokerPorts has the ports of each slice that this listener serves, by name.
	// Empty with BrokerHosts.
	BrokerPorts map[string]PortRange
	// BrokerHosts tells brokers apart by the host name that a client asks for (SNI);
	// nil: by ports.
	BrokerHosts *BrokerHosts
	// TLS towards clients; nil: without.
	TLS *TLSServer
	// SASL is how clients log in; nil: they do not.
	SASL *SASLServer
	// ProxyProtocol are the balancers that send a header of the PROXY protocol on
	// every connection; others must not.
	ProxyProtocol []netip.Prefix

	at, brokerPortsAt pos
	portsAt           map[string]pos // of each slice's range
	bind              endpoint
}

// PortRange gives each broker of a slice a port: node i of the range has port i
// of the range.
type PortRange struct {
	FirstNode, LastNode int32
	// FirstPort is where the first node is listened for, AdvertisedFirstPort what
	// clients are told; they differ behind a NAT.
	FirstPort, AdvertisedFirstPort int
}

// Port is the port to listen on and the port to advertise for a broker; false if
// the range has none for it.
func (r PortRange) Port(node int32) (port, advertised int, ok bool) {
	if node < r.FirstNode || node > r.LastNode {
		return 0, 0, false
	}
	i := int(node - r.FirstNode)
	return r.FirstPort + i, r.AdvertisedFirstPort + i, true
}

// Tenant is who is held to limits and rules. What Allowed, AllowedSome and Everything
// say is of the rules as written: that a tenant is only observed is the caller's
// matter.
type Tenant struct {
	Name string
	// Home is the slice that has the tenant's groups and transactional ids, its new
	// topics and all else that no route leads elsewhere.
	Home *Slice
	// Observe: limits and rules are only counted and reported, nothing is held or
	// refused.
	Observe bool
	// Limits bind the tenant as a whole, LimitsPerClientID each of its client IDs.
	Limits, LimitsPerClientID Limits

	matchers   []matcher
	principals []placedGlob // empty: not asked for
	networks   []netip.Prefix
	rules      *ruleSet
	rulesID    string
	slices     []*Slice // home first
	reachAt    []pos    // of the others
	routes     []*route // that lead it
	routing    [protocol.TransactionalID + 1]routing
	routesID   string
	at         pos
	// The rules as written, in order, for those who ask why.
	defaultRules, ownRules []*rule
}

// PatternText is the naming convention of client IDs as the file has it, for
// texts to users; empty if there is none.
func (p *Policy) PatternText() string {
	if p.pattern == nil {
		return ""
	}
	return p.pattern.text
}

// Slice returns the slice of that name, or nil.
func (p *Policy) Slice(name string) *Slice {
	for _, s := range p.Slices {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Tenant returns the tenant of that name, or nil.
func (p *Policy) Tenant(name string) *Tenant { return p.identity.byName[name] }

// Listener returns the listener of that name, or nil.
func (p *Policy) Listener(name string) *Listener {
	for _, l := range p.Listeners {
		if l.Name == name {
			return l
		}
	}
	return nil
}
