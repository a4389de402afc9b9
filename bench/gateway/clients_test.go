package gateway

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// twoSlices are two tenants with rules and two without, one of each in each slice.
// BrokerApiVersionsCommand chooses its client ID itself: admin-1.
const twoSlices = `tenants:
  - name: sales
    client_ids: {team: sales}
    home: orders
    rules:
      - {allow: [READ, WRITE, CREATE, DESCRIBE_CONFIGS], topics: ["sales.*"]}
      - {allow: [READ], groups: ["sales.*"]}
      - {allow: [WRITE], transactional_ids: ["sales.*"]}
  - name: web
    client_ids: {team: web}
    home: clicks
    rules:
      - {allow: [READ, WRITE, CREATE, DESCRIBE_CONFIGS], topics: ["web.*"]}
      - {allow: [READ], groups: ["web.*"]}
      - {allow: [WRITE], transactional_ids: ["web.*"]}
  - name: ops
    client_ids: [ops.tools, HOME0]
    home: orders
    rules: [{allow: [ALL], everything: true}]
  - name: webops
    client_ids: [webops.tools, HOME1]
    home: clicks
    rules: [{allow: [ALL], everything: true}]
`

// tenantsWith is twoSlices with the client ID admin-1 belonging to the slice.
func tenantsWith(slot int) string {
	s := strings.ReplaceAll(twoSlices, ", HOME"+strconv.Itoa(slot), ", admin-1")
	return strings.ReplaceAll(s, ", HOME"+strconv.Itoa(1-slot), "")
}

// side is one slice, as its tenant with rules (team) and the one without (ops) see it.
type side struct {
	name, team, ops string
	slot            int
	broker          *kafka.Broker
	g               *Gateway
}

// startTwo starts two brokers and a gateway in front of them.
func startTwo(t *testing.T, slot int) (*Gateway, [2]*side) {
	t.Helper()
	brokers := [2]*kafka.Broker{kafka.Start(t, kafka.Options{}), kafka.Start(t, kafka.Options{NodeID: 2})}
	g := Start(t, "", tenantsWith(slot), brokers[:]...)
	return g, [2]*side{
		{name: "orders", team: "sales", ops: "ops.tools", slot: 0, broker: brokers[0], g: g},
		{name: "clicks", team: "web", ops: "webops.tools", slot: 1, broker: brokers[1], g: g},
	}
}

// both runs a test for both slices at the same time.
func both(t *testing.T, sides [2]*side, test func(*testing.T, *side)) {
	t.Helper()
	t.Run("slices", func(t *testing.T) {
		for _, s := range sides {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				test(t, s)
			})
		}
	})
}

// node is where clients see the slice's broker.
func (s *side) node() (id int32, address string) {
	return s.broker.NodeID + int32(s.slot)<<20, loopback(s.g.ports + 2 + 4*s.slot + int(s.broker.NodeID) - 1)
}

// plain is what a client of the gateway printed, with the broker's own address and
// node id in the place of those it was shown; then it can be compared with what a
// client of the broker printed.
func (s *side) plain(out string) string {
	id, address := s.node()
	out = strings.ReplaceAll(out, address, s.broker.Address)
	out = strings.ReplaceAll(out, s.g.Address, s.broker.Address)
	if s.slot > 0 { // ids of slot 0 are the broker's own
		out = regexp.MustCompile(`\b`+strconv.Itoa(int(id))+`\b`).ReplaceAllString(out, strconv.Itoa(int(s.broker.NodeID)))
	}
	return out
}

// hidden fails the test if what a client of the gateway printed names a broker's own
// port: all of them are on the same host.
func (s *side) hidden(t *testing.T, out string) {
	t.Helper()
	for _, b := range s.g.brokers {
		if at := regexp.MustCompile(`\b` + strconv.Itoa(b.Port) + `\b`).FindStringIndex(out); at != nil {
			t.Errorf("the broker's own port %d is in the output: %q", b.Port, out[max(0, at[0]-100):min(len(out), at[1]+50)])
		}
	}
}

// program runs a Java program as the tenant with rules and fails the test at any error.
func (s *side) program(t *testing.T, class string, flags ...string) kafka.Result {
	t.Helper()
	r := s.broker.Jars.Program(t.Context(), class, append([]string{"--bootstrap", s.g.Address, "--client-id", s.team + ".java"}, flags...)...).Wait()
	return s.clean(t, class, r)
}

