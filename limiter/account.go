package limiter

import (
	"math"
	"sync"
	"time"
)

// Account is where one connection is charged: its client ID, that one's tenant,
// the slice. It is safe for concurrent use until it is closed.
type Account struct {
	limiter *Limiter
	slice   *slice
	member  *member
	tenant  *tenant
	client  *client

	sliceName, tenantName, clientID string

	mu     sync.Mutex // guards what follows; taken before any bucket's
	closed bool
	asked  []asked // per dimension
}

// Account returns the account of a client ID of a tenant on a slice. Names that
// [Limiter.Configure] was not told have no limits until it is. The caller closes
// the account.
func (l *Limiter) Account(now time.Time, slice, tenant, clientID string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &Account{
		limiter: l, sliceName: slice, tenantName: tenant, clientID: clientID,
		slice: l.slice(slice), tenant: l.tenant(tenant), asked: make([]asked, l.dimensions),
	}
	a.member = l.member(a.slice, tenant)
	a.client = l.client(now, a.tenant, clientID)
	a.member.refs++
	a.tenant.refs++
	a.client.refs++
	return a
}

// Close gives the account back. What it was charged stays charged; an [Account.Ask]
// without its [Account.Answered] is forgotten. Closing twice does nothing.
func (a *Account) Close(now time.Time) {
	a.mu.Lock()
	closed := a.closed
	a.closed = true
	for d := range a.asked {
		for !closed && a.answered(d) {
		}
	}
	a.mu.Unlock()
	if closed {
		return
	}
	l := a.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	a.member.refs--
	a.tenant.refs--
	a.client.refs--
	if a.tenant.clients[a.clientID] == a.client && a.client.idle(now) {
		delete(a.tenant.clients, a.clientID)
	}
	if a.member.idle(now, a.slice) {
		delete(a.slice.tenants, a.tenantName)
	}
	l.collectSlice(now, a.sliceName)
	l.collectTenant(now, a.tenantName)
}

// Limited reports whether any bucket above the account limits the dimension. It
// takes no lock.
func (a *Account) Limited(d Dimension) bool {
	return a.client.buckets[d].limited.Load() || a.tenant.buckets[d].limited.Load() || a.slice.turns[d].limited.Load()
}

// Turn is a place in time.
type Turn struct {
	// Wait is how long until it is due. It is at most Config.MaxDebt, but for debt
	// that a lowered rate has made longer.
	Wait time.Duration
	// Added is what this charge alone takes at the bucket that decided, at most
	// Wait. It is what observe mode reports: nobody waits there, so debt only grows
	// and Wait would count the same debt again with each request.
	Added time.Duration
	// Level is that of the longest wait.
	Level Level
	// Overrun is how many units were let through uncharged, since the debt had
	// reached its bound: the most at any one bucket.
	Overrun float64
}

// after takes in what came of charging n units to one more bucket.
func (t *Turn) after(level Level, n float64, c charged) {
	t.Overrun = max(t.Overrun, c.overrun)
	if c.wait > t.Wait {
		t.Wait, t.Level = c.wait, level
		t.Added = min(seconds(n/c.rate), c.wait)
	}
}

// Reserve charges n units, rounded up to whole ones, to every bucket above the
// account and returns the turn; the longest wait counts. An n of 0 or less charges
// nothing.
func (a *Account) Reserve(now time.Time, d Dimension, n float64) Turn {
	var t Turn
	n = math.Ceil(n)
	if !(n > 0) {
		return t
	}
	n = min(n, maxDepth)
	if b := a.client.buckets[d]; b.limited.Load() {
		t.after(ClientID, n, b.charge(now, n))
	}
	if b := a.tenant.buckets[d]; b.limited.Load() {
		t.after(Tenant, n, b.charge(now, n))
	}
	if s := a.slice.turns[d]; s.limited.Load() {
		t.after(Slice, n, s.charge(now, a.member.shares[d], n))
	}
	return t
}

// Settle corrects a charge of provisional units to the actual ones. What was too
// much is given back, what was too little is charged without a turn: those who
// come later wait for it. It returns how many units were beyond the bound of the
// debt. For an [Account.Ask] call it before [Account.Answered].
func (a *Account) Settle(now time.Time, d Dimension, provisional, actual float64) (overrun float64) {
	a.learn(d, actual)
	n := math.Ceil(actual) - math.Ceil(provisional)
	if n > 0 {
		return a.Reserve(now, d, n).Overrun
	}
	if n < 0 {
		n = max(n, -maxDepth)
		a.client.buckets[d].charge(now, n)
		a.tenant.buckets[d].charge(now, n)
		a.slice.turns[d].charge(now, a.member.shares[d], n)
	}
	return 0
}

// Debt returns how long until every bucket above the account is out of debt, 0
// when none is in debt. At the slice only what the tenant itself owes counts.
func (a *Account) Debt(now time.Time, d Dimension) time.Duration {
	return a.debt(now, d).Wait
}

// debt is the turn of one who charges nothing but waits for all debt.
func (a *Account) debt(now time.Time, d Dimension) Turn {
	var t Turn
	t.after(ClientID, 0, charged{wait: a.client.buckets[d].debt(now), rate: 1})
	t.after(Tenant, 0, charged{wait: a.tenant.buckets[d].debt(now), rate: 1})
	t.after(Slice, 0, charged{wait: a.slice.turns[d].debt(now, a.member.shares[d]), rate: 1})
	return t
}

// TryTake charges n units and returns true if no bucket above the account is in
// debt; the charge itself may bring it into debt, up to its bound. Else it charges
// nothing and returns false. That is how Kafka counts partition mutations (KIP-599).
func (a *Account) TryTake(now time.Time, d Dimension, n float64) bool {
	client, tenant, slice := a.client.buckets[d], a.tenant.buckets[d], a.slice.turns[d]
	share := a.member.shares[d]
	for _, b := range []*bucket{client, tenant, &slice.bucket} {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	for _, b := range []*bucket{client, tenant} {
		if b.limited.Load() && b.tokens(b.at(now)) < 0 {
			return false
		}
	}
	if slice.limited.Load() && slice.debtLocked(now, share) > 0 {
		return false
	}
	n = min(math.Ceil(n), maxDepth)
	if !(n > 0) {
		return true
	}
	for _, b := range []*bucket{client, tenant} {
		if b.limited.Load() {
			b.chargeLocked(now, n)
		}
	}
	if slice.limited.Load() {
		slice.chargeLocked(now, share, n)
	}
	return true
}
