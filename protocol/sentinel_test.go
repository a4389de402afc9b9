package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The sentinel: a broker of slot 3 whose id, host and port occur nowhere else.
// None of them may be found in an answer that a client gets.
const (
	sentinelNode = 0x0BEEF1
	sentinelHost = "sentinel.internal"
	sentinelPort = 0xCAFE
)

func sentinelNodes(reachable bool) Nodes {
	return Nodes{Slot: 3, Address: func(node int32) (string, int32, bool) {
		return "gateway.example", 9092, reachable && node == sentinelNode
	}}
}

// nodeLike and notNodes decide by its name whether an int32 is a node id.
var (
	nodeLike = regexp.MustCompile(`Node|Broker|Controller|Coordinator|Leader|Replica|ISR|ELR|Voter`)
	notNodes = regexp.MustCompile(`Epoch$`)
	hostLike = regexp.MustCompile(`Host$`)
)

// notOurs are the fields that look like a broker's node or address and are none,
// by type and field.
var notOurs = map[string]string{
	"DescribeACLsResponseResourceACL.Host":                     "the clients that an ACL is for",
	"DeleteACLsResponseResultMatchingACL.Host":                 "the clients that an ACL is for",
	"DescribeGroupsResponseGroupMember.ClientHost":             "a client's address, as the broker sees it: the gateway's",
	"ConsumerGroupDescribeResponseGroupMember.ClientHost":      "a client's address",
	"ShareGroupDescribeResponseGroupMember.ClientHost":         "a client's address",
	"StreamsGroupDescribeResponseGroupMember.ClientHost":       "a client's address",
	"StreamsGroupDescribeResponseGroupMemberUserEndpoint.Host": "the application's own endpoint (KIP-535)",
	"StreamsGroupDescribeResponseGroupMemberUserEndpoint.Port": "the application's own endpoint (KIP-535)",
	"Endpoint.Host":                         "the application's own endpoint (KIP-535)",
	"Endpoint.Port":                         "the application's own endpoint (KIP-535)",
	"FetchRequest.ReplicaID":                "clients send -1; anything else is refused (IsFollowerFetch)",
	"ListOffsetsRequest.ReplicaID":          "clients send -1; the broker only widens what it returns",
	"OffsetForLeaderEpochRequest.ReplicaID": "clients send -1 or -2; not used by the broker",
}

// leaderOnlyWithError are the APIs whose leader hint is no tagged field: a
// partition without the error of a moved leader (6, 74) has 0 there, which is no
// node.
var leaderOnlyWithError = map[int16]bool{78: true, 79: true}

// configTypes are the answers in which a resource name is a node id, a value an
// address and an error text both.
var configTypes = regexp.MustCompile(`^(DescribeConfigs|AlterConfigs|IncrementalAlterConfigs|ListConfigResources)Re`)

// textTypes are further answers whose error texts name nodes.
var textTypes = regexp.MustCompile(`^(DescribeQuorum|UpdateFeatures|UnregisterBroker|AddRaftVoter|RemoveRaftVoter)Response`)

// sentinelFiller fills every field of a message, and those that hold a node, a host
// or a port with the sentinel's. It records in seen which they were.
func sentinelFiller(node int32, code int16, seen map[string]bool) *filler {
	text := strconv.Itoa(int(node))
	sentinel := func(owner reflect.Type, field string, kind reflect.Type) any {
		switch {
		case kind.Kind() == reflect.Int32 && nodeLike.MatchString(field) && !notNodes.MatchString(field):
			return node
		case (kind.Kind() == reflect.Int32 || kind.Kind() == reflect.Uint16) && field == "Port":
			return int64(sentinelPort)
		case kind.Kind() == reflect.String && hostLike.MatchString(field):
			return sentinelHost
		case field == "ErrorMessage" && textTypes.MatchString(owner.Name()):
			return "Broker " + text + " at " + sentinelHost + ":9092 does not support it"
		case !configTypes.MatchString(owner.Name()):
			return nil
		case field == "ResourceName", owner.Name() == "ListConfigResourcesResponseConfigResource" && field == "Name":
			return text
		case field == "Value" && strings.HasPrefix(owner.Name(), "DescribeConfigsResponse"):
			return "PLAINTEXT://" + sentinelHost + ":9092"
		case field == "ErrorMessage":
			return "Unexpected broker id, expected " + text
		}
		return nil
	}
	return &filler{
		length: func() int { return 2 },
		value: func(owner reflect.Type, field string, kind reflect.Type) any {
			if x := sentinel(owner, field, kind); x != nil {
				name := owner.Name() + "." + field
				if _, ok := notOurs[name]; ok {
					return nil
				}
				seen[name] = true
				return x
			}
			return plain(owner, field, kind, code)
		},
	}
}

