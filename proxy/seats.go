package proxy

import (
	"sync"

	"sluice/limiter"
	"sluice/proxy/policy"
)

// scope says whose limit on connections was met.
type scope string

const (
	scopeClientID scope = "this client ID"
	scopeTenant   scope = "this tenant"
	scopeSlice    scope = "this slice"
)

func (s scope) level() limiter.Level {
	switch s {
	case scopeClientID:
		return limiter.ClientID
	case scopeSlice:
		return limiter.Slice
	default:
		return limiter.Tenant
	}
}

// seat is one connection's place among those that are counted.
type seat struct{ slice, tenant, clientID string }

type clientKey struct{ tenant, clientID string }

// seats counts connections by client ID, tenant and slice, limited or not, since a
// reload may begin to limit them. What is at zero is forgotten.
type seats struct {
	mu      sync.Mutex
	clients map[clientKey]int
	tenants map[string]int
	slices  map[string]int
}

func newSeats() *seats {
	return &seats{clients: map[clientKey]int{}, tenants: map[string]int{}, slices: map[string]int{}}
}

func (s *seats) take(slice, tenant, clientID string) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[clientKey{tenant, clientID}]++
	s.tenants[tenant]++
	s.slices[slice]++
	return &seat{slice, tenant, clientID}
}

func (s *seats) leave(at *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	down(s.clients, clientKey{at.tenant, at.clientID})
	down(s.tenants, at.tenant)
	down(s.slices, at.slice)
}

func down[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// over says which limit on connections the seat of that tenant, already taken,
// exceeds; "" if none.
func (s *seats) over(at *seat, t *policy.Tenant) scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case exceeds(s.clients[clientKey{at.tenant, at.clientID}], t.LimitsPerClientID):
		return scopeClientID
	case exceeds(s.tenants[at.tenant], t.Limits):
		return scopeTenant
	case exceeds(s.slices[at.slice], limitsOf(t, at.slice)):
		return scopeSlice
	}
	return ""
}

// limitsOf are those of one of a tenant's slices.
func limitsOf(t *policy.Tenant, slice string) policy.Limits {
	for _, s := range t.Slices() {
		if s.Name == slice {
			return s.Limits
		}
	}
	return t.Home.Limits
}

func exceeds(n int, l policy.Limits) bool { return l.Connections > 0 && n > l.Connections }
