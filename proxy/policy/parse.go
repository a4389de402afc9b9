package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// maxFileSize bounds the file; 5,000 tenants take about 2 MiB.
const maxFileSize = 16 << 20

// Load reads and compiles the file. The policy is nil when the problems have an
// error among them; a file that cannot be read is one.
func Load(path string) (*Policy, Problems) {
	data, err := read(path)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return nil, Problems{{File: path, Line: 1, Column: 1, Text: fmt.Sprintf("cannot be read: %v", err)}}
	}
	return Parse(path, data)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileSize+1)) // Parse refuses what is longer
}

// Parse compiles the content of a file; name is what problems call it. The policy
// is nil when the problems have an error among them.
func Parse(name string, data []byte) (*Policy, Problems) {
	sum := sha256.Sum256(data)
	c := &compiler{
		reporter: reporter{file: name},
		policy:   &Policy{File: name, Hash: hex.EncodeToString(sum[:6])},
		slices:   make(map[string]*Slice),
		tenants:  make(map[string]*Tenant),
		places:   make(map[*Tenant]*object),
	}
	if len(data) > maxFileSize {
		c.errorf(pos{1, 1}, "the file is larger than %s", formatSize(maxFileSize))
	} else if root := c.readYAML(data); root != nil {
		c.compile(root)
	}
	problems := c.problems.tidy()
	if problems.Failed() {
		return nil, problems
	}
	return c.policy, problems
}

// compiler turns the tree of one file into a policy. It goes on after a mistake
// and remembers what it no longer knows for sure, so that one mistake neither
// hides the next nor is reported again where it is referred to.
type compiler struct {
	reporter
	policy *Policy

	slices  map[string]*Slice // by name, also those with other mistakes
	tenants map[string]*Tenant
	// A slice (a tenant) has no readable name, so a name that is not known may be
	// its.
	slicesUnsure, tenantsUnsure bool
	patternBroken               bool
	identifyByAt                pos
	places                      map[*Tenant]*object

	defaults defaults
	sources  []*tenantSource
	// brokenPorts are listeners whose broker_ports could not be read.
	brokenPorts map[*Listener]bool
}

// compile reads the sections in the order in which they need each other.
func (c *compiler) compile(root *node) {
	o := c.object(root, "the file", "admin", "gateway", "client_ids", "slices", "listeners", "defaults", "tenants", "routes")
	if root.kind != mappingKind {
		if root.kind == nullKind {
			c.errorf(root.at, "the file is empty")
		}
		return
	}
	c.policy.positions = positions{
		admin: o.place("admin"), gateway: o.place("gateway"), listeners: o.place("listeners"),
		maxConnections: o.place("gateway"), gatewayKeys: make(map[string]pos),
	}
	c.admin(o.get("admin"))
	c.gateway(o.get("gateway"))
	unmatched := c.clientIDs(o.get("client_ids"))
	c.readSlices(o)
	c.readListeners(o)
	c.readDefaults(o.get("defaults"))
	c.readTenants(o, unmatched)
	c.readRoutes(o)

	c.checkPorts()
	c.checkCoverage()
	c.checkIdentities()
	if c.problems.Failed() {
		return // warnings about half a policy would be false ones
	}
	c.policy.index()
	c.warn()
}

func (c *compiler) admin(n *node) {
	o := c.object(n, "admin", "address", "pprof", "tls", "basic_auth", "insecure")
	c.policy.Admin.Address = "127.0.0.1:9644"
	if _, ok := scalar(&c.reporter, o.get("address"), "address", parseEndpoint(0, false)); ok {
		c.policy.Admin.Address = o.get("address").text
	}
	set(&c.reporter, o.get("pprof"), "pprof", parseBool, &c.policy.Admin.Pprof)
	c.adminSecurity(o)
}

// Bounds of the gateway's settings.
const (
	minFrame, maxFrame       = 1 << 10, 1 << 30
	minBuffered, maxBuffered = 64 << 10, 1 << 40
	maxMaxConnections        = 1_000_000
	minTimeout, maxTimeout   = time.Millisecond, 24 * time.Hour
	maxMaxThrottle           = time.Minute
	// impatientClient is after how long the least patient client gives up on a
	// Produce (segmentio/kafka-go).
	impatientClient = 10 * time.Second
)

