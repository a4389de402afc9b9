package protocol

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterOperation is the operation on the cluster that a whole request needs, by key.
var clusterOperation = map[int16]Operation{
	27: OpAlter, 29: OpDescribe, 30: OpAlter, 31: OpAlter, 34: OpAlter, 35: OpDescribe, 43: OpAlter, 45: OpAlter, 46: OpDescribe,
	48: OpDescribeConfigs, 49: OpAlterConfigs, 50: OpDescribe, 51: OpAlter, 55: OpDescribe, 57: OpAlter, 64: OpAlter,
	74: OpDescribeConfigs, 80: OpAlter, 81: OpAlter,
}

// TestClusterOperations: one operation is enough, and without it all others are of
// no help.
func TestClusterOperations(t *testing.T) {
	f := randomFiller(rand.New(rand.NewSource(6)), rowNames)
	f.length = func() int { return 2 }
	for key, needs := range clusterOperation {
		api := Lookup(key)
		for v := api.Min; v <= api.Max; v++ {
			t.Run(fmt.Sprintf("%s/v%d", api.Name, v), func(t *testing.T) {
				others := judgeNone()
				others.grants = map[string]bool{}
				for op := OpAll; op <= OpTwoPhaseCommit; op++ {
					for _, n := range rowNames {
						others.grants[op.String()+" topic "+n] = true
						others.grants[op.String()+" group "+n] = true
					}
					if op != needs && (key != 27 || op != OpClusterAction) {
						others.grants[op.String()+" cluster "+ClusterName] = true
					}
				}
				req := requestOf(key, v)
				f.fill(req)
				req = reread(t, req)
				refused, rest := api.Split(reread(t, req), others)
				if rest || refused == nil || refused.GetVersion() != v {
					t.Errorf("without %s: refused %s, rest %v", needs, show(refused), rest)
				}
				want := reread(t, req)
				refused, rest = api.Split(req, judge(nil, needs.String()+" cluster "+ClusterName))
				if refused != nil || !rest {
					t.Errorf("with %s: refused %s, rest %v", needs, show(refused), rest)
				}
				sameBytes(t, "the request", req, want)
			})
		}
	}
	if refused, rest := Lookup(27).Split(&kmsg.WriteTxnMarkersRequest{}, judge(nil, "CLUSTER_ACTION cluster kafka-cluster")); refused != nil || !rest {
		t.Error("WriteTxnMarkers is refused to whom may do CLUSTER_ACTION")
	}
}

