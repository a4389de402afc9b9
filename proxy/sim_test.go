package proxy

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// The simulation runs a whole gateway between simulated clients and brokers, on a
// network in memory, in the time of a synctest bubble. A seed decides who there is,
// what they do, and which faults come when; checkers (sim_check_test.go) look at
// every byte that is exchanged. The scheduler is not under the seed's control, so a
// seed brings back the scenario, not each interleaving.

var (
	simSeeds = flag.Int("sim.seeds", simDefault, "how many seeds the simulation runs")
	simFirst = flag.Uint64("sim.first", 1, "the first of them")
)

const (
	simDefault  = 20
	simLength   = 40 * time.Second
	simMaxBatch = 256 << 10 // bytes of a batch of records that is fetched
)

func TestSimulation(t *testing.T) {
	n := *simSeeds
	if simRace && n == simDefault {
		n /= 5 // the race detector makes them ten times as slow
	}
	for i := range n {
		seed := *simFirst + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sluice.yaml")
			synctest.Test(t, func(t *testing.T) { newSim(t, seed, path).run() })
			if t.Failed() {
				t.Logf("again: go test ./proxy -run TestSimulation -sim.seeds=1 -sim.first=%d", seed)
			}
		})
	}
}

// sim is one run.
type sim struct {
	t        *testing.T
	seed     uint64
	path     string
	net      *simNet
	clusters []*simCluster
	gw       *Gateway
	registry *prometheus.Registry
	logs     *observer.ObservedLogs
	first    *simPolicy
	began    time.Time
	faults   bool
	plain    bool // limits of tenants alone, no reload: what passes is then known exactly
	cutShort bool // drained while the clients are busy

	running sync.WaitGroup // brokers
	acting  sync.WaitGroup // clients
	stop    chan struct{}  // clients end
	over    chan struct{}  // brokers end

	mu       sync.Mutex
	epochs   []simEpoch
	draining bool
	failures int
	actors   map[string]int // by client ID
	in, out  *simMeter
	asked    *simMeter // requests that are not exempt
}

// simEpoch is a policy and when it began to hold.
// simPolicy is what a policy file says.
// simLimits are rates per second; 0 is none.
func newSim(t *testing.T, seed uint64, path string) *sim {
	s := &sim{
		t: t, seed: seed, path: path, net: newSimNet(), stop: make(chan struct{}), over: make(chan struct{}),
		actors: map[string]int{}, in: &simMeter{}, out: &simMeter{}, asked: &simMeter{}, registry: prometheus.NewRegistry(),
	}
	r := s.rand("run")
	s.faults, s.plain, s.cutShort = seed%3 != 0, seed%6 == 3, seed%4 == 0
	s.clusters = []*simCluster{newSimCluster(s, "orders", 3), newSimCluster(s, "clicks", 7)}
	s.first, s.began = s.newPolicy(r), time.Now()
	s.epochs = []simEpoch{{s.began, s.first}}
	for _, tenant := range s.first.tenants {
		c := s.cluster(tenant.home)
		for _, name := range []string{"a", "b", "c", "secret"} {
			c.add(tenant.name+"."+name, 1<<(10+r.IntN(9)), 0)
		}
		c.add(tenant.name+".slow", 1<<(8+r.IntN(9)), 500*time.Millisecond+rnd(r, 3*time.Second))
		c.add(tenant.name+".idle", 100, -1)
		if tenant.reach != "" {
			s.cluster(tenant.reach).add(tenant.name+".far", 1<<(10+r.IntN(9)), 0)
			s.cluster(tenant.reach).add(tenant.name+".far2", 1<<(10+r.IntN(9)), 0)
			c.add(tenant.name+".far", 1000, 0) // which nobody sees
		}
	}
	for _, c := range s.clusters {
		c.add("other.topic", 1000, 0)
	}
	return s
}

// rand is a source of its own for each part of the simulation, so that what one
// does is not changed by what others do.
func (s *sim) rand(of ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, of...)
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// changed is the policy after a reload: other limits, some more or fewer, and
// another topic that is denied.
// write writes a policy as a file.
// run is the whole simulation.
func (s *sim) run() {
	s.begin()
	s.cast()
	s.acting.Go(s.reloads)
	if s.faults {
		s.acting.Go(s.trouble)
	}
	time.Sleep(simLength)
	if s.cutShort {
		s.drain()
	}
	close(s.stop)
	s.acting.Wait()
	if !s.cutShort {
		time.Sleep(20 * time.Second) // those who gave up still wait for their turn
		s.drain()
	}
	s.checkEnd()
	close(s.over)
	for _, c := range s.clusters {
		for _, b := range c.brokers {
			_ = b.ln.Close()
		}
	}
	s.running.Wait()
	if left := s.net.left(); len(left) > 0 {
		s.fail("connections that nobody has closed: %q", left)
	}
	s.checkRates()
	if s.t.Failed() {
		for _, e := range s.logs.All() {
			if e.Level >= zapcore.WarnLevel {
				s.t.Log(e.Time.Sub(s.began), e.Message, e.ContextMap())
			}
		}
	}
}

