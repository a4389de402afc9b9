package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/bench/proc"
)

// handshakes is how many TLS handshakes an idle job has under way: thousands at once
// take longer than a proxy waits for a first request.
const handshakes = 100

// idle opens all connections at once, sends a few requests on each, and leaves them.
func idle(ctx context.Context, j Job, frame []byte) (Result, error) {
	before, err := j.footprint()
	if err != nil {
		return Result{}, err
	}
	begin := time.Now()
	together := j.Conns
	if j.CA != "" {
		together = min(together, handshakes)
	}
	conns, err := dialAll(ctx, j, frame, together)
	defer closeAll(conns)
	if err != nil {
		return Result{}, err
	}
	opened, err := j.footprint()
	if err != nil {
		return Result{}, err
	}
	r := Result{Seconds: time.Since(begin).Seconds(), Requests: int64(j.Conns), CPU: (opened.cpu - before.cpu).Seconds(), Idle: &Idle{}}
	if err := traffic(j, conns); err != nil {
		return r, err
	}
	if err := sleep(ctx, j.Length/2); err != nil {
		return r, err
	}
	still, err := j.footprint()
	if err != nil {
		return r, err
	}
	if err := sleep(ctx, j.Length/2); err != nil {
		return r, err
	}
	after, err := j.footprint()
	r.Idle.BytesEach = float64(after.rss-before.rss) / float64(j.Conns)
	r.Idle.CPU = (after.cpu - still.cpu).Seconds() / (j.Length / 2).Seconds()
	return r, err
}

// footprint is what the process takes at one time.
type footprint struct {
	rss int64
	cpu time.Duration
}

func (j Job) footprint() (f footprint, err error) {
	if j.PID == 0 {
		return f, nil
	}
	if f.rss, err = proc.RSS(j.PID); err != nil {
		return f, err
	}
	f.cpu, err = proc.CPU(j.PID)
	return f, err
}

// traffic sends the requests of all connections and reads the answers.
func traffic(j Job, conns []*conn) error {
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			_ = c.net.SetDeadline(time.Now().Add(drainTimeout))
			errs[i] = c.send(j.Pipeline)
			for c.outstanding > 0 && errs[i] == nil {
				var n int
				n, errs[i] = c.receive()
				c.outstanding -= n
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load: traffic before idling: %w", err)
	}
	return nil
}
