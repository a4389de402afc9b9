package proxy

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"
)

// errTooLarge: a frame that must be held whole exceeds a tenant's share of max_buffered.
var errTooLarge = errors.New("the frame must be held whole and is larger than a quarter of gateway.max_buffered")

// budget bounds the memory of frames that are held, in all and for each tenant
// (a quarter of the whole), so that no tenant can starve the others of it. Who
// finds it used up waits, and its socket with it.
type budget struct {
	max int64
	all *semaphore.Weighted

	mu      sync.Mutex
	tenants map[string]*semaphore.Weighted
}

func newBudget(max int64) *budget {
	return &budget{max: max, all: semaphore.NewWeighted(max), tenants: map[string]*semaphore.Weighted{}}
}

func (b *budget) tenant(name string) *semaphore.Weighted {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.tenants[name]
	if s == nil {
		s = semaphore.NewWeighted(b.max / 4)
		b.tenants[name] = s
	}
	return s
}

// reserve waits until n bytes are free for the tenant and returns how to give
// them back. errTooLarge if they never can be; ctx's error if it ends first.
func (b *budget) reserve(ctx context.Context, tenant string, n int64) (release func(), err error) {
	if n > b.max/4 {
		return nil, errTooLarge
	}
	share := b.tenant(tenant)
	if err := share.Acquire(ctx, n); err != nil {
		return nil, err
	}
	if err := b.all.Acquire(ctx, n); err != nil {
		share.Release(n)
		return nil, err
	}
	return func() { b.all.Release(n); share.Release(n) }, nil
}