// clusterDenials are the requests whose answer is more than a code for the whole, and
// that answer.
func clusterDenials() []splitCase {
	text := name(clusterText)
	return []splitCase{
		{key: 27, req: asked(func() kmsg.Request {
			return &kmsg.WriteTxnMarkersRequest{Markers: []kmsg.WriteTxnMarkersRequestMarker{
				{ProducerID: 5, Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "mine", Partitions: []int32{1, 2}}}}, {ProducerID: 6},
			}}
		}), want: replied(func() kmsg.Response {
			return &kmsg.WriteTxnMarkersResponse{Markers: []kmsg.WriteTxnMarkersResponseMarker{
				{ProducerID: 5, Topics: []kmsg.WriteTxnMarkersResponseMarkerTopic{{Topic: "mine", Partitions: []kmsg.WriteTxnMarkersResponseMarkerTopicPartition{{Partition: 1, ErrorCode: 31}, {Partition: 2, ErrorCode: 31}}}}},
				{ProducerID: 6},
			}}
		})},
		{key: 30, req: asked(func() kmsg.Request {
			return &kmsg.CreateACLsRequest{Creations: make([]kmsg.CreateACLsRequestCreation, 2)}
		}), want: replied(func() kmsg.Response {
			return &kmsg.CreateACLsResponse{Results: []kmsg.CreateACLsResponseResult{{ErrorCode: 31, ErrorMessage: text}, {ErrorCode: 31, ErrorMessage: text}}}
		})},
		{key: 31, req: asked(func() kmsg.Request {
			return &kmsg.DeleteACLsRequest{Filters: make([]kmsg.DeleteACLsRequestFilter, 2)}
		}), want: replied(func() kmsg.Response {
			return &kmsg.DeleteACLsResponse{Results: []kmsg.DeleteACLsResponseResult{{ErrorCode: 31, ErrorMessage: text}, {ErrorCode: 31, ErrorMessage: text}}}
		})},
		{key: 34, req: asked(func() kmsg.Request {
			return &kmsg.AlterReplicaLogDirsRequest{Dirs: []kmsg.AlterReplicaLogDirsRequestDir{
				{Dir: "/a", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "mine", Partitions: []int32{1}}}},
				{Dir: "/b", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "also", Partitions: []int32{2}}}},
			}}
		}), want: replied(func() kmsg.Response {
			return &kmsg.AlterReplicaLogDirsResponse{Topics: []kmsg.AlterReplicaLogDirsResponseTopic{
				{Topic: "mine", Partitions: []kmsg.AlterReplicaLogDirsResponseTopicPartition{{Partition: 1, ErrorCode: 31}}},
				{Topic: "also", Partitions: []kmsg.AlterReplicaLogDirsResponseTopicPartition{{Partition: 2, ErrorCode: 31}}},
			}}
		})},
		{key: 43, req: asked(func() kmsg.Request {
			return &kmsg.ElectLeadersRequest{Topics: []kmsg.ElectLeadersRequestTopic{{Topic: "mine", Partitions: []int32{1}}}}
		}), want: replied(func() kmsg.Response {
			return &kmsg.ElectLeadersResponse{ErrorCode: 31, Topics: []kmsg.ElectLeadersResponseTopic{
				{Topic: "mine", Partitions: []kmsg.ElectLeadersResponseTopicPartition{{Partition: 1, ErrorCode: 31, ErrorMessage: text}}},
			}}
		})},
		{
			key: 43, name: "all partitions", req: asked(func() kmsg.Request { return &kmsg.ElectLeadersRequest{} }),
			want: replied(func() kmsg.Response { return &kmsg.ElectLeadersResponse{ErrorCode: 31} }),
		},
		{key: 45, req: asked(func() kmsg.Request {
			return &kmsg.AlterPartitionAssignmentsRequest{Topics: []kmsg.AlterPartitionAssignmentsRequestTopic{
				{Topic: "mine", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 1, Replicas: []int32{2}}}},
			}}
		}), want: replied(func() kmsg.Response {
			resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
			resp.ErrorCode, resp.ErrorMessage = 31, text
			resp.Topics = []kmsg.AlterPartitionAssignmentsResponseTopic{
				{Topic: "mine", Partitions: []kmsg.AlterPartitionAssignmentsResponseTopicPartition{{Partition: 1, ErrorCode: 31, ErrorMessage: text}}},
			}
			return resp
		})},
		{key: 46, req: asked(func() kmsg.Request {
			return &kmsg.ListPartitionReassignmentsRequest{Topics: []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: "mine", Partitions: []int32{1}}}}
		}), want: replied(func() kmsg.Response {
			return &kmsg.ListPartitionReassignmentsResponse{ErrorCode: 31, ErrorMessage: text, Topics: []kmsg.ListPartitionReassignmentsResponseTopic{
				{Topic: "mine", Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{{Partition: 1}}},
			}}
		})},
		{key: 49, req: asked(func() kmsg.Request {
			return &kmsg.AlterClientQuotasRequest{Entries: []kmsg.AlterClientQuotasRequestEntry{{Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: name("u")}, {Type: "client-id"}}}}}
		}), want: replied(func() kmsg.Response {
			return &kmsg.AlterClientQuotasResponse{Entries: []kmsg.AlterClientQuotasResponseEntry{{ErrorCode: 31, ErrorMessage: text, Entity: []kmsg.AlterClientQuotasResponseEntryEntity{{Type: "user", Name: name("u")}, {Type: "client-id"}}}}}
		})},
		{key: 50, req: asked(func() kmsg.Request {
			return &kmsg.DescribeUserSCRAMCredentialsRequest{Users: []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "u"}}}
		}), want: replied(func() kmsg.Response {
			return &kmsg.DescribeUserSCRAMCredentialsResponse{ErrorCode: 31, ErrorMessage: text, Results: []kmsg.DescribeUserSCRAMCredentialsResponseResult{{ErrorCode: 31, ErrorMessage: text}}}
		})},
		{key: 51, req: asked(func() kmsg.Request {
			return &kmsg.AlterUserSCRAMCredentialsRequest{
				Deletions:  []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "v"}, {Name: "u"}},
				Upsertions: []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: "u"}},
			}
		}), want: replied(func() kmsg.Response {
			return &kmsg.AlterUserSCRAMCredentialsResponse{Results: []kmsg.AlterUserSCRAMCredentialsResponseResult{{User: "u", ErrorCode: 31, ErrorMessage: text}, {User: "v", ErrorCode: 31, ErrorMessage: text}}}
		})},
	}
}

