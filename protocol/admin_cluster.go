package protocol

import (
	"maps"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// This file holds what administrators do to the cluster itself: ACLs, quotas,
// users, features, the quorum and brokers.

// byCluster is the split of an API whose requests are judged as a whole, by an
// operation on the cluster. denied makes the answer with the code. Kafka's own text
// there is often a dump of the request; [errorText] stands in its place.
func byCluster[Q kmsg.Request, R kmsg.Response](op Operation, denied func(Q, int16) R) func(Q, Judge) (R, bool) {
	return func(req Q, j Judge) (R, bool) {
		if code := codeOf(j, op, Cluster, ClusterName); code != codeNone {
			return denied(req, code), false
		}
		var none R
		return none, true
	}
}

// saysNode matches how Kafka's texts say which node something is about: "Broker 1",
// "controller 3000", "Broker ID 5", "ReplicaKey(id=3, directoryId=…)".
var saysNode = regexp.MustCompile(`(\b(?i:broker|controller)(?: ID)? |\bReplicaKey\(id=)([0-9]+)(, directoryId=[A-Za-z0-9_.-]+\)|\b)`)

// hintsAtNode matches what may say in another way which node something is about, or
// where it is ("b1:9092").
var hintsAtNode = regexp.MustCompile(`(?i)(broker|controller|node|replica|voter|server)[^0-9]*[0-9]|:[0-9]+`)

// showNodeText maps the node ids in a text of a broker's. One that may say more of
// nodes than that goes.
func showNodeText(message **string, n Nodes) {
	if *message == nil {
		return
	}
	if hintsAtNode.MatchString(saysNode.ReplaceAllString(**message, "")) {
		*message = nil
		return
	}
	text := saysNode.ReplaceAllStringFunc(**message, func(part string) string {
		m := saysNode.FindStringSubmatch(part)
		return m[1] + shownName(m[2], n) + m[3]
	})
	*message = &text
}

func deniedDescribeACLs(_ *kmsg.DescribeACLsRequest, code int16) *kmsg.DescribeACLsResponse {
	resp := kmsg.NewPtrDescribeACLsResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

func deniedCreateACLs(req *kmsg.CreateACLsRequest, code int16) *kmsg.CreateACLsResponse {
	resp := kmsg.NewPtrCreateACLsResponse()
	resp.Results = each(req.Creations, func(*kmsg.CreateACLsRequestCreation) kmsg.CreateACLsResponseResult {
		return kmsg.CreateACLsResponseResult{ErrorCode: code, ErrorMessage: errorText(code)}
	})
	return resp
}

func deniedDeleteACLs(req *kmsg.DeleteACLsRequest, code int16) *kmsg.DeleteACLsResponse {
	resp := kmsg.NewPtrDeleteACLsResponse()
	resp.Results = each(req.Filters, func(*kmsg.DeleteACLsRequestFilter) kmsg.DeleteACLsResponseResult {
		return kmsg.DeleteACLsResponseResult{ErrorCode: code, ErrorMessage: errorText(code)}
	})
	return resp
}

// deniedDescribeClientQuotas: the entries are null, not empty.
func deniedDescribeClientQuotas(_ *kmsg.DescribeClientQuotasRequest, code int16) *kmsg.DescribeClientQuotasResponse {
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

func deniedAlterClientQuotas(req *kmsg.AlterClientQuotasRequest, code int16) *kmsg.AlterClientQuotasResponse {
	resp := kmsg.NewPtrAlterClientQuotasResponse()
	resp.Entries = each(req.Entries, func(e *kmsg.AlterClientQuotasRequestEntry) kmsg.AlterClientQuotasResponseEntry {
		return kmsg.AlterClientQuotasResponseEntry{
			ErrorCode: code, ErrorMessage: errorText(code),
			Entity: each(e.Entity, func(e *kmsg.AlterClientQuotasRequestEntryEntity) kmsg.AlterClientQuotasResponseEntryEntity {
				return kmsg.AlterClientQuotasResponseEntryEntity{Type: e.Type, Name: e.Name}
			}),
		}
	})
	return resp
}

// deniedDescribeUsers has a result for each user that was asked for, without its
// name, as in Kafka.
func deniedDescribeUsers(req *kmsg.DescribeUserSCRAMCredentialsRequest, code int16) *kmsg.DescribeUserSCRAMCredentialsResponse {
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	resp.Results = each(req.Users, func(*kmsg.DescribeUserSCRAMCredentialsRequestUser) kmsg.DescribeUserSCRAMCredentialsResponseResult {
		return kmsg.DescribeUserSCRAMCredentialsResponseResult{ErrorCode: code, ErrorMessage: errorText(code)}
	})
	return resp
}

// deniedAlterUsers answers once for each user, whatever is to be done to it, in the
// order of their names.
func deniedAlterUsers(req *kmsg.AlterUserSCRAMCredentialsRequest, code int16) *kmsg.AlterUserSCRAMCredentialsResponse {
	users := make(map[string]struct{})
	for i := range req.Deletions {
		users[req.Deletions[i].Name] = struct{}{}
	}
	for i := range req.Upsertions {
		users[req.Upsertions[i].Name] = struct{}{}
	}
	sorted := slices.Sorted(maps.Keys(users))
	resp := kmsg.NewPtrAlterUserSCRAMCredentialsResponse()
	resp.Results = each(sorted, func(user *string) kmsg.AlterUserSCRAMCredentialsResponseResult {
		return kmsg.AlterUserSCRAMCredentialsResponseResult{User: *user, ErrorCode: code, ErrorMessage: errorText(code)}
	})
	return resp
}

func deniedDescribeQuorum(_ *kmsg.DescribeQuorumRequest, code int16) *kmsg.DescribeQuorumResponse {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

// virtualizeDescribeQuorum maps the ids of the quorum and empties the listeners:
// controllers have no virtual address.
func virtualizeDescribeQuorum(_ *kmsg.DescribeQuorumRequest, resp *kmsg.DescribeQuorumResponse, n Nodes) {
	showNodeText(&resp.ErrorMessage, n)
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			showNodeText(&p.ErrorMessage, n)
			p.LeaderID = n.Virtual(p.LeaderID)
			for v := range p.CurrentVoters {
				p.CurrentVoters[v].ReplicaID = n.Virtual(p.CurrentVoters[v].ReplicaID)
			}
			for o := range p.Observers {
				p.Observers[o].ReplicaID = n.Virtual(p.Observers[o].ReplicaID)
			}
		}
	}
	for i := range resp.Nodes {
		resp.Nodes[i].NodeID = n.Virtual(resp.Nodes[i].NodeID)
		resp.Nodes[i].Listeners = []kmsg.DescribeQuorumResponseNodeListener{}
	}
}

func deniedUpdateFeatures(_ *kmsg.UpdateFeaturesRequest, code int16) *kmsg.UpdateFeaturesResponse {
	resp := kmsg.NewPtrUpdateFeaturesResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

// splitUpdateFeatures refuses everything without ALTER on the cluster, and for several
// slices at once.
func splitUpdateFeatures(req *kmsg.UpdateFeaturesRequest, j Judge) (*kmsg.UpdateFeaturesResponse, bool) {
	code := codeOf(j, OpAlter, Cluster, ClusterName)
	if code == codeNone {
		return nil, true
	}
	resp := deniedUpdateFeatures(req, code)
	resp.ErrorMessage = messageOf(j, code)
	return resp, false
}

// virtualizeUpdateFeatures: the texts name the node that cannot do a version.
func virtualizeUpdateFeatures(_ *kmsg.UpdateFeaturesRequest, resp *kmsg.UpdateFeaturesResponse, n Nodes) {
	showNodeText(&resp.ErrorMessage, n)
	for i := range resp.Results {
		showNodeText(&resp.Results[i].ErrorMessage, n)
	}
}

func deniedUnregisterBroker(_ *kmsg.UnregisterBrokerRequest, code int16) *kmsg.UnregisterBrokerResponse {
	resp := kmsg.NewPtrUnregisterBrokerResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

func realizeUnregisterBroker(req *kmsg.UnregisterBrokerRequest, n Nodes) bool {
	return realID(&req.BrokerID, n)
}

func virtualizeUnregisterBroker(_ *kmsg.UnregisterBrokerRequest, resp *kmsg.UnregisterBrokerResponse, n Nodes) {
	showNodeText(&resp.ErrorMessage, n)
}

func deniedAddRaftVoter(_ *kmsg.AddRaftVoterRequest, code int16) *kmsg.AddRaftVoterResponse {
	resp := kmsg.NewPtrAddRaftVoterResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

// realizeAddRaftVoter maps the controller's id, which clients know from
// DescribeQuorum. Its listeners are where controllers find it, not clients: they pass.
func realizeAddRaftVoter(req *kmsg.AddRaftVoterRequest, n Nodes) bool {
	return realID(&req.VoterID, n)
}

func virtualizeAddRaftVoter(_ *kmsg.AddRaftVoterRequest, resp *kmsg.AddRaftVoterResponse, n Nodes) {
	showNodeText(&resp.ErrorMessage, n)
}

func deniedRemoveRaftVoter(_ *kmsg.RemoveRaftVoterRequest, code int16) *kmsg.RemoveRaftVoterResponse {
	resp := kmsg.NewPtrRemoveRaftVoterResponse()
	resp.ErrorCode, resp.ErrorMessage = code, errorText(code)
	return resp
}

func realizeRemoveRaftVoter(req *kmsg.RemoveRaftVoterRequest, n Nodes) bool {
	return realID(&req.VoterID, n)
}

func virtualizeRemoveRaftVoter(_ *kmsg.RemoveRaftVoterRequest, resp *kmsg.RemoveRaftVoterResponse, n Nodes) {
	showNodeText(&resp.ErrorMessage, n)
}
