package protocol

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Joining what says what a cluster is and what holds for all of it.

// bothMay is what is authorized in both slices; one that was not asked says nothing.
func bothMay(a, b int32) int32 {
	const notAsked = -1 << 31
	switch {
	case a == notAsked:
		return b
	case b == notAsked:
		return a
	}
	return a & b
}

// lowestNode is the controller that a virtual cluster shows: with KRaft it is any
// broker, to which administrators' requests are sent; -1 if there is none.
func lowestNode[B any](brokers []B, id func(*B) int32) int32 {
	lowest := int32(-1)
	for i := range brokers {
		if n := id(&brokers[i]); lowest < 0 || n < lowest {
			lowest = n
		}
	}
	return lowest
}

func joinMetadata(_ *kmsg.MetadataRequest, answers []slotAnswer[*kmsg.MetadataResponse], v VirtualCluster) *kmsg.MetadataResponse {
	resp := answers[0].resp
	for _, a := range answers[1:] {
		resp.Brokers = append(resp.Brokers, a.resp.Brokers...)
		resp.Topics = append(resp.Topics, a.resp.Topics...)
		resp.AuthorizedOperations = bothMay(resp.AuthorizedOperations, a.resp.AuthorizedOperations)
		if resp.ErrorCode == codeNone {
			resp.ErrorCode = a.resp.ErrorCode
		}
	}
	resp.ClusterID = kmsg.StringPtr(v.ClusterID())
	resp.ControllerID = lowestNode(resp.Brokers, func(b *kmsg.MetadataResponseBroker) int32 { return b.NodeID })
	return resp
}

// joinDescribeCluster leaves out the slices that could not say; it is an error if
// none could.
func joinDescribeCluster(_ *kmsg.DescribeClusterRequest, answers []slotAnswer[*kmsg.DescribeClusterResponse], v VirtualCluster) *kmsg.DescribeClusterResponse {
	answers = withoutErrors(answers, func(r *kmsg.DescribeClusterResponse) int16 { return r.ErrorCode })
	resp := answers[0].resp
	for _, a := range answers[1:] {
		resp.Brokers = append(resp.Brokers, a.resp.Brokers...)
		resp.ClusterAuthorizedOperations = bothMay(resp.ClusterAuthorizedOperations, a.resp.ClusterAuthorizedOperations)
	}
	resp.ClusterID = v.ClusterID()
	resp.ControllerID = lowestNode(resp.Brokers, func(b *kmsg.DescribeClusterResponseBroker) int32 { return b.NodeID })
	return resp
}

// withoutErrors are the answers without an error, or the first if all have one.
func withoutErrors[R kmsg.Response](answers []slotAnswer[R], code func(R) int16) []slotAnswer[R] {
	var good []slotAnswer[R]
	for _, a := range answers {
		if code(a.resp) == codeNone {
			good = append(good, a)
		}
	}
	if good == nil {
		return answers[:1]
	}
	return good
}

// joinListConfigResources leaves out the slices that could not say. What is in several
// (the defaults of all brokers, client metrics) is listed once.
func joinListConfigResources(_ *kmsg.ListConfigResourcesRequest, answers []slotAnswer[*kmsg.ListConfigResourcesResponse], _ VirtualCluster) *kmsg.ListConfigResourcesResponse {
	answers = withoutErrors(answers, func(r *kmsg.ListConfigResourcesResponse) int16 { return r.ErrorCode })
	resp := answers[0].resp
	type key struct {
		t    int8
		name string
	}
	for _, a := range answers[1:] {
		resp.ConfigResources = union(resp.ConfigResources, a.resp.ConfigResources,
			func(r *kmsg.ListConfigResourcesResponseConfigResource) key { return key{r.Type, r.Name} })
	}
	return resp
}

