package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// What cannot cross slices is refused with the code after which a client goes the right
// way, and with a text where there is a place for one.
func TestSpanningRefuses(t *testing.T) {
	t.Parallel()
	r, taps := spanRig(t)
	str := kmsg.StringPtr
	addPartitions := func(id string, topics ...string) kmsg.Request {
		req := kmsg.NewPtrAddPartitionsToTxnRequest()
		req.Version, req.TransactionalID, req.ProducerID = 3, id, 1
		for _, topic := range topics {
			req.Topics = append(req.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: topic, Partitions: []int32{0}})
		}
		return req
	}
	addOffsets := kmsg.NewPtrAddOffsetsToTxnRequest()
	addOffsets.Version, addOffsets.TransactionalID, addOffsets.Group = 3, "here", "there.g"
	txnOffsets := kmsg.NewPtrTxnOffsetCommitRequest()
	txnOffsets.Version, txnOffsets.TransactionalID, txnOffsets.Group = 4, "here", "here.g"
	txnOffsets.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "clicks.a", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}}}
	heartbeat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	heartbeat.Version, heartbeat.Group, heartbeat.MemberID, heartbeat.SubscribedTopicNames = 1, "here.g", "m", []string{"payments.a", "clicks.a"}
	heartbeat.RebalanceTimeoutMillis, heartbeat.Topics = 1000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis = 5, "there.g", "consumer", 10000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	transactional := produceReq(9, -1, 100, "clicks.a")
	transactional.TransactionID = str("here")
	for _, c := range []struct {
		name string
		req  kmsg.Request
		want []int16
		text string
	}{
		{"a transaction with topics of both", addPartitions("here", "payments.a", "clicks.a"), []int16{kerr.OperationNotAttempted.Code, kerr.PolicyViolation.Code}, ""},
		{"offsets of another slice's group in a transaction", addOffsets, []int16{kerr.GroupAuthorizationFailed.Code}, ""},
		{"offsets of another slice's topic in a transaction", txnOffsets, []int16{kerr.TransactionAbortable.Code}, ""},
		{"a KIP-848 group over both", heartbeat, []int16{kerr.UnsupportedVersion.Code}, "group.protocol=classic"},
		{"a group of another slice", join, []int16{kerr.NotCoordinator.Code}, ""},
		{"Produce to another slice", produceReq(9, -1, 100, "clicks.a"), []int16{kerr.NotLeaderForPartition.Code}, ""},
		{"Produce in a transaction of another slice", transactional, []int16{kerr.PolicyViolation.Code}, "transaction cannot span clusters"},
		{"Fetch from another slice", fetchReq(11, 100*time.Millisecond, "clicks.a"), []int16{kerr.NotLeaderForPartition.Code}, ""},
	} {
		before := len(taps[1].requests("payments.app"))
		resp := r.raw("payments.app", r.brokerPort(0, 0)).ask(c.req)
		var codes []int16
		text := ""
		for _, e := range protocol.ErrorsIn(resp) {
			codes, text = append(codes, e.Code), text+e.Message
		}
		for _, code := range c.want {
			found := false
			for _, got := range codes {
				found = found || got == code
			}
			if !found {
				t.Errorf("%s: errors %v, want %v", c.name, codes, c.want)
			}
		}
		if !strings.Contains(text, c.text) {
			t.Errorf("%s: text %q, want %q", c.name, text, c.text)
		}
		if len(taps[1].requests("payments.app")) != before {
			t.Errorf("%s: the other slice was asked", c.name)
		}
	}
	if n := r.metric("requests_total", "tenant", "payments", "outcome", "elsewhere"); n < 5 {
		t.Errorf("%v requests were sent elsewhere", n)
	}
	if n := r.metric("denied_total", "tenant", "payments"); n != 0 {
		t.Errorf("%v denials", n)
	}
}

// Within one slice a spanning tenant has all there is: the slice of a transaction is
// that of its id.
func TestSpanningTransactions(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	ctx := testContext(t)
	for id, topic := range map[string]string{"here.1": "payments.b", "there.1": "clicks.b"} {
		p := r.client("payments.app", kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := p.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if err := p.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		other := map[string]string{"payments.b": "clicks.b", "clicks.b": "payments.b"}[topic]
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := p.ProduceSync(ctx, &kgo.Record{Topic: other, Value: []byte("x")}).FirstErr(); err == nil {
			t.Errorf("%s: a record of another slice was taken", id)
		}
		_ = p.EndTransaction(ctx, kgo.TryAbort)
	}
}

// Two gateways with the same file tell clients the same.
func TestTwoGatewaysAgree(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	other := &rig{t: t, clusters: r.clusters, base: freePorts(t, 9)}
	other.startSpanning()
	a, b := r.raw("payments.app", ""), other.raw("payments.app", "")
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"here", "there"}
	cluster := kmsg.NewPtrDescribeClusterRequest()
	for _, req := range []kmsg.Request{metadataReq(9), metadataReq(9, "payments.a", "clicks.a", "none"), find, cluster, apiVersionsReq(3)} {
		x, y := asSeen(a.ask(req), r.base), asSeen(b.ask(req), other.base)
		if x != y {
			t.Errorf("%T:\n%s\n%s", req, x, y)
		}
	}
}

// startSpanning starts another gateway in front of the same clusters, with the policy at
// other ports.
func (r *rig) startSpanning() {
	r.t.Helper()
	r.path = filepath.Join(r.t.TempDir(), "sluice.yaml")
	r.bootstrap = fmt.Sprintf("127.0.0.1:%d", r.base)
	r.write("", spanningTenant)
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		r.t.Fatal(problems)
	}
	g, err := Start(p, Options{Path: r.path, RefreshEvery: 200 * time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Gateway = g
	r.t.Cleanup(func() { g.Drain(context.Background()) })
	eventually(r.t, 10*time.Second, "its slices are reached", func() bool {
		for _, s := range g.snapshot.Load().slices {
			if !s.Health().Reachable {
				return false
			}
		}
		return true
	})
}

// asSeen is an answer as text, with ports counted from the first and topics, which the
// fake cluster lists in any order, in theirs.
func asSeen(resp kmsg.Response, base int) string {
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Brokers {
			r.Brokers[i].Port -= int32(base)
		}
		slices.SortFunc(r.Topics, func(a, b kmsg.MetadataResponseTopic) int { return strings.Compare(*a.Topic, *b.Topic) })
		for i := range r.Topics {
			slices.SortFunc(r.Topics[i].Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
		}
	case *kmsg.FindCoordinatorResponse:
		for i := range r.Coordinators {
			r.Coordinators[i].Port -= int32(base)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range r.Brokers {
			r.Brokers[i].Port -= int32(base)
		}
	}
	text, _ := json.Marshal(resp)
	return string(text)
}
