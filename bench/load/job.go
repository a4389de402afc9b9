package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sluice/bench/proc"
	"sluice/bench/wire"
)

// The requests that a job can send.
const (
	Produce  = "produce"
	Fetch    = "fetch"
	Metadata = "metadata" // of all topics
)

// Job is one measurement.
type Job struct {
	Address  string `json:"address"`   // of what is measured
	PID      int    `json:"pid"`       // the process whose processor time is taken; 0 for none
	CA       string `json:"ca"`        // PEM, what to trust; then connections speak TLS
	ClientID string `json:"client_id"` // in every request
	API      string `json:"api"`       // Produce, Fetch or Metadata
	Size     int    `json:"size"`      // bytes of record batches in a Produce or in the answer to a Fetch
	Conns    int    `json:"conns"`     // connections
	Pipeline int    `json:"pipeline"`  // requests in flight on each, in a closed loop
	// Joined writes together what one read allows to send. Real clients write one
	// request at a time.
	Joined bool `json:"joined"`
	// Rate is requests per second over all connections, evenly spaced; 0 is a closed loop.
	Rate float64 `json:"rate"`
	// Idle opens all connections at once (over TLS, some at a time), sends [Job.Pipeline] requests on each, and
	// leaves them open for Length. Rate and Joined have no meaning then.
	Idle bool `json:"idle"`
	// Warmup is how long it goes on before it is measured, Length for how long it is at
	// least.
	Warmup time.Duration `json:"warmup"`
	Length time.Duration `json:"length"`
}

// Result is what was measured, between two instants with traffic before and behind.
type Result struct {
	Seconds  float64 `json:"seconds"`
	Requests int64   `json:"requests"` // answered
	// Bytes are those of whole Produce requests, or of whole answers to the others.
	Bytes   int64   `json:"bytes"`
	CPU     float64 `json:"cpu"`      // seconds, of the process PID
	LoadCPU float64 `json:"load_cpu"` // seconds, of the process that sends
	// Latency is set for an open loop.
	Latency *Latency `json:"latency,omitempty"`
	// Idle is set for a job that is [Job.Idle]; then Seconds, Requests (one for each
	// connection) and CPU are those of opening all.
	Idle *Idle `json:"idle,omitempty"`
}

// Idle is what open connections without traffic take.
type Idle struct {
	// BytesEach is what the resident memory of the process has grown, from before they
	// were opened until they were idle for the job's length, for each connection.
	BytesEach float64 `json:"bytes_each"`
	// CPU is seconds of the process in each second of idling.
	CPU float64 `json:"cpu"`
}

// Latency is a distribution, in milliseconds from when a request was due to its answer.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	// Quantiles are for plots: those of Quantiles, in its order.
	Quantiles []float64 `json:"quantiles"`
}

// Quantiles are the ones that a Latency lists.
var Quantiles = []float64{10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99}

// PerGB is seconds of the process's time for each 10⁹ bytes.
func (r Result) PerGB() float64 { return r.CPU / (float64(r.Bytes) / 1e9) }

// PerMillion is seconds of the process's time for each million requests.
func (r Result) PerMillion() float64 { return r.CPU / (float64(r.Requests) / 1e6) }

// Run does the job. When it returns, all that was asked is answered.
func Run(ctx context.Context, j Job) (Result, error) {
	if j.Conns < 1 || j.Rate == 0 && j.Pipeline < 1 {
		return Result{}, errors.New("load: no connections, or nothing in flight on them")
	}
	frame, err := j.frame()
	if err != nil {
		return Result{}, err
	}
	if j.Idle {
		return idle(ctx, j, frame)
	}
	conns, err := dialAll(ctx, j, frame, atOnce(j))
	defer closeAll(conns)
	if err != nil {
		return Result{}, err
	}
	if j.Rate > 0 {
		return open(ctx, j, conns)
	}
	return closed(ctx, j, conns)
}

func (j Job) frame() ([]byte, error) {
	switch j.API {
	case Produce:
		return wire.Produce(j.ClientID, j.Size), nil
	case Fetch:
		return wire.Fetch(j.ClientID, j.Size), nil
	case Metadata:
		return wire.Metadata(j.ClientID), nil
	}
	return nil, fmt.Errorf("load: no such request: %q", j.API)
}

// instant is all counters at one time.
type instant struct {
	at              time.Time
	requests, bytes int64
	cpu, own        time.Duration
}

func (j Job) now(conns []*conn) (i instant, err error) {
	if j.PID != 0 {
		if i.cpu, err = proc.CPU(j.PID); err != nil {
			return i, err
		}
	}
	if i.own, err = proc.CPU(os.Getpid()); err != nil {
		return i, err
	}
	i.at = time.Now()
	for _, c := range conns {
		i.requests += c.requests.Load()
		i.bytes += c.bytes.Load()
	}
	return i, nil
}

// mostLength is how long a measurement may take on a machine that is too slow.
const mostLength = 5 * time.Minute

// measure waits for the warm-up and takes the time that follows, until there were as
// many answers as there are connections at least.
func (j Job) measure(ctx context.Context, conns []*conn) (Result, error) {
	var r Result
	if err := sleep(ctx, j.Warmup); err != nil {
		return r, err
	}
	begin, err := j.now(conns)
	if err != nil {
		return r, err
	}
	if err := sleep(ctx, j.Length); err != nil {
		return r, err
	}
	end, err := j.now(conns)
	for err == nil && end.requests-begin.requests < int64(j.Conns) {
		if end.at.Sub(begin.at) > mostLength {
			return r, fmt.Errorf("load: %d answers on %d connections in %v", end.requests-begin.requests, j.Conns, mostLength)
		}
		if err = sleep(ctx, j.Length/4); err == nil {
			end, err = j.now(conns)
		}
	}
	if err != nil {
		return r, err
	}
	r = Result{
		Seconds: end.at.Sub(begin.at).Seconds(), Requests: end.requests - begin.requests, Bytes: end.bytes - begin.bytes,
		CPU: (end.cpu - begin.cpu).Seconds(), LoadCPU: (end.own - begin.own).Seconds(),
	}
	return r, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
