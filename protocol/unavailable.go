package protocol

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const codeRequestTimedOut int16 = 7

// unavailable is the Judge of a slice that does not answer: a no to everything, with
// codes after which clients ask again. It knows every topic id.
type unavailable struct{ denyAll }

func (unavailable) because(r Resource, _ string) int16 {
	switch r {
	case Topic:
		return codeLeaderNotAvailable
	case Group, TransactionalID:
		return codeCoordinatorNotAvailable
	default:
		return codeRequestTimedOut
	}
}

// Unavailable answers a slice's part of a divided request when the slice does not:
// LEADER_NOT_AVAILABLE for topics, COORDINATOR_NOT_AVAILABLE for groups and
// transactional ids, REQUEST_TIMED_OUT for the rest. known are the topics that the
// slice had when it last told; a request for all topics is answered for those. req is
// used up. The answer goes through Virtualize and Filter as a slice's own.
func (a *API) Unavailable(req kmsg.Request, known []string) kmsg.Response {
	resp := req.ResponseKind()
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		if r.Topics == nil || len(r.Topics) == 0 && r.Version < metadataNoTopics {
			r.Topics = each(known, func(name *string) kmsg.MetadataRequestTopic { return kmsg.MetadataRequestTopic{Topic: name} })
		}
	case *kmsg.DescribeTopicPartitionsRequest:
		if len(r.Topics) == 0 {
			r.Topics = each(sorted(known), func(name *string) kmsg.DescribeTopicPartitionsRequestTopic {
				return kmsg.DescribeTopicPartitionsRequestTopic{Topic: *name}
			})
		}
	case *kmsg.DescribeClusterRequest:
		resp.(*kmsg.DescribeClusterResponse).ErrorCode = codeRequestTimedOut
	}
	if a.Split != nil {
		if refused, _ := a.Split(req, unavailable{}); refused != nil {
			resp = refused
		}
	}
	resp.SetVersion(req.GetVersion())
	return resp
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.SortFunc(names, strings.Compare)
	return names
}