// clusterRefusals are the answers that are no more than a code and a text.
var clusterRefusals = map[int16]func() kmsg.Response{
	29: func() kmsg.Response {
		return &kmsg.DescribeACLsResponse{ErrorCode: 31, ErrorMessage: name(clusterText)}
	},
	35: func() kmsg.Response { return &kmsg.DescribeLogDirsResponse{ErrorCode: 31} },
	48: func() kmsg.Response {
		return &kmsg.DescribeClientQuotasResponse{ErrorCode: 31, ErrorMessage: name(clusterText)} // entries are null
	},
	55: func() kmsg.Response {
		return &kmsg.DescribeQuorumResponse{ErrorCode: 31, ErrorMessage: name(clusterText)}
	},
	57: func() kmsg.Response {
		return &kmsg.UpdateFeaturesResponse{ErrorCode: 31, ErrorMessage: name(clusterText)}
	},
	64: func() kmsg.Response {
		return &kmsg.UnregisterBrokerResponse{ErrorCode: 31, ErrorMessage: name(clusterText)}
	},
	74: func() kmsg.Response { return &kmsg.ListConfigResourcesResponse{ErrorCode: 31} },
	80: func() kmsg.Response {
		return &kmsg.AddRaftVoterResponse{ErrorCode: 31, ErrorMessage: name(clusterText)}
	},
	81: func() kmsg.Response {
		return &kmsg.RemoveRaftVoterResponse{ErrorCode: 31, ErrorMessage: name(clusterText)}
	},
}

func TestClusterDenials(t *testing.T) {
	cases := clusterDenials()
	for key, want := range clusterRefusals {
		cases = append(cases, splitCase{key: key, req: asked(func() kmsg.Request { return requestOf(key, 0) }), want: replied(want)})
	}
	covered := make(map[int16]bool)
	for i := range cases {
		c := &cases[i]
		covered[c.key] = true
		c.judge = judgeNone(adminTopics...)
		if c.name == "" {
			c.name = "denied"
		}
	}
	for key := range clusterOperation {
		if !covered[key] {
			t.Errorf("no case for %s", Lookup(key).Name)
		}
	}
	runSplitCases(t, cases)
}

// TestAdminListings: what belongs to others is left out.
func TestAdminListings(t *testing.T) {
	j := judge(adminTopics, "DESCRIBE topic mine", "DESCRIBE cluster kafka-cluster", "DESCRIBE_CONFIGS cluster kafka-cluster",
		"DESCRIBE_CONFIGS topic also", "DESCRIBE_CONFIGS group g", "DESCRIBE transactional_id tx")
	dirs := func(topics ...string) kmsg.Response {
		d := kmsg.DescribeLogDirsResponseDir{Dir: "/data", TotalBytes: 9}
		for _, n := range topics {
			d.Topics = append(d.Topics, kmsg.DescribeLogDirsResponseDirTopic{Topic: n, Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{{Size: 5}}})
		}
		return &kmsg.DescribeLogDirsResponse{Dirs: []kmsg.DescribeLogDirsResponseDir{d, {ErrorCode: 56, Dir: "/broken"}}}
	}
	moving := func(topics ...string) kmsg.Response {
		resp := &kmsg.ListPartitionReassignmentsResponse{}
		for _, n := range topics {
			resp.Topics = append(resp.Topics, kmsg.ListPartitionReassignmentsResponseTopic{Topic: n, Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{{Partition: 1}}})
		}
		return resp
	}
	transactions := func(ids ...string) kmsg.Response {
		resp := &kmsg.ListTransactionsResponse{UnknownStateFilters: []string{"x"}}
		for _, id := range ids {
			resp.TransactionStates = append(resp.TransactionStates, kmsg.ListTransactionsResponseTransactionState{TransactionalID: id, ProducerID: 3})
		}
		return resp
	}
	type resource = kmsg.ListConfigResourcesResponseConfigResource
	of := func(n string, kind int8) resource { return resource{Name: n, Type: kind} }
	configs := func(resources ...resource) kmsg.Response {
		return &kmsg.ListConfigResourcesResponse{ConfigResources: resources}
	}
	for _, c := range []struct {
		key, min   int16
		resp, want kmsg.Response
	}{
		{35, 1, dirs("theirs", "mine", "gone"), dirs("mine")},
		{46, 0, moving("theirs", "mine"), moving("mine")},
		{66, 0, transactions("other", "tx", ""), transactions("tx")},
		{74, 0, configs(of("theirs", 16)), configs(of("theirs", 16))}, // client metrics
		{
			74, 1,
			configs(of("theirs", 2), of("also", 2), of("g", 32), of("h", 32), of("1", 4), of("1", 8)),
			configs(of("also", 2), of("g", 32), of("1", 4), of("1", 8)),
		},
	} {
		api := Lookup(c.key)
		for v := c.min; v <= api.Max; v++ {
			c.resp.SetVersion(v)
			resp := reread(t, c.resp)
			api.Filter(resp, j)
			c.want.SetVersion(v)
			sameBytes(t, fmt.Sprintf("%s v%d", api.Name, v), resp, c.want)
		}
	}
}