func (s *sim) begin() {
	s.write(s.first)
	p, problems := policy.Load(s.path)
	if problems.Failed() {
		s.t.Fatal(problems)
	}
	var core zapcore.Core
	core, s.logs = observer.New(zapcore.InfoLevel)
	gw, err := Start(p, Options{
		Path: s.path, Log: zap.New(core), Registry: s.registry, Listen: s.net.Listen, RefreshEvery: 5 * time.Second,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			c, err := s.net.dial(ctx, "gateway", address, simLine{latency: time.Millisecond, rate: 50e6, buffer: 256 << 10})
			if err != nil {
				return nil, err
			}
			c.tap = s.tap(address)
			return c, nil
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.gw = gw
	time.Sleep(time.Second) // until the slices are known
}

// drain shuts the gateway down.
func (s *sim) drain() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	before := time.Now()
	s.gw.Drain(context.Background())
	if took := time.Since(before); took > s.gw.settings.DrainTimeout+time.Second {
		s.fail("draining took %v", took)
	}
}

// actor makes a client; app is the second part of its client ID.
func (s *sim) actor(tenant, app string, r *rand.Rand) *simActor {
	a := &simActor{s: s, clientID: tenant + "." + app, rng: r, line: simLine{
		latency: time.Millisecond + rnd(r, 15*time.Millisecond), rate: 1e6 + 9e6*r.Float64(), buffer: 64 << (10 + r.IntN(3)),
	}}
	s.mu.Lock()
	s.actors[a.clientID]++
	s.mu.Unlock()
	return a
}

// cast starts the clients.
func (s *sim) cast() {
	for _, tenant := range s.first.tenants {
		r := s.rand("cast", tenant.name)
		apps := []string{"app", "batch"}
		n := 0
		next := func() *simActor {
			n++
			return s.actor(tenant.name, apps[r.IntN(len(apps))], s.rand("actor", tenant.name, n))
		}
		start := func(a *simActor, work func(*simLink, int32)) {
			s.acting.Go(func() {
				s.sleep(rnd(a.rng, 3*time.Second))
				a.run(work)
			})
		}
		for range 1 + r.IntN(4) {
			a := next()
			start(a, a.produce(newSimProducer(a.rng)))
		}
		for range 1 + r.IntN(3) {
			a := next()
			start(a, a.consume(newSimConsumer(a, s.mine(a.clientID)[:1+r.IntN(3)]...)))
		}
		for _, name := range []string{".idle", ".slow"} {
			a := next()
			start(a, a.consume(newSimConsumer(a, tenant.name+name)))
		}
		a := next()
		start(a, a.member)
		a = next()
		start(a, a.mix(newSimProducer(a.rng), newSimConsumer(a, tenant.name+".b")))
		if r.IntN(2) == 0 {
			a := next()
			a.line.rate, a.patient = 20e3+80e3*a.rng.Float64(), true
			a.lenient = true // nobody waits forever for one who does not read
			start(a, a.consume(newSimConsumer(a, tenant.name+".a")))
		}
		if r.IntN(2) == 0 {
			a := next()
			start(a, a.hangUp(newSimProducer(a.rng)))
		}
		if r.IntN(3) == 0 {
			a := next()
			start(a, a.half)
		}
	}
	stranger := s.actor("nobody", "at.all", s.rand("stranger"))
	stranger.patient = true
	s.acting.Go(func() {
		stranger.run(func(l *simLink, _ int32) {
			for range 5 {
				if _, ok := l.hello(); !ok || s.stopped() {
					return
				}
			}
		})
	})
}

// reloads changes the policy in the middle.
func (s *sim) reloads() {
	r := s.rand("reload")
	s.sleep(10*time.Second + rnd(r, 10*time.Second))
	for range r.IntN(3) {
		if s.plain || s.stopped() || s.mayEnd() && s.cutShort && s.isDraining() {
			return
		}
		s.mu.Lock()
		next := s.epochs[len(s.epochs)-1].policy.changed(r)
		s.epochs = append(s.epochs, simEpoch{time.Now(), next})
		s.mu.Unlock()
		s.write(next)
		if problems := s.gw.Reload(); problems.Failed() {
			s.fail("reload: %v", problems)
		}
		s.sleep(rnd(r, 10*time.Second))
	}
}

// trouble brings faults, one after the other.
func (s *sim) trouble() {
	r := s.rand("trouble")
	for !s.stopped() {
		s.sleep(time.Second + rnd(r, 5*time.Second))
		b := pick(r, s.clusters...).brokers[r.IntN(simBrokers)]
		switch r.IntN(3) {
		case 0:
			b.mu.Lock()
			b.cuts += 1 + r.IntN(3)
			b.mu.Unlock()
		case 1:
			b.mu.Lock()
			b.slow = time.Now().Add(rnd(r, 3*time.Second))
			b.mu.Unlock()
		case 2:
			s.net.setRefuse(b.address(), true)
			b.mu.Lock()
			b.cuts += 2
			b.mu.Unlock()
			s.sleep(time.Second + rnd(r, 3*time.Second))
			s.net.setRefuse(b.address(), false)
		}
	}
	for _, c := range s.clusters {
		for _, b := range c.brokers {
			s.net.setRefuse(b.address(), false)
		}
	}
}

// sleep waits, but not beyond the end.
func (s *sim) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stop:
	}
}

