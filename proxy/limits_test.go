package proxy

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// limited is the tenant that may do everything, within limits.
func limited(limits string) string { return openTenant + "    limits: {" + limits + "}\n" }

// leaderRig is a rig with one tenant and the raw connection to the leader of payments.a.
func leaderRig(t *testing.T, gateway, tenants string) (*rig, *kfake.Cluster, *tap, *raw) {
	t.Helper()
	cluster, tap := tappedCluster(t, "payments.a", "other")
	r := newRig(t, gateway, tenants, cluster)
	return r, cluster, tap, r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
}

// within says how long f takes, and complains unless it is between the two.
func within(t *testing.T, what string, least, most time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took < least || took > most {
		t.Errorf("%s took %v, want %v to %v", what, took, least, most)
	}
}

// A client that ignores throttle_time_ms is held all the same.
func TestProducerByteRate(t *testing.T) {
	t.Parallel()
	r, _, tap, c := leaderRig(t, "", limited("producer_byte_rate: 100kB, burst: 100ms"))
	announced := int32(0)
	within(t, "200 kB at 100 kB/s", 1700*time.Millisecond, 3500*time.Millisecond, func() {
		for range 10 {
			resp := c.ask(produceReq(9, 1, 20_000, "payments.a")).(*kmsg.ProduceResponse)
			if code := produced(resp)["payments.a"]; code != 0 {
				t.Fatalf("error %d", code)
			}
			announced = max(announced, resp.ThrottleMillis)
		}
	})
	// One request at a time waits until nothing is owed, and says a trace of that.
	if announced < 1 || announced > 100 {
		t.Errorf("throttle_time_ms %d at most", announced)
	}
	// Another connection takes its turn behind: what is answered says how much it owes.
	behind := r.raw("payments.app", c.RemoteAddr().String())
	behind.ask(metadataReq(9))
	c.send(produceReq(9, 1, 20_000, "payments.a"))
	time.Sleep(50 * time.Millisecond)
	behind.send(produceReq(9, 1, 20_000, "payments.a"))
	_, resp, err := c.recv()
	if err != nil {
		t.Fatal(err)
	}
	announced = resp.(*kmsg.ProduceResponse).ThrottleMillis
	if announced < 50 || announced > 5000 {
		t.Errorf("throttle_time_ms %d with a turn behind it", announced)
	}
	if s := r.metric("throttled_seconds_total", "tenant", "payments", "limit", "producer_byte_rate", "level", "tenant", "mode", "enforce"); s < 1.5 || s > 4.5 {
		t.Errorf("%v s counted", s)
	}
	// What needs no token is not held, on a connection of its own.
	other := r.raw("payments.other", "")
	within(t, "Metadata", 0, 500*time.Millisecond, func() { other.ask(metadataReq(9, "payments.a")) })
	before := r.metric("bytes_total", "tenant", "payments", "slice", "orders", "direction", "in")
	size := 0
	for _, s := range tap.requests("payments.app", 0) {
		size += len(s.frame)
	}
	if before != float64(size) {
		t.Errorf("%v bytes counted, the broker saw %d", before, size)
	}
}

func TestProducerByteRateWithoutAcks(t *testing.T) {
	t.Parallel()
	_, _, tap, c := leaderRig(t, "", limited("producer_byte_rate: 100kB, burst: 100ms"))
	within(t, "200 kB without acks", 1600*time.Millisecond, 3500*time.Millisecond, func() {
		for range 10 {
			c.send(produceReq(9, 0, 20_000, "payments.a"))
		}
		c.ask(metadataReq(9, "payments.a")) // the only one with an answer
	})
	if n := len(tap.requests("payments.app", 0)); n != 10 {
		t.Errorf("%d reached the broker", n)
	}
}

