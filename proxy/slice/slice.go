package slice

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/protocol"
)

// Errors of a slice, to be tested with [errors.Is].
var (
	// ErrUnknownNode: the cluster has no broker with that node id, also after a
	// refresh.
	ErrUnknownNode = errors.New("no such broker in the cluster")
	// ErrClosed: the slice has been closed.
	ErrClosed = errors.New("slice is closed")
)

// Options say which cluster a slice is and how to reach it.
type Options struct {
	Name string // for logs and errors, as in the policy
	Slot int    // 0 to 511, as in the policy

	// BootstrapServers are host:port addresses of some of the cluster's brokers.
	BootstrapServers []string
	// Security is how they are spoken to; [Slice.Set] changes it.
	Security Security
	// ClientID is what the brokers see of the slice's own client; "sluice" if empty.
	ClientID string

	// Log takes a line whenever the cluster becomes reachable or stops being so.
	// Nil: no logs.
	Log *zap.Logger
	// Dial opens every connection to a broker. Each attempt ends after 5 s. Nil: a
	// net.Dialer with keep-alive.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// RefreshEvery is the time between two refreshes when all is well, give or
	// take a tenth so that several gateways do not ask together. 0: 30 s.
	RefreshEvery time.Duration
}

// Slice is one real cluster. All methods may be called concurrently. What they
// return is shared and must not be changed.
type Slice struct {
	o      Options
	log    *zap.Logger
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	topology atomic.Pointer[topology] // never nil; empty until the first refresh
	learned  atomic.Pointer[learned]  // never nil; ids seen since the last refresh
	versions atomic.Pointer[protocol.Versions]
	health   atomic.Pointer[Health]
	target   atomic.Pointer[target]
	client   atomic.Pointer[kgo.Client] // replaced only by the refreshing goroutine
	turn     atomic.Uint32              // round robin of Dial

	learning   sync.Mutex // one writer of learned at a time
	unknown    unknownIDs
	failures   dialFailures
	loginErr   atomic.Pointer[string] // why the last login of a data connection failed
	refreshing refreshing

	coordinators coordinators

	versionsDue   chan struct{}          // brokers should be asked for their API versions
	versionsReady chan struct{}          // closed when versions are first known
	versionsErr   atomic.Pointer[string] // which brokers did not tell their versions, and why
	versionsAsked time.Time              // of the refreshing goroutine
}

// Open starts to watch a cluster. It returns at once and keeps trying for as
// long as it takes, until Close.
func Open(o Options) *Slice {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.ClientID == "" {
		o.ClientID = "sluice"
	}
	if o.RefreshEvery <= 0 {
		o.RefreshEvery = 30 * time.Second
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	s := &Slice{
		o:             o,
		log:           o.Log.With(zap.String("slice", o.Name)),
		versionsDue:   make(chan struct{}, 1),
		versionsReady: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.topology.Store(&topology{})
	s.learned.Store(&learned{})
	s.health.Store(&Health{Err: notReachedYet, Since: time.Now()})
	s.target.Store(&target{slices.Clone(o.BootstrapServers), o.Security})
	s.refreshing.wanted = make(chan struct{}, 1)
	s.refreshing.reseeded = make(chan struct{}, 1)

	s.wg.Add(2)
	go func() { defer s.wg.Done(); s.refreshLoop() }()
	go func() { defer s.wg.Done(); s.versionsLoop() }()
	return s
}

// Close stops watching the cluster and waits until the slice's own connections
// and goroutines are gone. Connections that Dial returned stay open; callers
// that wait in another method get an error.
func (s *Slice) Close() {
	s.cancel()
	s.wg.Wait()
}

// Name is the slice's name in the policy.
func (s *Slice) Name() string { return s.o.Name }

// Slot is the slice's slot, 0 to 511.
func (s *Slice) Slot() int { return s.o.Slot }

// target is where a slice is and how it is spoken to. Immutable.
type target struct {
	seeds    []string
	security Security
}

// Set replaces the bootstrap servers and the security after a reload. If they differ
// from the present ones, a new client asks them at once; what is known of the cluster
// stays until they have answered. Connections that are open stay what they are.
func (s *Slice) Set(servers []string, security Security) {
	if now := s.target.Load(); slices.Equal(now.seeds, servers) && now.security == security {
		return
	}
	s.target.Store(&target{slices.Clone(servers), security})
	s.refreshing.abort()
	signal(s.refreshing.reseeded)
}

// signal leaves a token in c, which has room for one, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