func (s *sim) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *sim) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// mayEnd reports whether a connection may end without its client's doing.
func (s *sim) mayEnd() bool { return s.faults || s.isDraining() }

// fail reports what a checker found.
func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	s.mu.Lock()
	s.failures++
	n := s.failures
	s.mu.Unlock()
	if n <= 20 { // the first tell most
		s.t.Errorf("seed %d, %v: %s", s.seed, time.Since(s.began), fmt.Sprintf(format, args...))
	}
}

func (s *sim) cluster(name string) *simCluster {
	return s.clusters[slices.IndexFunc(s.clusters, func(c *simCluster) bool { return c.name == name })]
}

// tenant of a client ID in the first policy; nil for a stranger. What it says of
// name, home and enforcement holds in all of them.
func (s *sim) tenant(clientID string) *simTenant { return s.first.tenant(team(clientID)) }

func (s *sim) home(clientID string) *simCluster { return s.cluster(s.tenant(clientID).home) }

// topic finds a topic of any of the tenant's slices.
func (s *sim) topic(clientID, name string, id [16]byte) *simTopic {
	t := s.home(clientID).topic(name, id)
	if reach := s.tenant(clientID).reach; t == nil && reach != "" {
		t = s.cluster(reach).topic(name, id)
	}
	return t
}

// at is the slice of a virtual node; the home of a client that was shown another.
func (s *sim) at(clientID string, node int32) *simCluster {
	for _, c := range s.clusters {
		if int(node>>protocol.SlotBits) == c.slot {
			return c
		}
	}
	return s.home(clientID)
}

// here are topics that the tenant may use in a slice, at first at least.
func (s *sim) here(clientID string, at *simCluster) []string {
	if at.name != s.tenant(clientID).home {
		return []string{team(clientID) + ".far", team(clientID) + ".far2"}
	}
	return s.mine(clientID)
}

// mine are topics that the tenant may use at home, at first at least.
func (s *sim) mine(clientID string) []string {
	return []string{team(clientID) + ".a", team(clientID) + ".b", team(clientID) + ".c"}
}

// forbidden is a topic that the tenant may not use.
func (s *sim) forbidden(clientID string, r *rand.Rand) string {
	return pick(r, team(clientID)+".secret", "other.topic")
}

// topicsOf are the topics that a client asks Metadata for.
func (s *sim) topicsOf(clientID string) []string {
	names := append(s.mine(clientID), team(clientID)+".secret", "other.topic")
	if t := s.tenant(clientID); t != nil && t.reach != "" {
		names = append(names, t.name+".far", t.name+".far2")
	}
	return names
}

// cost is how long a request may hold those behind it on its connection: what
// design promises for its limits, what it asks for itself, and the penalty.
func (s *sim) cost(clientID string, at *simCluster, req kmsg.Request) time.Duration {
	limited := s.everLimited(clientID)
	var d time.Duration
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		if limited.in > 0 || limited.requests > 0 {
			d = 8 * time.Second
		}
	case *kmsg.FetchRequest:
		if limited.out > 0 || limited.requests > 0 {
			d = 2 * time.Second
		}
		d += time.Duration(r.MaxWaitMillis) * time.Millisecond
	case *kmsg.JoinGroupRequest:
		return 300 * time.Millisecond
	case *kmsg.HeartbeatRequest:
		return 0
	case *kmsg.ApiVersionsRequest:
		return time.Second // dialling, for what is pipelined behind
	default:
		if limited.requests > 0 {
			d = 2 * time.Second
		}
		d += time.Second
	}
	if s.denies(clientID, at, req) {
		d += maxPenalty + time.Second
	}
	return d
}
