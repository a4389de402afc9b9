package proxy

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

const rulesTenant = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules:
      - {allow: [READ, WRITE], topics: ["payments.*"]}
      - {allow: [CREATE], topics: ["payments.new.*"]}
      - {allow: [READ], groups: ["payments.*"]}
      - {allow: [WRITE, DESCRIBE], transactional_ids: ["payments.*"]}
      - {deny: [WRITE], topics: ["payments.audit"]}
`

// Real clients are denied by name.
func TestDeniedByName(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a", "payments.audit", "other")
	r := newRig(t, "", rulesTenant, cluster)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	produce := func(topic string, opts ...kgo.Opt) error {
		cl := r.client("payments.app", opts...)
		if opts != nil {
			if err := cl.BeginTransaction(); err != nil {
				return err
			}
		}
		err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
		if opts != nil {
			_ = cl.EndTransaction(ctx, kgo.TransactionEndTry(err == nil))
		}
		return err
	}
	poll := func(opts ...kgo.Opt) error {
		opts = append(opts, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		return r.client("payments.app", opts...).PollFetches(ctx).Err()
	}
	for name, c := range map[string]struct {
		got  error
		want error
	}{
		"allowed":                   {produce("payments.a"), nil},
		"allowed transaction":       {produce("payments.a", kgo.TransactionalID("payments.tx")), nil},
		"no rule":                   {produce("other"), kerr.TopicAuthorizationFailed},
		"a topic that is not there": {produce("nowhere"), kerr.TopicAuthorizationFailed},
		"deny wins":                 {produce("payments.audit"), kerr.TopicAuthorizationFailed},
		"transactional id":          {produce("payments.a", kgo.TransactionalID("tx")), kerr.TransactionalIDAuthorizationFailed},
		"consume":                   {poll(kgo.ConsumeTopics("other")), kerr.TopicAuthorizationFailed},
		"consume allowed":           {poll(kgo.ConsumeTopics("payments.a")), nil},
		"group":                     {poll(kgo.ConsumeTopics("payments.a"), kgo.ConsumerGroup("g")), kerr.GroupAuthorizationFailed},
		"group allowed":             {poll(kgo.ConsumeTopics("payments.a"), kgo.ConsumerGroup("payments.g")), nil},
	} {
		if !is(c.want)(c.got) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	for _, s := range tap.requests("payments.app", 0) {
		for _, topic := range s.decoded(t).(*kmsg.ProduceRequest).Topics {
			if topic.Topic != "" && topic.Topic != "payments.a" {
				t.Errorf("a Produce to %s reached the broker", topic.Topic)
			}
		}
	}
	for _, resource := range []string{"topic", "group", "transactional_id"} {
		if r.metric("denied_total", "tenant", "payments", "resource", resource, "mode", "enforce") == 0 {
			t.Errorf("no denied %s is counted", resource)
		}
	}
}

func TestDefaultIsDeny(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "", "tenants:\n  - {name: payments, client_ids: {team: payments}, home: orders, rules: []}\n", cluster)
	c := r.raw("payments.app", "")
	if m := metadataOf(c.ask(metadataReq(9, "payments.a"))); m.Topics[0].ErrorCode != 29 || len(m.Brokers) != 2 {
		t.Errorf("%+v", m)
	}
	all := metadataReq(9)
	if m := metadataOf(c.ask(all)); len(m.Topics) != 0 {
		t.Errorf("topics are listed: %+v", m.Topics)
	}
	c = r.raw("payments.app", "")
	if p := c.ask(produceReq(8, 1, 10, "payments.a")).(*kmsg.ProduceResponse); p.Topics[0].Partitions[0].ErrorCode != 29 {
		t.Errorf("%+v", p)
	}
	// Administrators' APIs are offered to all, and each element of a request is judged.
	offered := false
	for _, k := range c.ask(apiVersionsReq(3)).(*kmsg.ApiVersionsResponse).ApiKeys {
		offered = offered || k.ApiKey == protocol.KeyCreateTopics
	}
	if !offered {
		t.Error("CreateTopics is not offered")
	}
	if got := createdTopics(c.ask(createReq(5, "payments.a"))); got["payments.a"] != 29 {
		t.Errorf("CreateTopics: %v", got)
	}
	if r.metric("denied_total", "tenant", "payments", "resource", "topic", "operation", "CREATE", "mode", "enforce") != 1 {
		t.Error("the denied CREATE is not counted once")
	}
	// What is not in the table is not offered to anybody.
	token := kmsg.NewPtrDescribeDelegationTokenRequest()
	token.Version = 1
	c.send(token)
	eventually(t, time.Second, "it is refused", func() bool {
		return r.metric("refused_connections_total", "reason", reasonUnsupported) == 1
	})
}

// createReq asks for topics of one partition.
func createReq(version int16, topics ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = version, 5000
	for _, name := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, t)
	}
	return req
}

// createdTopics are the codes of an answer to CreateTopics, by topic.
func createdTopics(resp kmsg.Response) map[string]int16 {
	codes := map[string]int16{}
	for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
		codes[t.Topic] = t.ErrorCode
	}
	return codes
}

// produced are the codes of an answer to Produce, by topic.
func produced(resp kmsg.Response) map[string]int16 {
	codes := map[string]int16{}
	for _, t := range resp.(*kmsg.ProduceResponse).Topics {
		key := t.Topic
		if t.TopicID != [16]byte{} {
			key = string(t.TopicID[:])
		}
		for _, p := range t.Partitions {
			codes[key] = p.ErrorCode
		}
	}
	return codes
}

// The allowed part of a Produce goes through whole; the rest is refused in its place.
func TestPartialProduce(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedClusterWith(t, kfake.SeedTopics(1, "payments.a", "payments.b", "payments.audit", "other"))
	r := newRig(t, "", rulesTenant, cluster)
	for _, topic := range []string{"payments.a", "payments.b", "payments.audit", "other"} {
		if err := cluster.MoveTopicPartition(topic, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	c := r.raw("payments.app", r.brokerPort(0, 0))
	for _, k := range []struct {
		name    string
		version int16
		size    int
		topics  []string
		want    map[string]int16
	}{
		{"all allowed", 9, 100, []string{"payments.a", "payments.b"}, map[string]int16{"payments.a": 0, "payments.b": 0}},
		{"all allowed, large", 9, 300_000, []string{"payments.a", "payments.b"}, map[string]int16{"payments.a": 0, "payments.b": 0}},
		{"some", 9, 100, []string{"other", "payments.a", "payments.audit"}, map[string]int16{"other": 29, "payments.a": 0, "payments.audit": 29}},
		{"some, large", 7, 300_000, []string{"payments.a", "other", "payments.b"}, map[string]int16{"other": 29, "payments.a": 0, "payments.b": 0}},
		{"all denied", 9, 100_000, []string{"other", "payments.audit"}, map[string]int16{"other": 29, "payments.audit": 29}},
		{"one denied, large", 9, 300_000, []string{"other"}, map[string]int16{"other": 29}},
		{"ids, some", 13, 200_000, []string{"other", "payments.a"}, map[string]int16{"other": 29, "payments.a": 0}},
		{"id, denied", 13, 200_000, []string{"payments.audit"}, map[string]int16{"payments.audit": 29}},
		{"id, allowed", 13, 200_000, []string{"payments.b"}, map[string]int16{"payments.b": 0}},
	} {
		before := len(tap.requests("payments.app", 0))
		req := produceReq(k.version, -1, k.size, k.topics...)
		want := k.want
		if k.version >= 13 {
			want = map[string]int16{}
			for i := range req.Topics {
				req.Topics[i].TopicID = cluster.TopicInfo(req.Topics[i].Topic).TopicID
				want[string(req.Topics[i].TopicID[:])] = k.want[req.Topics[i].Topic]
			}
		}
		got := produced(c.ask(req))
		if len(got) != len(want) {
			t.Errorf("%s: %d topics in the answer, want %d", k.name, len(got), len(want))
		}
		passed := 0
		for topic, code := range want {
			if g, ok := got[topic]; !ok || g != code {
				t.Errorf("%s: %q has %d, want %d", k.name, topic, g, code)
			}
			if code == 0 {
				passed++
			}
		}
		reached := tap.requests("payments.app", 0)[before:]
		if passed == 0 && len(reached) == 0 {
			continue
		}
		if len(reached) != 1 || len(reached[0].decoded(t).(*kmsg.ProduceRequest).Topics) != passed {
			t.Errorf("%s: the broker got %d requests", k.name, len(reached))
		}
		if passed == len(want) && len(reached) == 1 && len(reached[0].frame) != len(c.frame(req)) {
			t.Errorf("%s: the bytes changed", k.name)
		}
	}
}

// What names no partition, or nothing at all, has an answer too.
func TestEmptyProduce(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a", "other")
	r := newRig(t, "", rulesTenant, cluster)
	c := r.raw("payments.app", r.brokerPort(0, 0))
	for _, version := range []int16{3, 8, 9, 12} {
		empty := produceReq(version, 1, 1, "other")
		empty.Topics[0].Partitions = nil
		if got := c.ask(empty).(*kmsg.ProduceResponse); len(got.Topics) != 1 || got.Topics[0].Topic != "other" {
			t.Errorf("v%d: %+v", version, got)
		}
		c.ask(produceReq(version, 1, 1))
	}
}

func TestDeniedWithoutAcks(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a", "other")
	r := newRig(t, "", rulesTenant, cluster)
	for i, topics := range [][]string{{"other"}, {"payments.a", "other"}} {
		c := r.raw("payments.app", r.brokerPort(0, 0))
		c.ask(metadataReq(9, "payments.a"))
		c.send(produceReq(9, 0, 100, topics...))
		eventually(t, time.Second, "it is counted", func() bool {
			return r.metric("refused_connections_total", "reason", reasonDeniedAcks0) == float64(i+1)
		})
		if i == 0 {
			if took := c.ended(8 * time.Second); took < 3800*time.Millisecond {
				t.Errorf("held for %v", took)
			}
		}
	}
	if n := len(tap.requests("payments.app", 0)); n != 0 {
		t.Errorf("%d Produce requests reached the broker", n)
	}
}

func TestListingsAreFiltered(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a", "payments.audit", "other")
	r := newRig(t, "", rulesTenant, cluster)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	own := kadm.NewClient(straight(t, cluster))
	for _, group := range []string{"payments.g", "foreign"} {
		var o kadm.Offsets
		o.Add(kadm.Offset{Topic: "payments.a", At: 1})
		if err := own.CommitAllOffsets(ctx, group, o); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(r.client("payments.app"))
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := topics.Names(); !slices.Equal(got, []string{"payments.a", "payments.audit"}) {
		t.Errorf("topics: %v", got)
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := groups.Groups(); !slices.Equal(got, []string{"payments.g"}) {
		t.Errorf("groups: %v", got)
	}
	offsets, err := adm.FetchOffsets(ctx, "foreign")
	if err == nil {
		err = offsets.Error()
	}
	if !is(kerr.GroupAuthorizationFailed)(err) {
		t.Errorf("offsets of a foreign group: %v", err)
	}
}

// Auto-creation needs CREATE, in old versions too, which imply it (the fake broker
// then does not create, so it is asked what reached it).
func TestAutoCreation(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedClusterWith(t, kfake.AllowAutoTopicCreation(), kfake.SeedTopics(1, "payments.a"))
	r := newRig(t, "", rulesTenant, cluster)
	c := r.raw("payments.app", "")
	for _, version := range []int16{1, 3, 4, 9, 12} {
		for topic, may := range map[string]bool{"payments.new." + itoa(int(version)): true, "payments.old." + itoa(int(version)): false} {
			req := metadataReq(version, topic)
			req.AllowAutoTopicCreation = true
			got := metadataOf(c.ask(req)).Topics[0]
			if created := cluster.TopicInfo(topic) != nil; created && !may || version >= 4 && created != may {
				t.Errorf("v%d: %s is there: %v", version, topic, created)
			}
			if got.ErrorCode == 29 || !may && got.ErrorCode != 3 {
				t.Errorf("v%d: %s has error %d", version, topic, got.ErrorCode)
			}
			all := tap.requests("payments.app", 3)
			up := all[len(all)-1].decoded(t).(*kmsg.MetadataRequest)
			if asked := up.Version < 4 || up.AllowAutoTopicCreation; asked != may {
				t.Errorf("v%d: the broker was asked to create %s: %v", version, topic, asked)
			}
		}
	}
}
