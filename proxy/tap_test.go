package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// TestMain lets more tests run at once than there are processors: most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A tap sees what the gateway sends to a cluster, frame by frame.
type tap struct {
	mu      sync.Mutex
	conns   []*tapped
	cut     int    // if set, the next long answer ends after so many bytes, and its connection
	instead []byte // if set, what a client gets for its next answer

	spoilt   uint32 // if set, the correlation id of an answer that is replaced, once
	spoiltBy []byte
}

// tapped is one connection to a broker.
type tapped struct {
	net.Conn
	tap    *tap
	broker string // the address it came in at
	in     []byte // not yet a whole frame
	sent   []seen
	out    []byte // what the broker answered
	closed bool
}

// seen is one request that reached a broker.
type seen struct {
	protocol.Header
	frame []byte
	at    time.Time
}

type tapListener struct {
	net.Listener
	tap *tap
}

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tapped{Conn: c, tap: l.tap, broker: c.LocalAddr().String()}
	l.tap.mu.Lock()
	defer l.tap.mu.Unlock()
	l.tap.conns = append(l.tap.conns, t)
	return t, nil
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	c.in = append(c.in, b[:n]...)
	for len(c.in) >= 4 {
		size := 4 + int(binary.BigEndian.Uint32(c.in))
		if len(c.in) < size {
			break
		}
		s := seen{frame: bytes.Clone(c.in[:size]), at: time.Now()}
		s.Header, _, _ = protocol.ParseHeader(s.frame, 1<<30)
		c.sent = append(c.sent, s)
		c.in = c.in[size:]
	}
	c.closed = c.closed || err != nil
	return n, err
}

func (c *tapped) Write(b []byte) (int, error) {
	c.tap.mu.Lock()
	cut, instead := 0, []byte(nil)
	if len(c.sent) > 0 && c.sent[0].ClientID != "sluice" {
		if instead = c.tap.instead; instead != nil {
			c.tap.instead = nil
		}
		if cut = c.tap.cut; cut > 0 && len(b) > cut {
			c.tap.cut = 0
		} else {
			cut = 0
		}
	}
	if len(b) >= 8 && c.tap.spoilt != 0 && binary.BigEndian.Uint32(b[4:]) == c.tap.spoilt {
		instead, c.tap.spoilt = c.tap.spoiltBy, 0
	}
	c.out = append(c.out, b...)
	c.tap.mu.Unlock()
	switch {
	case instead != nil:
		_, err := c.Conn.Write(instead)
		return len(b), err
	case cut > 0:
		_, _ = c.Conn.Write(b[:cut])
		return cut, c.Conn.Close()
	}
	return c.Conn.Write(b)
}

// requests are those of a client ID, of these keys if any are named.
func (t *tap) requests(clientID string, keys ...int16) []seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []seen
	for _, c := range t.conns {
		for _, s := range c.sent {
			if s.ClientID == clientID && (len(keys) == 0 || has(keys, s.Key)) {
				all = append(all, s)
			}
		}
	}
	return all
}

// connections are those over which the client ID asked something.
func (t *tap) connections(clientID string) (all []*tapped) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		if len(c.sent) > 0 && c.sent[0].ClientID == clientID {
			all = append(all, c)
		}
	}
	return all
}

// dropped are the connections over which clients asked something, and that ended.
func (t *tap) dropped() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		if len(c.sent) > 0 && c.sent[0].ClientID != "sluice" && c.closed {
			n++
		}
	}
	return n
}

// strangers are the requests of all clients but the gateway's own.
func (t *tap) strangers() (all []seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		for _, s := range c.sent {
			if s.ClientID != "sluice" {
				all = append(all, s)
			}
		}
	}
	return all
}

func has(keys []int16, key int16) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

// decoded is the request as the broker got it.
func (s *seen) decoded(t testing.TB) kmsg.Request {
	t.Helper()
	req := kmsg.RequestForKey(s.Key)
	req.SetVersion(s.Version)
	if err := req.ReadFrom(s.frame[s.Body:]); err != nil {
		t.Fatal(err)
	}
	return req
}

// tappedCluster is fakeCluster with a tap in front of its brokers.
func tappedCluster(t testing.TB, topics ...string) (*kfake.Cluster, *tap) {
	return tappedClusterWith(t, kfake.SeedTopics(4, topics...))
}

func tappedClusterWith(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, *tap) {
	t.Helper()
	tp := &tap{}
	c, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(2), kfake.DefaultNumPartitions(4),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return tapListener{l, tp}, err
		}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, tp
}

// raw is a client that does as it is told and knows nothing better.
type raw struct {
	net.Conn
	t        testing.TB
	clientID *string
	next     int32
	sent     map[int32]kmsg.Request
}