// python runs a librdkafka program likewise.
func (s *side) python(t *testing.T, name string, flags ...string) kafka.Result {
	t.Helper()
	r := kafka.ResolvePython(t).Program(t.Context(), name, append([]string{"--bootstrap", s.g.Address, "--client-id", s.team + ".rdkafka"}, flags...)...).Wait()
	return s.clean(t, name, r)
}

// clean fails the test if a program met an error, or saw the address of a broker
// other than those it was connected to.
func (s *side) clean(t *testing.T, what string, r kafka.Result, direct ...*kafka.Broker) kafka.Result {
	t.Helper()
	done, ok := r.Done()
	if r.Err != nil || !ok || done.Count != 0 || len(r.Find("error")) > 0 {
		t.Fatalf("%s: %s", what, r)
	}
	if len(direct) == 0 {
		s.hidden(t, r.Stdout+r.Stderr)
	}
	return r
}

// sums are numbers of records and checksums by topic.
func sums(t *testing.T, events []kafka.Event) string {
	t.Helper()
	sums, records := map[string]uint64{}, map[string]int64{}
	for _, e := range events {
		n, err := strconv.ParseUint(e.Sum, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sums[e.Topic] += n
		records[e.Topic] += e.Records
	}
	return fmt.Sprint(records, sums)
}

// same checks that what was read is what was written, and that each record came
// once and in order.
func same(t *testing.T, read, written kafka.Result) {
	t.Helper()
	got, want := sums(t, read.Find("partition")), sums(t, written.Find("topic"))
	if got != want || len(written.Find("topic")) == 0 {
		t.Errorf("read %s, written %s", got, want)
	}
	for _, e := range read.Find("partition") {
		if e.Repeated != 0 {
			t.Errorf("%s-%d: %d records twice or out of order", e.Topic, e.Partition, e.Repeated)
		}
	}
}

// TestClients shows that clients of all kinds work through the gateway as they do
// without, as a tenant held to its rules, in a slice with slot 0 and one with slot 1.
func TestClients(t *testing.T) {
	_, sides := startTwo(t, 0)
	both(t, sides, func(t *testing.T, s *side) {
		s.broker.CreateTopics(t, 3, s.team+".data", s.team+".share", s.team+".txn", "other.data")
		t.Run("java producer and consumers", func(t *testing.T) { javaData(t, s) })
		t.Run("regex", func(t *testing.T) { javaRegex(t, s) })
		t.Run("regex, later", func(t *testing.T) { javaRegexLater(t, s) })
		t.Run("java transactions", func(t *testing.T) { javaTransactions(t, s) })
		t.Run("java share consumer", func(t *testing.T) { javaShare(t, s) })
		t.Run("java admin", func(t *testing.T) { javaAdmin(t, s) })
		t.Run("librdkafka", func(t *testing.T) { librdkafka(t, s) })
		t.Run("franz-go", func(t *testing.T) { franz(t, s) })
		t.Run("franz-go transactions", func(t *testing.T) { franzTransactions(t, s) })
		t.Run("kadm", func(t *testing.T) { franzAdmin(t, s) })
		t.Run("sarama", func(t *testing.T) { saramaClients(t, s) })
	})
}

func javaData(t *testing.T, s *side) {
	topics := s.team + ".data," + s.team + ".made" // the second is made when first used
	written := s.program(t, "Produce", "--topics", topics, "--records", "5000", "--size", "300")
	s.tagged(t, s.team+".data", true)
	for _, protocol := range []string{"classic", "consumer"} {
		read := s.program(t, "Consume", "--group", s.team+"."+protocol, "--protocol", protocol, "--consumers", "2", "--client-id", s.team+".c{i}",
			"--topics", topics, "--records", "5000", "--commit", "sync")
		same(t, read, written)
		if a := read.Find("assigned"); len(a) < 2 || a[0].Member == "" {
			t.Errorf("%s: assignments %+v", protocol, a)
		}
	}
}

// tagged checks the producer ids that the broker itself saw in a topic.
func (s *side) tagged(t *testing.T, topic string, want bool) {
	t.Helper()
	details, err := s.broker.Admin(t).ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.broker.Admin(t).DescribeProducers(t.Context(), details.TopicsSet())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	found.EachProducer(func(p kadm.DescribedProducer) {
		n++
		tag := int64(0)
		if want {
			tag = int64(s.slot + 1)
		}
		if p.ProducerID>>48 != tag {
			t.Errorf("%s: producer id %#x, want the tag %d", topic, p.ProducerID, tag)
		}
	})
	if n == 0 {
		t.Errorf("%s: no producers", topic)
	}
}

func javaRegex(t *testing.T, s *side) {
	s.broker.CreateTopics(t, 1, s.team+".next.a", s.team+".next.b")
	written := s.program(t, "Produce", "--topics", s.team+".next.a,"+s.team+".next.b", "--records", "200")
	read := s.program(t, "Consume", "--group", s.team+".regex", "--protocol", "consumer", "--pattern", s.team+`\.next\..*`, "--records", "200")
	same(t, read, written)
	// The classic protocol matches in the client, among the topics that it is shown.
	read = s.program(t, "Consume", "--group", s.team+".regex0", "--pattern", `.*\.(next\..|data)`, "--topics", "", "--records", "2700")
	for _, e := range read.Find("partition") {
		if e.Topic == "other.data" {
			t.Errorf("a topic of others was matched: %+v", e)
		}
	}
	r := s.broker.Jars.Program(t.Context(), "Consume", "--bootstrap", s.g.Address, "--client-id", s.team+".java", "--group", s.team+".beyond",
		"--protocol", "consumer", "--pattern", `.*\.data`, "--seconds", "10").Wait()
	e := r.Find("error")
	if len(e) == 0 || e[0].Error != "TopicAuthorizationException" || len(r.Find("partition")) > 0 {
		t.Fatalf("a pattern that matches what may not be described: %s", r)
	}
	t.Logf("beyond: %s: %s", e[0].Error, e[0].Message)
}

// javaRegexLater has a topic that may not be described appear after the pattern that
// matches it was judged. The consumer is to go on as if it did not exist.
func javaRegexLater(t *testing.T, s *side) {
	first, second := s.team+".later", s.team+".2.later"
	s.broker.CreateTopics(t, 1, first)
	direct := client(t, s.broker.Address)
	write(t, direct, first, "v", 100)
	p := s.broker.Jars.Program(t.Context(), "Consume", "--bootstrap", s.g.Address, "--client-id", s.team+".java", "--group", s.team+".later",
		"--protocol", "consumer", "--pattern", `.*\.later`, "--seconds", "60")
	defer p.Stop()
	await := func(want int64) {
		t.Helper()
		var got int64
		if _, err := p.WaitFor(t.Context(), func(e kafka.Event) bool {
			if e.Event == "bytes" {
				got += e.Records
			}
			return got >= want
		}); err != nil {
			t.Fatal(err)
		}
	}
	beats := func() float64 {
		return s.g.Metric("sluice_requests_total", "tenant", s.team, "api", "ConsumerGroupHeartbeat")
	}
	await(100)
	before := beats()
	s.broker.CreateTopics(t, 1, "other.later", second)
	write(t, direct, "other.later", "v", 100)
	write(t, direct, second, "v", 77)
	await(177)
	during := beats() - before
	time.Sleep(6 * time.Second)
	after := beats() - before - during
	t.Logf("%v heartbeats until the new topic came, %v in 6 s afterwards", during, after)
	if after > 3 { // one each 5 s
		t.Errorf("%v heartbeats in 6 s", after)
	}
	r := p.Stop()
	if done, ok := r.Done(); !ok || done.Records != 177 || done.Count != 0 || strings.Contains(r.Stderr, "Exception") {
		t.Errorf("want 177 records: %s", r)
	}
	for _, e := range r.Find("partition") {
		if e.Topic == "other.later" {
			t.Errorf("a topic of others was read: %+v", e)
		}
	}
}

func javaTransactions(t *testing.T, s *side) {
	r := s.program(t, "Txn", "--topic", s.team+".txn", "--to", s.team+".txn2", "--transactional-id", s.team+".t1", "--group", s.team+".txns")
	reads := map[string]int64{}
	for _, e := range r.Find("read") {
		reads[e.Topic+" "+e.Name] = e.Records
	}
	for name, n := range map[string]int64{".txn read_committed": 200, ".txn read_uncommitted": 300, ".txn2 read_committed": 200} {
		if reads[s.team+name] != n {
			t.Errorf("%s: %d records, want %d", name, reads[s.team+name], n)
		}
	}
	if n := reads[s.team+".txn2 read_uncommitted"]; n <= 200 {
		t.Errorf("%d records of the copy without isolation, want those of the aborted one too", n)
	}
	if len(r.Find("offsets")) == 0 {
		t.Errorf("no offsets were sent to the transaction: %s", r)
	}
	s.tagged(t, s.team+".txn", false)
}

func javaShare(t *testing.T, s *side) {
	group := s.team + ".share"
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	resource.Configs = append(resource.Configs, config)
	r.Resources = append(r.Resources, resource)
	if resp, err := r.RequestWith(t.Context(), client(t, s.broker.Address)); err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatal(err, resp)
	}
	written := s.program(t, "Produce", "--topics", s.team+".share", "--records", "600")
	read := s.program(t, "Share", "--group", group, "--topics", s.team+".share", "--records", "600", "--release-every", "10")
	// What was released comes again, behind what follows it.
	if got, want := sums(t, read.Find("partition")), sums(t, written.Find("topic")); got != want {
		t.Errorf("read %s, written %s", got, want)
	}
	if done, _ := read.Done(); done.Records != 600 || done.Number < 50 {
		t.Errorf("%d records, %v delivered again", done.Records, done.Number)
	}
}

