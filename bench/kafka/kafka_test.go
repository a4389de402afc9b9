package kafka

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// program runs a Java program to its end and fails the test if it says anything
// but exit code 0.
func program(t *testing.T, b *Broker, class string, args ...string) Result {
	t.Helper()
	r := b.Jars.Program(t.Context(), class, append([]string{"--bootstrap", b.Address, "--client-id", "team." + strings.ToLower(class) + ".test"}, args...)...).Wait()
	if r.Err != nil {
		t.Fatalf("%s: %s", class, r)
	}
	return r
}

// quiet fails the test if the program met an error, and returns its sums.
func quiet(t *testing.T, r Result) Event {
	t.Helper()
	done, ok := r.Done()
	if !ok || done.Count != 0 {
		t.Fatalf("the program met errors: %s", r)
	}
	return done
}

// tool runs one of Kafka's tools to its end and returns its standard output.
func tool(t *testing.T, b *Broker, class string, args ...string) string {
	t.Helper()
	r := b.Jars.Tool(t.Context(), class, append([]string{"--bootstrap-server", b.Address}, args...)...)
	if r.Err != nil {
		t.Fatalf("%s: %s", class, r)
	}
	return r.Stdout
}

// sums are the checksums by topic, those of its partitions added up.
func sums(t *testing.T, events []Event) map[string]string {
	t.Helper()
	numbers := map[string]uint64{}
	for _, e := range events {
		var n uint64
		if _, err := fmt.Sscanf(e.Sum, "%x", &n); err != nil {
			t.Fatalf("sum %q: %v", e.Sum, err)
		}
		if e.Repeated != 0 {
			t.Errorf("%s-%d: %d records out of order or twice", e.Topic, e.Partition, e.Repeated)
		}
		numbers[e.Topic] += n
	}
	all := map[string]string{}
	for topic, n := range numbers {
		all[topic] = fmt.Sprintf("%x", n)
	}
	return all
}

func equalSums(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(want) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("checksums %v, want %v", got, want)
	}
}

// TestDirect proves the programs and tools against a broker without a gateway.
// The broker has an authorizer, so that refusals can be seen too.
func TestDirect(t *testing.T) {
	t.Parallel()
	b := Start(t, Options{Properties: map[string]string{
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found": "true",
	}})
	b.CreateTopics(t, 1, "allowed", "denied")
	tool(t, b, ACLs, "--add", "--deny-principal", "User:ANONYMOUS", "--operation", "All", "--topic", "denied", "--group", "denied")
	t.Run("clients", func(t *testing.T) { directClients(t, b) })
	t.Run("consumer protocol", func(t *testing.T) { directConsumerProtocol(t, b) })
	t.Run("share", func(t *testing.T) { directShare(t, b) })
	t.Run("transactions", func(t *testing.T) { directTransactions(t, b) })
	t.Run("admin", func(t *testing.T) { directAdmin(t, b) })
	t.Run("tools", func(t *testing.T) { directTools(t, b) })
	t.Run("refused", func(t *testing.T) { directRefused(t, b) })
	t.Run("librdkafka", func(t *testing.T) { directPython(t, b) })
	t.Logf("broker: %s", memory(t, b.PID()))
}