// takeDescribeACLs lists each rule once.
func takeDescribeACLs(first, other *kmsg.DescribeACLsResponse) {
	firstError(&first.ErrorCode, &first.ErrorMessage, other.ErrorCode, other.ErrorMessage)
	type key struct {
		t       kmsg.ACLResourceType
		name    string
		pattern kmsg.ACLResourcePatternType
	}
	of := func(r *kmsg.DescribeACLsResponseResource) key {
		return key{r.ResourceType, r.ResourceName, r.ResourcePatternType}
	}
	type rule struct {
		principal, host string
		op              kmsg.ACLOperation
		permission      kmsg.ACLPermissionType
	}
	asked := len(first.Resources)
	first.Resources = union(first.Resources, other.Resources, of)
	for i := range other.Resources {
		for k := range first.Resources[:asked] {
			r := &first.Resources[k]
			if of(r) == of(&other.Resources[i]) {
				r.ACLs = union(r.ACLs, other.Resources[i].ACLs, func(a *kmsg.DescribeACLsResponseResourceACL) rule {
					return rule{a.Principal, a.Host, a.Operation, a.PermissionType}
				})
			}
		}
	}
	if first.ErrorCode != codeNone {
		first.Resources = nil // as with Kafka
	}
}

// takeCreateACLs: each rule is made in all slices, or it is an error.
func takeCreateACLs(first, other *kmsg.CreateACLsResponse) {
	for i := range min(len(first.Results), len(other.Results)) {
		f, o := &first.Results[i], &other.Results[i]
		firstError(&f.ErrorCode, &f.ErrorMessage, o.ErrorCode, o.ErrorMessage)
	}
}

// takeDeleteACLs: what a filter deleted in any slice, or an error.
func takeDeleteACLs(first, other *kmsg.DeleteACLsResponse) {
	for i := range min(len(first.Results), len(other.Results)) {
		f, o := &first.Results[i], &other.Results[i]
		firstError(&f.ErrorCode, &f.ErrorMessage, o.ErrorCode, o.ErrorMessage)
		f.MatchingACLs = append(f.MatchingACLs, o.MatchingACLs...)
	}
}

// takeDescribeClientQuotas lists each entity once, as the first slice that has it says.
func takeDescribeClientQuotas(first, other *kmsg.DescribeClientQuotasResponse) {
	firstError(&first.ErrorCode, &first.ErrorMessage, other.ErrorCode, other.ErrorMessage)
	first.Entries = union(first.Entries, other.Entries, func(e *kmsg.DescribeClientQuotasResponseEntry) string {
		var key strings.Builder
		for _, part := range e.Entity {
			key.WriteString(part.Type + "\x00")
			if part.Name != nil {
				key.WriteString("=" + *part.Name)
			}
			key.WriteString("\x00")
		}
		return key.String()
	})
	if first.ErrorCode != codeNone {
		first.Entries = nil // as with Kafka
	}
}

// takeAlterClientQuotas: each entry is changed in all slices, or it is an error.
func takeAlterClientQuotas(first, other *kmsg.AlterClientQuotasResponse) {
	for i := range min(len(first.Entries), len(other.Entries)) {
		f, o := &first.Entries[i], &other.Entries[i]
		firstError(&f.ErrorCode, &f.ErrorMessage, o.ErrorCode, o.ErrorMessage)
	}
}

// takeDescribeUsers lists each user once: one that a slice does not have is described
// by another that has it.
func takeDescribeUsers(first, other *kmsg.DescribeUserSCRAMCredentialsResponse) {
	firstError(&first.ErrorCode, &first.ErrorMessage, other.ErrorCode, other.ErrorMessage)
	user := func(r *kmsg.DescribeUserSCRAMCredentialsResponseResult) string { return r.User }
	for i := range other.Results {
		for k := range first.Results {
			f, o := &first.Results[k], &other.Results[i]
			if f.User == o.User && f.ErrorCode != codeNone && o.ErrorCode == codeNone {
				*f = *o
			}
		}
	}
	first.Results = union(first.Results, other.Results, user)
}

// takeAlterUsers: each user is changed in all slices, or it is an error.
func takeAlterUsers(first, other *kmsg.AlterUserSCRAMCredentialsResponse) {
	for i := range other.Results {
		for k := range first.Results {
			if f, o := &first.Results[k], &other.Results[i]; f.User == o.User {
				firstError(&f.ErrorCode, &f.ErrorMessage, o.ErrorCode, o.ErrorMessage)
			}
		}
	}
	first.Results = union(first.Results, other.Results, func(r *kmsg.AlterUserSCRAMCredentialsResponseResult) string { return r.User })
}
