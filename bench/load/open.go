package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// mostDue is how many requests of one connection may wait for their answers.
	mostDue = 1 << 14
	// The range of latencies and its digits; what is beyond counts as the longest.
	shortest, longest, digits = int64(time.Microsecond), int64(time.Minute), 3
	// spin is how long before a request is due its thread stays awake.
	spin = 20 * time.Microsecond
)

// reader takes the answers of one connection in an open loop.
type reader struct {
	conn *conn
	due  chan time.Time // of the requests that were sent
	hist *hdrhistogram.Histogram
}

// open sends at a fixed rate, to one connection after the other, from one thread
// that does nothing else.
func open(ctx context.Context, j Job, conns []*conn) (Result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	begin := time.Now().Add(10 * time.Millisecond)
	from, to := begin.Add(j.Warmup), begin.Add(j.Warmup+j.Length)
	readers := make([]*reader, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		r := &reader{conn: c, due: make(chan time.Time, mostDue), hist: NewHistogram()}
		readers[i] = r
		wg.Go(func() {
			if err := r.read(from, to); err != nil {
				fail(fmt.Errorf("load: %s %s: %w", j.API, j.Address, err))
			}
		})
	}
	wg.Go(func() {
		if err := pace(ctx, j, readers, begin); err != nil {
			fail(fmt.Errorf("load: %s %s: %w", j.API, j.Address, err))
		}
	})
	r, err := j.measure(ctx, conns)
	if err != nil {
		fail(err)
		closeAll(conns)
	}
	for _, c := range conns {
		_ = c.net.SetReadDeadline(time.Now().Add(j.Length + drainTimeout))
	}
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return r, cause
	}
	all := NewHistogram()
	for _, r := range readers {
		all.Merge(r.hist)
	}
	r.Latency = LatencyOf(all)
	return r, nil
}

// pace sends each request when it is due, or as soon after as it can.
func pace(ctx context.Context, j Job, readers []*reader, begin time.Time) error {
	ownThread()
	defer func() {
		for _, r := range readers {
			close(r.due)
		}
	}()
	gap := float64(time.Second) / j.Rate
	for i := range int((j.Warmup + j.Length).Seconds() * j.Rate) {
		due := begin.Add(time.Duration(float64(i) * gap))
		if wait := time.Until(due) - spin; wait > 0 {
			preciseSleep(wait)
		}
		// The rest is spun away.
		for time.Now().Before(due) {
		}
		if ctx.Err() != nil {
			return nil
		}
		r := readers[i%len(readers)]
		select {
		case r.due <- due:
		default:
			return errors.New("the rate is beyond what is answered")
		}
		if err := r.conn.send(1); err != nil {
			return err
		}
	}
	return nil
}

// read takes the answers until no more requests come, and records those that were
// due within the time measured.
func (r *reader) read(from, to time.Time) error {
	answered := 0
	for due := range r.due {
		for answered == 0 {
			n, err := r.conn.receive()
			if err != nil {
				return err
			}
			answered += n
		}
		answered--
		if !due.Before(from) && due.Before(to) {
			Record(r.hist, time.Since(due))
		}
	}
	return nil
}

// NewHistogram is one for latencies in nanoseconds.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// Record adds a latency; what is longer than a minute counts as a minute.
func Record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(int64(d), longest)) // within its range
}

// LatencyOf reads the quantiles of a histogram.
func LatencyOf(h *hdrhistogram.Histogram) *Latency {
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / float64(time.Millisecond) }
	l := &Latency{P50: ms(50), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / float64(time.Millisecond)}
	for _, q := range Quantiles {
		l.Quantiles = append(l.Quantiles, ms(q))
	}
	return l
}
