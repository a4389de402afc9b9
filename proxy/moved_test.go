package proxy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"sluice/protocol"
)

// What a connection hears whose tenant, or topic, has moved: it stays open, and each
// answer sends its client on.
func TestMovedConnection(t *testing.T) {
	t.Parallel()
	reached := strings.Replace(openTenant, "home: orders\n", "home: orders\n    reach: [clicks]\n", 1)
	routed := func(slice string) string {
		return reached + "routes:\n  - {topics: [\"payments.*\"], groups: [\"*\"], slice: " + slice + "}\n"
	}
	for _, move := range []struct{ name, from, to string }{
		{"home", openTenant, strings.Replace(openTenant, "home: orders", "home: clicks", 1)},
		{"route", routed("orders"), routed("clicks")},
	} {
		t.Run(move.name, func(t *testing.T) {
			a, tapA := tappedCluster(t, "payments.a")
			b, _ := tappedCluster(t, "payments.a")
			r := newRig(t, "", move.from, a, b)
			leader := a.TopicInfo("payments.a")
			if leader == nil {
				t.Fatal("no topic")
			}
			c := r.raw("payments.app", "")
			metadataOf(c.ask(metadataReq(9, "payments.a")))
			fetch := fetchReq(11, 10*time.Millisecond, "payments.a")
			fetch.SessionEpoch = 0
			session := c.ask(fetch).(*kmsg.FetchResponse)
			r.write("", move.to)
			if p := r.Reload(); p.Failed() {
				t.Fatal(p)
			}
			before := len(tapA.requests("payments.app"))
			next := fetchReq(11, 10*time.Millisecond)
			next.SessionID, next.SessionEpoch = max(session.SessionID, 7), 1
			join := kmsg.NewPtrJoinGroupRequest()
			join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis = 5, "g", "consumer", 10000
			beat := kmsg.NewPtrHeartbeatRequest()
			beat.Version, beat.Group, beat.MemberID = 3, "g", "m"
			sync := kmsg.NewPtrSyncGroupRequest()
			sync.Version, sync.Group, sync.MemberID = 3, "g", "m"
			commit := kmsg.NewPtrOffsetCommitRequest()
			commit.Version, commit.Group, commit.MemberID = 7, "g", "m"
			commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "payments.a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}}}
			list := kmsg.NewPtrListOffsetsRequest()
			list.Version, list.ReplicaID = 5, -1
			list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "payments.a", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1}}}}
			for _, k := range []struct {
				req  kmsg.Request
				want int16
			}{
				{next, kerr.FetchSessionIDNotFound.Code},
				{fetchReq(11, 10*time.Millisecond, "payments.a"), kerr.NotLeaderForPartition.Code},
				{produceReq(9, -1, 100, "payments.a"), kerr.NotLeaderForPartition.Code},
				{list, kerr.NotLeaderForPartition.Code},
				{join, kerr.NotCoordinator.Code},
				{beat, kerr.NotCoordinator.Code},
				{sync, kerr.NotCoordinator.Code},
				{commit, kerr.NotCoordinator.Code},
			} {
				errs := protocol.ErrorsIn(c.ask(k.req))
				if len(errs) != 1 || errs[0].Code != k.want {
					t.Errorf("%T: %+v, want %d", k.req, errs, k.want)
				}
			}
			m := metadataOf(c.ask(metadataReq(9, "payments.a")))
			if p := m.Topics[0].Partitions; len(p) != 4 || p[0].Leader>>protocol.SlotBits != 1 {
				t.Errorf("metadata: %+v", m)
			}
			find := kmsg.NewPtrFindCoordinatorRequest()
			find.Version, find.CoordinatorKey = 3, "g"
			if found := c.ask(find).(*kmsg.FindCoordinatorResponse); found.ErrorCode != 0 || found.NodeID>>protocol.SlotBits != 1 {
				t.Errorf("coordinator: %+v", found)
			}
			init := kmsg.NewPtrInitProducerIDRequest()
			init.Version = 4
			if got := c.ask(init).(*kmsg.InitProducerIDResponse); got.ErrorCode != 0 {
				t.Errorf("producer id: %+v", got)
			}
			if now := len(tapA.requests("payments.app")); move.name == "home" && now != before {
				t.Errorf("%d requests still went to the old home", now-before)
			}
			// Without an answer there is only one way to say so.
			c.send(produceReq(9, 0, 100, "payments.a"))
			c.ended(3 * time.Second)
		})
	}
}