func TestConsumerByteRate(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a")
	p := straight(t, cluster, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range 60 {
		if err := p.ProduceSync(context.Background(), &kgo.Record{Topic: "payments.a", Value: make([]byte, 5000)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, "", limited("consumer_byte_rate: 100kB, burst: 100ms"), cluster)
	c := r.client("payments.app", kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ConsumeTopics("payments.a"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	within(t, "300 kB at 100 kB/s", 2500*time.Millisecond, 8*time.Second, func() {
		for got := 0; got < 60; {
			fs := c.PollFetches(ctx)
			if err := fs.Err(); err != nil {
				t.Fatal(err)
			}
			got += fs.NumRecords()
		}
	})
	shrunk := false
	for _, s := range tap.requests("payments.app", 1) {
		shrunk = shrunk || s.decoded(t).(*kmsg.FetchRequest).MaxBytes < 1<<20
	}
	if !shrunk {
		t.Error("no Fetch was shrunk")
	}
	if got := r.metric("bytes_total", "tenant", "payments", "direction", "out"); got < 300_000 {
		t.Errorf("%v bytes counted", got)
	}
}

func TestRequestRate(t *testing.T) {
	t.Parallel()
	r, _, _, c := leaderRig(t, "", limited("request_rate: 10, burst: 100ms"))
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group = 4, "payments.g"
	exempt := r.raw("payments.other", "")
	within(t, "20 requests at 10 per second", 1700*time.Millisecond, 3500*time.Millisecond, func() {
		for range 20 {
			c.ask(metadataReq(9, "payments.a"))
		}
	})
	// Exempt ones count, and are never held nor told.
	within(t, "20 heartbeats", 0, 700*time.Millisecond, func() {
		for range 20 {
			if got := exempt.ask(beat).(*kmsg.HeartbeatResponse).ThrottleMillis; got != 0 {
				t.Errorf("a heartbeat announces %d ms", got)
			}
		}
	})
	within(t, "a request after them", 1200*time.Millisecond, 3*time.Second, func() {
		if got := metadataOf(c.ask(metadataReq(9, "payments.a"))).ThrottleMillis; got > 2000 {
			t.Errorf("throttle_time_ms %d", got)
		}
	})
}

func TestConnections(t *testing.T) {
	t.Parallel()
	r, _, _, first := leaderRig(t, "", limited("connections: 2"))
	first.ask(apiVersionsReq(3))
	second := r.raw("payments.b", "")
	second.ask(apiVersionsReq(3))
	third := r.raw("payments.c", "")
	third.send(apiVersionsReq(3))
	eventually(t, time.Second, "the third is refused", func() bool {
		return r.metric("refused_connections_total", "reason", reasonConnections) == 1
	})
	// While it is held it takes nobody's place.
	_ = second.Close()
	eventually(t, time.Second, "the second is gone", func() bool { return len(r.connections()) == 2 })
	r.raw("payments.d", "").ask(apiVersionsReq(3))
	if took := third.ended(7 * time.Second); took < 3500*time.Millisecond {
		t.Errorf("held for %v", took)
	}
	first.ask(apiVersionsReq(3))
}

func TestConnectionCreationRate(t *testing.T) {
	t.Parallel()
	r, _, _, first := leaderRig(t, "", limited("connection_creation_rate: 1, burst: 1s"))
	within(t, "the first", 0, 500*time.Millisecond, func() { first.ask(apiVersionsReq(3)) })
	var all []*raw
	began := time.Now()
	for range 8 {
		c := r.raw("payments.more", "")
		c.send(apiVersionsReq(3))
		all = append(all, c)
	}
	eventually(t, 3*time.Second, "some are refused", func() bool {
		return r.metric("refused_connections_total", "reason", reasonCreationRate) >= 3
	})
	answered := 0
	for _, c := range all {
		if _, _, err := c.recv(); err == nil {
			answered++
		}
	}
	if took := time.Since(began); took > 7*time.Second || answered < 3 || answered > 5 {
		t.Errorf("%d of 8 answered within 4 s at 1 per second, after %v", answered, took)
	}
}

func TestControllerMutationRate(t *testing.T) {
	t.Parallel()
	r, _, _, c := leaderRig(t, "", limited("controller_mutation_rate: 2, burst: 1s"))
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	adm := kadm.NewClient(r.client("payments.admin"))
	if _, err := adm.CreateTopic(ctx, 6, 1, nil, "payments.new1"); err != nil { // into debt by two seconds
		t.Fatal(err)
	}
	controller := metadataOf(c.ask(metadataReq(9))).ControllerID
	c = r.raw("payments.app", r.brokerPort(0, controller))
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 7, 5000
	ct := kmsg.NewCreateTopicsRequestTopic()
	ct.Topic, ct.NumPartitions, ct.ReplicationFactor = "payments.new2", 1, 1
	create.Topics = append(create.Topics, ct)
	resp := c.ask(create).(*kmsg.CreateTopicsResponse)
	if resp.Topics[0].ErrorCode != kerr.ThrottlingQuotaExceeded.Code || resp.ThrottleMillis <= 0 || resp.ThrottleMillis > 2000 {
		t.Errorf("error %d, throttle_time_ms %d", resp.Topics[0].ErrorCode, resp.ThrottleMillis)
	}
	// What does not change partitions is not held.
	within(t, "Metadata", 0, 500*time.Millisecond, func() { c.ask(metadataReq(9, "payments.a")) })
	// An older version does not know the error: it is held instead.
	create.Version = 5
	within(t, "an old CreateTopics", 500*time.Millisecond, 3*time.Second, func() {
		if got := c.ask(create).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; got != 0 {
			t.Errorf("error %d", got)
		}
	})
	// It passes later.
	eventually(t, 8*time.Second, "a topic is created", func() bool {
		resp, err := adm.CreateTopic(ctx, 1, 1, nil, "payments.new3")
		return err == nil && resp.Err == nil
	})
}

// Of several topics those are created that the bucket has room for, and the answer
// says how long to wait for the others.
func TestControllerMutationRateInPart(t *testing.T) {
	t.Parallel()
	r, _, tap, c := leaderRig(t, "", limited("controller_mutation_rate: 2, burst: 1s"))
	c = r.raw("payments.app", r.brokerPort(0, metadataOf(c.ask(metadataReq(9))).ControllerID))
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 7, 5000
	for i, partitions := range []int32{2, 3, 1} {
		ct := kmsg.NewCreateTopicsRequestTopic()
		ct.Topic, ct.NumPartitions, ct.ReplicationFactor = "payments.new"+itoa(i), partitions, 1
		create.Topics = append(create.Topics, ct)
	}
	resp := c.ask(create).(*kmsg.CreateTopicsResponse)
	codes := map[string]int16{}
	for _, got := range resp.Topics {
		codes[got.Topic] = got.ErrorCode
	}
	if len(codes) != 3 || codes["payments.new0"] != 0 || codes["payments.new1"] != 0 || codes["payments.new2"] != 89 {
		t.Errorf("%v", codes)
	}
	if resp.ThrottleMillis < 500 || resp.ThrottleMillis > 2000 {
		t.Errorf("throttle_time_ms %d", resp.ThrottleMillis)
	}
	all := tap.requests("payments.app", 19)
	if len(all) != 1 || len(all[0].decoded(t).(*kmsg.CreateTopicsRequest).Topics) != 2 {
		t.Errorf("%d requests reached the broker", len(all))
	}
}

// A client that gives up while its Produce waits for its turn will send it again: it
// must not be executed.
func TestWhoGaveUpIsNotServed(t *testing.T) {
	t.Parallel()
	r, _, tap, c := leaderRig(t, "", limited("producer_byte_rate: 20kB, burst: 100ms"))
	c.ask(produceReq(9, 1, 10_000, "payments.a"))
	c.send(produceReq(9, 1, 20_000, "payments.a")) // about a second
	eventually(t, time.Second, "it waits", func() bool {
		return r.metric("throttled_requests_total", "limit", "producer_byte_rate") == 2
	})
	_ = c.Close()
	eventually(t, 3*time.Second, "the connection is gone", func() bool { return len(r.connections()) == 0 })
	if n := len(tap.requests("payments.app", 0)); n != 1 {
		t.Errorf("%d Produce requests reached the broker, want 1", n)
	}
	// Nor is it charged for.
	other := r.raw("payments.other", r.brokerPort(0, 0))
	if took := other.timed(produceReq(9, 1, 100, "payments.a")); took > 700*time.Millisecond {
		t.Errorf("the next Produce took %v", took)
	}
}

// What the rules deny is not charged, and stands in the answer beside what the quota
// refuses and what was created.
func TestControllerMutationRateAndRules(t *testing.T) {
	t.Parallel()
	rules := rulesTenant + "    limits: {controller_mutation_rate: 2, burst: 1s}\n"
	r, cluster, _, _ := leaderRig(t, "", rules)
	controller := metadataOf(r.raw("payments.app", "").ask(metadataReq(9))).ControllerID
	c := r.raw("payments.app", r.brokerPort(0, controller))
	denied := []string{"other1", "other2", "other3", "other4", "other5"} // five partitions, if they counted
	got := createdTopics(c.ask(createReq(7, append(denied, "payments.new.1")...)))
	if len(got) != 6 || got["payments.new.1"] != 0 || got["other1"] != 29 || got["other5"] != 29 {
		t.Errorf("created: %v", got)
	}
	big := createReq(7, "other1", "payments.new.2", "payments.new.3")
	big.Topics[1].NumPartitions = 6 // into debt
	got = createdTopics(c.ask(big))
	if len(got) != 3 || got["other1"] != 29 || got["payments.new.2"] != 0 || got["payments.new.3"] != kerr.ThrottlingQuotaExceeded.Code {
		t.Errorf("some created: %v", got)
	}
	resp := c.ask(createReq(7, "other1", "payments.new.3")).(*kmsg.CreateTopicsResponse)
	got = createdTopics(resp)
	if len(got) != 2 || got["other1"] != 29 || got["payments.new.3"] != kerr.ThrottlingQuotaExceeded.Code || resp.ThrottleMillis <= 0 {
		t.Errorf("none created: %v, throttle_time_ms %d", got, resp.ThrottleMillis)
	}
	for topic, want := range map[string]bool{"payments.new.1": true, "payments.new.2": true, "payments.new.3": false, "other1": false} {
		if there := cluster.TopicInfo(topic) != nil; there != want {
			t.Errorf("%s exists: %v", topic, there)
		}
	}
}

// throttle_time_ms is the larger of the broker's and ours.
func TestThrottleIsTheLarger(t *testing.T) {
	t.Parallel()
	_, cluster, _, c := leaderRig(t, "", limited("producer_byte_rate: 10kB, request_rate: 1000, burst: 100ms"))
	broker := make(chan int32, 1)
	for _, key := range []int16{0, 10} {
		cluster.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
			select {
			case ms := <-broker:
				cluster.KeepControl()
				resp := req.ResponseKind()
				resp.(kmsg.SetThrottleResponse).SetThrottle(ms)
				return resp, nil, true
			default:
				return nil, nil, false
			}
		})
	}
	throttled := func(req kmsg.Request) int32 {
		ms, _ := c.ask(req).(kmsg.ThrottleResponse).Throttle()
		return ms
	}
	broker <- 4321
	if got := throttled(produceReq(9, 1, 100, "payments.a")); got != 4321 {
		t.Errorf("the broker's 4321 became %d", got)
	}
	broker <- 7
	if got := throttled(produceReq(9, 1, 10_000, "payments.a")); got != 7 && got < 100 {
		t.Errorf("the broker's 7 became %d", got)
	}
	broker <- 1
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"payments.g"}
	if got := throttled(find); got != 1 {
		t.Errorf("FindCoordinator, which no limit holds: the broker's 1 became %d", got)
	}
}

// Observing changes no byte on the wire, and counts what enforcing would do.
func TestObserve(t *testing.T) {
	t.Parallel()
	const tenant = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    enforcement: observe
    limits: {producer_byte_rate: 1kB, consumer_byte_rate: 1kB, request_rate: 1, connections: 1, connection_creation_rate: 1, controller_mutation_rate: 1, burst: 1s}
    rules: [{allow: [READ], topics: ["payments.x"]}]
`
	r, cluster, tap, c := leaderRig(t, "", tenant)
	second := r.raw("payments.second", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	within(t, "a second connection", 0, time.Second, func() { second.ask(apiVersionsReq(3)) })
	listOffsets := kmsg.NewPtrListOffsetsRequest()
	listOffsets.Version, listOffsets.ReplicaID = 7, -1
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = "payments.a"
	lt.Partitions = append(lt.Partitions, kmsg.NewListOffsetsRequestTopicPartition())
	listOffsets.Topics = append(listOffsets.Topics, lt)
	session := fetchReq(11, 0, "payments.a", "other")
	session.SessionEpoch = 0
	var sent []byte
	answers := 0
	for range 3 {
		for _, req := range []kmsg.Request{
			produceReq(9, 1, 20_000, "payments.a"), produceReq(9, 0, 20_000, "payments.a"), produceReq(7, -1, 10_000, "payments.a", "other"),
			fetchReq(11, 0, "payments.a"), session, listOffsets,
		} {
			frame := c.frame(req)
			sent = append(sent, frame...)
			c.write(frame)
			if p, ok := req.(*kmsg.ProduceRequest); !ok || p.Acks != 0 {
				answers++
			}
		}
	}
	var got []byte
	within(t, "what no limit may hold", 0, 4*time.Second, func() {
		for range answers {
			head := make([]byte, 4)
			if _, err := io.ReadFull(c, head); err != nil {
				t.Fatal(err)
			}
			body := make([]byte, int(head[0])<<24|int(head[1])<<16|int(head[2])<<8|int(head[3]))
			if _, err := io.ReadFull(c, body); err != nil {
				t.Fatal(err)
			}
			got = append(append(got, head...), body...)
		}
	})
	up := tap.connections("payments.app")
	if len(up) != 1 {
		t.Fatalf("%d connections to brokers", len(up))
	}
	tap.mu.Lock()
	var seen []byte
	for _, s := range up[0].sent {
		seen = append(seen, s.frame...)
	}
	back := bytes.Clone(up[0].out)
	tap.mu.Unlock()
	if !bytes.Equal(seen, sent) {
		t.Errorf("the broker saw %d bytes that are not the %d sent", len(seen), len(sent))
	}
	if !bytes.Equal(got, back) {
		t.Errorf("the client saw %d bytes that are not the broker's %d", len(got), len(back))
	}
	for _, limit := range []string{"producer_byte_rate", "consumer_byte_rate", "request_rate", "connections", "connection_creation_rate"} {
		if r.metric("throttled_requests_total", "tenant", "payments", "limit", limit, "mode", "observe") == 0 {
			t.Errorf("%s: nothing is counted", limit)
		}
	}
	if n := r.metric("throttled_requests_total", "mode", "enforce"); n != 0 {
		t.Errorf("%v are counted as enforced", n)
	}
	if r.metric("denied_total", "tenant", "payments", "resource", "topic", "operation", "WRITE", "mode", "observe") == 0 {
		t.Error("no denied WRITE is counted")
	}
	if r.metric("denied_total", "tenant", "payments", "resource", "topic", "operation", "READ", "mode", "observe") == 0 {
		t.Error("no denied READ is counted")
	}
	if r.metric("denied_total", "mode", "enforce") != 0 || r.metric("refused_connections_total") != 0 {
		t.Error("something was refused")
	}
}

// What waiting up to max_throttle cannot hold is let through, and counted.
func TestOverrun(t *testing.T) {
	t.Parallel()
	r, _, _, c := leaderRig(t, "max_throttle: 1s", limited("producer_byte_rate: 10kB, burst: 100ms"))
	within(t, "what is far beyond", 1500*time.Millisecond, 4*time.Second, func() {
		for range 3 {
			c.ask(produceReq(9, 1, 100_000, "payments.a"))
		}
	})
	if got := r.metric("limit_overrun_bytes_total", "tenant", "payments", "limit", "producer_byte_rate"); got < 200_000 || got > 300_000 {
		t.Errorf("%v bytes counted as overrun", got)
	}
}
