package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// adminTenants are one without rules and one with rules for what is its own. Of the
// admin tools kafka-get-offsets alone names itself, whatever its configuration
// says: FIXED is that of the two whose it is.
const adminTenants = `tenants:
  - name: wide
    client_ids: [wide.tools, FIXEDwide]
    home: clicks
    rules: [{allow: [ALL], everything: true}]
  - name: narrow
    client_ids: [narrow.tools, FIXEDnarrow]
    home: clicks
    rules:
      - {allow: [READ, WRITE, CREATE, DESCRIBE_CONFIGS], topics: ["own.*"]}
      - {allow: [READ], groups: ["own.*"]}
      - {allow: [WRITE], transactional_ids: ["own.*"]}
`

func adminTenantsWith(fixed string) string {
	s := strings.ReplaceAll(adminTenants, "FIXED"+fixed, "GetOffsetShell")
	return regexp.MustCompile(`, FIXED\w+`).ReplaceAllString(s, "")
}

// adminTool is one of Kafka's tools and the commands that it is given, each at the
// broker and then through the gateway: so what can be done once only is done to
// something of that side. In a command %N is the broker's node id as the side sees
// it, %S the side's name, and %D where its files are. Those after a "!" fail.
type adminTool struct {
	name, class string
	commands    []string
}

var adminTools = []adminTool{
	{"kafka-topics", kafka.Topics, []string{
		"--list",
		"--describe --exclude-internal",
		"--create --topic made.%S --replica-assignment %N,%N",
		"--delete --topic made.%S",
		"!--describe --topic missing.a",
	}},
	{"kafka-configs", kafka.Configs, []string{
		"--alter --entity-type topics --entity-name own.conf --add-config retention.ms=1234567",
		"--describe --entity-type topics --entity-name own.conf --all",
		"--alter --entity-type brokers --entity-name %N --add-config log.cleaner.threads=2",
		"--describe --entity-type brokers --entity-name %N --all",
		"--describe --entity-type broker-loggers --entity-name %N",
		"--alter --entity-type client-metrics --entity-name cm --add-config interval.ms=60000",
		"--describe --entity-type client-metrics",
		"--alter --entity-type groups --entity-name own.g --add-config consumer.session.timeout.ms=50000",
		"--describe --entity-type groups --entity-name own.g",
		"--alter --entity-type users --entity-name alice --add-config producer_byte_rate=1000",
		"--alter --entity-type users --entity-name alice --add-config SCRAM-SHA-256=[iterations=8192,password=x]",
		"--describe --entity-type users --entity-name alice",
	}},
	{"kafka-consumer-groups", kafka.ConsumerGroups, []string{
		"--list --state",
		"--describe --group own.g",
		"--describe --group own.live --members --verbose",
		"--describe --all-groups --state",
		"--reset-offsets --group gone.%S --topic own.a --to-earliest --execute",
		"--delete-offsets --group gone.%S --topic other.a",
		"--delete --group gone.%S",
	}},
	{"kafka-share-groups", kafka.ShareGroups, []string{
		"--list",
		"--describe --group own.share --state",
		"--reset-offsets --group shared.%S --topic own.a --to-earliest --execute",
		"--describe --group shared.%S --offsets",
		"--delete-offsets --group shared.%S --topic other.a",
		"--delete --group shared.%S",
	}},
	{"kafka-acls", kafka.ACLs, []string{
		"--add --allow-principal User:alice --operation Read --topic made.%S",
		"--list",
		"--remove --force --allow-principal User:alice --operation Read --topic made.%S",
	}},
	{"kafka-log-dirs", kafka.LogDirs, []string{
		"--describe --topic-list own.a,other.a",
		"--describe --broker-list %N --topic-list own.a",
		"!--describe --broker-list 77",
	}},
	{"kafka-reassign-partitions", kafka.ReassignPartitions, []string{
		"--generate --topics-to-move-json-file %D/topics.json --broker-list %N",
		"--execute --reassignment-json-file %D/assignment.json --throttle 1000000",
		"--verify --reassignment-json-file %D/assignment.json",
		"--cancel --reassignment-json-file %D/assignment.json",
		"--list",
	}},
	{"kafka-transactions", kafka.Transactions, []string{
		"list",
		"describe --transactional-id own.t",
		"describe-producers --broker-id %N --topic own.tx --partition 0",
		"find-hanging --broker-id %N",
		"abort --topic hung.%S --partition 0 --start-offset 0",
		"forceTerminateTransaction --transactionalId open.%S",
	}},
	{"kafka-delete-records", kafka.DeleteRecords, []string{"--offset-json-file %D/records.json"}},
	{"kafka-get-offsets", kafka.GetOffsets, []string{
		"--topic-partitions own.a:0-1,other.a:0",
		"--topic own.a --time max-timestamp",
	}},
	{"kafka-metadata-quorum", kafka.MetadataQuorum, []string{
		"describe --status",
		"describe --replication",
		"!remove-controller --controller-id %N --controller-directory-id AAAAAAAAAAAAAAAAAAAAAQ",
	}},
	{"kafka-features", kafka.Features, []string{
		"describe",
		"upgrade --feature group.version=1",
		"downgrade --feature group.version=0 --dry-run",
	}},
	{"kafka-leader-election", kafka.LeaderElection, []string{
		"--election-type preferred --topic own.a --partition 0",
	}},
}