func TestClusterNodes(t *testing.T) {
	unregister := func(id int32) kmsg.Request { return &kmsg.UnregisterBrokerRequest{BrokerID: id} }
	unregistered := func(text *string) kmsg.Response {
		return &kmsg.UnregisterBrokerResponse{ErrorCode: 102, ErrorMessage: text}
	}
	add := func(id int32) kmsg.Request {
		return &kmsg.AddRaftVoterRequest{VoterID: id, ClusterID: name("c"), AckWhenCommitted: true, Listeners: []kmsg.AddRaftVoterRequestListener{{Name: "CONTROLLER", Host: "c1.internal", Port: 9093}}}
	}
	added := func(text *string) kmsg.Response { return &kmsg.AddRaftVoterResponse{ErrorCode: 42, ErrorMessage: text} }
	remove := func(id int32) kmsg.Request { return &kmsg.RemoveRaftVoterRequest{VoterID: id, ClusterID: name("c")} }
	removed := func(text *string) kmsg.Response {
		return &kmsg.RemoveRaftVoterResponse{ErrorCode: 127, ErrorMessage: text}
	}
	features := func(text, result *string) kmsg.Response {
		return &kmsg.UpdateFeaturesResponse{ErrorCode: 95, ErrorMessage: text, Results: []kmsg.UpdateFeaturesResponseResult{{Feature: "f", ErrorCode: 95, ErrorMessage: result}}}
	}
	quorum := func(text *string) kmsg.Response {
		return &kmsg.DescribeQuorumResponse{ErrorCode: 7, ErrorMessage: text, Topics: []kmsg.DescribeQuorumResponseTopic{{Topic: "t", Partitions: []kmsg.DescribeQuorumResponseTopicPartition{{ErrorCode: 6, ErrorMessage: text, LeaderID: -1}}}}}
	}
	broker := name("Invalid update version 9 for feature f. Broker 1 only supports versions 0-2")
	harmless := name("Can't downgrade below 4")
	other := name("Invalid update version 9 for feature f. Can not unsafely downgrade.")
	shownBroker := name(fmt.Sprintf("Invalid update version 9 for feature f. Broker %d only supports versions 0-2", virtual(1)))
	voter := name("Cannot remove voter ReplicaKey(id=3, directoryId=Optional.empty) from the set of voters [ReplicaKey(id=1, directoryId=q1se-_wAAAAAAAAAAAAAAQ)]")
	shownVoter := name(fmt.Sprintf("Cannot remove voter ReplicaKey(id=%d, directoryId=Optional.empty) from the set of voters [ReplicaKey(id=%d, directoryId=q1se-_wAAAAAAAAAAAAAAQ)]", virtual(3), virtual(1)))
	unregisteredText, shownUnregistered := name("Broker ID 5 is not currently registered"), name(fmt.Sprintf("Broker ID %d is not currently registered", virtual(5)))
	set := name("VoterSet(voters={1=VoterNode(voterKey=ReplicaKey(id=1, directoryId=Optional.empty))})")
	at := name("could not connect to c1.internal:9093")
	runRewriteCases(t, []rewriteCase{
		{name: "broker", key: 64, req: unregister(virtual(1)), wantReq: unregister(1), resp: unregistered(unregisteredText), wantResp: unregistered(shownUnregistered)},
		{name: "harmless text", key: 64, resp: unregistered(harmless), wantResp: unregistered(harmless)},
		{name: "foreign", key: 64, foreign: true, req: unregister(1<<20 + 1), wantReq: unregister(1<<20 + 1)},
		{name: "of slot 0", key: 64, foreign: true, req: unregister(1), wantReq: unregister(RefusalNode)},
		{name: "controller", key: 80, req: add(virtual(3)), wantReq: add(3), resp: added(at), wantResp: added(nil)},
		{name: "voters", key: 80, resp: added(set), wantResp: added(nil)},
		{name: "foreign", key: 80, foreign: true, req: add(3), wantReq: add(RefusalNode)},
		{name: "controller", key: 81, req: remove(virtual(3)), wantReq: remove(3), resp: removed(voter), wantResp: removed(shownVoter)},
		{name: "foreign", key: 81, foreign: true, req: remove(3), wantReq: remove(RefusalNode)},
		{name: "a broker's versions", key: 57, resp: features(broker, broker), wantResp: features(shownBroker, shownBroker)},
		{name: "other texts", key: 57, resp: features(other, harmless), wantResp: features(other, harmless)},
		{name: "text", key: 55, resp: quorum(voter), wantResp: quorum(shownVoter)},
	})
}
