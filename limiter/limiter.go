package limiter

import (
	"strconv"
	"sync"
	"time"
)

// Dimension indexes the things limited (bytes in, bytes out, requests ...). It
// runs from 0 to the number given to [New], exclusive.
type Dimension int

// Level says which bucket above an account decided.
type Level uint8

// The levels, from the narrowest to the widest.
const (
	ClientID Level = iota
	Tenant
	Slice
)

// String returns the level as it is written in metrics: client_id, tenant, slice.
func (l Level) String() string {
	switch l {
	case ClientID:
		return "client_id"
	case Tenant:
		return "tenant"
	case Slice:
		return "slice"
	default:
		return "level(" + strconv.Itoa(int(l)) + ")"
	}
}

// Limit is one limit in one dimension.
type Limit struct {
	// Rate is in units per second; 0 or less is no limit.
	Rate float64
	// Burst is how much unused rate may be saved up. A bucket holds Rate × Burst
	// units and at least one.
	Burst time.Duration
}

// Limits are indexed by [Dimension]; what lies beyond the end has no limit.
type Limits []Limit

func (l Limits) of(d int) Limit {
	if d < len(l) {
		return l[d]
	}
	return Limit{}
}

// TenantLimits are what one tenant is held to: all its client IDs together, and
// each of them.
type TenantLimits struct {
	Tenant, PerClientID Limits
}

// Defaults of [Config].
const (
	DefaultMaxDebt      = 8 * time.Second
	DefaultMaxClientIDs = 10000
)

// Config is everything that [Limiter.Configure] sets.
type Config struct {
	// MaxDebt is how far ahead places in time are given: what would have to wait
	// longer is let through uncharged and counted as overrun. 0 is [DefaultMaxDebt].
	MaxDebt time.Duration
	// MaxClientIDs is how many client IDs of one tenant get a bucket of their own;
	// the others share one. 0 is [DefaultMaxClientIDs].
	MaxClientIDs int
	// Slices are the limits of each slice for all its tenants together.
	Slices map[string]Limits
	// Tenants are the limits of each tenant. They hold across slices.
	Tenants map[string]TenantLimits
}

// Limiter holds the buckets of all slices, tenants and client IDs. It is safe for
// concurrent use.
type Limiter struct {
	dimensions int

	mu           sync.Mutex
	maxDebt      time.Duration
	maxClientIDs int
	slices       map[string]*slice
	tenants      map[string]*tenant
}

// New returns a Limiter for so many dimensions. Nothing is limited until
// [Limiter.Configure].
func New(dimensions int) *Limiter {
	return &Limiter{
		dimensions:   dimensions,
		maxDebt:      DefaultMaxDebt,
		maxClientIDs: DefaultMaxClientIDs,
		slices:       map[string]*slice{},
		tenants:      map[string]*tenant{},
	}
}

// Configure sets all limits. Live accounts are held to them at once.
//
// Buckets keep their level, in units: a reload gives no free burst and forgives
// no debt, even where a lowered rate makes the debt longer than MaxDebt (then
// nothing more is added to it until it has shrunk). A limit set where there was
// none starts full. Slices and tenants that are no longer named keep their limits
// and levels until nobody refers to them and they are full again.
func (l *Limiter) Configure(now time.Time, c Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxDebt, l.maxClientIDs = c.MaxDebt, c.MaxClientIDs
	if l.maxDebt <= 0 {
		l.maxDebt = DefaultMaxDebt
	}
	if l.maxClientIDs <= 0 {
		l.maxClientIDs = DefaultMaxClientIDs
	}
	for _, s := range l.slices {
		s.named = false
	}
	for name, limits := range c.Slices {
		s := l.slice(name)
		s.named = true
		for d, t := range s.turns {
			t.configure(now, limits.of(d), l.maxDebt)
		}
	}
	for _, t := range l.tenants {
		t.named = false
	}
	for name, limits := range c.Tenants {
		t := l.tenant(name)
		t.named = true
		t.configure(now, limits, l.maxDebt)
	}
	l.collect(now)
}
