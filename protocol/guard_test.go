package protocol

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The table says of every API by what the slice is found, and of no other.
func TestRoutes(t *testing.T) {
	words := map[string]bool{}
	for _, a := range APIs() {
		if (a.Route == 0) != (a.Access == Refuse) {
			t.Errorf("%s has route %q", a.Name, a.Route)
		}
		words[a.Route.String()] = true
		switch a.Route {
		case ByTopic, ByResource, ByBroker, ToAll, ToHome:
			if a.Divide == nil {
				t.Errorf("%s is routed by %s and is not divided", a.Name, a.Route)
			}
		case ByNode, ByTransactionalID, ToNone, ToGateway, 0:
			if a.Divide != nil {
				t.Errorf("%s is routed by %s and is divided", a.Name, a.Route)
			}
		case ByGroup: // some are
		}
	}
	if len(words) != len(routeNames) || Route(99).String() != "" {
		t.Errorf("%d words for %d routes", len(words), len(routeNames))
	}
}

// guardCase is what a connection to slot 0 is answered by the gateway, by place and
// code, and what goes on to the broker.
type guardCase struct {
	name     string
	api      string
	min, max int16
	req      kmsg.Request
	codes    string // of the answer: "6 29", sorted by place
	rest     string // what the broker is asked about; "-": it is not asked
	text     string // part of the message
}

