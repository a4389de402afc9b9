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
	const here, away, both = "shop.tools", "clicks.tools", `(shop|clicks)\.tools`
	u := newToolUser(t, s, s.ops, s.team)
	run := func(class string, args ...string) string {
		t.Helper()
		lines := strings.Split(u.tool(t, "", s.g.Address, class, args...), "\n")
		for i := range lines {
			lines[i] = strings.Join(strings.Fields(lines[i]), " ")
		}
		return strings.Join(lines, "\n")
	}
	contains := func(out string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
	}
	direct := [2]*kadm.Client{s.g.brokers[0].Admin(t), s.g.brokers[1].Admin(t)}

	for _, topic := range []string{here, away} {
		run(kafka.Topics, "--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1")
	}
	run(kafka.Topics, "--alter", "--topic", both, "--partitions", "3")
	listed := strings.Fields(run(kafka.Topics, "--list"))
	if !slices.Contains(listed, here) || !slices.Contains(listed, away) || !slices.IsSorted(listed) {
		t.Errorf("kafka-topics --list: %v", listed)
	}
	contains(run(kafka.Topics, "--describe"),
		"Topic: "+here+" Partition: 2 Leader: 1 Replicas: 1 Isr: 1", "Topic: "+away+" Partition: 2 Leader: 1048578 Replicas: 1048578 Isr: 1048578")
	for i, topic := range []string{here, away} {
		found, err := direct[i].ListTopics(t.Context())
		if err != nil || len(found[topic].Partitions) != 3 || found.Has([]string{away, here}[i]) {
			t.Errorf("slice %s has %v: %v", sliceNames[i], found.Names(), err)
		}
		run(kafka.Configs, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", fmt.Sprintf("retention.ms=%d", 60000+i))
		contains(run(kafka.Configs, "--describe", "--entity-type", "topics", "--entity-name", topic), fmt.Sprintf("retention.ms=%d", 60000+i))
	}

	cl := client(t, s.g.Address, kgo.ClientID("shop.app"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	write(t, cl, here, "v", 100) // all to partition 0
	write(t, cl, away, "v", 100)
	records := filepath.Join(t.TempDir(), "records.json")
	text := fmt.Sprintf(`{"version": 1, "partitions": [{"topic": %q, "partition": 0, "offset": 10}, {"topic": %q, "partition": 0, "offset": 20}]}`, here, away)
	if err := os.WriteFile(records, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(kafka.DeleteRecords, "--offset-json-file", records)
	contains(run(kafka.GetOffsets, "--topic-partitions", here+":0,"+away+":0", "--time", "earliest"), here+":0:10", away+":0:20")

	commit := func(here, away string, at ...int64) {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset(here, 0, at[0], -1)
		offsets.AddOffset(away, 0, at[1], -1)
		err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), "shop.tools", offsets)
		for end := time.Now().Add(20 * time.Second); passing(err) && time.Now().Before(end); { // the slice's first commit
			err = kadm.NewClient(cl).CommitAllOffsets(t.Context(), "shop.tools", offsets)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(here, away, 30, 40)
	if groups := strings.Fields(run(kafka.ConsumerGroups, "--list")); len(slices.Compact(groups)) != len(groups) || !slices.Contains(groups, "shop.tools") {
		t.Errorf("kafka-consumer-groups --list: %v", groups)
	}
	contains(run(kafka.ConsumerGroups, "--describe", "--group", "shop.tools"),
		"shop.tools "+here+" 0 30 100 70 ", "shop.tools "+away+" 0 40 100 60 ")
	if out := run(kafka.ConsumerGroups, "--describe", "--all-groups", "--state"); strings.Count(out, "shop.tools ") != 1 {
		t.Errorf("the group is to be shown once:\n%s", out)
	}
	run(kafka.ConsumerGroups, "--reset-offsets", "--group", "shop.tools", "--all-topics", "--to-earliest", "--execute")
	contains(run(kafka.ConsumerGroups, "--describe", "--group", "shop.tools"),
		"shop.tools "+here+" 0 10 100 90 ", "shop.tools "+away+" 0 20 100 80 ")
	run(kafka.ConsumerGroups, "--delete-offsets", "--group", "shop.tools", "--topic", away)
	if out := run(kafka.ConsumerGroups, "--describe", "--group", "shop.tools"); strings.Contains(out, away) || !strings.Contains(out, here+" 0 10 ") {
		t.Errorf("after --delete-offsets:\n%s", out)
	}
	commit(here, away, 30, 40)
	run(kafka.ConsumerGroups, "--delete", "--group", "shop.tools")
	for i, a := range direct {
		if groups, err := a.ListGroups(t.Context()); err != nil || slices.Contains(groups.Groups(), "shop.tools") {
			t.Errorf("slice %s still has the group: %v %v", sliceNames[i], groups.Groups(), err)
		}
	}

	run(kafka.Topics, "--delete", "--topic", both)
	for i, a := range direct {
		found, err := a.ListTopics(t.Context())
		if err != nil || found.Has(here) || found.Has(away) {
			t.Errorf("slice %s still has the topics: %v %v", sliceNames[i], found.Names(), err)
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
	// The first that looks for a coordinator makes the topics that it needs.
	spread(t, first, "twins")
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
	home, _ := s.node()
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
		var answers []string
		for _, port := range []string{first.Address, loopback(first.ports + 2 + int(home) - 1)} { // the bootstrap port, a broker's
			for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
				cl := client(t, strings.Replace(port, "127.0.0.1", host, 1), kgo.ClientID("shop.app"))
				answer, err := cl.SeedBrokers()[0].RetriableRequest(t.Context(), ask.req)
				if err != nil {
					t.Fatalf("%s of %s %s: %v", ask.what, host, port, err)
				}
				text, err := json.Marshal(answer)
				if err != nil {
					t.Fatal(err)
				}
				answers = append(answers, string(text))
				cl.Close()
			}
		}
		if !strings.Contains(answers[0], ask.want) || len(slices.Compact(answers)) != 1 {
			t.Errorf("%s: want %s in all of\n%s", ask.what, ask.want, strings.Join(answers, "\n"))
		}
	}
}
