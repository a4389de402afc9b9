package limiter

import "time"

// sweepEvery is how often at most a tenant's client IDs are searched for idle
// ones when a new one comes.
const sweepEvery = time.Second

// slice is what the limiter knows of one slice.
type slice struct {
	named   bool // in the configuration
	turns   []*turns
	tenants map[string]*member // guarded by Limiter.mu
}

// member is one tenant on one slice.
type member struct {
	refs   int
	shares []*share
}

// tenant is what the limiter knows of one tenant.
type tenant struct {
	named       bool
	buckets     []*bucket
	perClientID Limits

	// Guarded by Limiter.mu.
	refs     int
	clients  map[string]*client
	overflow *client // shared by the client IDs beyond the bound; nil until needed
	swept    time.Time
}

// client is what the limiter knows of one client ID.
type client struct {
	refs    int
	buckets []*bucket
}

func (l *Limiter) newBuckets() []*bucket {
	all := make([]bucket, l.dimensions) // one piece of memory: there may be many
	buckets := make([]*bucket, l.dimensions)
	for d := range buckets {
		buckets[d] = &all[d]
	}
	return buckets
}

// slice returns the slice of that name, a new one without limits if need be.
func (l *Limiter) slice(name string) *slice {
	s := l.slices[name]
	if s == nil {
		s = &slice{turns: make([]*turns, l.dimensions), tenants: map[string]*member{}}
		for d := range s.turns {
			s.turns[d] = &turns{}
		}
		l.slices[name] = s
	}
	return s
}

// member returns the tenant's part in the slice.
func (l *Limiter) member(s *slice, tenant string) *member {
	m := s.tenants[tenant]
	if m == nil {
		m = &member{shares: make([]*share, l.dimensions)}
		for d := range m.shares {
			m.shares[d] = newShare()
		}
		s.tenants[tenant] = m
	}
	return m
}

// tenant returns the tenant of that name, a new one without limits if need be.
func (l *Limiter) tenant(name string) *tenant {
	t := l.tenants[name]
	if t == nil {
		t = &tenant{buckets: l.newBuckets(), clients: map[string]*client{}}
		l.tenants[name] = t
	}
	return t
}

func (t *tenant) configure(now time.Time, limits TenantLimits, maxDebt time.Duration) {
	t.perClientID = limits.PerClientID
	for d, b := range t.buckets {
		b.configure(now, limits.Tenant.of(d), maxDebt)
	}
	for _, c := range t.clients {
		c.configure(now, limits.PerClientID, maxDebt)
	}
	if t.overflow != nil {
		t.overflow.configure(now, limits.PerClientID, maxDebt)
	}
}

func (c *client) configure(now time.Time, limits Limits, maxDebt time.Duration) {
	for d, b := range c.buckets {
		b.configure(now, limits.of(d), maxDebt)
	}
}

// client returns the buckets of the client ID: its own, or beyond the bound the
// ones that all further client IDs of the tenant share.
func (l *Limiter) client(now time.Time, t *tenant, clientID string) *client {
	if c := t.clients[clientID]; c != nil {
		return c
	}
	if len(t.clients) >= l.maxClientIDs || now.Sub(t.swept) >= 10*sweepEvery {
		t.sweep(now)
	}
	c := &client{buckets: l.newBuckets()}
	switch {
	case len(t.clients) < l.maxClientIDs:
		t.clients[clientID] = c
	case t.overflow != nil:
		return t.overflow
	default:
		t.overflow = c
	}
	c.configure(now, t.perClientID, l.maxDebt)
	return c
}

// sweep collects the idle client IDs, unless that was tried a moment ago.
func (t *tenant) sweep(now time.Time) {
	if now.Sub(t.swept) < sweepEvery {
		return
	}
	t.swept = now
	for id, c := range t.clients {
		if c.idle(now) {
			delete(t.clients, id)
		}
	}
	if t.overflow != nil && t.overflow.idle(now) {
		t.overflow = nil
	}
}

func (c *client) idle(now time.Time) bool {
	return c.refs == 0 && full(now, c.buckets)
}

func full(now time.Time, buckets []*bucket) bool {
	for _, b := range buckets {
		if !b.full(now) {
			return false
		}
	}
	return true
}

// idle reports whether the member can be forgotten.
func (m *member) idle(now time.Time, s *slice) bool {
	if m.refs > 0 {
		return false
	}
	for d, t := range s.turns {
		if !t.idle(now, m.shares[d]) {
			return false
		}
	}
	return true
}

// collect forgets all that is idle and not named.
func (l *Limiter) collect(now time.Time) {
	for name, s := range l.slices {
		for tenant, m := range s.tenants {
			if m.idle(now, s) {
				delete(s.tenants, tenant)
			}
		}
		l.collectSlice(now, name)
	}
	for name, t := range l.tenants {
		t.sweep(now)
		l.collectTenant(now, name)
	}
}

func (l *Limiter) collectSlice(now time.Time, name string) {
	if s := l.slices[name]; !s.named && len(s.tenants) == 0 && s.full(now) {
		delete(l.slices, name)
	}
}

func (l *Limiter) collectTenant(now time.Time, name string) {
	if t := l.tenants[name]; !t.named && t.refs == 0 && len(t.clients) == 0 && full(now, t.buckets) {
		delete(l.tenants, name)
	}
}

func (s *slice) full(now time.Time) bool {
	for _, t := range s.turns {
		if !t.full(now) {
			return false
		}
	}
	return true
}
