package slice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

const (
	// refreshTimeout is how long the cluster may take to answer in one refresh,
	// with all brokers that are tried.
	refreshTimeout = 15 * time.Second
	// answerTimeout is how long one broker may take to answer.
	answerTimeout = 5 * time.Second
	// demandGap is the least time between two refreshes on behalf of unknown ids
	// and nodes.
	demandGap = time.Second
	// backoffMin and backoffMax bound the time between two failed refreshes. The
	// longest is below the time that a client waits for the first contact with
	// its slice (5 s): who waits when the cluster comes up is served, not closed.
	backoffMin = 250 * time.Millisecond
	backoffMax = 2 * time.Second
)

var errNoBrokers = errors.New("it lists no brokers, as one does that is only starting")

// What brokers see of the slice's own client beside its client ID (KIP-511).
const (
	softwareName    = "sluice"
	softwareVersion = "service-client"
)

// refreshing is how callers talk to the goroutine that refreshes.
type refreshing struct {
	mu       sync.Mutex
	next     *round             // what callers wait for: the refresh that has not begun
	stop     context.CancelFunc // ends the refresh that is under way
	wanted   chan struct{}      // somebody waits for next
	reseeded chan struct{}      // the bootstrap servers have changed
}

// round is one refresh. err is set before done is closed.
type round struct {
	done chan struct{}
	err  error
}

// want asks for a refresh that begins after this call; all who ask before it
// begins share it.
func (r *refreshing) want() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		signal(r.wanted)
	}
	return r.next
}

func (r *refreshing) isWanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next != nil
}

// begin takes over those who wait: their refresh begins now. Nil if there are none.
func (r *refreshing) begin() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.next
	r.next = nil
	return taken
}

func (r *refreshing) setStop(stop context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = stop
}

// abort ends the refresh that is under way, if there is one.
func (r *refreshing) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
	}
}

// refreshed waits for a refresh that began after the call.
func (s *Slice) refreshed(ctx context.Context) error {
	r := s.refreshing.want()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return ErrClosed
	}
}

// refreshLoop is the only place where the cluster is asked for its topology.
func (s *Slice) refreshLoop() {
	p := pacer{}
	var of *target // that of the present client
	defer func() {
		if cl := s.client.Load(); cl != nil {
			cl.Close()
		}
	}()
	for {
		r := s.refreshing.begin()
		var err error
		of, err = s.refresh(of)
		if s.ctx.Err() != nil {
			return
		}
		if r != nil {
			r.err = err
			close(r.done)
		}
		if err == nil {
			p.failed = 0
		} else {
			p.failed++
		}
		if !s.pause(&p) {
			return
		}
	}
}

// pacer is when the refreshing goroutine may ask again.
type pacer struct {
	failed     int       // refreshes in a row that failed
	lastDemand time.Time // when callers last caused a refresh
}

// wait is how long to wait if nobody asks for anything.
func (p *pacer) wait(every time.Duration) time.Duration {
	if p.failed == 0 {
		return every*9/10 + rand.N(every/5+1)
	}
	return backoff(p.failed)
}

// backoff is how long to wait after the n-th failure in a row, n ≥ 1: between
// half and all of a time that doubles from 0.25 s up to 2 s.
func backoff(n int) time.Duration {
	d := min(backoffMin<<min(n-1, 10), backoffMax)
	return d/2 + rand.N(d/2+1)
}

// pause waits until the next refresh is due; false when the slice is closed.
// While the cluster does not answer, those who want a refresh wait as long as
// everybody.
func (s *Slice) pause(p *pacer) bool {
	regular := time.NewTimer(p.wait(s.o.RefreshEvery))
	defer regular.Stop()
	wanted := s.refreshing.wanted
	if p.failed > 0 {
		wanted = nil
	}
	var turn <-chan time.Time
	for {
		select {
		case <-s.ctx.Done():
			return false
		case <-regular.C:
			return true
		case <-s.refreshing.reseeded:
			p.failed = 0
			return true
		case <-wanted:
			if s.refreshing.isWanted() { // else it has been served by a regular one
				turn = time.After(time.Until(p.lastDemand.Add(demandGap)))
			}
		case <-turn:
			p.lastDemand = time.Now()
			return true
		}
	}
}