// By topic id, too: the one of the slice that the tenant has left leads to the new one.
func TestMovedTopicIDs(t *testing.T) {
	t.Parallel()
	a, _ := tappedCluster(t, "payments.a")
	b, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, a, b)
	c := r.raw("payments.app", "")
	m := metadataOf(c.ask(metadataReq(12, "payments.a")))
	id := m.Topics[0].TopicID
	r.write("", strings.Replace(openTenant, "home: orders", "home: clicks", 1))
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	produce := produceReq(13, -1, 100, "")
	produce.Topics[0].TopicID = id
	fetch := fetchReq(13, 10*time.Millisecond, "")
	fetch.Topics[0].TopicID = id
	for _, req := range []kmsg.Request{produce, fetch} {
		if errs := protocol.ErrorsIn(c.ask(req)); len(errs) != 1 || errs[0].Code != kerr.NotLeaderForPartition.Code {
			t.Errorf("%T: %+v", req, errs)
		}
	}
	if now := metadataOf(c.ask(metadataReq(12, "payments.a"))).Topics[0]; now.TopicID == id || now.TopicID == [16]byte{} {
		t.Errorf("the topic is still %x", now.TopicID)
	}
}

// A client that begins at the port of a slice that is not its tenant's finds its own.
func TestStrayBootstrap(t *testing.T) {
	t.Parallel()
	a, tapA := tappedCluster(t, "payments.a")
	b, tapB := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, a, b)
	ctx := testContext(t)
	c := r.client("payments.app", kgo.SeedBrokers(r.brokerPort(1, 0)), kgo.ConsumeTopics("payments.a"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if n := c.PollFetches(ctx).NumRecords(); n != 1 {
		t.Errorf("%d records", n)
	}
	if len(tapA.requests("payments.app")) == 0 || len(tapB.requests("payments.app")) != 0 {
		t.Error("its requests went to the other slice")
	}
}

// Clients that produce and consume go on over a move of their topic, and of their
// tenant, without an error. The operator has copied the topic and the group's offsets;
// here both are empty.
func TestMovedClientsGoOn(t *testing.T) {
	t.Parallel()
	a, _ := tappedCluster(t, "payments.a")
	b, tapB := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, a, b)
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	admin := kadm.NewClient(straight(t, b))
	copied := kadm.Offsets{}
	for p := range int32(4) {
		copied.AddOffset("payments.a", p, 0, -1)
	}
	if _, err := admin.CommitOffsets(ctx, "g", copied); err != nil {
		t.Fatal(err)
	}
	byName := kgo.MaxVersions(kversion.V2_7_0()) // franz-go takes another id for another topic
	var produced, consumed atomic.Int64
	var failed atomic.Pointer[error]
	fail := func(err error) {
		if ctx.Err() == nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	stop, done := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer done()
	p := r.client("payments.app", byName, kgo.MetadataMinAge(50*time.Millisecond))
	work.Go(func() {
		for stop.Err() == nil {
			if err := p.ProduceSync(stop, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr(); err != nil {
				if stop.Err() == nil {
					fail(err)
				}
				return
			}
			produced.Add(1)
		}
	})
	c := r.client("payments.reader", byName, kgo.MetadataMinAge(50*time.Millisecond), kgo.ConsumeTopics("payments.a"), kgo.ConsumerGroup("g"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200*time.Millisecond), kgo.AutoCommitInterval(200*time.Millisecond))
	work.Go(func() {
		for stop.Err() == nil {
			fetches := c.PollFetches(stop)
			fetches.EachError(func(_ string, _ int32, err error) {
				var rejoins *kgo.ErrGroupSession // told while it joins again: the new home does not know the member
				if stop.Err() == nil && !kerr.IsRetriable(err) && !errors.As(err, &rejoins) {
					fail(err)
				}
			})
			consumed.Add(int64(fetches.NumRecords()))
		}
	})
	goesOn := func(what string) {
		was, read := produced.Load(), consumed.Load()
		eventually(t, 15*time.Second, what, func() bool { return produced.Load() > was+20 && consumed.Load() > read+20 || failed.Load() != nil })
		if err := failed.Load(); err != nil {
			t.Fatalf("%s: %v", what, *err)
		}
	}
	goesOn("there is load")
	r.write("", strings.Replace(openTenant, "home: orders", "home: clicks", 1))
	if p := r.Reload(); p.Failed() {
		t.Fatal(p)
	}
	goesOn("clients go on at the new home")
	if len(tapB.requests("payments.app", 0)) == 0 {
		t.Error("nothing was produced at the new home")
	}
	eventually(t, 15*time.Second, "the group is at the new home", func() bool {
		groups, err := admin.DescribeGroups(ctx, "g")
		return err == nil && len(groups["g"].Members) == 1 && groups["g"].State == "Stable"
	})
	goesOn("clients go on in their group")
	if got := r.metric("refused_connections_total", "reason", reasonMoved); got != 0 {
		t.Errorf("%v connections were closed", got)
	}
}