// javaAdmin compares each call's result with the broker's own.
func javaAdmin(t *testing.T, s *side) {
	id, _ := s.node()
	compare := func(clientID, calls, more string, flags ...string) (beyond []kafka.Event) {
		t.Helper()
		run := func(do, address, clientID string, node int32) kafka.Result {
			return s.broker.Jars.Program(t.Context(), "Admin", append([]string{
				"--bootstrap", address, "--client-id", clientID,
				"--do", do, "--broker", strconv.Itoa(int(node)),
			}, flags...)...).Wait()
		}
		through := s.clean(t, "Admin", run(calls+","+more, s.g.Address, clientID, id))
		direct := s.clean(t, "Admin", run(calls, s.broker.Address, "", s.broker.NodeID), s.broker)
		var compared []kafka.Event
		for _, e := range through.Find("result") {
			if strings.Contains(more, e.Op) {
				beyond = append(beyond, e)
			} else {
				compared = append(compared, e)
			}
		}
		equal(t, s.plain(lines(compared)), lines(direct.Find("result")))
		return beyond
	}
	// A tenant with rules, which sees its own alone.
	shown := compare(s.team+".admin", "describe-cluster,describe-topics,list-offsets,describe-topic-configs,describe-groups,list-group-offsets",
		"list-topics,list-groups", "--topics", s.team+".data", "--groups", s.team+".classic,"+s.team+".consumer")
	for _, e := range shown {
		for name := range strings.SplitSeq(strings.Trim(e.Value, "[]"), ", ") {
			if !strings.HasPrefix(name, s.team+".") {
				t.Errorf("%s shows %q", e.Op, name)
			}
		}
	}
	// An administrator, from whom only the brokers' addresses are hidden.
	compare(s.ops, "describe-cluster,create-topics,list-topics,describe-topics,list-offsets,alter-topic-configs,describe-topic-configs,"+
		"list-groups,describe-groups,list-group-offsets,describe-features,describe-log-dirs,describe-producers,list-transactions,delete-topics",
		"describe-broker-configs,describe-quorum", "--topics", "admin.a", "--groups", s.team+".consumer", "--partitions", "2", "--config", "retention.ms=60000")
}

