package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// someTopics has two topics of four partitions.
type someTopics struct{}

func (someTopics) Partitions(topic string) int {
	if topic == "a" || topic == "b" {
		return 4
	}
	return 0
}
func (someTopics) CachedTopicName(id [16]byte) (string, bool) { return "b", id == [16]byte{1} }

// TestSplitMutations: what does not fit the quota is answered with 89, the rest is
// left; each topic costs the partitions that it creates or deletes.
func TestSplitMutations(t *testing.T) {
	create := func(version int16, validate bool) kmsg.Request {
		r := kmsg.NewPtrCreateTopicsRequest()
		r.Version, r.ValidateOnly = version, validate
		for name, n := range map[string]int32{"x": 3} {
			c := kmsg.NewCreateTopicsRequestTopic()
			c.Topic, c.NumPartitions = name, n
			r.Topics = append(r.Topics, c)
		}
		c := kmsg.NewCreateTopicsRequestTopic()
		c.Topic, c.NumPartitions = "y", -1
		r.Topics = append(r.Topics, c)
		return r
	}
	remove := func(version int16) kmsg.Request {
		r := kmsg.NewPtrDeleteTopicsRequest()
		r.Version = version
		r.TopicNames = []string{"a", "unknown"}
		for _, name := range r.TopicNames {
			d := kmsg.NewDeleteTopicsRequestTopic()
			d.Topic = kmsg.StringPtr(name)
			r.Topics = append(r.Topics, d)
		}
		if version >= 6 {
			d := kmsg.NewDeleteTopicsRequestTopic()
			d.TopicID = [16]byte{1}
			r.Topics = append(r.Topics, d)
		}
		return r
	}
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Version = 3
	g := kmsg.NewCreatePartitionsRequestTopic()
	g.Topic, g.Count = "a", 6
	grow.Topics = append(grow.Topics, g)

	for _, c := range []struct {
		name string
		req  kmsg.Request
		cost int
	}{
		{"create", create(7, false), 3 + 1},
		{"only validated", create(7, true), 0},
		{"delete by name", remove(5), 4 + 1},
		{"delete by name or id", remove(6), 4 + 1 + 4},
		{"grow", grow, 2},
	} {
		if got := Mutations(c.req, someTopics{}); got != c.cost {
			t.Errorf("%s: costs %d, want %d", c.name, got, c.cost)
		}
	}

	// The first topic fits, the others do not.
	for _, version := range []int16{5, 6} {
		req, first := remove(version), true
		refused, rest := SplitMutations(req, someTopics{}, func(int) bool { ok := first; first = false; return ok })
		if refused == nil || !rest {
			t.Fatalf("version %d: refused %v, rest %v", version, refused, rest)
		}
		got := refused.(*kmsg.DeleteTopicsResponse)
		if len(got.Topics) == 0 || *got.Topics[0].Topic != "unknown" || got.Topics[0].ErrorCode != 89 || got.Version != version {
			t.Errorf("version %d: refused %+v", version, got)
		}
		answer := kmsg.NewPtrDeleteTopicsResponse()
		answer.Version = version
		Lookup(KeyDeleteTopics).Merge(answer, refused)
		if len(answer.Topics) != len(got.Topics) {
			t.Errorf("version %d: merged %d of %d", version, len(answer.Topics), len(got.Topics))
		}
	}
	// Nothing fits: there is nothing left to ask.
	if refused, rest := SplitMutations(create(6, false), someTopics{}, func(int) bool { return false }); rest || len(refused.(*kmsg.CreateTopicsResponse).Topics) != 2 {
		t.Errorf("refused %v, rest %v", refused, rest)
	}
}

// TestFetchMaxBytes: the place that is patched is the one that kmsg reads, in every
// version that has it.
func TestFetchMaxBytes(t *testing.T) {
	for version := int16(0); version <= Lookup(KeyFetch).Max; version++ {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.MaxWaitMillis, req.MinBytes = version, 50<<20, 500, 1
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "t"
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes = 1 << 20
		topic.Partitions = append(topic.Partitions, p, p)
		req.Topics = append(req.Topics, topic)
		want := int32(50 << 20)
		if version < 3 {
			want = 2 << 20
		}
		if got := FetchMaxBytes(req); got != want {
			t.Errorf("version %d: max bytes %d, want %d", version, got, want)
		}
		body := req.AppendTo(nil)
		patched := PatchFetchMaxBytes(body, KeyFetch, version, 4096)
		if patched != (version >= 3) {
			t.Fatalf("version %d: patched %v", version, patched)
		}
		SetFetchMaxBytes(req, 4096)
		if version < 3 {
			if p := req.Topics[0].Partitions[1]; p.PartitionMaxBytes != 4096 {
				t.Errorf("version %d: partition asks for %d", version, p.PartitionMaxBytes)
			}
			continue
		}
		if got := req.AppendTo(nil); string(got) != string(body) {
			t.Errorf("version %d: patched and encoded differ", version)
		}
	}
}

// TestAutoCreates: only names that are not known cost anything, in versions that
// imply creation and in those that ask for it.
func TestAutoCreates(t *testing.T) {
	for version := int16(0); version <= Lookup(KeyMetadata).Max; version++ {
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.AllowAutoTopicCreation = version, true
		for _, name := range []string{"a", "new", "newer"} {
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, rt)
		}
		if got := AutoCreates(req, someTopics{}); got != 2 {
			t.Errorf("version %d: creates %d topics, want 2", version, got)
		}
		ForbidAutoCreation(req)
		if got := AutoCreates(req, someTopics{}); got != 0 || req.Version < 4 || req.Version < version {
			t.Errorf("version %d: creates %d topics as version %d after it was forbidden", version, got, req.Version)
		}
	}
}
