package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"sluice/protocol"
)

// maxNode is the last broker id that fits a virtual node id.
const maxNode = 1<<protocol.SlotBits - 1

func (c *compiler) readListeners(file *object) {
	c.brokenPorts = make(map[*Listener]bool)
	items := c.list(file.get("listeners"), "listeners")
	if n := file.get("listeners"); n == nil || n.empty() {
		c.missing(file, file.place("listeners"), "no listeners: name at least one address where clients connect")
	}
	names := make(map[string]pos)
	for _, item := range items {
		o := c.object(item, "a listener", "name", "address", "advertised_host", "advertised_port", "broker_ports", "broker_hosts", "tls", "sasl", "proxy_protocol")
		if item.kind == badKind || item.kind == scalarKind || item.kind == listKind {
			continue
		}
		l := &Listener{
			at: o.place("address"), brokerPortsAt: o.place("broker_ports"),
			BrokerPorts: make(map[string]PortRange), portsAt: make(map[string]pos),
		}
		if name, ok := required(&c.reporter, o, "a listener", "name", parseName); ok {
			l.Name = name
			if first, twice := names[name]; twice {
				c.errorf(o.get("name").at, "listener %s is defined twice, first at line %d", name, first.line)
			} else {
				names[name] = o.get("name").at
			}
		}
		c.listenerAddress(l, o)
		l.TLS = c.tlsServer(o, "a listener's tls")
		c.brokerPorts(l, o)
		c.brokerHosts(l, o)
		l.SASL = c.saslServer(o, l.TLS != nil)
		l.ProxyProtocol = c.proxyProtocol(o)
		c.policy.Listeners = append(c.policy.Listeners, l)
	}
}

func (c *compiler) listenerAddress(l *Listener, o *object) {
	r := &c.reporter
	address, ok := required(r, o, "a listener", "address", parseEndpoint(1, false))
	if ok {
		l.at = o.get("address").at
		l.bind, l.Address = address, o.get("address").text
		l.AdvertisedHost, l.AdvertisedPort = address.host, address.port
	}
	given := o.get("advertised_host") != nil
	set(r, o.get("advertised_host"), "advertised_host", parseAdvertisedHost, &l.AdvertisedHost)
	if ok && !given && anyHost(address.host) {
		c.missing(o, l.at, "a listener on all interfaces needs advertised_host: the host name or address that clients reach")
	}
	set(r, o.get("advertised_port"), "advertised_port", intBetween(1, 65535), &l.AdvertisedPort)
}

func (c *compiler) brokerPorts(l *Listener, o *object) {
	n := o.get("broker_ports")
	if n == nil || n.kind != mappingKind || len(n.pairs) == 0 {
		c.brokenPorts[l] = true
		if n == nil && o.get("broker_hosts") != nil {
			return // broker_hosts stands in its place
		}
		if n != nil && n.kind != nullKind && n.kind != mappingKind {
			c.object(n, "broker_ports")
			return
		}
		c.missing(o, o.place("broker_ports"), "a listener needs broker_ports: nodes and ports for each slice (or, with TLS, broker_hosts)")
		return
	}
	ports := c.object(n, "broker_ports")
	for name, f := range ports.fields {
		if c.slices[name] == nil && !c.slicesUnsure {
			c.errorf(f.key, "broker_ports: unknown slice %q%s", name, suggest(name, slices.Sorted(maps.Keys(c.slices))))
		}
		pr, ok := c.portRange(f, name)
		if !ok {
			c.brokenPorts[l] = true
			continue
		}
		l.BrokerPorts[name], l.portsAt[name] = pr, f.key
	}
}

func (c *compiler) portRange(f field, slice string) (PortRange, bool) {
	r := &c.reporter
	o := c.object(f.value, "broker_ports of "+slice, "nodes", "ports", "advertised_ports")
	if f.value.kind != mappingKind {
		if f.value.kind == nullKind {
			c.errorf(f.key, "broker_ports of %s needs nodes and ports", slice)
		}
		return PortRange{}, false
	}
	nodes, okNodes := required(r, o, "broker_ports of "+slice, "nodes", spanBetween(0, maxNode))
	ports, okPorts := required(r, o, "broker_ports of "+slice, "ports", spanBetween(1, 65535))
	advertised := ports
	if n := o.get("advertised_ports"); n != nil {
		if set(r, n, "advertised_ports", spanBetween(1, 65535), &advertised) && okPorts && advertised.count() != ports.count() {
			c.errorf(n.at, "advertised_ports: %v are %d ports, but ports %v are %d", advertised, advertised.count(), ports, ports.count())
		}
	}
	if !okNodes || !okPorts {
		return PortRange{}, false
	}
	if nodes.count() != ports.count() {
		c.errorf(o.get("ports").at, "ports: %v are %d ports for %d nodes (%v): one port for each node", ports, ports.count(), nodes.count(), nodes)
		return PortRange{}, false
	}
	return PortRange{
		FirstNode: int32(nodes.first), LastNode: int32(nodes.last),
		FirstPort: ports.first, AdvertisedFirstPort: advertised.first,
	}, true
}