// equal compares what was printed through the gateway with what the broker itself
// gave, and shows the first line that differs.
func equal(t *testing.T, through, direct string) {
	t.Helper()
	got, want := strings.Split(through, "\n"), strings.Split(direct, "\n")
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("line %d through the gateway:\n%s\ndirectly:\n%s", i+1, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) || direct == "" {
		t.Errorf("%d lines through the gateway, %d directly", len(got), len(want))
	}
}

// lines are the results of program Admin, one a line.
func lines(events []kafka.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s: %s\n", e.Op, e.Topic, e.Value)
	}
	return b.String()
}

func librdkafka(t *testing.T, s *side) {
	topics := s.team + ".rd.a," + s.team + ".rd.b"
	written := s.python(t, "produce", "--topics", topics, "--records", "3000", "--prop", "enable.idempotence=true")
	s.tagged(t, s.team+".rd.a", true)
	for _, protocol := range []string{"classic", "consumer"} {
		same(t, s.python(t, "consume", "--topics", topics, "--group", s.team+".rd."+protocol, "--protocol", protocol, "--records", "3000"), written)
	}
}

// client is a franz-go client that is closed when the test ends.
func client(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// read reads so many records and checks that each value comes once.
func read(t *testing.T, cl *kgo.Client, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen := map[string]int{}
	for n := 0; n < want; {
		fetches := cl.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), errors.Join(errorsOf(fetches)...)); err != nil {
			t.Fatalf("after %d records: %v", n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { n++; seen[string(r.Value)]++ })
	}
	if len(seen) != want {
		t.Errorf("%d different records, want %d", len(seen), want)
	}
}