// A refusal is what a tool says to a tenant with rules for what is its own.
type refusal struct {
	name, class, command string
	want                 string // a regular expression
}

var refusals = []refusal{
	{"kafka-topics lists what is its own", kafka.Topics, "--list", `^own\.a\nown\.conf\nown\.tx\nended`},
	{"kafka-topics describes its own", kafka.Topics, "--describe --topic own.a", `Topic: own.a Partition: 0 Leader: %N`},
	{"kafka-topics describes others", kafka.Topics, "--describe --topic other.a", `Topic 'other.a' does not exist as expected`},
	{"kafka-topics creates", kafka.Topics, "--create --topic other.new", `TopicAuthorizationException: Authorization failed`},
	{"kafka-topics deletes", kafka.Topics, "--delete --topic own.a", `TopicAuthorizationException: Topic authorization failed`},
	{"kafka-topics alters", kafka.Topics, "--alter --topic own.a --partitions 4", `TopicAuthorizationException: Topic authorization failed`},
	{"kafka-configs of a topic", kafka.Configs, "--alter --entity-type topics --entity-name own.a --add-config retention.ms=1", `TopicAuthorizationException: Topic authorization failed`},
	{"kafka-configs of another's topic", kafka.Configs, "--describe --entity-type topics --entity-name other.a", `The topic 'other.a' doesn't exist`},
	{"kafka-configs of a broker", kafka.Configs, "--describe --entity-type brokers --entity-name %N", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-configs of brokers", kafka.Configs, "--alter --entity-type brokers --entity-default --add-config log.cleaner.threads=3", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-configs of a group", kafka.Configs, "--alter --entity-type groups --entity-name own.g --add-config consumer.session.timeout.ms=50000", `GroupAuthorizationException: Group authorization failed`},
	{"kafka-configs of client metrics", kafka.Configs, "--describe --entity-type client-metrics --entity-name cm", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-configs of users: quotas", kafka.Configs, "--alter --entity-type users --entity-name alice --add-config producer_byte_rate=1", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-configs of users: SCRAM", kafka.Configs, "--alter --entity-type users --entity-name alice --add-config SCRAM-SHA-256=[password=x]", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-consumer-groups lists what is its own", kafka.ConsumerGroups, "--list", `^own\.g\nown\.live\nended`},
	{"kafka-consumer-groups describes others", kafka.ConsumerGroups, "--describe --group other.g", `GroupAuthorizationException: FindCoordinator`},
	{"kafka-consumer-groups resets others", kafka.ConsumerGroups, "--reset-offsets --group other.g --topic own.a --to-earliest --execute", `GroupAuthorizationException: FindCoordinator`},
	{"kafka-consumer-groups deletes", kafka.ConsumerGroups, "--delete --group own.g", `Group 'own.g' could not be deleted due to: .*GroupAuthorizationException: Group authorization failed`},
	{"kafka-share-groups lists what is its own", kafka.ShareGroups, "--list", `^own\.share\nended`},
	{"kafka-share-groups describes others", kafka.ShareGroups, "--describe --group other.share", `GroupAuthorizationException: FindCoordinator`},
	{"kafka-share-groups deletes", kafka.ShareGroups, "--delete --group own.share", `Group 'own.share' could not be deleted due to: .*GroupAuthorizationException: Group authorization failed`},
	{"kafka-acls lists", kafka.ACLs, "--list", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-acls adds", kafka.ACLs, "--add --allow-principal User:eve --operation All --topic own.a", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-log-dirs", kafka.LogDirs, "--describe --broker-list %N", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-reassign-partitions lists", kafka.ReassignPartitions, "--list", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-reassign-partitions executes", kafka.ReassignPartitions, "--execute --reassignment-json-file %D/assignment.json", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-transactions lists what is its own", kafka.Transactions, "list", `^TransactionalId .*\nown\.t %N \d+ Ongoing\nended`},
	{"kafka-transactions describes others", kafka.Transactions, "describe --transactional-id other.t", `transactional-id .other.t.: .* failed due to authorization failure`},
	{"kafka-transactions describes producers of others", kafka.Transactions, "describe-producers --topic other.tx --partition 0", `partition other.tx-0 due to topic authorization failure`},
	{"kafka-transactions aborts", kafka.Transactions, "abort --topic own.a --partition 0 --producer-id 1 --producer-epoch 0 --coordinator-epoch 0", `WriteTxnMarkers request with .* failed due to .*authoriz`},
	{"kafka-delete-records", kafka.DeleteRecords, "--offset-json-file %D/records.json", `own\.conf-0 error: .*TopicAuthorizationException: Topic authorization failed`},
	{"kafka-get-offsets", kafka.GetOffsets, "--topic-partitions own.a:0,other.a:0", `^own\.a:0:3\nended`},
	{"kafka-metadata-quorum", kafka.MetadataQuorum, "describe --status", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-metadata-quorum removes", kafka.MetadataQuorum, "remove-controller --controller-id %N --controller-directory-id AAAAAAAAAAAAAAAAAAAAAQ", `ClusterAuthorizationException: Cluster authorization failed`},
	{"kafka-features", kafka.Features, "upgrade --feature group.version=1", `Could not upgrade group.version to 1. Cluster authorization failed`},
	{"kafka-leader-election", kafka.LeaderElection, "--election-type preferred --topic own.a --partition 0", `Not authorized to perform leader election`},
}

// TestAdminTools shows that Kafka's admin tools print through the gateway what they
// print at a broker, but for addresses and node ids, and that they say clearly what
// a tenant with rules may not do.
func TestAdminTools(t *testing.T) {
	k := kafka.Start(t, kafka.Options{Users: []string{"alice"}}) // with an authorizer, for kafka-acls
	g := Start(t, "", adminTenantsWith("wide"), k, k)            // in slot 1 node ids are not the broker's
	s := &side{name: "clicks", slot: 1, broker: k, g: g}
	fillForTools(t, k)
	through, direct := newAdminSide(t, s, "wide"), newAdminSide(t, s, "direct")
	shareClasses(t, k)
	twoAtOnce := make(chan struct{}, 2)
	parallel := func(t *testing.T) {
		t.Helper()
		t.Parallel()
		twoAtOnce <- struct{}{}
		t.Cleanup(func() { <-twoAtOnce })
	}
	t.Run("without rules", func(t *testing.T) {
		for _, tool := range adminTools {
			t.Run(tool.name, func(t *testing.T) {
				parallel(t)
				for _, command := range tool.commands {
					command, fails := strings.CutPrefix(command, "!")
					want := direct.run(t, tool.class, command)
					if failed := !strings.HasSuffix(want, endedWell) || strings.Contains(want, "Error"); failed != fails {
						t.Fatalf("directly %s:\n%s", command, want)
					}
					got := through.run(t, tool.class, command)
					t.Run(command, func(t *testing.T) { equal(t, got, want) })
				}
			})
		}
	})
	g.Write("", adminTenantsWith("narrow"))
	g.Reload()
	narrow := newAdminSide(t, s, "narrow")
	t.Run("with rules", func(t *testing.T) {
		for _, r := range refusals {
			t.Run(r.name, func(t *testing.T) {
				parallel(t)
				out := narrow.run(t, r.class, r.command)
				if want := narrow.filled(r.want); !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("want %q:\n%s", want, out)
				}
				if !strings.Contains(r.command, "other.") && !strings.Contains(r.command, "%D") && strings.Contains(out, "other.") {
					t.Errorf("it names what belongs to others:\n%s", out)
				}
			})
		}
	})
}

// pattern is a regular expression and what takes the place of its matches.
type pattern struct {
	what *regexp.Regexp
	with string
}

// moving is what differs between any two runs of a tool.
var moving = []pattern{
	{regexp.MustCompile(`\bat .*\n|\.\.\. \d+ more\n`), ""},
	{regexp.MustCompile(`\b(Epoch|HighWatermark|MaxFollowerLagTimeMs): \d+`), "$1: N"},
	{regexp.MustCompile(`\d{13}`), "TIME"},
	{regexp.MustCompile(`TIME \d{3,}`), "TIME DURATION"},
	{regexp.MustCompile(`\b(A{22}) \d+ 0 `), "$1 END 0 "}, // the end of the metadata log
	{regexp.MustCompile(`\.(direct|wide)\b`), ".SIDE"},
	{regexp.MustCompile(`(?m)^` + blanked + `=null .*`), "$1=null"},
}

// blanked are the settings of a broker that would give away addresses and node ids.
const blanked = `(advertised\.listeners|listeners|broker\.id|node\.id|controller\.quorum\.(?:voters|bootstrap\.servers))`

// intended is what the gateway does not let through: addresses of controllers, and
// texts that may hold node ids, for which Kafka's own text of the error stands.
var intended = []pattern{
	{regexp.MustCompile(`(?m)^` + blanked + `=.*`), "$1=null"},
	{regexp.MustCompile(`, "endpoints": \[[^]]*\]`), ""},
	{regexp.MustCompile(`Cluster doesn't support removing voter because the kraft.version feature is 0`), "The version of API is not supported."},
}

// endedWell is the last line of what a tool printed, after exit code 0.
const endedWell = "\nended with <nil>"

// adminSide runs tools at one address.
type adminSide struct {
	*side
	name, address, dir, node string
}

// newAdminSide is the broker itself, for "direct", or the gateway as this tenant.
func newAdminSide(t *testing.T, s *side, name string) *adminSide {
	t.Helper()
	a := &adminSide{side: s, name: name, address: s.g.Address, dir: t.TempDir()}
	id, _ := s.node()
	if name == "direct" {
		id, a.address = s.broker.NodeID, s.broker.Address
	}
	a.node = strconv.Itoa(int(id))
	for file, text := range map[string]string{
		"client.properties": "client.id=" + name + ".tools\n",
		"topics.json":       `{"version":1,"topics":[{"topic":"own.a"},{"topic":"other.a"}]}`,
		"assignment.json": `{"version":1,"partitions":[{"topic":"own.a","partition":0,"replicas":[%N]},` +
			`{"topic":"other.a","partition":0,"replicas":[%N]}]}`,
		"records.json": `{"version":1,"partitions":[{"topic":"own.conf","partition":0,"offset":1},{"topic":"other.a","partition":0,"offset":1}]}`,
	} {
		if err := os.WriteFile(filepath.Join(a.dir, file), []byte(a.filled(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *adminSide) filled(text string) string {
	return strings.NewReplacer("%N", a.node, "%S", a.name, "%D", a.dir).Replace(text)
}

// run runs a tool and returns what it printed, lines in order, since most of it comes
// from maps, and how it ended. What the two sides print can be compared.
func (a *adminSide) run(t *testing.T, class, command string) string {
	t.Helper()
	args := append([]string{"--bootstrap-server", a.address, "--command-config", filepath.Join(a.dir, "client.properties")},
		strings.Fields(a.filled(command))...)
	r := a.broker.Jars.Tool(t.Context(), class, args...)
	out := r.Stdout + r.Stderr
	if a.name != "direct" {
		a.hidden(t, out)
	}
	if a.name == "wide" {
		out = a.plain(out)
	}
	lines := strings.Split(strings.NewReplacer(a.dir, "DIR", a.name+".tools", "TOOLS").Replace(out), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ") // columns are as wide as the node ids
	}
	out = strings.Join(lines, "\n")
	patterns := moving
	if a.name == "direct" {
		patterns = slices.Concat(intended, moving)
	}
	for _, p := range patterns {
		out = p.what.ReplaceAllString(out, p.with)
	}
	lines = strings.Split(out, "\n")
	slices.Sort(lines)
	return strings.TrimSpace(strings.Join(lines, "\n")) + fmt.Sprintf("\nended with %v", r.Err)
}

// shareClasses lets all tools start from one archive of loaded classes: there are
// more than a hundred, and most of their time is loading.
func shareClasses(t *testing.T, k *kafka.Broker) {
	t.Helper()
	archive, jvm := filepath.Join(t.TempDir(), "tools.jsa"), k.Jars.JVM
	k.Jars.JVM = append(slices.Clone(jvm), "-XX:ArchiveClassesAtExit="+archive)
	if r := k.Jars.Tool(t.Context(), kafka.Configs, "--bootstrap-server", k.Address, "--describe", "--entity-type", "topics"); r.Err != nil {
		t.Fatal(r)
	}
	k.Jars.JVM = append(slices.Clone(jvm), "-XX:SharedArchiveFile="+archive)
}

// fillForTools gives the tools something to show.
func fillForTools(t *testing.T, k *kafka.Broker) {
	t.Helper()
	k.CreateTopics(t, 2, "own.a", "other.a", "own.conf")
	k.CreateTopics(t, 1, "own.tx", "other.tx", "hung.direct", "hung.wide")
	client := func(options ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(options, kgo.SeedBrokers(k.Address), kgo.ClientID("a.member"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	produce := func(cl *kgo.Client, topic string) {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	plain := client()
	for range 3 {
		produce(plain, "own.a")
		produce(plain, "other.a")
		produce(plain, "own.conf")
	}
	for id, topic := range map[string]string{
		"own.t": "own.tx", "other.t": "other.tx", "hung.1": "hung.direct", "hung.2": "hung.wide", "open.direct": "own.tx", "open.wide": "own.tx",
	} {
		cl := client(kgo.TransactionalID(id), kgo.TransactionTimeout(10*time.Minute))
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(cl, topic)
	}
	var offsets kadm.Offsets
	offsets.AddOffset("own.a", 0, 2, -1)
	offsets.AddOffset("other.a", 0, 2, -1)
	for _, group := range []string{"own.g", "other.g", "gone.direct", "gone.wide"} {
		if err := kadm.NewClient(plain).CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	member := client(kgo.ConsumerGroup("own.live"), kgo.ConsumeTopics("own.a"))
	if f := member.PollFetches(t.Context()); f.Err() != nil {
		t.Fatal(f.Err())
	}
	for _, group := range []string{"own.share", "other.share", "shared.direct", "shared.wide"} {
		share := client(kgo.ShareGroup(group), kgo.ConsumeTopics("own.a", "other.a"))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		share.PollFetches(ctx)
		cancel()
		share.Close()
	}
}
