package proxy

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// mixed are requests of every kind that the gateway treats differently, as many
// as asked for; every one has an answer but those with acks=0.
func mixed(n int) (reqs []kmsg.Request) {
	listOffsets := func(topic string) kmsg.Request {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID = 7, -1
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		return req
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"payments.g"}
	pid := kmsg.NewPtrInitProducerIDRequest()
	pid.Version = 4
	kinds := []func() kmsg.Request{
		func() kmsg.Request { return apiVersionsReq(3) },
		func() kmsg.Request { return metadataReq(9, "payments.a") },
		func() kmsg.Request { return produceReq(9, 1, 100, "payments.a") },
		func() kmsg.Request { return produceReq(9, 0, 100, "payments.a") },
		func() kmsg.Request { return listOffsets("payments.a") },
		func() kmsg.Request { return find },
		func() kmsg.Request { return metadataReq(1, "payments.a", "other") },
		func() kmsg.Request { return produceReq(8, 1, 10, "payments.a", "other") },
		func() kmsg.Request { return pid },
		func() kmsg.Request { return fetchReq(11, 30*time.Millisecond, "payments.a", "other") },
		func() kmsg.Request { return apiVersionsReq(0) },
		func() kmsg.Request { return produceReq(7, -1, 200_000, "payments.a") },
		func() kmsg.Request { return listOffsets("other") }, // denied
	}
	for i := range n {
		reqs = append(reqs, kinds[i%len(kinds)]())
	}
	return reqs
}

func TestAnswersInOrder(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a", "other")
	r := newRig(t, "", ruledTenant, cluster)
	c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	reqs := mixed(52)
	// A denied request alone would be answered more and more slowly; each of these
	// follows one that passes.
	go c.send(reqs...)
	for i, req := range reqs {
		if p, ok := req.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
			continue
		}
		corr, resp, err := c.recv()
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if corr != int32(i+1) {
			t.Fatalf("answer to request %d in the place of %d", corr, i+1)
		}
		checkMixed(t, i, resp)
	}
	if n := len(tap.requests("payments.app", 0)); n != 16 {
		t.Errorf("%d Produce requests reached the broker, want 16", n)
	}
	for _, s := range tap.requests("payments.app", 18) {
		t.Errorf("an ApiVersions request reached the broker: %d", s.CorrelationID)
	}
}

// checkMixed: what is denied says so, all else is fine.
func checkMixed(t *testing.T, i int, resp kmsg.Response) {
	t.Helper()
	codes := map[string]int16{}
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		if r.ErrorCode != 0 || len(r.ApiKeys) < 20 {
			t.Errorf("answer %d: ApiVersions has error %d, %d keys", i, r.ErrorCode, len(r.ApiKeys))
		}
	case *kmsg.MetadataResponse:
		for _, m := range r.Topics {
			codes[*m.Topic] = m.ErrorCode
		}
	case *kmsg.ProduceResponse:
		for _, m := range r.Topics {
			codes[m.Topic] = m.Partitions[0].ErrorCode
		}
	case *kmsg.FetchResponse:
		for _, m := range r.Topics {
			codes[m.Topic] = m.Partitions[0].ErrorCode
		}
	case *kmsg.ListOffsetsResponse:
		for _, m := range r.Topics {
			codes[m.Topic] = m.Partitions[0].ErrorCode
		}
	}
	want := map[string]int16{"payments.a": 0, "other": 29}
	for topic, code := range codes {
		if code != want[topic] {
			t.Errorf("answer %d, a %T: %s has error %d, want %d", i, resp, topic, code, want[topic])
		}
	}
}

// A client may send without ever reading: what waits for an answer is bounded, and
// nothing is lost when it begins to read.
func TestInFlightIsBounded(t *testing.T) {
	t.Parallel()
	cluster := fakeCluster(t, "payments.a")
	r := newRig(t, "frame_timeout: 300ms", openTenant, cluster)
	node := cluster.LeaderFor("payments.a", 0)
	// Nothing is answered until the gate opens.
	gate := make(chan struct{})
	cluster.ControlKey(0, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	c := r.raw("payments.app", r.brokerPort(0, node))
	const n = 2 * maxInFlight
	var all []byte
	for range n {
		all = append(all, c.frame(produceReq(9, 1, 10, "payments.a"))...)
	}
	go func() { _, _ = c.Write(all) }()
	inFlight := func() (most int) {
		for _, c := range r.connections() {
			most = max(most, c.pairs.len())
		}
		return most
	}
	eventually(t, 5*time.Second, "the bound is reached", func() bool { return inFlight() == maxInFlight })
	// Longer than frame_timeout: the client is not to blame for it.
	time.Sleep(700 * time.Millisecond)
	if got := inFlight(); got != maxInFlight {
		t.Errorf("%d in flight, at most %d", got, maxInFlight)
	}
	close(gate)
	for i := range n {
		corr, _, err := c.recv()
		if err != nil || corr != int32(i+1) {
			t.Fatalf("answer %d is to %d: %v", i+1, corr, err)
		}
	}
}