func errorsOf(fetches kgo.Fetches) (all []error) {
	fetches.EachError(func(topic string, p int32, err error) { all = append(all, fmt.Errorf("%s-%d: %w", topic, p, err)) })
	return all
}

// write writes records with the values prefix0, prefix1 and so on.
func write(t *testing.T, cl *kgo.Client, topic, prefix string, n int) {
	t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(prefix + strconv.Itoa(i))}
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func franz(t *testing.T, s *side) {
	topic := s.team + ".franz"
	s.broker.CreateTopics(t, 3, topic)
	id := kgo.ClientID(s.team + ".franz")
	write(t, client(t, s.g.Address, id), topic, "v", 2000)
	s.tagged(t, topic, true)
	group := client(t, s.g.Address, id, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(s.team+".franz"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	read(t, group, 2000)
	if err := group.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Error(err)
	}
	group.Close()
	lags, err := kadm.NewClient(client(t, s.broker.Address)).Lag(t.Context(), s.team+".franz")
	if err != nil || lags[s.team+".franz"].Lag.Total() != 0 || len(lags[s.team+".franz"].Lag.Sorted()) != 3 {
		t.Errorf("lag as the broker sees it: %v %+v", err, lags)
	}
	read(t, client(t, s.g.Address, id, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 2000)
}

func franzTransactions(t *testing.T, s *side) {
	from, to, id := s.team+".franz", s.team+".franz.copy", kgo.ClientID(s.team+".franz")
	s.broker.CreateTopics(t, 1, to)
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(s.g.Address), id, kgo.TransactionalID(s.team+".franz"), kgo.ConsumeTopics(from),
		kgo.ConsumerGroup(s.team+".franz.copy"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n, aborted := 0, false; n < 2000; {
		fetches := session.PollFetches(ctx)
		if err := errors.Join(errorsOf(fetches)...); err != nil {
			t.Fatal(err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Topic: to, Value: r.Value}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		})
		if err := session.Client().Flush(ctx); err != nil { // so that the aborted records are really in the log
			t.Fatal(err)
		}
		committed, err := session.End(ctx, kgo.TransactionEndTry(aborted)) // the first is aborted
		if err != nil || committed != aborted {
			t.Fatalf("committed %v, want %v: %v", committed, aborted, err)
		}
		if committed {
			n += fetches.NumRecords()
		}
		aborted = true
	}
	start := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	read(t, client(t, s.g.Address, id, kgo.ConsumeTopics(to), start, kgo.FetchIsolationLevel(kgo.ReadCommitted())), 2000)
	s.tagged(t, to, false)
}

// franzAdmin compares what kadm is told through the gateway and by the broker.
func franzAdmin(t *testing.T, s *side) {
	through, direct := kadm.NewClient(client(t, s.g.Address, kgo.ClientID(s.team+".kadm"))), kadm.NewClient(client(t, s.broker.Address))
	ask := func(cl *kadm.Client) string {
		topics, err := cl.ListTopics(t.Context(), s.team+".data", s.team+".franz")
		if err != nil {
			t.Fatal(err)
		}
		ends, err := cl.ListEndOffsets(t.Context(), s.team+".data")
		if err != nil {
			t.Fatal(err)
		}
		groups, err := cl.DescribeGroups(t.Context(), s.team+".classic", s.team+".franz")
		if err != nil {
			t.Fatal(err)
		}
		configs, err := cl.DescribeTopicConfigs(t.Context(), s.team+".data")
		if err != nil {
			t.Fatal(err)
		}
		offsets, err := cl.FetchOffsets(t.Context(), s.team+".classic")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, d := range topics.Sorted() {
			fmt.Fprintln(&b, d.Topic, d.ID, d.Err)
			for _, p := range d.Partitions.Sorted() {
				fmt.Fprintln(&b, p.Partition, p.Leader, p.Replicas, p.ISR, p.LeaderEpoch)
			}
		}
		for _, o := range ends.Offsets().Sorted() {
			fmt.Fprintln(&b, o.Topic, o.Partition, o.At)
		}
		for _, d := range groups.Sorted() {
			fmt.Fprintln(&b, d.Group, d.State, d.ProtocolType, d.Coordinator.NodeID, d.Coordinator.Host, d.Coordinator.Port, d.Err)
		}
		for _, c := range configs[0].Configs {
			fmt.Fprintln(&b, c.Key, c.MaybeValue(), c.Source)
		}
		for _, o := range offsets.Sorted() {
			fmt.Fprintln(&b, o.Topic, o.Partition, o.At, o.Err)
		}
		return strings.ReplaceAll(b.String(), "127.0.0.1 ", "127.0.0.1:")
	}
	seen := ask(through)
	s.hidden(t, seen)
	equal(t, s.plain(seen), ask(direct))
	listed, err := through.ListTopics(t.Context())
	if err != nil || len(listed) < 5 {
		t.Fatal(err, listed)
	}
	for name := range listed {
		if !strings.HasPrefix(name, s.team+".") {
			t.Errorf("kadm lists %s", name)
		}
	}
	brokers, err := through.ListBrokers(t.Context())
	id, address := s.node()
	if err != nil || len(brokers) != 1 || brokers[0].NodeID != id || loopback(int(brokers[0].Port)) != address {
		t.Errorf("brokers %+v, want %d at %s: %v", brokers, id, address, err)
	}
}

// saramaHandler keeps the values it is handed and stops when it has enough.
type saramaHandler struct {
	mu   sync.Mutex
	seen map[string]int
	want int
	done context.CancelFunc
}

func (*saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h *saramaHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		session.MarkMessage(m, "")
		h.mu.Lock()
		h.seen[string(m.Value)]++
		if len(h.seen) == h.want {
			h.done()
		}
		h.mu.Unlock()
	}
	return nil
}

func saramaClients(t *testing.T, s *side) {
	topic := s.team + ".sarama"
	s.broker.CreateTopics(t, 2, topic)
	config := sarama.NewConfig()
	config.ClientID, config.Version = s.team+".sarama", sarama.V3_6_0_0
	config.Producer.Return.Successes, config.Producer.Idempotent, config.Net.MaxOpenRequests = true, true, 1
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial, config.Consumer.Return.Errors = sarama.OffsetOldest, true
	producer, err := sarama.NewSyncProducer([]string{s.g.Address}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	const n = 1000
	messages := make([]*sarama.ProducerMessage, n)
	for i := range messages {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(strconv.Itoa(i))}
	}
	if err := producer.SendMessages(messages); err != nil {
		t.Fatal(err)
	}
	s.tagged(t, topic, true)
	group, err := sarama.NewConsumerGroup([]string{s.g.Address}, s.team+".sarama", config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	h := &saramaHandler{seen: map[string]int{}, want: n, done: cancel}
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for err := range group.Errors() {
			select {
			case failed <- err:
			default:
			}
		}
	}()
	if err := group.Consume(ctx, []string{topic}, h); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	_ = group.Close()
	if err := <-failed; err != nil {
		t.Error(err)
	}
	for value, times := range h.seen {
		if times != 1 {
			t.Errorf("%s came %d times", value, times)
		}
	}
	if len(h.seen) != n {
		t.Errorf("%d different records, want %d", len(h.seen), n)
	}
}
