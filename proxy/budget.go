package proxy

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"
)

// These exceed a tenant's share of max_buffered.
var (
	errTooLarge = errors.New("the frame must be held whole and is larger than a quarter of gateway.max_buffered")
	errTooMuch  = errors.New("the request must be decoded and takes more memory for it than a quarter of gateway.max_buffered")
)

// budget bounds the memory of what is held: the frames of requests, what requests are
// decoded to, and answers. Each has the whole of max_buffered: a frame is held while it
// waits to be decoded, and until a broker takes it, which may first want its answers
// taken. Were that memory the same, those who hold some would wait for one another
// forever.
type budget struct {
	frames, decoded, answers *memory
}

func newBudget(max int64) *budget {
	return &budget{frames: newMemory(max, errTooLarge), decoded: newMemory(max, errTooMuch), answers: newMemory(max, errTooLarge)}
}

// memory bounds some bytes, in all and for each tenant (a quarter of the whole), so
// that no tenant can starve the others of it. Who finds it used up waits, and its
// socket with it.
type memory struct {
	max     int64
	tooMuch error // what is more than a tenant's share
	all     *semaphore.Weighted

	mu      sync.Mutex
	tenants map[string]*semaphore.Weighted
}

func newMemory(max int64, tooMuch error) *memory {
	return &memory{max: max, tooMuch: tooMuch, all: semaphore.NewWeighted(max), tenants: map[string]*semaphore.Weighted{}}
}

func (m *memory) tenant(name string) *semaphore.Weighted {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.tenants[name]
	if s == nil {
		s = semaphore.NewWeighted(m.max / 4)
		m.tenants[name] = s
	}
	return s
}

// reserve waits until n bytes are free for the tenant and returns how to give
// them back. tooMuch if they never can be; ctx's error if it ends first.
func (m *memory) reserve(ctx context.Context, tenant string, n int64) (release func(), err error) {
	if n > m.max/4 {
		return nil, m.tooMuch
	}
	share := m.tenant(tenant)
	if err := share.Acquire(ctx, n); err != nil {
		return nil, err
	}
	if err := m.all.Acquire(ctx, n); err != nil {
		share.Release(n)
		return nil, err
	}
	return func() { m.all.Release(n); share.Release(n) }, nil
}