// refresh asks the cluster for its topology and publishes it. It returns the target
// of the client it used: given another one, it makes a new client first, and it begins
// again if it changes meanwhile.
func (s *Slice) refresh(old *target) (*target, error) {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, refreshTimeout)
		s.refreshing.setStop(cancel) // before the target is read: a change after that is seen here
		now := s.target.Load()
		err := s.renew(old, now)
		if err == nil {
			old = now
			err = s.ask(ctx)
		}
		s.refreshing.setStop(nil)
		cancel()
		if s.ctx.Err() == nil && s.target.Load() != now {
			continue
		}
		return old, err
	}
}

// renew replaces the client if it was made for another target.
func (s *Slice) renew(old, now *target) error {
	if old == now {
		return nil
	}
	cl, err := s.newClient(now)
	if err != nil {
		s.failed(false, "bootstrap_servers: "+err.Error())
		return fmt.Errorf("bootstrap_servers: %w", err)
	}
	if before := s.client.Swap(cl); before != nil {
		before.Close()
	}
	return nil
}

// newClient makes the slice's own client. It produces and consumes nothing and
// joins no group; it asks when it is told to (and for the list of brokers once an hour).
func (s *Slice) newClient(t *target) (*kgo.Client, error) {
	if len(t.seeds) == 0 {
		return nil, errors.New("there are none") // franz-go would take localhost
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(t.seeds...),
		kgo.ClientID(s.o.ClientID),
		kgo.SoftwareNameAndVersion(softwareName, softwareVersion),
		kgo.Dialer(s.connect),
		kgo.WithHooks(&s.failures),
		kgo.DisableClientMetrics(),
		// A retry goes to the next broker, known ones first. Not many: the slice
		// itself tries again, more and more slowly.
		kgo.RequestRetries(5),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20*time.Millisecond + rand.N(30*time.Millisecond) }),
		kgo.AlwaysRetryEOF(),
		kgo.RequestTimeoutOverhead(answerTimeout),
		// Keep the connections between two refreshes.
		kgo.ConnIdleTimeout(min(max(20*time.Second, 3*s.o.RefreshEvery), 10*time.Minute)),
		kgo.MetadataMaxAge(time.Hour),
	}
	if t.security.Login != nil {
		opts = append(opts, kgo.SASL(t.security.Login.Mechanism()))
	}
	return kgo.NewClient(opts...)
}

// ask is one Metadata request for all topics.
func (s *Slice) ask(ctx context.Context) error {
	s.failures.reset()
	before := s.learned.Load()
	req := kmsg.NewPtrMetadataRequest() // null topics: all
	asked := time.Now()
	resp, err := req.RequestWith(ctx, s.client.Load())
	if err == nil && len(resp.Brokers) == 0 {
		err = errNoBrokers
	}
	if err != nil {
		if ctx.Err() == context.Canceled { // closed, or other bootstrap servers
			return ctx.Err()
		}
		// franz-go gives the error code of the answer, too, as an error.
		var code *kerr.Error
		now, refused := s.target.Load(), loginRefused(err)
		answered := !refused && (errors.As(err, &code) || errors.Is(err, errNoBrokers))
		switch {
		case refused:
			err = now.security.refused(err)
		case answered:
			err = fmt.Errorf("the cluster answers, but not with its topology: %w", err)
		default:
			err = s.failures.explain(err, now)
		}
		s.failed(answered, err.Error())
		return err
	}
	t := topologyOf(resp)
	t.asked = asked
	moved := !t.sameBrokers(s.topology.Load())
	s.publish(t, before)
	s.succeeded(t)
	s.wantVersions(moved)
	return nil
}

// succeeded notes that the cluster is well.
func (s *Slice) succeeded(t *topology) {
	now := time.Now()
	h := Health{Reachable: true, Since: now, LastSuccess: now, Brokers: len(t.brokers), Topics: len(t.topics)}
	old := s.health.Load()
	if old.Reachable {
		h.Since = old.Since
	} else {
		s.log.Info("slice can be reached", zap.Int("brokers", h.Brokers), zap.Int("topics", h.Topics))
	}
	s.health.Store(&h)
	s.loginErr.Store(nil)
}

// failed notes why the topology could not be read.
func (s *Slice) failed(reachable bool, why string) {
	old := s.health.Load()
	h := *old
	h.Reachable, h.Err = reachable, why
	if old.Reachable != reachable {
		h.Since = time.Now()
	}
	if old.Reachable != reachable || old.Err == notReachedYet {
		s.log.Warn("slice cannot be refreshed", zap.Bool("reachable", reachable), zap.String("error", why))
	}
	s.health.Store(&h)
}
