package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sluice/limiter"
	"sluice/proxy/auth"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// dialTimeout bounds how long a client waits for the connection to its broker.
const dialTimeout = 15 * time.Second

// Options are what a gateway needs besides the policy. The zero value of each field
// but Path is usable.
type Options struct {
	Path         string // of the file, for Reload
	Version      string // for sluice_build_info
	Log          *zap.Logger
	Registry     *prometheus.Registry
	RefreshEvery time.Duration // how often a slice's topology is read; 30 s
	FollowEvery  time.Duration // how often files of certificates and credentials are looked at; 5 s
	// Listen opens the ports; net.Listen if nil.
	Listen func(network, address string) (net.Listener, error)
	// Dial opens every connection to a broker; a net.Dialer if nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Gateway is one running instance.
type Gateway struct {
	options  Options
	settings policy.Gateway // fixed for the life of the process
	log      *zap.Logger
	registry *prometheus.Registry
	metrics  *metrics
	limiter  *limiter.Limiter
	budget   *budget
	seats    *seats
	noise    noise
	logins   noise       // who fails to log in
	guard    *auth.Guard // of listeners
	// adminGuard is another one: who tries passwords at a listener shuts no one out of
	// the metrics.
	adminGuard *auth.Guard
	clock      atomic.Int64 // when the janitor last looked, unix nanoseconds

	snapshot   atomic.Pointer[snapshot]
	lastReload atomic.Pointer[reload]
	reloading  sync.Mutex // one reload at a time; guards ports and following
	following  following
	ports      map[string]*port // by address

	ctx      context.Context // ends when the gateway must stop at once
	stop     context.CancelFunc
	draining atomic.Bool
	quit     chan struct{} // closed when draining begins
	started  atomic.Bool
	running  sync.WaitGroup          // every goroutine of the gateway, and every connection on a loop
	loops    func() ([]*loop, error) // started with the first connection that can be on one
	nextLoop atomic.Uint32

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// port is one listening port. What it stands for may change with a reload.
type port struct {
	address string
	ln      net.Listener
	at      atomic.Pointer[portPlace]
}

func newPort(address string, ln net.Listener, at portPlace) *port {
	p := &port{address: address, ln: ln}
	p.at.Store(&at)
	return p
}

// Start opens the ports of a policy and serves. Errors: a port that cannot be
// opened, by name.
func Start(p *policy.Policy, o Options) (*Gateway, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.FollowEvery <= 0 {
		o.FollowEvery = followEvery
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	g := &Gateway{
		options: o, settings: p.Gateway, log: o.Log, registry: o.Registry,
		metrics:    newMetrics(o.Registry, o.Version),
		limiter:    limiter.New(int(policy.NumRates)),
		budget:     newBudget(p.Gateway.MaxBuffered),
		seats:      newSeats(),
		logins:     noise{most: loginLines},
		adminGuard: auth.NewGuard(auth.GuardOptions{}),
		guard:      auth.NewGuard(auth.GuardOptions{}),
		ports:      map[string]*port{},
		conns:      map[*conn]struct{}{},
		quit:       make(chan struct{}),
	}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.clock.Store(time.Now().UnixNano())
	g.loops = sync.OnceValues(func() ([]*loop, error) { return startLoops(g.ctx, &g.running) })
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if err := g.apply(p); err != nil {
		g.stop()
		return nil, err
	}
	g.noteReload(nil)
	g.running.Go(g.janitor)
	g.running.Go(g.watchSlices)
	g.started.Store(true)
	return g, nil
}

// serve accepts connections at a port until it is closed. g.reloading is held.
func (g *Gateway) serve(p *port) {
	g.ports[p.address] = p
	g.running.Go(func() {
		for {
			client, err := p.ln.Accept()
			switch {
			case err == nil:
				g.accept(p, client)
			case errors.Is(err, net.ErrClosed) || g.ctx.Err() != nil:
				return
			default:
				// Out of descriptors, mostly: waiting is all that helps.
				g.log.Error("cannot accept", zap.String("address", p.address), zap.Error(err))
				g.metrics.refused.WithLabelValues(reasonMaxConns).Inc()
				time.Sleep(100 * time.Millisecond)
			}
		}
	})
}

// accept begins the life of a connection. What is above max_connections is held
// open for a moment, as long as that is cheap, and then closed.
func (g *Gateway) accept(p *port, client net.Conn) {
	c := newConn(g, p, client)
	g.metrics.accepted.WithLabelValues(p.at.Load().listener).Inc()
	g.mu.Lock()
	open := len(g.conns)
	if g.draining.Load() || open >= g.settings.MaxConnections+g.settings.MaxConnections/10+1 {
		g.mu.Unlock()
		g.metrics.refused.WithLabelValues(reasonMaxConns).Inc()
		c.cancel()
		_ = client.Close()
		return
	}
	g.conns[c] = struct{}{}
	g.mu.Unlock()
	if open >= g.settings.MaxConnections {
		g.running.Go(func() {
			defer c.close()
			c.end(&closing{reason: reasonMaxConns, hold: true, text: "gateway.max_connections is reached"})
		})
		return
	}
	c.start()
}

// loop is the one for a new connection; nil if there is none, and it has goroutines.
func (g *Gateway) loop() *loop {
	loops, err := g.loops()
	if err != nil {
		g.log.Error("no event loops: each connection has goroutines", zap.Error(err))
	}
	if len(loops) == 0 {
		return nil
	}
	return loops[g.nextLoop.Add(1)%uint32(len(loops))]
}

func (g *Gateway) forget(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *Gateway) connections() []*conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*conn, 0, len(g.conns))
	for c := range g.conns {
		all = append(all, c)
	}
	return all
}

// Drain stops accepting, lets what is in flight be answered, and ends, after
// gateway.drain_timeout or the end of ctx at the latest. It returns how many
// connections had to be cut. It may be called again, to cut a drain short.
func (g *Gateway) Drain(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, g.settings.DrainTimeout)
	defer cancel()
	if !g.draining.Swap(true) {
		close(g.quit)
	}
	g.reloading.Lock()
	for _, p := range g.ports {
		_ = p.ln.Close()
	}
	g.reloading.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		open := g.connections()
		for _, c := range open {
			c.drain()
		}
		if len(open) == 0 {
			break
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		g.close()
		return len(open)
	}
	g.close()
	return 0
}