// plain is a value that cannot be taken for the sentinel.
func plain(owner reflect.Type, field string, kind reflect.Type, code int16) any {
	switch {
	case field == "ErrorCode" && kind.Kind() == reflect.Int16:
		return code
	case kind == reflect.TypeOf(kmsg.ConfigResourceType(0)):
		return kmsg.ConfigResourceTypeBroker
	case owner.Name() == "ListConfigResourcesResponseConfigResource" && field == "Type":
		return int64(kmsg.ConfigResourceTypeBrokerLogger)
	case owner.Name() == "DescribeConfigsResponseResourceConfig" && field == "Name":
		return "advertised.listeners"
	}
	switch kind.Kind() {
	case reflect.String:
		return "plain"
	case reflect.Slice:
		return []byte("plain")
	case reflect.Array:
		return topicID("plain")
	case reflect.Bool:
		return true
	case reflect.Float64:
		return 0.5
	default:
		return int64(7)
	}
}

// names reports whether an encoding has the node's id in it, as a number or as text.
func names(b []byte, node int32) bool {
	return bytes.Contains(b, binary.BigEndian.AppendUint32(nil, uint32(node))) ||
		bytes.Contains(b, []byte(strconv.Itoa(int(node))))
}

// survivors says what of the sentinel is found in an encoding.
func survivors(b []byte) (found []string) {
	if names(b, sentinelNode) {
		found = append(found, "node")
	}
	if bytes.Contains(b, []byte(sentinelHost)) {
		found = append(found, "host")
	}
	if bytes.Contains(b, binary.BigEndian.AppendUint16(nil, sentinelPort)) {
		found = append(found, "port")
	}
	return found
}

func TestNoAnswerNamesABroker(t *testing.T) {
	seen := make(map[string]bool)
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Key == 74 && v == 0 {
			return // lists client metrics only, which are not named by a node
		}
		for i := range 4 {
			reachable, code := i&1 == 0, codeNone
			if i&2 != 0 || leaderOnlyWithError[api.Key] {
				code = codeNotLeaderOrFollower
			}
			resp := responseOf(api.Key, v)
			sentinelFiller(sentinelNode, code, seen).fill(resp)
			resp = reread(t, resp)
			had := survivors(resp.AppendTo(nil))
			if len(had) > 0 && api.Virtualize == nil {
				t.Fatalf("%v, and the row has no Virtualize", had)
			}
			if api.Virtualize != nil {
				api.Virtualize(nil, resp, sentinelNodes(reachable))
			}
			if left := survivors(resp.AppendTo(nil)); len(left) > 0 {
				t.Fatalf("reachable %v, code %d: %v survives in %s", reachable, code, left, show(resp))
			}
			reread(t, resp)
		}
	})
	// The fields that Kafka's schemas are known to have: if they are no longer
	// found, the names above have gone stale.
	for _, field := range []string{
		"MetadataResponseBroker.NodeID", "MetadataResponseBroker.Host", "MetadataResponseBroker.Port", "MetadataResponse.ControllerID",
		"MetadataResponseTopicPartition.Leader", "MetadataResponseTopicPartition.Replicas", "MetadataResponseTopicPartition.ISR",
		"MetadataResponseTopicPartition.OfflineReplicas", "FindCoordinatorResponse.NodeID", "FindCoordinatorResponseCoordinator.Host",
		"DescribeClusterResponseBroker.Host", "DescribeClusterResponse.ControllerID", "ProduceResponseBroker.Host",
		"ProduceResponseTopicPartitionCurrentLeader.LeaderID", "FetchResponseBroker.Host", "FetchResponseTopicPartition.PreferredReadReplica",
		"FetchResponseTopicPartitionCurrentLeader.LeaderID", "DescribeTopicPartitionsResponseTopicPartition.LastKnownELR",
		"DescribeTopicPartitionsResponseTopicPartition.EligibleLeaderReplicas", "ListPartitionReassignmentsResponseTopicPartition.AddingReplicas",
		"DescribeQuorumResponseTopicPartition.LeaderID", "DescribeQuorumResponseTopicPartitionReplicaState.ReplicaID",
		"DescribeQuorumResponseNode.NodeID", "DescribeQuorumResponseNodeListener.Host", "DescribeQuorumResponseNodeListener.Port",
		"DescribeConfigsResponseResource.ResourceName", "DescribeConfigsResponseResourceConfig.Value",
		"DescribeConfigsResponseResourceConfigConfigSynonym.Value", "AlterConfigsResponseResource.ResourceName",
		"IncrementalAlterConfigsResponseResource.ErrorMessage", "ListConfigResourcesResponseConfigResource.Name",
		"UpdateFeaturesResponseResult.ErrorMessage", "RemoveRaftVoterResponse.ErrorMessage",
	} {
		if !seen[field] {
			t.Errorf("%s was never filled", field)
		}
	}
}