// raw connects to an address of the gateway, the bootstrap one if empty.
func (r *rig) raw(clientID, address string) *raw {
	r.t.Helper()
	if address == "" {
		address = r.bootstrap
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &raw{Conn: c, t: r.t, clientID: &clientID, sent: map[int32]kmsg.Request{}}
}

// frame is a request as it goes over the wire.
func (c *raw) frame(req kmsg.Request) []byte {
	c.next++
	c.sent[c.next] = req
	h := &protocol.Header{CorrelationID: c.next, NullClientID: c.clientID == nil}
	if c.clientID != nil {
		h.ClientID = *c.clientID
	}
	return protocol.AppendRequest(nil, h, req)
}

func (c *raw) send(reqs ...kmsg.Request) {
	c.t.Helper()
	var b []byte
	for _, req := range reqs {
		b = append(b, c.frame(req)...)
	}
	c.write(b)
}

func (c *raw) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// recv reads the next answer.
func (c *raw) recv() (correlation int32, resp kmsg.Response, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(c, body); err != nil {
		return 0, nil, err
	}
	correlation = int32(binary.BigEndian.Uint32(head[4:]))
	req := c.sent[correlation]
	if req == nil {
		return correlation, nil, fmt.Errorf("an answer to request %d, which was not sent", correlation)
	}
	delete(c.sent, correlation)
	resp = req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if protocol.FlexibleResponse(req.Key(), req.GetVersion()) {
		body = body[1:]
	}
	return correlation, resp, resp.ReadFrom(body)
}

// ask sends one request and reads one answer.
func (c *raw) ask(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(req)
	corr, resp, err := c.recv()
	if err != nil {
		c.t.Fatalf("%s: %v", protocol.Lookup(req.Key()).Name, err)
	}
	if corr != c.next {
		c.t.Fatalf("answer to request %d, want %d", corr, c.next)
	}
	return resp
}

// ended waits until the gateway closes the connection and says how long that took.
func (c *raw) ended(within time.Duration) time.Duration {
	c.t.Helper()
	began := time.Now()
	_ = c.SetReadDeadline(began.Add(within))
	n, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("the connection was not closed within %v", within)
	}
	if n > 0 {
		c.t.Errorf("%d bytes before the end of the connection", n)
	}
	return time.Since(began)
}

// batch is a record batch of one record with a value of n bytes. producer < 0 is
// none.
func batch(n int, producer int64) []byte {
	value := bytes.Repeat([]byte("x"), n)
	rec := []byte{0}                       // attributes
	rec = kbin.AppendVarlong(rec, 0)       // timestamp delta
	rec = kbin.AppendVarint(rec, 0)        // offset delta
	rec = kbin.AppendVarintBytes(rec, nil) // key
	rec = kbin.AppendVarintBytes(rec, value)
	rec = kbin.AppendVarint(rec, 0) // headers
	body := kbin.AppendVarint(nil, int32(len(rec)))
	body = append(body, rec...)
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: 1, MaxTimestamp: 1,
		ProducerID: producer, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: body,
	}
	if producer >= 0 {
		b.ProducerEpoch, b.FirstSequence = 0, 0
	}
	whole := b.AppendTo(nil)
	b.Length = int32(len(whole) - 12)
	whole = b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(whole[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// produce is a request with one batch of n bytes for partition 0 of each topic.
func produceReq(version, acks int16, n int, topics ...string) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 5000
	for _, name := range topics {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = name
		p := kmsg.NewProduceRequestTopicPartition()
		p.Records = batch(n, -1)
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}

func metadataReq(version int16, topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// fetchReq asks for partition 0 of each topic from the start, without a session.
func fetchReq(version int16, wait time.Duration, topics ...string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = version, -1, int32(wait.Milliseconds()), 1, 50<<20
	req.SessionEpoch = -1
	for _, name := range topics {
		t := kmsg.NewFetchRequestTopic()
		t.Topic = name
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LogStartOffset = 1<<20, -1, -1
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}

func apiVersionsReq(version int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "raw", "1"
	return req
}

// brokerPort is the gateway's address of a broker of the nth cluster.
func (r *rig) brokerPort(cluster int, node int32) string {
	return fmt.Sprintf("127.0.0.1:%d", r.base+1+4*cluster+int(node))
}

// metric is the sum of all series of a metric that carry these labels, given as
// name, value, name, value; of a histogram its count.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "sluice_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if matches(got, labels) {
				sum += value(m)
			}
		}
	}
	return sum
}

func matches(got map[string]string, want []string) bool {
	for i := 0; i < len(want); i += 2 {
		if got[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	}
	return 0
}

// lines are the log lines whose fields have all these values.
func (r *rig) lines(message string, fields map[string]string) (n int) {
	for _, e := range r.logs.FilterMessage(message).All() {
		got := map[string]string{}
		for k, v := range e.ContextMap() {
			got[k] = fmt.Sprint(v)
		}
		want := maps.Clone(fields)
		maps.DeleteFunc(want, func(k, v string) bool { return strings.Contains(got[k], v) })
		if len(want) == 0 {
			n++
		}
	}
	return n
}

// eventually waits until what must come true has.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// straight is a client of a cluster itself.
func straight(t testing.TB, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// rewrite replaces a part of the file and reloads.
func (r *rig) rewrite(part, by string) {
	r.t.Helper()
	b, err := os.ReadFile(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.Contains(string(b), part) {
		r.t.Fatalf("the file has no %q", part)
	}
	if err := os.WriteFile(r.path, []byte(strings.Replace(string(b), part, by, 1)), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if p := r.Reload(); p.Failed() {
		r.t.Fatal(p)
	}
}

func metadataOf(resp kmsg.Response) *kmsg.MetadataResponse { return resp.(*kmsg.MetadataResponse) }