// close ends everything at once and waits for it.
func (g *Gateway) close() {
	g.stop()
	for _, c := range g.connections() {
		c.kill(errDraining)
	}
	for _, s := range g.snapshot.Load().slices {
		s.Close()
	}
	g.running.Wait()
}

// watchSlices keeps sluice_slice_reachable, and says when a broker has no port.
func (g *Gateway) watchSlices() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told, known, shown, twice := map[string]bool{}, map[string]*slice.Slice{}, certificates{}, collisions{}
	for {
		snap := g.snapshot.Load()
		for name := range known {
			if snap.slices[name] == nil {
				g.metrics.sliceReachable.DeleteLabelValues(name)
			}
		}
		known = snap.slices
		twice.look(g, snap)
		g.metrics.certificates(shown, snap.certificates)
		shown = snap.certificates
		for name, s := range snap.slices {
			up := 0.0
			if s.Health().Reachable {
				up = 1
			}
			g.metrics.sliceReachable.WithLabelValues(name).Set(up)
			for _, l := range snap.policy.Listeners {
				g.tellUnseen(snap, l, s, told)
			}
		}
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellUnseen says once for each broker that clients of a listener cannot reach it:
// its partitions have no leader for them.
func (g *Gateway) tellUnseen(snap *snapshot, l *policy.Listener, s *slice.Slice, told map[string]bool) {
	if _, serves := l.BrokerPorts[s.Name()]; !serves {
		return
	}
	nodes := snap.nodes[viewKey{l.Name, s.Name()}]
	for _, id := range s.NodeIDs() {
		key := l.Name + "/" + s.Name() + "/" + itoa(int(id))
		if _, _, ok := nodes.Address(id); ok || told[key] {
			continue
		}
		told[key] = true
		g.log.Error("a broker has no port: widen broker_ports, clients cannot reach its partitions",
			zap.String("listener", l.Name), zap.String("slice", s.Name()), zap.Int32("node", id))
	}
}