var guardCases = []guardCase{
	{name: "topics of two slices", api: "ListOffsets", req: &kmsg.ListOffsetsRequest{ReplicaID: -1, Topics: []kmsg.ListOffsetsRequestTopic{
		{Topic: "a.one", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{}}}, {Topic: "home", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{}}},
	}}, codes: "6", rest: "a.one 0"},
	{name: "produce", api: "Produce", max: 12, req: &kmsg.ProduceRequest{Topics: []kmsg.ProduceRequestTopic{
		{Topic: "a.one", Partitions: []kmsg.ProduceRequestTopicPartition{{}}}, {Topic: "f.one", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 1}}},
	}}, codes: "6", rest: "a.one 0"},
	{name: "produce by id", api: "Produce", min: 13, req: &kmsg.ProduceRequest{Topics: []kmsg.ProduceRequestTopic{
		{TopicID: topicID("home"), Partitions: []kmsg.ProduceRequestTopicPartition{{}}},
	}}, codes: "6", rest: "-"},
	{name: "within a transaction", api: "Produce", min: 8, max: 12, req: &kmsg.ProduceRequest{TransactionID: name("a.txn"), Topics: []kmsg.ProduceRequestTopic{
		{Topic: "home", Partitions: []kmsg.ProduceRequestTopicPartition{{}}},
	}}, codes: "44", rest: "-", text: "a transaction cannot span clusters"},
	{name: "a transaction that lives elsewhere", api: "Produce", min: 8, max: 12, req: &kmsg.ProduceRequest{TransactionID: name("txn"), Topics: []kmsg.ProduceRequestTopic{
		{Topic: "a.one", Partitions: []kmsg.ProduceRequestTopicPartition{{}}},
	}}, codes: "44", rest: "-", text: "a transaction cannot span clusters"},
	{name: "an internal topic is the home's", api: "Fetch", min: 4, max: 12, req: &kmsg.FetchRequest{ReplicaID: -1, Topics: []kmsg.FetchRequestTopic{
		{Topic: "__consumer_offsets", Partitions: []kmsg.FetchRequestTopicPartition{{}}},
	}}, codes: "6", rest: "-"},
	{name: "one topic elsewhere", api: "AddPartitionsToTxn", req: &kmsg.AddPartitionsToTxnRequest{TransactionalID: "a.txn", Topics: []kmsg.AddPartitionsToTxnRequestTopic{
		{Topic: "a.one", Partitions: []int32{0}}, {Topic: "home", Partitions: []int32{0}},
	}}, codes: "55 44", rest: "-"},
	{name: "the id elsewhere", api: "AddPartitionsToTxn", req: &kmsg.AddPartitionsToTxnRequest{TransactionalID: "txn", Topics: []kmsg.AddPartitionsToTxnRequestTopic{
		{Topic: "a.one", Partitions: []int32{0}},
	}}, codes: "16", rest: "-"},
	{name: "a group elsewhere", api: "AddOffsetsToTxn", req: &kmsg.AddOffsetsToTxnRequest{TransactionalID: "a.txn", Group: "group"}, codes: "30", rest: "-"},
	{name: "the id elsewhere", api: "AddOffsetsToTxn", req: &kmsg.AddOffsetsToTxnRequest{TransactionalID: "txn", Group: "a.group"}, codes: "16", rest: "-"},
	{name: "a topic elsewhere", api: "TxnOffsetCommit", max: 3, req: &kmsg.TxnOffsetCommitRequest{TransactionalID: "a.txn", Group: "a.group", Topics: []kmsg.TxnOffsetCommitRequestTopic{
		{Topic: "a.one", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}}, {Topic: "home", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}},
	}}, codes: "30", rest: "a.one 0"},
	{name: "a topic elsewhere", api: "TxnOffsetCommit", min: 4, req: &kmsg.TxnOffsetCommitRequest{TransactionalID: "a.txn", Group: "a.group", Topics: []kmsg.TxnOffsetCommitRequestTopic{
		{Topic: "home", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}},
	}}, codes: "120", rest: "-"},
	{name: "the group elsewhere", api: "TxnOffsetCommit", min: 4, req: &kmsg.TxnOffsetCommitRequest{TransactionalID: "a.txn", Group: "group", Topics: []kmsg.TxnOffsetCommitRequestTopic{
		{Topic: "a.one", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}},
	}}, codes: "16", rest: "-"},
	{name: "the group and the id elsewhere", api: "TxnOffsetCommit", min: 4, req: &kmsg.TxnOffsetCommitRequest{TransactionalID: "txn", Group: "group", Topics: []kmsg.TxnOffsetCommitRequestTopic{
		{Topic: "home", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{}}},
	}}, codes: "16", rest: "-"},
	{name: "elsewhere", api: "EndTxn", req: &kmsg.EndTxnRequest{TransactionalID: "txn"}, codes: "16", rest: "-"},
	{name: "elsewhere", api: "InitProducerId", req: &kmsg.InitProducerIDRequest{TransactionalID: name("txn")}, codes: "16", rest: "-"},
	{name: "idempotent only", api: "InitProducerId", req: &kmsg.InitProducerIDRequest{}},
	{name: "elsewhere", api: "DescribeTransactions", req: &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{"a.txn", "txn"}}, codes: "16", rest: "a.txn"},
	{name: "elsewhere", api: "JoinGroup", req: &kmsg.JoinGroupRequest{Group: "group"}, codes: "16", rest: "-"},
	{name: "here", api: "Heartbeat", req: &kmsg.HeartbeatRequest{Group: "a.group"}},
	{name: "elsewhere", api: "Heartbeat", req: &kmsg.HeartbeatRequest{Group: "f.group"}, codes: "16", rest: "-"},
	{name: "one elsewhere", api: "DescribeGroups", req: &kmsg.DescribeGroupsRequest{Groups: []string{"a.group", "group"}}, codes: "16", rest: "a.group"},
	{name: "subscribed elsewhere", api: "ConsumerGroupHeartbeat", req: &kmsg.ConsumerGroupHeartbeatRequest{Group: "a.group", SubscribedTopicNames: []string{"a.one", "home"}}, codes: "35", rest: "-", text: "group.protocol=classic"},
	{name: "matches elsewhere", api: "ConsumerGroupHeartbeat", min: 1, req: &kmsg.ConsumerGroupHeartbeatRequest{Group: "a.group", SubscribedTopicRegex: name(".*one")}, codes: "35", rest: "-", text: "group.protocol=classic"},
	{name: "matches here", api: "ConsumerGroupHeartbeat", min: 1, req: &kmsg.ConsumerGroupHeartbeatRequest{Group: "a.group", SubscribedTopicRegex: name("a.*")}},
	{name: "elsewhere", api: "ConsumerGroupHeartbeat", req: &kmsg.ConsumerGroupHeartbeatRequest{Group: "group", SubscribedTopicNames: []string{"a.one"}}, codes: "16", rest: "-"},
	{name: "subscribed elsewhere", api: "ShareGroupHeartbeat", req: &kmsg.ShareGroupHeartbeatRequest{GroupID: "a.group", SubscribedTopicNames: []string{"home"}}, codes: "42", rest: "-", text: "A route can send the group"},
	{name: "reads elsewhere", api: "StreamsGroupHeartbeat", req: &kmsg.StreamsGroupHeartbeatRequest{Group: "a.group", Topology: &kmsg.StreamsGroupHeartbeatRequestTopology{
		Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SourceTopics: []string{"home"}}},
	}}, codes: "42", rest: "-", text: "group.protocol=classic"},
	{name: "never", api: "UpdateFeatures", req: &kmsg.UpdateFeaturesRequest{}, codes: "44", rest: "-", text: "features"},
	{name: "topics are divided", api: "OffsetCommit", max: 9, req: &kmsg.OffsetCommitRequest{Group: "a.group", Topics: []kmsg.OffsetCommitRequestTopic{
		{Topic: "home", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}},
	}}},
	{name: "a group elsewhere", api: "OffsetCommit", max: 9, req: &kmsg.OffsetCommitRequest{Group: "group", Topics: []kmsg.OffsetCommitRequestTopic{
		{Topic: "home", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}},
	}}, codes: "16", rest: "-"},
	{name: "topics are divided", api: "CreateTopics", req: &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "home"}}}},
}

