package auth

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// GuardOptions bound what those who fail may cost. Zero values are the defaults.
type GuardOptions struct {
	// Derivations is how many key derivations run at once: half the processors, at
	// least one.
	Derivations int
	// FailuresPerSecond and FailureBurst are what one address may fail, 1 a second
	// after 20 at once. Beyond that it is refused without being looked at.
	FailuresPerSecond float64
	FailureBurst      int
	// Addresses is how many addresses are remembered, 10000.
	Addresses int
}

// Guard protects the gateway and its other clients from those who try passwords.
// One guard serves all listeners, and outlives reloads. Its methods may be called
// concurrently.
type Guard struct {
	derivations chan struct{}

	rate, burst float64
	max         int

	mu        sync.Mutex
	addresses map[netip.Prefix]allowance
}

// allowance is how many failures an address may still have, at a time.
type allowance struct {
	left float64
	at   time.Time
}

// NewGuard makes a guard that remembers no failure yet.
func NewGuard(o GuardOptions) *Guard {
	if o.Derivations < 1 {
		o.Derivations = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if o.FailuresPerSecond <= 0 {
		o.FailuresPerSecond = 1
	}
	if o.FailureBurst < 1 {
		o.FailureBurst = 20
	}
	if o.Addresses < 1 {
		o.Addresses = 10000
	}
	return &Guard{
		derivations: make(chan struct{}, o.Derivations),
		rate:        o.FailuresPerSecond, burst: float64(o.FailureBurst), max: o.Addresses,
		addresses: make(map[netip.Prefix]allowance),
	}
}

// acquire waits for one of the places for a key derivation.
func (g *Guard) acquire(ctx context.Context) error {
	select {
	case g.derivations <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Guard) release() { <-g.derivations }

// blocked reports whether an address has failed too often.
func (g *Guard) blocked(address netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, known := g.addresses[network(address)]
	return known && g.refilled(a, now) < 1
}

// failed notes a failure of an address.
func (g *Guard) failed(address netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := network(address)
	a, known := g.addresses[key]
	if !known {
		if len(g.addresses) >= g.max {
			g.forget(now)
		}
		a = allowance{left: g.burst, at: now}
	}
	g.addresses[key] = allowance{left: max(0, g.refilled(a, now)-1), at: now}
}

func (g *Guard) refilled(a allowance, now time.Time) float64 {
	return min(g.burst, a.left+max(0, now.Sub(a.at).Seconds())*g.rate)
}

// forget makes room: it drops the addresses that are as good as new, and if there
// are none, any one.
func (g *Guard) forget(now time.Time) {
	before := len(g.addresses)
	for key, a := range g.addresses {
		if g.refilled(a, now) >= g.burst {
			delete(g.addresses, key)
		}
	}
	if len(g.addresses) < before {
		return
	}
	for key := range g.addresses {
		delete(g.addresses, key)
		return
	}
}

// network is what counts as one address: an IPv4 address, or the /64 of an IPv6
// one, of which a host has all addresses.
func network(address netip.Addr) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := 64
	if address.Is4() {
		bits = 32
	}
	prefix, _ := address.Prefix(bits) // the zero Prefix for the zero Addr, which is one address too
	return prefix
}