func (c *compiler) gateway(n *node) {
	g := &c.policy.Gateway
	*g = Gateway{
		MaxThrottle: 8 * time.Second, MaxFrame: 100 << 20, MaxBuffered: 256 << 20, MaxConnections: 10000,
		FirstFrameTimeout: 10 * time.Second, FrameTimeout: 30 * time.Second,
		IdleTimeout: 10 * time.Minute, DrainTimeout: 30 * time.Second,
	}
	o := c.object(n, "gateway", "max_throttle", "max_frame", "max_buffered", "max_connections",
		"first_frame_timeout", "frame_timeout", "idle_timeout", "drain_timeout")
	for key, f := range o.fields {
		c.policy.positions.gatewayKeys[key] = f.key
	}
	r, timeout := &c.reporter, durationBetween(minTimeout, maxTimeout)
	throttle := set(r, o.get("max_throttle"), "max_throttle", durationBetween(minTimeout, maxMaxThrottle), &g.MaxThrottle)
	frame := set(r, o.get("max_frame"), "max_frame", sizeBetween(minFrame, maxFrame), &g.MaxFrame)
	buffered := set(r, o.get("max_buffered"), "max_buffered", sizeBetween(minBuffered, maxBuffered), &g.MaxBuffered)
	if set(r, o.get("max_connections"), "max_connections", intBetween(1, maxMaxConnections), &g.MaxConnections) {
		c.policy.positions.maxConnections = o.get("max_connections").at
	}
	set(r, o.get("first_frame_timeout"), "first_frame_timeout", timeout, &g.FirstFrameTimeout)
	set(r, o.get("frame_timeout"), "frame_timeout", timeout, &g.FrameTimeout)
	set(r, o.get("idle_timeout"), "idle_timeout", timeout, &g.IdleTimeout)
	set(r, o.get("drain_timeout"), "drain_timeout", timeout, &g.DrainTimeout)

	if throttle && g.MaxThrottle >= impatientClient {
		r.warnf(o.get("max_throttle").at, "max_throttle: some clients give up on a Produce after %s and send it again", formatDuration(impatientClient))
	}
	if quarter := g.MaxBuffered / 4; (frame || buffered) && g.MaxFrame > quarter {
		at := o.place("max_buffered")
		if frame {
			at = o.get("max_frame").at
		}
		r.warnf(at, "a tenant may buffer at most %s (a quarter of max_buffered), so a frame above that passes only if it can be streamed (a Produce of one topic): lower max_frame (%s) or raise max_buffered",
			formatSize(float64(quarter)), formatSize(float64(g.MaxFrame)))
	}
}

// clientIDs reads the naming convention. It returns the value of unmatched if that
// names a tenant, which is looked up when the tenants are known.
func (c *compiler) clientIDs(n *node) *node {
	o := c.object(n, "client_ids", "pattern", "unmatched", "identify_by")
	c.policy.IdentifyBy = ByClientID
	set(&c.reporter, o.get("identify_by"), "identify_by", parseIdentifyBy, &c.policy.IdentifyBy)
	c.identifyByAt = o.place("identify_by")
	if pattern := o.get("pattern"); pattern != nil {
		set(&c.reporter, pattern, "pattern", parsePattern, &c.policy.pattern)
		c.patternBroken = c.policy.pattern == nil
	}
	unmatched := o.get("unmatched")
	if name, ok := scalar(&c.reporter, unmatched, "unmatched", parseText); ok && name != "refuse" {
		return unmatched
	}
	return nil
}

// maxSlot is the last slot of a slice. Slot 512 is the refusal broker's.
const maxSlot = 511

func (c *compiler) readSlices(file *object) {
	items := c.list(file.get("slices"), "slices")
	if len(items) == 0 {
		if n := file.get("slices"); n == nil || n.kind == nullKind || n.kind == listKind {
			c.missing(file, file.place("slices"), "no slices: name at least one Kafka cluster")
		}
		c.slicesUnsure = true
	}
	slots := make(map[int]*Slice)
	for _, item := range items {
		o := c.object(item, "a slice", "name", "slot", "bootstrap_servers", "limits", "tls", "sasl")
		if item.kind == badKind || item.kind == scalarKind || item.kind == listKind {
			c.slicesUnsure = true
			continue
		}
		s := &Slice{at: o.place("name"), slotAt: o.place("slot")}
		if name, ok := required(&c.reporter, o, "a slice", "name", parseName); ok {
			s.Name = name
			s.at = o.get("name").at
			if first, twice := c.slices[name]; twice {
				c.errorf(s.at, "slice %s is defined twice, first at line %d", name, first.at.line)
			} else {
				c.slices[name] = s
			}
		} else {
			c.slicesUnsure = true
		}
		if slot, ok := required(&c.reporter, o, "a slice", "slot", intBetween(0, maxSlot)); ok {
			s.Slot, s.slotAt = slot, o.get("slot").at
			if first, taken := slots[slot]; taken {
				c.errorf(s.slotAt, "slot %d is taken by slice %s at line %d: a slot belongs to one slice for ever", slot, first.Name, first.slotAt.line)
			} else {
				slots[slot] = s
			}
		}
		s.BootstrapServers = c.bootstrapServers(o)
		s.Limits = c.limits(o.get("limits"), "limits").compile()
		s.TLS = c.tlsClient(o)
		s.SASL = c.saslClient(o, s.TLS != nil)
		c.policy.Slices = append(c.policy.Slices, s)
	}
}

func (c *compiler) bootstrapServers(slice *object) []string {
	n := slice.get("bootstrap_servers")
	var servers []string
	seen := make(map[string]bool)
	for _, item := range c.list(n, "bootstrap_servers") {
		if _, ok := scalar(&c.reporter, item, "bootstrap_servers", parseEndpoint(1, true)); !ok {
			continue
		}
		if seen[item.text] {
			c.errorf(item.at, "bootstrap_servers: %s is given twice", item.text)
			continue
		}
		seen[item.text] = true
		servers = append(servers, item.text)
	}
	if n == nil || n.empty() {
		c.missing(slice, slice.place("bootstrap_servers"), "a slice needs bootstrap_servers: host:port of one broker at least")
	}
	return servers
}

// empty reports whether n is a list without items, or nothing at all.
func (n *node) empty() bool {
	return n.kind == nullKind || n.kind == listKind && len(n.items) == 0
}