// The reachable broker itself is not lost on the way: it is seen under its virtual
// id wherever its own was.
func TestAnswersNameVirtualNodes(t *testing.T) {
	const virtualNode = sentinelNode + 3<<SlotBits
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Virtualize == nil {
			return
		}
		code := codeNone
		if leaderOnlyWithError[api.Key] {
			code = codeNotLeaderOrFollower
		}
		resp := responseOf(api.Key, v)
		sentinelFiller(sentinelNode, code, map[string]bool{}).fill(resp)
		resp = reread(t, resp)
		before := resp.AppendTo(nil)
		api.Virtualize(nil, resp, sentinelNodes(true))
		after := resp.AppendTo(nil)
		id := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
		if was, is := bytes.Count(before, id(sentinelNode)), bytes.Count(after, id(virtualNode)); was != is {
			t.Errorf("%d ids of the broker have become %d virtual ones in %s", was, is, show(resp))
		}
	})
}

// What a client asks of a virtual node reaches the broker with its own id.
func TestNoRequestNamesAVirtualNode(t *testing.T) {
	const virtualNode = sentinelNode + 3<<SlotBits
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		req := requestOf(api.Key, v)
		sentinelFiller(virtualNode, codeNone, map[string]bool{}).fill(req)
		req = reread(t, req)
		if !names(req.AppendTo(nil), virtualNode) {
			return // hosts in requests (ACLs, Streams' own endpoints) are never a broker's
		}
		if api.Realize == nil {
			t.Fatalf("a node is named, and the row has no Realize: %s", show(req))
		}
		if !api.Realize(req, sentinelNodes(true)) {
			t.Error("a node of the slice is not realized")
		}
		if names(req.AppendTo(nil), virtualNode) {
			t.Errorf("the virtual node survives in %s", show(req))
		}
		if !names(req.AppendTo(nil), sentinelNode) {
			t.Errorf("the broker's own id is missing in %s", show(req))
		}
	})
}

func TestTheTableIsWhole(t *testing.T) {
	// Versions that kmsg knows and Sluice does not offer.
	notOffered := map[int16]string{
		18: "v5 carries the cluster and node that the client means (KIP-1242), which must not pass; in no released broker",
		24: "v4 and later are for brokers: without an authorizer Kafka takes them from anybody",
		28: "v6 is not in Kafka 4.3",
		42: "v3 is not in Kafka 4.3",
		88: "v1 is not in Kafka 4.3",
		89: "v1 is not in Kafka 4.3",
	}
	if len(apis) != kmsg.MaxKey+1 {
		t.Errorf("the table has %d rows, kmsg %d keys", len(apis), kmsg.MaxKey+1)
	}
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		api, req := Lookup(key), kmsg.RequestForKey(key)
		if api == nil || api.Key != key || api.Name == "" {
			t.Errorf("key %d: %+v", key, api)
			continue
		}
		if req == nil {
			t.Errorf("%s is unknown to kmsg", api.Name)
			continue
		}
		if api.Access == Refuse {
			if api.Min != 0 || api.Max != 0 || api.Split != nil || api.Knows(0) {
				t.Errorf("%s is refused and has more than a name", api.Name)
			}
			continue
		}
		_, stated := notOffered[key]
		if most := req.MaxVersion(); api.Max > most || (api.Max < most) != stated {
			t.Errorf("%s is offered up to version %d, kmsg knows %d; reason stated: %v", api.Name, api.Max, most, stated)
		}
		if api.Min > api.Max || !api.Knows(api.Min) || !api.Knows(api.Max) || api.Knows(api.Min-1) || api.Knows(api.Max+1) {
			t.Errorf("%s: versions %d to %d", api.Name, api.Min, api.Max)
		}
		if api.Access == Pass && api.Split == nil && api.Filter == nil {
			t.Errorf("%s is offered to everybody and judges nothing", api.Name)
		}
	}
	for _, key := range []int16{-1, kmsg.MaxKey + 1, 1<<15 - 1} {
		if Lookup(key) != nil {
			t.Errorf("key %s has a row", fmt.Sprint(key))
		}
	}
}
