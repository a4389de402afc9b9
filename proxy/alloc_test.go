//go:build !race

package proxy

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"

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

// What passes opaque or patched costs no allocation, on either way, whatever rules and
// limits there are; nor does what is spliced. (Under the race detector pools forget
// some of what they are given.)
func TestRequestsDoNotAllocate(t *testing.T) {
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
	for name, tenants := range map[string]string{"open": openTenant, "limited and ruled": limitedAndRuled} {
		c := cannedRig(t, tenants)
		for _, tc := range []struct {
			name string
			req  kmsg.Request
			resp kmsg.Response
		}{
			{"Produce", produce(500), produced},
			{"Produce of 300 kB", produce(300_000), produced},
			{"Fetch", fetch, fetched(500)},
			{"Fetch of 300 kB", fetch, fetched(300_000)},
			{"Fetch of nothing", fetch, fetched(0)},
		} {
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

// canned is a client whose broker gives the same answer to every request.
type canned struct {
	t      *testing.T
	client net.Conn
	answer atomic.Pointer[[]byte]
}

// cannedRig is a gateway whose service client knows a cluster, and whose clients all
// come to the canned broker.
func cannedRig(t *testing.T, tenants string) *canned {
	c := &canned{t: t}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go c.serve(ln)
	r := newRig(t, "", tenants, fakeCluster(t, "payments.a"))
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
	answer := protocol.AppendResponse(nil, 0, resp)
	c.answer.Store(&answer)
	ask := kmsg.NewRequestFormatter(kmsg.FormatterClientID("payments.app")).AppendRequest(nil, req, 7)
	b := make([]byte, len(answer))
	const warm, counted = 200, 2000
	var before, after runtime.MemStats
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it empties the pools
	for i := range warm + counted {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		if _, err := c.client.Write(ask); err != nil {
			c.t.Fatal(err)
		}
		if _, err := io.ReadFull(c.client, b); err != nil {
			c.t.Fatalf("%s after %d: %v", kmsg.NameForKey(req.Key()), i, err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / counted
}
