package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// drainTimeout is how long the last answers may take.
const drainTimeout = 60 * time.Second

// closed keeps so many requests in flight on each connection.
func closed(ctx context.Context, j Job, conns []*conn) (Result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			if err := c.loop(&stop); err != nil {
				// Ends the measurement, with this error, if it is not over.
				fail(fmt.Errorf("load: %s %s: %w", j.API, j.Address, err))
			}
		})
	}
	r, err := j.measure(ctx, conns)
	stop.Store(true)
	for _, c := range conns {
		_ = c.net.SetReadDeadline(time.Now().Add(drainTimeout))
		if err != nil {
			_ = c.net.Close()
		}
	}
	wg.Wait()
	if cause := context.Cause(ctx); err == nil && cause != nil {
		err = cause
	}
	return r, err
}

// loop sends a request for each answer until it is told to stop, and then reads
// the answers that are due.
func (c *conn) loop(stop *atomic.Bool) error {
	if err := c.send(c.job.Pipeline); err != nil {
		return err
	}
	for {
		n, err := c.receive()
		if err != nil {
			return err
		}
		if c.outstanding -= n; c.outstanding == 0 && stop.Load() {
			return nil
		}
		if n > 0 && !stop.Load() {
			if err := c.send(n); err != nil {
				return err
			}
		}
	}
}
