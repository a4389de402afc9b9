package slice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// dialTimeout is how long one attempt to connect may take.
const dialTimeout = 5 * time.Second

var errDialTimeout = fmt.Errorf("no connection within %v", dialTimeout)

// Dial opens a connection to a broker and returns it with the broker's node id.
//
// A negative node is any broker that takes the connection, in turn; before the
// first topology it is one of the bootstrap servers, whose node id is not known
// (−1). A node that is not in the topology costs one refresh, shared with all
// who wait for one, and is then [ErrUnknownNode]. Nothing else is tried twice.
func (s *Slice) Dial(ctx context.Context, node int32) (net.Conn, int32, error) {
	if s.ctx.Err() != nil {
		return nil, -1, fmt.Errorf("slice %s: %w", s.o.Name, ErrClosed)
	}
	if node < 0 {
		return s.dialAny(ctx)
	}
	addr, ok := s.topology.Load().addresses[node]
	if !ok {
		if err := s.refreshed(ctx); err != nil {
			return nil, -1, fmt.Errorf("slice %s: broker %d is not known and the cluster cannot be asked: %w", s.o.Name, node, err)
		}
		if addr, ok = s.topology.Load().addresses[node]; !ok {
			return nil, -1, fmt.Errorf("slice %s: broker %d: %w", s.o.Name, node, ErrUnknownNode)
		}
	}
	conn, err := s.connect(ctx, "tcp", addr)
	if err != nil {
		s.refreshing.want() // it may have moved: the next caller should know
		return nil, -1, fmt.Errorf("slice %s: broker %d at %s: %w", s.o.Name, node, addr, err)
	}
	return conn, node, nil
}

// dialAny tries the brokers one after the other, each caller beginning with
// another one.
func (s *Slice) dialAny(ctx context.Context) (net.Conn, int32, error) {
	brokers := s.Brokers()
	if len(brokers) == 0 {
		return s.dialBootstrap(ctx)
	}
	var failed attempts
	first := int(s.turn.Add(1) % uint32(len(brokers)))
	for i := range brokers {
		b := brokers[(first+i)%len(brokers)]
		conn, err := s.connect(ctx, "tcp", b.address())
		if err == nil {
			return conn, b.ID, nil
		}
		failed.add(b.address(), err)
		if ctx.Err() != nil {
			break
		}
	}
	s.refreshing.want()
	return nil, -1, fmt.Errorf("slice %s: no broker can be connected to: %w", s.o.Name, failed)
}

func (s *Slice) dialBootstrap(ctx context.Context) (net.Conn, int32, error) {
	seeds := s.target.Load().seeds
	if len(seeds) == 0 {
		return nil, -1, fmt.Errorf("slice %s: it has no bootstrap servers", s.o.Name)
	}
	var failed attempts
	first := int(s.turn.Add(1) % uint32(len(seeds)))
	for i := range seeds {
		seed := seeds[(first+i)%len(seeds)]
		conn, err := s.connect(ctx, "tcp", seed)
		if err == nil {
			return conn, -1, nil
		}
		failed.add(seed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, -1, fmt.Errorf("slice %s: no bootstrap server can be connected to: %w", s.o.Name, failed)
}

// connect is one attempt, with the TLS handshake. Its error is a *net.OpError, by
// which franz-go sees that another broker is worth a try, unless ctx has ended.
func (s *Slice) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	attempt, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.o.Dial(attempt, network, addr)
	if with := s.target.Load().security.TLS; err == nil && with != nil {
		conn, err = handshake(attempt, with, conn, addr)
	}
	var op *net.OpError
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
	case attempt.Err() != nil: // a context error would look as if the caller had given up
		err = errDialTimeout
	case errors.As(err, &op):
		return nil, err
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: err}
}

// attempts are the errors of several addresses, as one.
type attempts struct {
	text []string
	errs []error
}

func (a *attempts) add(addr string, err error) {
	a.text = append(a.text, addr+": "+err.Error())
	a.errs = append(a.errs, err)
}

func (a attempts) Error() string   { return strings.Join(a.text, "; ") }
func (a attempts) Unwrap() []error { return a.errs }
