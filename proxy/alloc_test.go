//go:build unix && !race

package proxy

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// limitedAndRuled has every limit and some rules, none of which hold anything up.
const limitedAndRuled = `defaults:
  limits: {request_rate: 100000000}
  limits_per_client_id: {producer_byte_rate: 900GiB, consumer_byte_rate: 900GiB}
tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    limits: {producer_byte_rate: 900GiB, consumer_byte_rate: 900GiB}
    rules:
      - {allow: [READ, WRITE], topics: ["payments.*"]}
      - {deny: [WRITE], topics: ["*.audit"]}
`

// spanningAndOpen has a second slice, which none of its requests goes to.
const spanningAndOpen = openTenant + `    reach: [clicks]
routes:
  - {topics: ["clicks.*", "*.clicks"], slice: clicks}
`

// What passes opaque or patched costs no allocation, on either way, whatever rules and
// limits there are; nor does what is spliced. (Under the race detector pools forget
// some of what they are given.)
func TestRequestsDoNotAllocate(t *testing.T) {
	for name, tenants := range map[string]string{"open": openTenant, "limited and ruled": limitedAndRuled, "spanning": spanningAndOpen} {
		c := cannedRig(t, tenants)
		for _, tc := range cannedRequests() {
			got := c.allocs(tc.req, tc.resp)
			for again := 0; got > 0.05 && again < 4; again++ { // a refresh of the topology, a timer
				got = min(got, c.allocs(tc.req, tc.resp))
			}
			if got > 0.05 {
				t.Errorf("%s, %s: %v allocations for each request", name, tc.name, got)
			}
		}
	}
}

// BenchmarkRequest is a request and its answer, there and back, for a tenant of one
// slice and for one of two: the same code, and what differs is within the noise. cpu-ns
// is processor time of the whole process, client and broker too.
func BenchmarkRequest(b *testing.B) {
	kinds := []struct{ name, tenants string }{{"pinned", openTenant}, {"ruled", limitedAndRuled}, {"spanning", spanningAndOpen}}
	var rigs []*canned
	for _, k := range kinds {
		rigs = append(rigs, cannedRig(b, k.tenants))
	}
	for _, tc := range cannedRequests() {
		for i, k := range kinds {
			b.Run(tc.name+"/"+k.name, func(b *testing.B) {
				ask, answer := rigs[i].prepare(tc.req, tc.resp)
				before := processorTime()
				for b.Loop() {
					rigs[i].once(ask, answer)
				}
				b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what the process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type cannedRequest struct {
	name string
	req  kmsg.Request
	resp kmsg.Response
}

func cannedRequests() []cannedRequest {
	produce := func(size int) kmsg.Request { return produceReq(9, 1, size, "payments.a") }
	produced := kmsg.NewPtrProduceResponse()
	produced.Version = 9
	produced.Topics = []kmsg.ProduceResponseTopic{{Topic: "payments.a", Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxBytes, fetch.ReplicaID = 12, 50<<20, -1
	part := kmsg.NewFetchRequestTopicPartition()
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "payments.a", Partitions: []kmsg.FetchRequestTopicPartition{part, part, part}}}
	fetched := func(size int) *kmsg.FetchResponse {
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = 12
		p := kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches = make([]byte, size)
		resp.Topics = []kmsg.FetchResponseTopic{{Topic: "payments.a", Partitions: []kmsg.FetchResponseTopicPartition{p}}}
		return resp
	}
	return []cannedRequest{
		{"Produce", produce(500), produced},
		{"Produce of 300 kB", produce(300_000), produced},
		{"Fetch", fetch, fetched(500)},
		{"Fetch of 300 kB", fetch, fetched(300_000)},
		{"Fetch of nothing", fetch, fetched(0)},
	}
}

// canned is a client whose broker gives the same answer to every request.
type canned struct {
	t      testing.TB
	client net.Conn
	answer atomic.Pointer[[]byte]
}

// cannedRig is a gateway whose service client knows a cluster, and whose clients all
// come to the canned broker.
func cannedRig(t testing.TB, tenants string) *canned {
	c := &canned{t: t}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go c.serve(ln)
	r := newRig(t, "", tenants, fakeCluster(t, "payments.a"), fakeCluster(t, "clicks.a"))
	r.Drain(context.Background())
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatal(problems)
	}
	var known atomic.Bool
	g, err := Start(p, Options{Path: r.path, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if known.Load() {
			address = ln.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Drain(context.Background()) })
	r.Gateway = g
	eventually(t, 10*time.Second, "the slices are reached", func() bool {
		for _, s := range g.snapshot.Load().slices {
			if !s.Health().Reachable {
				return false
			}
		}
		return true
	})
	r.raw("payments.app", "").ask(metadataReq(9, "payments.a"))
	known.Store(true)
	c.client = r.raw("payments.app", "").Conn
	return c
}

func (c *canned) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go c.answers(conn)
	}
}

// answers ends with the first request that there is no answer to: the service client's.
func (c *canned) answers(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	b := make([]byte, 1<<20)
	for {
		if _, err := io.ReadFull(conn, b[:4]); err != nil {
			return
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		if _, err := io.ReadFull(conn, b[4:n]); err != nil {
			return
		}
		answer := c.answer.Load()
		if answer == nil {
			return
		}
		copy((*answer)[4:8], b[8:12])
		if _, err := conn.Write(*answer); err != nil {
			return
		}
	}
}

// allocs is how many allocations each request costs.
func (c *canned) allocs(req kmsg.Request, resp kmsg.Response) float64 {
	ask, b := c.prepare(req, resp)
	const warm, counted = 200, 2000
	var before, after runtime.MemStats
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it empties the pools
	for i := range warm + counted {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		c.once(ask, b)
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / counted
}

// prepare returns the request as bytes, and room for its answer.
func (c *canned) prepare(req kmsg.Request, resp kmsg.Response) (ask, b []byte) {
	answer := protocol.AppendResponse(nil, 0, resp)
	c.answer.Store(&answer)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("payments.app")).AppendRequest(nil, req, 7), make([]byte, len(answer))
}

func (c *canned) once(ask, b []byte) {
	if _, err := c.client.Write(ask); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c.client, b); err != nil {
		c.t.Fatal(err)
	}
}
