package gateway

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// mover is a topic that goes from orders to clicks, with a producer and a consumer.
type mover struct {
	topic            string // the group and the team have names that begin so
	produce, consume *kafka.Process
	left             map[string]int64 // where the topic ends in the old slice, by partition
}

// moves rehearses what an operator does to move a topic by a route, and a tenant by its
// home, both in one SIGHUP, with a Java producer and consumer of each that go on without
// an error and without a restart:
//  1. The topics are made in the new slice, and what they have is copied.
//  2. The producers are quiet for a moment. What is left is copied, so that all records
//     have the offsets they had, and then what the groups have committed.
//  3. SIGHUP. Who moves with its group is quiet until its members are in the new slice:
//     what a consumer commits before it has joined there is refused, as in any rebalance.
func moves(t *testing.T, s *side) {
	g := s.g
	from, to := g.brokers[0], g.brokers[1]
	all := []*mover{{topic: "shop.moving"}, {topic: "movers.moving"}}
	for _, m := range all {
		from.CreateTopics(t, 2, m.topic)
		team, _, _ := strings.Cut(m.topic, ".")
		flags := []string{"--bootstrap", g.Address, "--client-id", team + ".java", "--topics", m.topic, "--seconds", "100"}
		m.produce = from.Jars.Program(t.Context(), "Produce", append(flags, "--size", "200", "--rate", "50000")...)
		m.consume = from.Jars.Program(t.Context(), "Consume", append(flags, "--group", m.topic, "--commit", "sync")...)
	}
	for _, m := range all {
		m.goesOn(t, 500)
		to.CreateTopics(t, 2, m.topic)
		m.copyTo(t, from, to)
	}
	for _, m := range all {
		if err := m.produce.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range all {
		committed := m.settled(t, from)
		m.copyTo(t, from, to)
		if err := to.Admin(t).CommitAllOffsets(t.Context(), m.topic, committed); err != nil {
			t.Fatal(err)
		}
		if m.left = endOffsets(t, from, m.topic); !maps.Equal(m.left, endOffsets(t, to, m.topic)) {
			t.Fatalf("%s: copied up to %v of %v", m.topic, endOffsets(t, to, m.topic), m.left)
		}
	}
	moved := strings.Replace(spanningTenants, `topics: ["clicks.*"]`, `topics: ["clicks.*", shop.moving]`, 1)
	moved = strings.Replace(moved, "client_ids: {team: movers}\n    home: orders", "client_ids: {team: movers}\n    home: clicks", 1)
	g.Write("", moved)
	g.Reload()
	began := time.Now()
	defer func() { g.Write("", spanningTenants); g.Reload() }()
	for _, m := range all {
		if m.topic == "movers.moving" {
			m.joined(t, to)
			t.Logf("%s: the members are in the new slice %v after the move", m.topic, time.Since(began).Round(time.Millisecond))
		}
		if err := m.produce.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range all {
		m.goesOn(t, 1000)
		t.Logf("%s: a thousand records in the new slice %v after the move", m.topic, time.Since(began).Round(time.Millisecond))
	}
	for _, m := range all {
		m.arrived(t, s, from, to)
	}
}

// arrived ends the clients and checks that they had all, once, and that the old slice has
// got nothing since the move.
func (m *mover) arrived(t *testing.T, s *side, from, to *kafka.Broker) {
	t.Helper()
	written := s.clean(t, "Produce", asked(m.produce.Stop()))
	done, _ := written.Done()
	m.until(t, done.Records)
	read := s.clean(t, "Consume", asked(m.consume.Stop()))
	same(t, read, written)
	for _, e := range append(read.Find("assigned"), read.Find("lost")...) {
		t.Logf("%s: %s %s in generation %d", m.topic, e.Event, e.Value, e.Generation)
	}
	stayed, came := endOffsets(t, from, m.topic), endOffsets(t, to, m.topic)
	if !maps.Equal(stayed, m.left) || maps.Equal(stayed, came) {
		t.Errorf("%s: the old slice ends at %v, was %v; the new one at %v", m.topic, stayed, m.left, came)
	}
	if committed, _ := offsetsOf(t, to, m.topic); !maps.Equal(committed, came) {
		t.Errorf("%s: committed in the new slice %v, want %v", m.topic, committed, came)
	}
}

// offsetsOf are what a group has committed.
func offsetsOf(t *testing.T, b *kafka.Broker, group string) (map[string]int64, kadm.Offsets) {
	t.Helper()
	found, err := b.Admin(t).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string]int64{}
	found.Each(func(o kadm.OffsetResponse) { committed[at(o.Topic, o.Partition)] = o.At })
	return committed, found.Offsets()
}

// asked forgets the exit code of a Java program that was asked to end.
func asked(r kafka.Result) kafka.Result {
	r.Err = nil
	return r
}

func endOffsets(t *testing.T, b *kafka.Broker, topic string) map[string]int64 {
	t.Helper()
	found, err := b.Admin(t).ListEndOffsets(t.Context(), topic)
	if err != nil || found.Error() != nil {
		t.Fatal(err, found.Error())
	}
	all := map[string]int64{}
	found.Each(func(o kadm.ListedOffset) { all[at(o.Topic, o.Partition)] = o.Offset })
	return all
}

// goesOn waits until so many more records have been read.
func (m *mover) goesOn(t *testing.T, records int64) {
	t.Helper()
	m.until(t, count(m.consume)+records)
}

func (m *mover) until(t *testing.T, records int64) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); count(m.consume) < records; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d records were read, want %d: %s\n%s", m.topic, count(m.consume), records, m.consume.Stop(), m.produce.Stop())
		}
	}
}

// joined waits until the group has a member that a partition is assigned to.
func (m *mover) joined(t *testing.T, b *kafka.Broker) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		groups, err := b.Admin(t).DescribeGroups(t.Context(), m.topic)
		if err != nil {
			t.Fatal(err)
		}
		if g := groups[m.topic]; g.State == "Stable" && g.AssignedPartitions().Lookup(m.topic, 0) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v", m.topic, groups)
		}
	}
}

// settled waits until all that was written is read and committed.
func (m *mover) settled(t *testing.T, b *kafka.Broker) kadm.Offsets {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(300 * time.Millisecond) {
		committed, offsets := offsetsOf(t, b, m.topic)
		if maps.Equal(committed, endOffsets(t, b, m.topic)) {
			return offsets
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: committed %v of %v", m.topic, committed, endOffsets(t, b, m.topic))
		}
	}
}

// copyTo copies what the new slice does not have yet, to the same partitions.
func (m *mover) copyTo(t *testing.T, from, to *kafka.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begin, end := endOffsets(t, to, m.topic), endOffsets(t, from, m.topic)
	left := int64(0)
	starts := map[string]map[int32]kgo.Offset{m.topic: {}}
	for p := range int32(len(end)) {
		left += end[at(m.topic, p)] - begin[at(m.topic, p)]
		starts[m.topic][p] = kgo.NewOffset().At(begin[at(m.topic, p)])
	}
	source := client(t, from.Address, kgo.ConsumePartitions(starts))
	target := client(t, to.Address, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for left > 0 {
		fetches := source.PollFetches(ctx)
		if fetches.Err() != nil {
			t.Fatal(fetches.Err())
		}
		var batch []*kgo.Record
		fetches.EachRecord(func(r *kgo.Record) {
			batch = append(batch, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp})
		})
		if err := target.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		left -= int64(len(batch))
	}
	source.Close()
	target.Close()
}
