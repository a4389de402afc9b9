package proxy

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchRig has data of n records in payments.a and payments.b, and all leaders at
// broker 0.
func fetchRig(t *testing.T, tenants string, n int) (*rig, *kfake.Cluster, *tap) {
	cluster, tap := tappedClusterWith(t, kfake.SeedTopics(1, "payments.a", "payments.b", "other"))
	for _, topic := range []string{"payments.a", "payments.b", "other"} {
		if err := cluster.MoveTopicPartition(topic, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	p := straight(t, cluster, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range n {
		for _, topic := range []string{"payments.a", "payments.b", "other"} {
			if err := p.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Value: make([]byte, 1000)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return newRig(t, "", tenants, cluster), cluster, tap
}

// fetched are the codes and the bytes of an answer to Fetch, by topic.
func fetched(t *testing.T, cluster *kfake.Cluster, resp kmsg.Response) (codes map[string]int16, size map[string]int) {
	t.Helper()
	codes, size = map[string]int16{}, map[string]int{}
	for _, f := range resp.(*kmsg.FetchResponse).Topics {
		name := f.Topic
		if name == "" {
			name = cluster.TopicIDInfo(f.TopicID).Topic
		}
		for _, p := range f.Partitions {
			codes[name], size[name] = p.ErrorCode, len(p.RecordBatches)
		}
	}
	return codes, size
}

func withIDs(cluster *kfake.Cluster, req *kmsg.FetchRequest) *kmsg.FetchRequest {
	for i := range req.Topics {
		if req.Version >= 13 {
			req.Topics[i].TopicID = cluster.TopicInfo(req.Topics[i].Topic).TopicID
		}
	}
	return req
}

func TestFetchWithADeniedTopic(t *testing.T) {
	t.Parallel()
	r, cluster, tap := fetchRig(t, ruledTenant, 20)
	c := r.raw("payments.app", r.brokerPort(0, 0))
	for _, version := range []int16{4, 6, 7, 11, 12, 13, 15, 16} {
		req := withIDs(cluster, fetchReq(version, 0, "payments.a", "other", "payments.b"))
		req.SessionEpoch = 0 // it wants a session
		resp := c.ask(req)
		codes, size := fetched(t, cluster, resp)
		if codes["other"] != 29 || codes["payments.a"] != 0 || codes["payments.b"] != 0 || len(codes) != 3 {
			t.Errorf("v%d: %v", version, codes)
		}
		if size["other"] != 0 || size["payments.a"] < 20_000 || size["payments.b"] < 20_000 {
			t.Errorf("v%d: bytes %v", version, size)
		}
		got := resp.(*kmsg.FetchResponse)
		if got.SessionID != 0 {
			t.Errorf("v%d: a session %d", version, got.SessionID)
		}
		if first := got.Topics[0]; first.Partitions[0].ErrorCode != 29 {
			t.Errorf("v%d: the refused topic does not stand at the head", version)
		}
		all := tap.requests("payments.app", 1)
		up := all[len(all)-1].decoded(t).(*kmsg.FetchRequest)
		if len(up.Topics) != 2 || up.SessionID != 0 || version >= 7 && up.SessionEpoch != -1 {
			t.Errorf("v%d: upstream %d topics, session %d epoch %d", version, len(up.Topics), up.SessionID, up.SessionEpoch)
		}
		// All of it refused: nothing reaches the broker.
		if got, _ := fetched(t, cluster, c.ask(withIDs(cluster, fetchReq(version, 0, "other")))); got["other"] != 29 {
			t.Errorf("v%d, alone: %v", version, got)
		}
		if now := tap.requests("payments.app", 1); len(now) != len(all) {
			t.Errorf("v%d: a Fetch of which all is refused reached the broker", version)
		}
	}
}

// sessionFetch opens a session and returns its id.
func sessionFetch(t *testing.T, c *raw, topics ...string) int32 {
	t.Helper()
	req := fetchReq(11, 0, topics...)
	req.SessionEpoch = 0
	resp := c.ask(req).(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 || resp.SessionID == 0 {
		t.Fatalf("error %d, session %d", resp.ErrorCode, resp.SessionID)
	}
	return resp.SessionID
}

func incremental(session, epoch int32, topics ...string) *kmsg.FetchRequest {
	req := fetchReq(11, 0, topics...)
	req.SessionID, req.SessionEpoch = session, epoch
	return req
}

func TestFetchSessions(t *testing.T) {
	t.Parallel()
	r, cluster, _ := fetchRig(t, ruledTenant, 1)
	at := r.brokerPort(0, 0)
	mine, foreign := r.raw("payments.app", at), r.raw("payments.app", at)
	session := sessionFetch(t, mine, "payments.a")
	if got := mine.ask(incremental(session, 1)).(*kmsg.FetchResponse); got.ErrorCode != 0 || got.SessionID != session {
		t.Errorf("an incremental fetch of its own session: error %d, session %d", got.ErrorCode, got.SessionID)
	}
	// Who guesses an id gets nothing of it.
	if got := foreign.ask(incremental(session, 2)).(*kmsg.FetchResponse); got.ErrorCode != 70 || len(got.Topics) != 0 {
		t.Errorf("a foreign session: error %d, %d topics", got.ErrorCode, len(got.Topics))
	}
	// A full fetch that gives up a session of another connection begins anew, and
	// does not end that session.
	for epoch, opens := range map[int32]bool{0: true, -1: false} {
		got := foreign.ask(incremental(session, epoch, "payments.a")).(*kmsg.FetchResponse)
		if got.ErrorCode != 0 || len(got.Topics) != 1 || got.SessionID == session || (got.SessionID != 0) != opens {
			t.Errorf("a full fetch, epoch %d: error %d, %d topics, session %d", epoch, got.ErrorCode, len(got.Topics), got.SessionID)
		}
	}
	if got := mine.ask(incremental(session, 2)).(*kmsg.FetchResponse); got.ErrorCode != 0 || got.SessionID != session {
		t.Errorf("the session after that: error %d, session %d", got.ErrorCode, got.SessionID)
	}
	// A denied topic added to a session: 70, then a full fetch without one.
	if got := mine.ask(incremental(session, 3, "other")).(*kmsg.FetchResponse); got.ErrorCode != 70 {
		t.Errorf("a denied topic in a session: error %d", got.ErrorCode)
	}
	full := fetchReq(11, 0, "payments.a", "other")
	full.SessionEpoch = 0
	resp := mine.ask(full)
	if codes, size := fetched(t, cluster, resp); codes["other"] != 29 || size["payments.a"] == 0 || resp.(*kmsg.FetchResponse).SessionID != 0 {
		t.Errorf("codes %v, bytes %v", codes, size)
	}
	session = sessionFetch(t, mine, "payments.a", "payments.b")

	// A reload that does not touch the tenant leaves its sessions alone.
	r.rewrite("home: orders\n", "home: orders\n    limits: {request_rate: 1000}\n")
	if got := mine.ask(incremental(session, 1)).(*kmsg.FetchResponse); got.ErrorCode != 0 {
		t.Errorf("after a reload of limits: error %d", got.ErrorCode)
	}
	// One that does makes it start anew, and the new rules hold.
	r.rewrite("    rules:\n", "    rules:\n      - {deny: [READ], topics: [payments.b]}\n")
	if got := mine.ask(incremental(session, 2)).(*kmsg.FetchResponse); got.ErrorCode != 70 {
		t.Errorf("after a reload of rules: error %d", got.ErrorCode)
	}
	if codes, size := fetched(t, cluster, mine.ask(fetchReq(11, 0, "payments.a", "payments.b"))); codes["payments.b"] != 29 || size["payments.a"] == 0 {
		t.Errorf("after it: codes %v, bytes %v", codes, size)
	}
	if got := r.metric("refused_connections_total"); got != 0 {
		t.Errorf("%v connections were closed", got)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	var s fetchSessions
	for id := range int32(10 * maxSessions) {
		s.add(id, "rules")
		if id != 0 && (!s.valid(id, "rules") || s.valid(id, "others")) {
			t.Fatalf("session %d", id)
		}
	}
	if s.valid(0, "rules") || len(s.ids) > maxSessions {
		t.Errorf("%d sessions remembered", len(s.ids))
	}
}

// Nobody poses as a follower, who would read beyond the high watermark.
func TestFollowersAreRefused(t *testing.T) {
	t.Parallel()
	r, cluster, tap := fetchRig(t, openTenant, 1)
	c := r.raw("payments.app", r.brokerPort(0, 0))
	for _, version := range []int16{11, 15} {
		req := withIDs(cluster, fetchReq(version, 50*time.Millisecond, "payments.a"))
		req.ReplicaID, req.ReplicaState.ID = 1, 1
		if codes, _ := fetched(t, cluster, c.ask(req)); codes["payments.a"] != 29 {
			t.Errorf("v%d: %v", version, codes)
		}
	}
	if n := len(tap.requests("payments.app", 1)); n != 0 {
		t.Errorf("%d reached the broker", n)
	}
}