// socket is a range of ports on a host, listened on or advertised.
type socket struct {
	host  string
	ports span
	what  string
	at    pos
	// explicit: an advertised port that differs from the one listened on. Where
	// neither of two does, the ports listened on say whether they collide.
	explicit bool
}

// checkPorts reports ports that two things in the file want. Each is reported once,
// where it stands later in the file.
func (c *compiler) checkPorts() {
	var bound []socket
	if e, err := parseEndpoint(1, false)(c.policy.Admin.Address); err == nil { // port 0 collides with nothing
		bound = append(bound, socket{host: e.host, ports: span{e.port, e.port}, what: "admin", at: c.policy.positions.admin})
	}
	for _, l := range c.policy.Listeners {
		if l.Address == "" {
			continue
		}
		what := fmt.Sprintf("the address of listener %s", l.Name)
		bound = append(bound, socket{l.bind.host, span{l.bind.port, l.bind.port}, what, l.at, false})
		advertised := []socket{{
			l.AdvertisedHost, span{l.AdvertisedPort, l.AdvertisedPort}, what, l.at, l.AdvertisedPort != l.bind.port,
		}}
		for _, name := range slices.Sorted(maps.Keys(l.BrokerPorts)) {
			r := l.BrokerPorts[name]
			more := int(r.LastNode - r.FirstNode)
			what, at := fmt.Sprintf("broker_ports of %s on listener %s", name, l.Name), l.portsAt[name]
			bound = append(bound, socket{l.bind.host, span{r.FirstPort, r.FirstPort + more}, what, at, false})
			advertised = append(advertised, socket{
				l.AdvertisedHost, span{r.AdvertisedFirstPort, r.AdvertisedFirstPort + more}, what, at, r.AdvertisedFirstPort != r.FirstPort,
			})
		}
		// Between listeners, equal advertised addresses may mean different things to
		// different clients (split DNS); within one they are two brokers in one.
		c.checkOverlap("advertises", advertised, func(a, b socket) bool { return a.explicit || b.explicit })
	}
	c.checkOverlap("uses", bound, func(a, b socket) bool {
		return anyHost(a.host) || anyHost(b.host) || plainHost(a.host) == plainHost(b.host)
	})
}

// checkOverlap compares every pair that can collide; a file has few sockets.
func (c *compiler) checkOverlap(verb string, sockets []socket, collide func(a, b socket) bool) {
	slices.SortStableFunc(sockets, func(a, b socket) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	for i, later := range sockets {
		for _, earlier := range sockets[:i] {
			common := span{max(later.ports.first, earlier.ports.first), min(later.ports.last, earlier.ports.last)}
			if common.count() < 1 || !collide(later, earlier) {
				continue
			}
			word := "port"
			if common.count() > 1 {
				word = "ports"
			}
			c.errorf(later.at, "%s %s %s %v, as %s at line %d does", later.what, verb, word, common, earlier.what, max(earlier.at.line, 1))
			break
		}
	}
}

// plainHost is one spelling for the hosts that are the same.
func plainHost(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" {
		return "127.0.0.1"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return host
}

// checkCoverage reports listeners that have no ports for a slice that tenants live
// in: such a tenant could connect there, but would not see its brokers.
func (c *compiler) checkCoverage() {
	living := make(map[*Slice][]string)
	for _, t := range c.policy.Tenants {
		for i, s := range t.slices {
			how := "reached by"
			if i == 0 && s == t.Home {
				how = "the home of"
			}
			living[s] = append(living[s], how+" tenant "+t.Name)
		}
	}
	for _, l := range c.policy.Listeners {
		if c.brokenPorts[l] || l.BrokerHosts != nil { // those serve them all
			continue
		}
		for _, s := range c.policy.Slices {
			who := living[s]
			if _, ok := l.BrokerPorts[s.Name]; ok || who == nil {
				continue
			}
			more := ""
			if len(who) > 1 {
				more = fmt.Sprintf(" and %d more", len(who)-1)
			}
			c.errorf(l.brokerPortsAt, "broker_ports has no range for slice %s, %s%s", s.Name, who[0], more)
		}
	}
}

// BrokerAddress is the address to listen on for one of the listener's broker
// ports: the host of its bootstrap address.
func (l *Listener) BrokerAddress(port int) string {
	return net.JoinHostPort(l.bind.host, fmt.Sprint(port))
}