func TestGuardedRequests(t *testing.T) {
	for _, c := range guardCases {
		api := LookupName(c.api)
		lo, hi := max(api.Min, c.min), api.Max
		if c.max != 0 {
			hi = c.max
		}
		for v := lo; v <= hi; v++ {
			t.Run(fmt.Sprintf("%s/%s/v%d", c.api, c.name, v), func(t *testing.T) {
				c.req.SetVersion(v)
				req := reread(t, c.req)
				g := guardOf(0)
				g.Begin(api, v)
				refused, rest := api.Split(req, g)
				var codes []string
				text := ""
				if refused != nil {
					for _, e := range ErrorsIn(refused) {
						codes = append(codes, fmt.Sprint(e.Code))
						text += e.Message
					}
				}
				if got := strings.Join(codes, " "); got != c.codes {
					t.Errorf("codes %q, want %q", got, c.codes)
				}
				if !strings.Contains(text, c.text) || c.text == "" && text != "" {
					t.Errorf("says %q", text)
				}
				if rest != (c.rest != "-") {
					t.Errorf("the broker is asked: %v", rest)
				}
				if c.codes == "" {
					sameBytes(t, "the request", req, c.req)
				} else if left := strings.Join(slices.Sorted(maps.Keys(asksAbout(req))), ", "); rest && left != c.rest {
					t.Errorf("the broker is asked about %q, want %q", left, c.rest)
				}
			})
		}
	}
}

// What is denied stays so, wherever it is.
func TestGuardDenies(t *testing.T) {
	g := guardOf(0)
	g.Judge = judge(spanning.topics, "READ topic a.one")
	g.Begin(LookupName("Fetch"), 12)
	for topic, want := range map[string]int16{"a.one": codeNone, "a.two": codeTopicAuthorizationFailed, "home": codeNotLeaderOrFollower} {
		if got := codeOf(g, OpRead, Topic, topic); got != want {
			t.Errorf("%s: %d, want %d", topic, got, want)
		}
	}
	if codeOf(g, OpAlter, Cluster, ClusterName) != codeClusterAuthorizationFailed {
		t.Error("the cluster")
	}
}

// Answers show what lives in the slice, and nothing else that is there.
func TestGuardFilters(t *testing.T) {
	list := kmsg.NewPtrListGroupsResponse()
	for _, group := range []string{"a.group", "group"} {
		list.Groups = append(list.Groups, kmsg.ListGroupsResponseGroup{Group: group})
	}
	LookupName("ListGroups").Filter(list, guardOf(0))
	if len(list.Groups) != 1 || list.Groups[0].Group != "a.group" {
		t.Errorf("groups: %s", show(list))
	}
	dirs := kmsg.NewPtrDescribeLogDirsResponse()
	dirs.Dirs = []kmsg.DescribeLogDirsResponseDir{{Topics: []kmsg.DescribeLogDirsResponseDirTopic{{Topic: "a.one"}, {Topic: "home"}, {Topic: "__consumer_offsets"}}}}
	LookupName("DescribeLogDirs").Filter(dirs, guardOf(0))
	if len(dirs.Dirs[0].Topics) != 1 {
		t.Errorf("topics: %s", show(dirs))
	}
	// A group keeps its description when one of its topics has moved away.
	described := kmsg.NewPtrConsumerGroupDescribeResponse()
	described.Groups = []kmsg.ConsumerGroupDescribeResponseGroup{{Group: "a.group", Members: []kmsg.ConsumerGroupDescribeResponseGroupMember{
		{Assignment: kmsg.Assignment{TopicPartitions: []kmsg.AssignmentTopicPartition{{Topic: "home"}}}},
	}}}
	LookupName("ConsumerGroupDescribe").Filter(described, guardOf(0))
	if described.Groups[0].ErrorCode != codeNone {
		t.Errorf("described: %s", show(described))
	}
}

// Records of a share session whose topic has moved away are not shown.
func TestGuardFiltersShareFetch(t *testing.T) {
	resp := kmsg.NewPtrShareFetchResponse()
	for _, topic := range []string{"a.one", "home"} {
		resp.Topics = append(resp.Topics, kmsg.ShareFetchResponseTopic{TopicID: topicID(topic), Partitions: []kmsg.ShareFetchResponseTopicPartition{{Records: []byte("r")}}})
	}
	LookupName("ShareFetch").Filter(resp, guardOf(0))
	here, away := resp.Topics[0].Partitions[0], resp.Topics[1].Partitions[0]
	if here.ErrorCode != codeNone || len(here.Records) != 1 || away.ErrorCode != codeNotLeaderOrFollower || len(away.Records) != 0 {
		t.Errorf("%s", show(resp))
	}
}

func TestGuardAllocatesNothing(t *testing.T) {
	g := guardOf(0)
	g.Judge = noTopics{}
	id := "a.one"
	if n := testing.AllocsPerRun(100, func() { g.Allowed(OpWrite, Topic, id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// noTopics allows everything without a look.
type noTopics struct{ Judge }

func (noTopics) Allowed(Operation, Resource, string) bool { return true }