// memory is what Linux says of a process's memory, empty elsewhere.
func memory(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ""
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") {
			found = append(found, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(found, ", ")
}

func directClients(t *testing.T, b *Broker) {
	b.CreateTopics(t, 4, "clients.a")
	produced := program(t, b, "Produce", "--topics", "clients.a,clients.b", "--records", "20000", "--size", "500")
	if done := quiet(t, produced); done.Records != 20000 || done.Bytes != 10_000_000 {
		t.Errorf("acknowledged %d records, %d bytes", done.Records, done.Bytes)
	}
	var total int64
	for _, s := range produced.Samples() {
		total += s.Bytes
	}
	if total != 10_000_000 {
		t.Errorf("the buckets have %d bytes", total)
	}
	throttles := map[string]bool{}
	for _, e := range produced.Find("metric") {
		throttles[e.Name] = true
	}
	if !throttles["produce-throttle-time-avg"] || !throttles["produce-throttle-time-max"] {
		t.Errorf("throttle metrics: %v", throttles)
	}
	read := program(t, b, "Consume", "--client-id", "team.c-{i}.test", "--group", "clients", "--consumers", "2",
		"--topics", "clients.a,clients.b", "--records", "20000", "--commit", "sync")
	quiet(t, read)
	equalSums(t, sums(t, read.Find("partition")), sums(t, produced.Find("topic")))
	if a := read.Find("assigned"); len(a) < 2 || a[0].Generation < 1 || a[0].Member == "" {
		t.Errorf("assignments: %+v", a)
	}
	if len(read.ClientSamples("team.c-1.test")) == 0 {
		t.Error("no buckets of the second consumer")
	}
	unread := program(t, b, "Produce", "--topics", "clients.zero", "--records", "1000", "--prop", "acks=0",
		"--prop", "enable.idempotence=false")
	if done := quiet(t, unread); done.Records != 1000 {
		t.Errorf("acks=0: %d records", done.Records)
	}
	assigned := program(t, b, "Consume", "--topics", "clients.zero", "--records", "1000")
	equalSums(t, sums(t, assigned.Find("partition")), sums(t, unread.Find("topic")))
}

func directConsumerProtocol(t *testing.T, b *Broker) {
	b.CreateTopics(t, 1, "next.a", "next.b")
	// A consumer that runs until it is stopped, while a producer keeps to a rate.
	c := b.Jars.Program(t.Context(), "Consume", "--bootstrap", b.Address, "--client-id", "team.next.test", "--group", "next",
		"--protocol", "consumer", "--pattern", `next\..*`, "--seconds", "60")
	produced := program(t, b, "Produce", "--topics", "next.a,next.b", "--rate", "1000000", "--seconds", "3")
	want := quiet(t, produced)
	if want.Bytes > 3_200_000 || want.Bytes < 100_000 {
		t.Errorf("a rate of 1 MB/s for 3 s gave %d bytes", want.Bytes)
	}
	if windows := Windows(produced.Samples(), time.Second); len(windows) < 2 {
		t.Errorf("windows of 3 s: %v", windows)
	}
	var got int64
	_, err := c.WaitFor(t.Context(), func(e Event) bool {
		if e.Event == "bytes" {
			got += e.Records
		}
		return got == want.Records
	})
	read := c.Stop()
	if err != nil || read.Err != nil && !strings.Contains(read.Err.Error(), "143") {
		t.Fatalf("%v: %s", err, read)
	}
	quiet(t, read)
	equalSums(t, sums(t, read.Find("partition")), sums(t, produced.Find("topic")))
	if m := read.Find("member"); len(m) != 1 || m[0].Generation < 1 {
		t.Errorf("member: %+v", m)
	}
}

func directShare(t *testing.T, b *Broker) {
	produced := program(t, b, "Produce", "--topics", "share.a", "--records", "1000")
	program(t, b, "Admin", "--do", "share-earliest", "--groups", "share.g")
	read := program(t, b, "Share", "--group", "share.g", "--topics", "share.a", "--records", "1000", "--release-every", "10")
	done := quiet(t, read)
	if done.Records != 1000 || done.Number < 90 {
		t.Errorf("%d records, %v delivered again", done.Records, done.Number)
	}
	var n uint64
	for _, e := range read.Find("partition") {
		var sum uint64
		if _, err := fmt.Sscanf(e.Sum, "%x", &sum); err != nil {
			t.Fatal(err)
		}
		n += sum
	}
	if want := sums(t, produced.Find("topic"))["share.a"]; fmt.Sprintf("%x", n) != want {
		t.Errorf("checksum %x, want %s", n, want)
	}
}

func directTransactions(t *testing.T, b *Broker) {
	b.CreateTopics(t, 2, "txn.a")
	r := program(t, b, "Txn", "--topic", "txn.a", "--to", "txn.b", "--transactional-id", "txn.1", "--group", "txn.g")
	quiet(t, r)
	reads := map[string]int64{}
	for _, e := range r.Find("read") {
		reads[e.Topic+" "+e.Name] = e.Records
	}
	want := map[string]int64{"txn.a read_committed": 200, "txn.a read_uncommitted": 300, "txn.b read_committed": 200}
	for name, n := range want {
		if reads[name] != n {
			t.Errorf("%s: %d records, want %d", name, reads[name], n)
		}
	}
	if n := reads["txn.b read_uncommitted"]; n <= 200 {
		t.Errorf("txn.b: %d records without isolation, want those of the aborted copy too", n)
	}
	if len(r.Find("offsets")) == 0 {
		t.Errorf("offsets: %s", r)
	}
	// A transactional producer with default transactions of its own.
	quiet(t, program(t, b, "Produce", "--topics", "txn.c", "--transactional-id", "txn.2", "--seconds", "1", "--rate", "100000"))
}

func directAdmin(t *testing.T, b *Broker) {
	r := program(t, b, "Admin", "--topics", "admin.a", "--groups", "clients", "--partitions", "2", "--config", "retention.ms=60000",
		"--do", "describe-cluster,create-topics,list-topics,describe-topics,list-offsets,alter-topic-configs,describe-topic-configs,"+
			"describe-broker-configs,list-groups,describe-groups,list-group-offsets,describe-features,describe-quorum,"+
			"describe-log-dirs,describe-producers,describe-acls,list-transactions,delete-topics,delete-groups")
	quiet(t, r)
	values := map[string]string{}
	for _, e := range r.Find("result") {
		values[e.Op+" "+e.Topic] = e.Value
	}
	node := fmt.Sprintf("%d@%s", b.NodeID, b.Address)
	for name, want := range map[string]string{
		"describe-cluster nodes":         node,
		"describe-cluster cluster-id":    b.ClusterID,
		"create-topics admin.a":          "created",
		"describe-topics admin.a":        "0:" + node + " 1:" + node,
		"list-offsets admin.a":           "0=0 1=0",
		"list-group-offsets clients":     "clients.b-0=10000",
		"describe-topic-configs admin.a": "retention.ms=60000",
		"list-groups groups":             "clients:Classic",
		"describe-groups clients":        "Empty 0 members, coordinator " + node,
		"delete-topics admin.a":          "deleted",
		"delete-groups clients":          "deleted",
		"describe-broker-configs 1":      "advertised.listeners=PLAINTEXT://" + b.Address,
		"list-topics topics":             "admin.a",
		"list-transactions transactions": "txn.1",
		"describe-features features":     "metadata.version",
		"describe-quorum quorum":         "leaderId=1",
		"describe-log-dirs 1":            "1",
		"describe-producers admin.a":     "0",
		"alter-topic-configs admin.a":    "altered",
		"describe-acls acls":             "[",
	} {
		if !strings.Contains(values[name], want) {
			t.Errorf("%s: %q, want %q in it", name, values[name], want)
		}
	}
	unknown := program(t, b, "Admin", "--do", "describe-topics,describe-groups", "--topics", "none", "--groups", "none")
	if e := unknown.Find("error"); len(e) != 2 || e[0].Error != "UnknownTopicOrPartitionException" || e[1].Error != "GroupIdNotFoundException" {
		t.Errorf("errors: %+v", e)
	}
}

func directTools(t *testing.T, b *Broker) {
	tool(t, b, Topics, "--create", "--topic", "tools", "--partitions", "1")
	perf := tool(t, b, ProducerPerformance, "--topic", "tools", "--num-records", "5000", "--record-size", "100", "--throughput", "-1")
	if !strings.Contains(perf, "5000 records sent") {
		t.Errorf("producer perf: %s", perf)
	}
	perf = tool(t, b, ConsumerPerformance, "--topic", "tools", "--num-records", "5000", "--group", "tools.perf")
	if !strings.Contains(perf, ", 5000, ") {
		t.Errorf("consumer perf: %s", perf)
	}
	r := b.Jars.ToolInput(t.Context(), "one\ntwo\n", ConsoleProducer, "--bootstrap-server", b.Address, "--topic", "tools.console")
	if r.Err != nil {
		t.Fatalf("console producer: %s", r)
	}
	out := tool(t, b, ConsoleConsumer, "--topic", "tools.console", "--from-beginning", "--max-messages", "2", "--timeout-ms", "15000")
	if out != "one\ntwo\n" {
		t.Errorf("console consumer: %q", out)
	}
	if out := tool(t, b, APIVersions); !strings.Contains(out, b.Address+" (id: 1 ") || !strings.Contains(out, "Produce(0): 0 to 13") {
		t.Errorf("API versions: %s", out)
	}
	if out := tool(t, b, ConsumerGroups, "--describe", "--group", "tools.perf"); !strings.Contains(out, "5000") {
		t.Errorf("consumer groups: %s", out)
	}
	if out := tool(t, b, Configs, "--describe", "--entity-type", "topics", "--entity-name", "tools", "--all"); !strings.Contains(out, "retention.ms") {
		t.Errorf("configs: %s", out)
	}
}

func directRefused(t *testing.T, b *Broker) {
	running := map[string]*Process{}
	for kind, args := range map[string][]string{
		"producer":      {"--topic", "denied"},
		"consumer":      {"--topic", "allowed", "--group", "denied"},
		"consumer-next": {"--topic", "denied", "--group", "refused"},
		"share":         {"--topic", "allowed", "--group", "denied"},
		"admin-create":  {"--topic", "denied"},
		"admin":         {},
	} {
		running[kind] = b.Jars.Program(t.Context(), "Refused", append([]string{
			"--bootstrap", b.Address, "--client-id",
			"team.refused.test", "--kind", kind, "--seconds", "30", "--tries", "2",
		}, args...)...)
	}
	for kind, want := range map[string]string{
		"producer":      "TopicAuthorizationException",
		"consumer":      "GroupAuthorizationException",
		"consumer-next": "TopicAuthorizationException",
		"share":         "GroupAuthorizationException",
		"admin-create":  "TopicExistsException",
	} {
		r := running[kind].Wait()
		e := r.Find("error")
		done, ok := r.Done()
		if r.Err != nil || len(e) == 0 || e[0].Error != want || !ok || done.Records != 0 || done.Count != 2 {
			t.Errorf("%s: want %s: %s", kind, want, r)
		}
	}
	r := running["admin"].Wait()
	if done, ok := r.Done(); !ok || done.Records != 2 || done.Count != 0 {
		t.Errorf("an admin that is not refused: %s", r)
	}
}

func directPython(t *testing.T, b *Broker) {
	p := ResolvePython(t)
	run := func(name string, args ...string) Result {
		t.Helper()
		r := p.Program(t.Context(), name, append([]string{"--bootstrap", b.Address, "--client-id", "team.python.test"}, args...)...).Wait()
		if r.Err != nil {
			t.Fatalf("%s: %s", name, r)
		}
		return r
	}
	produced := run("produce", "--topics", "python.a,python.b", "--records", "5000")
	if done := quiet(t, produced); done.Records != 5000 || done.Bytes != 5_000_000 {
		t.Errorf("acknowledged %+v", done)
	}
	for _, protocol := range []string{"classic", "consumer"} {
		read := run("consume", "--topics", "python.a,python.b", "--group", "python."+protocol, "--protocol", protocol, "--records", "5000")
		quiet(t, read)
		equalSums(t, sums(t, read.Find("partition")), sums(t, produced.Find("topic")))
		if len(read.Find("assigned")) == 0 {
			t.Errorf("%s: no assignment", protocol)
		}
	}
	// The consumer says it once only, so one try each.
	for kind, want := range map[string]string{"producer": "TOPIC_AUTHORIZATION_FAILED", "consumer": "GROUP_AUTHORIZATION_FAILED"} {
		r := run("refused", "--kind", kind, "--topic", "denied", "--group", "denied", "--seconds", "30", "--tries", "1")
		if e := r.Find("error"); len(e) == 0 || e[0].Error != want {
			t.Errorf("%s: %s", kind, r)
		}
	}
	if done, ok := run("refused", "--kind", "admin", "--tries", "1").Done(); !ok || done.Records != 1 {
		t.Errorf("an admin that is not refused: %+v", done)
	}
}

// TestDirectVersion3 tries a 3.x broker, and a broker that comes back.
func TestDirectVersion3(t *testing.T) {
	t.Parallel()
	b := Start(t, Options{Version: Version3, NodeID: 7})
	programs := Resolve(t, "")
	p := programs.Program(t.Context(), "Produce", "--bootstrap", b.Address, "--topics", "old", "--records", "1000").Wait()
	if done := quiet(t, p); done.Records != 1000 {
		t.Fatalf("%s", p)
	}
	b.Stop()
	if err := b.Run(); err != nil {
		t.Fatalf("%v\n%s", err, tail(b.Log(), 40))
	}
	c := programs.Program(t.Context(), "Consume", "--bootstrap", b.Address, "--topics", "old", "--group", "old", "--records", "1000").Wait()
	equalSums(t, sums(t, c.Find("partition")), sums(t, p.Find("topic")))
	if out := tool(t, b, APIVersions); !strings.Contains(out, b.Address+" (id: 7 ") {
		t.Errorf("API versions: %s", out)
	}
}
