package proxy

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// spanningTenant lives in orders and reaches clicks.
const spanningTenant = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    reach: [clicks]
    rules: [{allow: [ALL], everything: true}]
  - name: ruled
    client_ids: {team: ruled}
    home: orders
    reach: [clicks]
    rules:
      - {allow: [READ, WRITE, CREATE], topics: ["payments.*", "clicks.*"]}
      - {deny: [READ, WRITE, DESCRIBE], topics: ["clicks.secret"]}
      - {allow: [READ], groups: ["g*"]}
  - name: pinned
    client_ids: {team: pinned}
    home: clicks
    rules: [{allow: [ALL], everything: true}]
routes:
  - {topics: ["clicks.*"], groups: ["there*"], transactional_ids: ["there*"], slice: clicks}
`

// spanRig is a gateway whose tenant payments has topics in two clusters.
func spanRig(t testing.TB) (*rig, [2]*tap) {
	orders, first := tappedClusterWith(t, kfake.AllowAutoTopicCreation(), kfake.SeedTopics(4, "payments.a", "payments.b", "clicks.hidden"))
	clicks, second := tappedClusterWith(t, kfake.AllowAutoTopicCreation(), kfake.SeedTopics(4, "clicks.a", "clicks.b", "clicks.secret", "payments.a"))
	r := newRig(t, "", spanningTenant, orders, clicks)
	eventually(t, 10*time.Second, "both slices are reached", func() bool {
		for _, s := range r.snapshot.Load().slices {
			if !s.Health().Reachable {
				return false
			}
		}
		return true
	})
	return r, [2]*tap{first, second}
}

func (r *rig) admin(clientID string) *kadm.Client { return kadm.NewClient(r.client(clientID)) }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestSpanningMetadata(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	ctx := testContext(t)
	for clientID, want := range map[string]string{
		"payments.app": "clicks.a clicks.b clicks.secret payments.a payments.b",
		"ruled.app":    "clicks.a clicks.b payments.a payments.b",
		"pinned.app":   "clicks.a clicks.b clicks.secret payments.a",
	} {
		m, err := r.admin(clientID).Metadata(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names := m.Topics.Names()
		sort.Strings(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s sees %s, want %s", clientID, got, want)
		}
		var nodes []string
		for _, b := range m.Brokers {
			nodes = append(nodes, fmt.Sprintf("%d@%d", b.NodeID, int(b.Port)-r.base))
		}
		slices.Sort(nodes)
		all := "0@1 1048576@5 1048577@6 1@2"
		if clientID == "pinned.app" {
			all = "1048576@5 1048577@6"
		}
		if got := strings.Join(nodes, " "); got != all {
			t.Errorf("%s sees brokers %s, want %s", clientID, got, all)
		}
		for _, d := range m.Topics {
			for _, p := range d.Partitions {
				if slot := p.Leader >> 20; (slot == 1) != (strings.HasPrefix(d.Topic, "clicks.") || clientID == "pinned.app") {
					t.Errorf("%s: %s is led by %d", clientID, d.Topic, p.Leader)
				}
			}
		}
	}
}

// One client writes to topics of both slices and reads both in one group.
func TestSpanningGroup(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	ctx := testContext(t)
	topics := []string{"payments.a", "clicks.a"}
	p := r.client("payments.app")
	const each = 50
	for i := range each {
		for _, topic := range topics {
			if err := p.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, topic, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, group := range []string{"here", "there"} {
		got := map[string]int{}
		for round := range 2 {
			c := r.client("payments.reader", kgo.ConsumeTopics(topics...), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			for n := 0; n < len(topics)*each && round == 0; {
				fetches := c.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++; n++ })
			}
			if round == 0 {
				if err := c.CommitUncommittedOffsets(ctx); err != nil {
					t.Fatal(err)
				}
			} else { // nothing is read again
				short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
				c.PollFetches(short).EachRecord(func(r *kgo.Record) { t.Errorf("%s again", r.Value) })
				cancel()
			}
			c.Close()
		}
		if len(got) != len(topics)*each {
			t.Errorf("group %s read %d records", group, len(got))
		}
		adm := r.admin("payments.app")
		lag, err := adm.Lag(ctx, group)
		if of := lag[group]; err != nil || of.Error() != nil || of.Lag.Total() != 0 || len(of.Lag) != 2 {
			t.Errorf("group %s: %+v, %v", group, of, err)
		}
	}
	groups, err := r.admin("payments.app").ListGroups(ctx)
	if err != nil || strings.Join(groups.Groups(), " ") != "here there" {
		t.Errorf("groups %v, %v", groups.Groups(), err)
	}
	deleted, err := r.admin("payments.app").DeleteGroups(ctx, "here", "there")
	if err != nil || deleted.Error() != nil {
		t.Errorf("%+v, %v", deleted, err)
	}
	for i, cluster := range r.clusters {
		left, err := kadm.NewClient(straight(t, cluster)).ListGroups(ctx)
		if err != nil || len(left) != 0 {
			t.Errorf("cluster %d still has %v, %v", i, left.Groups(), err)
		}
	}
}

func TestSpanningAdministration(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	ctx := testContext(t)
	adm := r.admin("payments.app")
	created, err := adm.CreateTopics(ctx, 2, 1, nil, "payments.new", "clicks.new")
	if err != nil || created.Error() != nil {
		t.Fatal(created, err)
	}
	for i, topic := range []string{"payments.new", "clicks.new"} {
		if r.clusters[i].TopicInfo(topic) == nil || r.clusters[1-i].TopicInfo(topic) != nil {
			t.Errorf("%s is not in cluster %d alone", topic, i)
		}
	}
	if more, err := adm.CreatePartitions(ctx, 1, "payments.new", "clicks.new"); err != nil || more.Error() != nil {
		t.Error(more, err)
	}
	value := "5000"
	for _, topic := range []string{"payments.new", "clicks.new"} {
		if altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, topic); err != nil || altered[0].Err != nil {
			t.Error(altered, err)
		}
	}
	configs, err := adm.DescribeTopicConfigs(ctx, "payments.new", "clicks.new")
	if err != nil || len(configs) != 2 {
		t.Fatal(configs, err)
	}
	for _, c := range configs {
		if i := slices.IndexFunc(c.Configs, func(c kadm.Config) bool { return c.Key == "retention.ms" }); c.Err != nil || i < 0 || c.Configs[i].MaybeValue() != value {
			t.Errorf("%+v", c)
		}
	}
	auto := r.client("payments.app", kgo.AllowAutoTopicCreation())
	for i, topic := range []string{"payments.auto", "clicks.auto"} {
		if err := auto.ProduceSync(ctx, &kgo.Record{Topic: topic}).FirstErr(); err != nil {
			t.Errorf("%s: %v", topic, err)
		}
		if r.clusters[i].TopicInfo(topic) == nil || r.clusters[1-i].TopicInfo(topic) != nil {
			t.Errorf("%s is not in cluster %d alone", topic, i)
		}
	}
	offsets, err := adm.ListEndOffsets(ctx, "payments.new", "clicks.new")
	if err != nil || offsets.Error() != nil || len(offsets["clicks.new"]) != 3 || len(offsets["payments.new"]) != 3 {
		t.Error(offsets, err)
	}
	if deleted, err := adm.DeleteTopics(ctx, "payments.new", "clicks.new", "clicks.hidden"); err != nil || deleted["payments.new"].Err != nil ||
		deleted["clicks.new"].Err != nil || deleted["clicks.hidden"].Err == nil {
		t.Error(deleted, err)
	}
	if r.clusters[0].TopicInfo("clicks.hidden") == nil {
		t.Error("a topic was deleted that the tenant does not see")
	}
}

// A name that two slices have is told once.
func TestSpanningCollisions(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	count := func(slice string) float64 { return r.metric("hidden_topics", "tenant", "payments", "slice", slice) }
	eventually(t, 10*time.Second, "what is hidden is counted", func() bool { return count("clicks") == 1 && count("orders") == 0 })
	told := func() int {
		return r.lines("two slices have a topic of the same name: the tenant sees only the one that its routes lead to",
			map[string]string{"topic": "payments.a", "tenant": "payments", "seen_in": "orders", "hidden_in": "clicks"})
	}
	if _, err := kadm.NewClient(straight(t, r.clusters[0])).CreateTopic(testContext(t), 1, 1, nil, "clicks.a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "one more is", func() bool { return count("orders") == 1 })
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if n := r.metric("hidden_topics", "tenant", "pinned"); n != 0 {
		t.Errorf("%v are hidden from a pinned tenant", n)
	}
}

// One slice is down: the other one goes on.
func TestSpanningSliceDown(t *testing.T) {
	t.Parallel()
	orders := fakeCluster(t, "payments.a")
	clicks, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(4, "clicks.a"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "", spanningTenant, orders, clicks)
	ctx := testContext(t)
	if m, err := r.admin("payments.app").Metadata(ctx); err != nil || len(m.Topics) != 2 {
		t.Fatal(m, err)
	}
	clicks.Close()
	if err := r.client("payments.app").ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr(); err != nil {
		t.Error(err)
	}
	c := r.raw("payments.app", "")
	cluster := kmsg.NewPtrDescribeClusterRequest()
	if got := c.ask(cluster).(*kmsg.DescribeClusterResponse); got.ErrorCode != 0 || len(got.Brokers) < 2 {
		t.Errorf("cluster: %+v", got)
	}
	adm := r.admin("payments.app")
	if created, err := adm.CreateTopics(ctx, 1, 1, nil, "payments.more", "clicks.more"); err != nil || created["payments.more"].Err != nil || created["clicks.more"].Err == nil {
		t.Errorf("created: %+v, %v", created, err)
	}
	if groups, err := adm.ListGroups(ctx); err != nil {
		t.Errorf("groups: %+v, %v", groups, err)
	}
	for _, req := range []func() int16{
		func() int16 { return metadataOf(c.ask(metadataReq(9, "payments.a", "clicks.a"))).Topics[1].ErrorCode },
		func() int16 {
			for _, topic := range metadataOf(c.ask(metadataReq(9))).Topics {
				if *topic.Topic == "clicks.a" {
					return topic.ErrorCode
				}
			}
			return -1
		},
	} {
		if code := req(); code != 5 {
			t.Errorf("clicks.a: error %d, want 5", code)
		}
	}
}

// Topics are described page by page over both slices, each partition once and in order.
func TestSpanningPages(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	for clientID, want := range map[string]string{
		"payments.app": "clicks.a clicks.b clicks.secret payments.a payments.b",
		"ruled.app":    "clicks.a clicks.b payments.a payments.b",
	} {
		c := r.raw(clientID, "")
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit = 3
		var names []string
		seen := map[string]int{}
		for pages := 0; ; pages++ {
			resp := c.ask(req).(*kmsg.DescribeTopicPartitionsResponse)
			for _, topic := range resp.Topics {
				if topic.ErrorCode != 0 {
					t.Fatalf("%s: %s: error %d", clientID, *topic.Topic, topic.ErrorCode)
				}
				if !slices.Contains(names, *topic.Topic) {
					names = append(names, *topic.Topic)
				}
				for _, p := range topic.Partitions {
					seen[fmt.Sprint(*topic.Topic, "/", p.Partition)]++
					if (p.LeaderID>>20 == 1) != strings.HasPrefix(*topic.Topic, "clicks.") {
						t.Errorf("%s: %s is led by %d", clientID, *topic.Topic, p.LeaderID)
					}
				}
			}
			if resp.NextCursor == nil {
				break
			}
			if pages > 50 {
				t.Fatal("it never ends")
			}
			next := kmsg.NewDescribeTopicPartitionsRequestCursor()
			next.Topic, next.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
			req.Cursor = &next
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", clientID, got, want)
		}
		if len(seen) != 4*len(names) {
			t.Errorf("%s: %d partitions: %v", clientID, len(seen), seen)
		}
		for p, n := range seen {
			if n != 1 {
				t.Errorf("%s: %s is listed %d times", clientID, p, n)
			}
		}
	}
}

// Who has lost a group commits nothing, neither at its home nor elsewhere; who is in it,
// and whoever the home lets while the group is empty, commits to both.
func TestSpanningCommitsAreFenced(t *testing.T) {
	t.Parallel()
	r, _ := spanRig(t)
	ctx := testContext(t)
	adm := r.admin("payments.app")
	c := r.client("payments.reader", kgo.ConsumeTopics("payments.a", "clicks.a"), kgo.ConsumerGroup("here"), kgo.DisableAutoCommit())
	eventually(t, 15*time.Second, "the group is stable", func() bool {
		polled, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		c.PollFetches(polled)
		g, err := adm.DescribeGroups(ctx, "here")
		return err == nil && g["here"].State == "Stable"
	})
	member, generation := c.GroupMetadata()
	commit := func(member string, generation int32, offset int64, topics ...string) (codes []int16) {
		t.Helper()
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 8, "here", member, generation
		for _, topic := range topics {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Offset = offset
			req.Topics = append(req.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
		}
		resp := r.raw("payments.app", "").ask(req).(*kmsg.OffsetCommitResponse)
		if len(resp.Topics) != len(topics) {
			t.Fatalf("%+v", resp)
		}
		for _, topic := range resp.Topics {
			codes = append(codes, topic.Partitions[0].ErrorCode)
		}
		return codes
	}
	stored := func() string {
		t.Helper()
		offsets, err := adm.FetchOffsets(ctx, "here")
		if err != nil {
			t.Fatal(err)
		}
		at := func(topic string) int64 {
			o, ok := offsets.Lookup(topic, 0)
			if !ok {
				return -1
			}
			return o.At
		}
		return fmt.Sprint(at("payments.a"), " ", at("clicks.a"))
	}
	both := []string{"payments.a", "clicks.a"}
	for _, step := range []struct {
		name       string
		member     string
		generation int32
		offset     int64
		topics     []string
		fails      bool
		want       string
	}{
		{"a member", member, generation, 10, both, false, "10 10"},
		{"a member, elsewhere only", member, generation, 11, both[1:], false, "10 11"},
		{"a zombie", member, generation - 1, 20, both, true, "10 11"},
		{"a zombie, elsewhere only", member, generation - 1, 20, both[1:], true, "10 11"},
		{"a stranger", "nobody", generation, 20, both[1:], true, "10 11"},
		{"an administrator while there are members", "", -1, 20, both[1:], true, "10 11"},
	} {
		for _, code := range commit(step.member, step.generation, step.offset, step.topics...) {
			if code != 0 != step.fails {
				t.Errorf("%s: error %d", step.name, code)
			}
		}
		if got := stored(); got != step.want {
			t.Errorf("%s: offsets are %s, want %s", step.name, got, step.want)
		}
	}
	c.Close()
	eventually(t, 10*time.Second, "the group is empty", func() bool {
		g, err := adm.DescribeGroups(ctx, "here")
		return err == nil && g["here"].State == "Empty"
	})
	for _, code := range commit("", -1, 30, both...) {
		if code != 0 {
			t.Errorf("an administrator: error %d", code)
		}
	}
	if got := stored(); got != "30 30" {
		t.Errorf("offsets are %s", got)
	}
}
