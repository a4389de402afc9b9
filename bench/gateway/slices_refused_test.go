package gateway

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// acrossRefused shows what a tenant of two slices is told that asks for what no
// client can have of two clusters: transactions, and groups whose partitions the brokers
// assign. Within one slice it has all of these, and a tenant of one slice on the same
// gateway too.
func acrossRefused(t *testing.T, shop, web *side) {
	g := shop.g
	topics := spread(t, g, "refused")
	for _, topic := range topics {
		write(t, client(t, g.Address, kgo.ClientID("shop.app")), topic, "v", 10)
	}
	t.Run("transactions", func(t *testing.T) { t.Parallel(); acrossTransactions(t, shop, topics) })
	t.Run("groups", func(t *testing.T) { t.Parallel(); acrossGroups(t, shop, topics) })
	t.Run("within a slice", func(t *testing.T) {
		t.Parallel()
		// A route leads the id and the groups to clicks, where the topics are.
		g.brokers[1].CreateTopics(t, 3, "clicks.txn")
		r := shop.program(t, "Txn", "--topic", "clicks.txn", "--to", "clicks.txn2", "--transactional-id", "shop.away", "--group", "shop.away.txns")
		committed(t, r, "clicks")
		written := shop.program(t, "Produce", "--topics", "clicks.txn3", "--records", "500")
		same(t, shop.program(t, "Consume", "--topics", "clicks.txn3", "--group", "shop.away.next", "--protocol", "consumer", "--records", "500"), written)
	})
	t.Run("pinned", func(t *testing.T) {
		t.Parallel()
		g.brokers[1].CreateTopics(t, 3, "web.data", "web.share", "web.txn")
		t.Run("data and KIP-848", func(t *testing.T) { javaData(t, web) })
		t.Run("transactions", func(t *testing.T) { javaTransactions(t, web) })
		t.Run("share groups", func(t *testing.T) { javaShare(t, web) })
	})
}

// committed checks what program Txn read after its transactions.
func committed(t *testing.T, r kafka.Result, prefix string) {
	t.Helper()
	reads := map[string]int64{}
	for _, e := range r.Find("read") {
		reads[e.Topic+" "+e.Name] = e.Records
	}
	if reads[prefix+".txn read_committed"] != 200 || reads[prefix+".txn read_uncommitted"] != 300 || reads[prefix+".txn2 read_committed"] != 200 {
		t.Errorf("%v", reads)
	}
	if len(r.Find("offsets")) == 0 {
		t.Errorf("no offsets were sent to the transaction: %s", r)
	}
}

// acrossTransactions: each step over the border throws, can be aborted, and leaves a
// producer that goes on.
func acrossTransactions(t *testing.T, s *side, topics []string) {
	for _, c := range []struct {
		steps string
		flags []string
	}{
		{"produce offsets", nil},
		// A group whose coordinator is elsewhere.
		{"produce offsets group", []string{"--away-group", "shop.away.g"}},
	} {
		r := s.broker.Jars.Program(t.Context(), "Across", append([]string{
			"--bootstrap", s.g.Address, "--client-id", "shop.java",
			"--transactional-id", "shop.t", "--here", topics[0], "--away", topics[1], "--group", "shop.g",
		}, c.flags...)...).Wait()
		for _, e := range r.Find("refused") {
			t.Logf("%s, %s: %s: %s", e.Op, e.Name, e.Error, e.Message)
		}
		if done, ok := r.Done(); !ok || r.Err != nil || done.Count != 0 || len(r.Find("committed")) != 1 || len(r.Find("passed")) > 0 {
			t.Errorf("%s", r)
		}
		for _, step := range strings.Fields(c.steps) {
			aborted := false
			for _, e := range r.Find("aborted") {
				aborted = aborted || e.Op == step
			}
			if !aborted {
				t.Errorf("%s was not refused and aborted", step)
			}
		}
		s.hidden(t, r.Stdout+r.Stderr)
	}
}

// acrossGroups: what the brokers assign is refused at once and says what to do.
func acrossGroups(t *testing.T, s *side, topics []string) {
	both := strings.Join(topics, ",")
	for _, c := range []struct{ name, kind, topics, want, text string }{
		{"KIP-848 over two slices", "consumer-next", both, "UnsupportedVersionException", "group.protocol=classic"},
		{"KIP-848 of another slice than the group's", "consumer-next", topics[1], "UnsupportedVersionException", "group.protocol=classic"},
		{"share group over two slices", "share", both, "InvalidRequestException", "route can send the group to the cluster of its topics"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.broker.Jars.Program(t.Context(), "Refused", "--bootstrap", s.g.Address, "--client-id", "shop.java", "--kind", c.kind,
				"--topic", c.topics, "--group", "shop."+c.kind, "--tries", "1", "--seconds", "20").Wait()
			e := r.Find("error")
			if len(e) == 0 {
				t.Fatalf("it was not refused: %s", r)
			}
			t.Logf("%s: %s", e[0].Error, e[0].Message)
			if e[0].Error != c.want || !strings.Contains(e[0].Message, c.text) {
				t.Errorf("want %s with %q", c.want, c.text)
			}
			s.hidden(t, r.Stdout+r.Stderr)
		})
	}
}
