package gateway

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// acrossTools has Kafka's own tools make, show, change and delete topics and groups of
// two slices as if they were one cluster.
func acrossTools(t *testing.T, s *side) {
	a := &across{toolUser: newToolUser(t, s, s.ops, s.team), direct: [2]*kadm.Client{s.g.brokers[0].Admin(t), s.g.brokers[1].Admin(t)}}
	a.topics(t)
	a.records(t)
	a.groups(t)
	a.run(t, kafka.Topics, "--delete", "--topic", bothTools)
	for i, slice := range a.direct {
		found, err := slice.ListTopics(t.Context())
		if err != nil || found.Has(toolsHere) || found.Has(toolsAway) {
			t.Errorf("slice %s still has the topics: %v %v", sliceNames[i], found.Names(), err)
		}
	}
}

// The topics of the tools, and a pattern of both.
const toolsHere, toolsAway, bothTools = "shop.tools", "clicks.tools", `(shop|clicks)\.tools`

// across runs tools as the tenant, and looks up beside the gateway what they did.
type across struct {
	toolUser
	direct [2]*kadm.Client
}

// run returns what a tool printed, with one space between columns.
func (a *across) run(t *testing.T, class string, args ...string) string {
	t.Helper()
	lines := strings.Split(a.tool(t, "", a.g.Address, class, args...), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}

func contains(t *testing.T, out string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func (a *across) topics(t *testing.T) {
	both := []string{toolsHere, toolsAway}
	for _, topic := range both {
		a.run(t, kafka.Topics, "--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1")
	}
	a.run(t, kafka.Topics, "--alter", "--topic", bothTools, "--partitions", "3")
	listed := strings.Fields(a.run(t, kafka.Topics, "--list"))
	if !slices.Contains(listed, toolsHere) || !slices.Contains(listed, toolsAway) || !slices.IsSorted(listed) {
		t.Errorf("kafka-topics --list: %v", listed)
	}
	contains(t, a.run(t, kafka.Topics, "--describe"),
		"Topic: "+toolsHere+" Partition: 2 Leader: 1 Replicas: 1 Isr: 1", "Topic: "+toolsAway+" Partition: 2 Leader: 1048578 Replicas: 1048578 Isr: 1048578")
	for i, topic := range both {
		found, err := a.direct[i].ListTopics(t.Context())
		if err != nil || len(found[topic].Partitions) != 3 || found.Has(both[1-i]) {
			t.Errorf("slice %s has %v: %v", sliceNames[i], found.Names(), err)
		}
		setting := fmt.Sprintf("retention.ms=%d", 60000+i)
		a.run(t, kafka.Configs, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", setting)
		contains(t, a.run(t, kafka.Configs, "--describe", "--entity-type", "topics", "--entity-name", topic), setting)
	}
}

// records has 100 records in a partition of each topic, and deletes the first.
func (a *across) records(t *testing.T) {
	cl := client(t, a.g.Address, kgo.ClientID("shop.app"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	write(t, cl, toolsHere, "v", 100)
	write(t, cl, toolsAway, "v", 100)
	file := filepath.Join(t.TempDir(), "records.json")
	text := fmt.Sprintf(`{"version": 1, "partitions": [{"topic": %q, "partition": 0, "offset": 10}, {"topic": %q, "partition": 0, "offset": 20}]}`, toolsHere, toolsAway)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.run(t, kafka.DeleteRecords, "--offset-json-file", file)
	contains(t, a.run(t, kafka.GetOffsets, "--topic-partitions", toolsHere+":0,"+toolsAway+":0", "--time", "earliest"), toolsHere+":0:10", toolsAway+":0:20")
}

// commit commits 30 and 40 for the group of the tools.
func (a *across) commit(t *testing.T) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(toolsHere, 0, 30, -1)
	offsets.AddOffset(toolsAway, 0, 40, -1)
	cl := kadm.NewClient(client(t, a.g.Address, kgo.ClientID("shop.app")))
	err := cl.CommitAllOffsets(t.Context(), "shop.tools", offsets)
	for end := time.Now().Add(20 * time.Second); passing(err) && time.Now().Before(end); { // the slice's first commit
		err = cl.CommitAllOffsets(t.Context(), "shop.tools", offsets)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// groups shows that a group's offsets in two slices are one truth, and that its shadow
// in the slice that is not its home is not shown.
func (a *across) groups(t *testing.T) {
	describe := func() string {
		t.Helper()
		return a.run(t, kafka.ConsumerGroups, "--describe", "--group", "shop.tools")
	}
	a.commit(t)
	listed := strings.Fields(a.run(t, kafka.ConsumerGroups, "--list"))
	slices.Sort(listed)
	if len(slices.Compact(slices.Clone(listed))) != len(listed) || !slices.Contains(listed, "shop.tools") {
		t.Errorf("kafka-consumer-groups --list: %v", listed)
	}
	if groups, err := a.direct[1].ListGroups(t.Context()); err != nil || !slices.Contains(groups.Groups(), "shop.tools") {
		t.Errorf("there is no shadow group to hide: %v %v", groups.Groups(), err)
	}
	contains(t, describe(), "shop.tools "+toolsHere+" 0 30 100 70 ", "shop.tools "+toolsAway+" 0 40 100 60 ")
	if out := a.run(t, kafka.ConsumerGroups, "--describe", "--all-groups", "--state"); strings.Count(out, "shop.tools ") != 1 {
		t.Errorf("the group is to be shown once:\n%s", out)
	}
	a.run(t, kafka.ConsumerGroups, "--reset-offsets", "--group", "shop.tools", "--all-topics", "--to-earliest", "--execute")
	contains(t, describe(), "shop.tools "+toolsHere+" 0 10 100 90 ", "shop.tools "+toolsAway+" 0 20 100 80 ")
	a.run(t, kafka.ConsumerGroups, "--delete-offsets", "--group", "shop.tools", "--topic", toolsAway)
	if out := describe(); strings.Contains(out, toolsAway) || !strings.Contains(out, toolsHere+" 0 10 ") {
		t.Errorf("after --delete-offsets:\n%s", out)
	}
	a.commit(t)
	a.run(t, kafka.ConsumerGroups, "--delete", "--group", "shop.tools")
	for i, slice := range a.direct {
		if groups, err := slice.ListGroups(t.Context()); err != nil || slices.Contains(groups.Groups(), "shop.tools") {
			t.Errorf("slice %s still has the group: %v %v", sliceNames[i], groups.Groups(), err)
		}
	}
}

// twins has two gateways with the same file answer the same. The second is bound to
// another address of this host, and says to clients what the first does.
func twins(t *testing.T, s *side) {
	first := s.g
	find := func(kind int8, keys ...string) kmsg.Request {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.CoordinatorType, r.CoordinatorKeys = kind, keys
		return r
	}
	spread(t, first, "twins")
	// Who looks for a coordinator first makes the topics that it needs.
	seed := client(t, first.Address, kgo.ClientID("shop.app")).SeedBrokers()[0]
	for kind := int8(0); kind < 2; {
		answer, err := seed.Request(t.Context(), find(kind, "shop.g", "shop.away"))
		if err != nil {
			t.Fatal(err)
		}
		found := answer.(*kmsg.FindCoordinatorResponse).Coordinators
		if len(found) == 2 && found[0].ErrorCode == 0 && found[1].ErrorCode == 0 {
			kind++
		}
		time.Sleep(100 * time.Millisecond)
	}
	second := &Gateway{
		tb: t, options: first.options, brokers: first.brokers, ports: first.ports, Path: filepath.Join(t.TempDir(), "sluice.yaml"),
		Address: strings.Replace(first.Address, "127.0.0.1", "127.0.0.2", 1), Admin: strings.Replace(first.Admin, "127.0.0.1", "127.0.0.2", 1),
	}
	second.Write(first.options.Settings, first.options.Tenants)
	second.Run()
	defer second.Stop()
	named := kmsg.NewPtrMetadataRequest()
	for _, topic := range []string{"shop.twins", "clicks.twins", "clicks.missing"} {
		named.Topics = append(named.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(topic)})
	}
	pages := kmsg.NewPtrDescribeTopicPartitionsRequest()
	pages.ResponsePartitionLimit = 2
	for _, ask := range []struct {
		what string
		req  kmsg.Request
		want string // within the answer
	}{
		{"ApiVersions", kmsg.NewPtrApiVersionsRequest(), ""},
		{"Metadata of all", &kmsg.MetadataRequest{}, `"clicks.twins"`},
		{"Metadata of some", named, `"Leader":1048578`},
		{"DescribeCluster", kmsg.NewPtrDescribeClusterRequest(), `"NodeID":1048578`},
		{"FindCoordinator of groups", find(0, "shop.g", "shop.away"), `"NodeID":1048578`},
		{"FindCoordinator of transactions", find(1, "shop.t", "shop.away"), `"NodeID":1048578`},
		{"DescribeTopicPartitions", pages, `"NextCursor":{`},
		{"ListGroups", kmsg.NewPtrListGroupsRequest(), ""},
	} {
		answers := everywhere(t, s, ask.req)
		if !strings.Contains(answers[0], ask.want) || len(slices.Compact(answers)) != 1 {
			t.Errorf("%s: want %s in all of\n%s", ask.what, ask.want, strings.Join(answers, "\n"))
		}
	}
}

// everywhere is what both twins answer at the bootstrap port and at a broker's, as JSON.
func everywhere(t *testing.T, s *side, req kmsg.Request) (answers []string) {
	t.Helper()
	_, home := s.node()
	for _, port := range []string{s.g.Address, home} {
		for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
			at := strings.Replace(port, "127.0.0.1", host, 1)
			cl := client(t, at, kgo.ClientID("shop.app"))
			answer, err := cl.SeedBrokers()[0].RetriableRequest(t.Context(), req)
			if err != nil {
				t.Fatalf("%T at %s: %v", req, at, err)
			}
			text, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, string(text))
			cl.Close()
		}
	}
	return answers
}
