package slice

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// notReachedYet is Health.Err until the first refresh has ended.
const notReachedYet = "not reached yet"

// Health is how a slice is.
type Health struct {
	// Reachable: a broker answered when the slice was last refreshed. False until
	// the first answer.
	Reachable bool
	// Err is what is wrong, for people: what was dialled and what failed. Empty if
	// nothing is. It may be set while Reachable is true: the cluster answers, but
	// not as it should.
	Err string
	// Since is when Reachable last changed.
	Since time.Time
	// LastSuccess is when the topology was last read; zero if never.
	LastSuccess time.Time
	// Brokers and Topics count those of the last topology.
	Brokers, Topics int
}

// Health is how the slice was when it was last refreshed.
func (s *Slice) Health() Health {
	h := *s.health.Load()
	if why := s.versionsErr.Load(); h.Err == "" && why != nil {
		h.Err = *why
	}
	if why := s.loginErr.Load(); h.Err == "" && why != nil {
		h.Err = *why
	}
	return h
}

// failuresMax bounds the addresses that one error names.
const failuresMax = 8

// dialFailures collects, during one refresh, what franz-go's connections failed
// with: its own error names only the last of them.
type dialFailures struct {
	mu   sync.Mutex
	seen []failure
}

type failure struct {
	addr string
	err  error
}

var _ interface {
	kgo.HookBrokerConnect
	kgo.HookBrokerE2E
} = (*dialFailures)(nil)

// OnBrokerConnect is franz-go's hook.
func (f *dialFailures) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	f.note(meta, err)
}

// OnBrokerE2E is franz-go's hook.
func (f *dialFailures) OnBrokerE2E(meta kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	f.note(meta, e2e.Err())
}

func (f *dialFailures) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
}

func (f *dialFailures) note(meta kgo.BrokerMetadata, err error) {
	if err == nil {
		return
	}
	n := failure{net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port))), err}
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.seen, func(o failure) bool { return o.addr == n.addr })
	switch {
	case i >= 0:
		f.seen[i] = n
	case len(f.seen) < failuresMax:
		f.seen = append(f.seen, n)
	}
}

// explain is err, the end of a refresh, with every address that failed.
func (f *dialFailures) explain(err error, t *target) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) == 0 {
		return fmt.Errorf("no broker answered; bootstrap servers are %s: %w", strings.Join(t.seeds, ", "), err)
	}
	var all []string
	for _, n := range f.seen {
		all = append(all, n.addr+": "+t.security.reason(n.err))
	}
	return &unreachable{strings.Join(all, "; "), err}
}

// unreachable says it in our words and still unwraps to franz-go's error.
type unreachable struct {
	tried string
	cause error
}

func (e *unreachable) Error() string { return "no broker answered: " + e.tried }
func (e *unreachable) Unwrap() error { return e.cause }

// reason is err without franz-go's wrapping where the operating system has said
// it already, and in words where io has only a letter code.
func (x Security) reason(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return op.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connected, but it closed the connection without an answer (" + x.hint() + ")"
	}
	return err.Error()
}
