package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds Metadata, DescribeCluster and DescribeTopicPartitions: what is
// in a cluster and where.

const (
	metadataNoTopics    = 1 // from this version on, an empty list means no topic, not all
	metadataAutoCreates = 4 // from this version on, a flag says whether to create; before, it is implied
)

const codeMismatchedEndpointType int16 = 114

// splitMetadata refuses named topics without DESCRIBE. The rest always goes to a
// broker, if only for the list of brokers. A request for all topics is left to the
// filter.
//
// What the rest may create is decided here too: the flag for auto-creation is
// cleared where the tenant may not CREATE. Versions 0 to 3 imply the flag, and
// version 0 cannot ask for no topic; where that matters the request becomes one of
// version 4, which says both. The caller sees that in req.GetVersion(), reads the
// answer in that version, and writes it to the client in its own.
func splitMetadata(req *kmsg.MetadataRequest, j Judge) (*kmsg.MetadataResponse, bool) {
	if req.Topics == nil || len(req.Topics) == 0 && req.Version < metadataNoTopics {
		return nil, true
	}
	rest, refused := refuse(req.Topics,
		func(t *kmsg.MetadataRequestTopic) int16 { return metadataCode(t, j) }, refusedMetadata)
	req.Topics = rest
	if len(rest) == 0 && req.Version < metadataNoTopics {
		req.Version, req.AllowAutoTopicCreation = metadataAutoCreates, false
	}
	implied := req.Version < metadataAutoCreates
	if (implied || req.AllowAutoTopicCreation) && !mayCreate(rest, j) {
		req.Version, req.AllowAutoTopicCreation = max(req.Version, metadataAutoCreates), false
	}
	if refused == nil {
		return nil, true
	}
	resp := kmsg.NewPtrMetadataResponse()
	resp.Topics = refused
	return resp, true
}

// metadataCode judges one topic. A broker prefers the id where there is one. An
// unknown id stays in the request: the broker's UNKNOWN_TOPIC_ID is the answer.
func metadataCode(t *kmsg.MetadataRequestTopic, j Judge) int16 {
	switch {
	case t.TopicID != [16]byte{}:
		code := topicCode(j, OpDescribe, true, "", t.TopicID)
		if code == codeUnknownTopicID {
			return codeNone
		}
		return code
	case t.Topic == nil:
		return codeNone // neither id nor name: an unknown id
	}
	return codeOf(j, OpDescribe, Topic, *t.Topic)
}

// refusedMetadata repeats the name or the id, whichever the request gave, and
// nothing that would tell whether the topic exists.
func refusedMetadata(t *kmsg.MetadataRequestTopic, code int16) kmsg.MetadataResponseTopic {
	a := kmsg.NewMetadataResponseTopic()
	a.ErrorCode = code
	if t.TopicID != [16]byte{} {
		a.TopicID = t.TopicID
	} else {
		a.Topic = t.Topic
	}
	return a
}

// mayCreate reports whether a broker may create every topic of the request that is
// absent, or there is none to create.
func mayCreate(topics []kmsg.MetadataRequestTopic, j Judge) bool {
	if j.Allowed(OpCreate, Cluster, ClusterName) {
		return true
	}
	denied := make(map[string]struct{})
	named := 0
	for i := range topics {
		name := topics[i].Topic
		if name == nil || topics[i].TopicID != [16]byte{} {
			continue // by id: nothing to create
		}
		named++
		if !j.Allowed(OpCreate, Topic, *name) {
			denied[*name] = struct{}{}
		}
	}
	if len(denied) == 0 || len(denied) == named {
		return len(denied) == 0 // one verdict for all: whether they exist makes no difference
	}
	for _, name := range j.TopicNames() {
		delete(denied, name)
	}
	return len(denied) == 0
}

func mergeMetadata(resp, refused *kmsg.MetadataResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// filterMetadata leaves out topics without DESCRIBE; those without a name, which
// only tell that an id is unknown, stay. It runs before the refused are merged.
func filterMetadata(resp *kmsg.MetadataResponse, j Judge) {
	resp.Topics = keep(resp.Topics, func(t *kmsg.MetadataResponseTopic) bool {
		if t.Topic == nil {
			return true
		}
		t.AuthorizedOperations = authorizedOperations(t.AuthorizedOperations, j, Topic, *t.Topic)
		return j.Allowed(OpDescribe, Topic, *t.Topic)
	})
	resp.AuthorizedOperations = clusterOperations(resp.AuthorizedOperations, j)
}

// clusterOperations is [authorizedOperations] of the cluster: none at all for whom
// may not DESCRIBE it, as in Kafka.
func clusterOperations(broker int32, j Judge) int32 {
	mine := authorizedOperations(broker, j, Cluster, ClusterName)
	if mine > 0 && !j.Allowed(OpDescribe, Cluster, ClusterName) {
		return 0
	}
	return mine
}

// virtualizeMetadata shows the brokers that have a virtual address. A partition
// whose leader has none is without a leader for the client, and a controller that
// has none is any broker, as in KRaft.
func virtualizeMetadata(_ *kmsg.MetadataRequest, resp *kmsg.MetadataResponse, n Nodes) {
	resp.Brokers = showBrokers(resp.Brokers, n, func(b *kmsg.MetadataResponseBroker) (*int32, *string, *int32) {
		return &b.NodeID, &b.Host, &b.Port
	})
	first := int32(-1)
	if len(resp.Brokers) > 0 {
		first = resp.Brokers[0].NodeID
	}
	resp.ControllerID = showController(resp.ControllerID, first, n)
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			showPartitionLeader(&p.Leader, &p.ErrorCode, n)
			showIDs(p.Replicas, n)
			showIDs(p.ISR, n)
			showIDs(p.OfflineReplicas, n)
		}
	}
}

// showController maps the controller, or takes the first broker shown (already
// mapped, -1 for none) where the controller has no address.
func showController(id, first int32, n Nodes) int32 {
	if id < 0 {
		return id
	}
	if _, _, ok := n.Address(id); !ok {
		return first
	}
	return n.Virtual(id)
}

// showPartitionLeader maps the leader of a partition; one without an address is
// LEADER_NOT_AVAILABLE, which clients retry.
func showPartitionLeader(leader *int32, code *int16, n Nodes) {
	if *leader < 0 {
		return
	}
	if _, _, ok := n.Address(*leader); ok {
		*leader = n.Virtual(*leader)
		return
	}
	*leader = -1
	if *code == codeNone {
		*code = codeLeaderNotAvailable
	}
}

// splitDescribeCluster refuses to list controllers (endpoint type 2, KIP-919), as
// a broker does. Anybody may ask for brokers.
func splitDescribeCluster(req *kmsg.DescribeClusterRequest, _ Judge) (*kmsg.DescribeClusterResponse, bool) {
	const controllers = 2
	if req.EndpointType != controllers {
		return nil, true
	}
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.ErrorCode = codeMismatchedEndpointType
	resp.ErrorMessage = kmsg.StringPtr("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER.")
	return resp, false
}

func filterDescribeCluster(resp *kmsg.DescribeClusterResponse, j Judge) {
	resp.ClusterAuthorizedOperations = clusterOperations(resp.ClusterAuthorizedOperations, j)
}

// virtualizeDescribeCluster shows the brokers that have a virtual address.
func virtualizeDescribeCluster(_ *kmsg.DescribeClusterRequest, resp *kmsg.DescribeClusterResponse, n Nodes) {
	resp.Brokers = showBrokers(resp.Brokers, n, func(b *kmsg.DescribeClusterResponseBroker) (*int32, *string, *int32) {
		return &b.NodeID, &b.Host, &b.Port
	})
	first := int32(-1)
	if len(resp.Brokers) > 0 {
		first = resp.Brokers[0].NodeID
	}
	resp.ControllerID = showController(resp.ControllerID, first, n)
}

// splitDescribeTopicPartitions refuses named topics without DESCRIBE. A request
// for all topics (an empty list) becomes one for the topics that the tenant may
// describe, if it may not describe all: left to the filter, a page could be empty
// and its cursor name a topic that the tenant must not see.
func splitDescribeTopicPartitions(req *kmsg.DescribeTopicPartitionsRequest, j Judge) (*kmsg.DescribeTopicPartitionsResponse, bool) {
	if len(req.Topics) == 0 {
		return splitAllTopicPartitions(req, j)
	}
	rest, refused := refuse(req.Topics,
		func(t *kmsg.DescribeTopicPartitionsRequestTopic) int16 { return codeOf(j, OpDescribe, Topic, t.Topic) },
		func(t *kmsg.DescribeTopicPartitionsRequestTopic, code int16) kmsg.DescribeTopicPartitionsResponseTopic {
			a := kmsg.NewDescribeTopicPartitionsResponseTopic()
			a.ErrorCode, a.Topic = code, kmsg.StringPtr(t.Topic)
			return a
		})
	if refused == nil {
		return nil, true
	}
	req.Topics = rest
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	resp.Topics = refused
	if req.Cursor != nil { // what stands before it was answered on an earlier page
		resp.Topics = keep(refused, func(t *kmsg.DescribeTopicPartitionsResponseTopic) bool { return *t.Topic >= req.Cursor.Topic })
	}
	if req.Cursor == nil || j.Allowed(OpDescribe, Topic, req.Cursor.Topic) {
		return resp, len(rest) > 0
	}
	return resp, advanceCursor(req)
}

// splitAllTopicPartitions names the topics that the tenant may describe.
func splitAllTopicPartitions(req *kmsg.DescribeTopicPartitionsRequest, j Judge) (*kmsg.DescribeTopicPartitionsResponse, bool) {
	all := j.TopicNames()
	topics := make([]kmsg.DescribeTopicPartitionsRequestTopic, 0, len(all))
	for _, name := range all {
		if j.Allowed(OpDescribe, Topic, name) {
			topics = append(topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
	}
	if len(topics) == len(all) {
		return nil, true // also when none is known yet: the filter judges what comes
	}
	req.Topics = topics
	if len(topics) == 0 || req.Cursor != nil && !advanceCursor(req) {
		return kmsg.NewPtrDescribeTopicPartitionsResponse(), false
	}
	return nil, true
}

// advanceCursor moves the cursor to the next topic of the list if its own is not
// there, for a broker takes no other; false if no topic comes after it.
func advanceCursor(req *kmsg.DescribeTopicPartitionsRequest) bool {
	next := ""
	found := false
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if name >= req.Cursor.Topic && (!found || name < next) {
			next, found = name, true
		}
	}
	if found && next != req.Cursor.Topic {
		req.Cursor.Topic, req.Cursor.Partition = next, 0
	}
	return found
}

func mergeDescribeTopicPartitions(resp, refused *kmsg.DescribeTopicPartitionsResponse) {
	resp.Topics = append(resp.Topics, refused.Topics...)
}

// filterDescribeTopicPartitions is [filterMetadata] for this API.
func filterDescribeTopicPartitions(resp *kmsg.DescribeTopicPartitionsResponse, j Judge) {
	resp.Topics = keep(resp.Topics, func(t *kmsg.DescribeTopicPartitionsResponseTopic) bool {
		if t.Topic == nil {
			return true
		}
		t.AuthorizedOperations = authorizedOperations(t.AuthorizedOperations, j, Topic, *t.Topic)
		return j.Allowed(OpDescribe, Topic, *t.Topic)
	})
	if c := resp.NextCursor; c != nil && isHere(j, Topic, c.Topic) && !j.Allowed(OpDescribe, Topic, c.Topic) {
		resp.NextCursor = nil // a topic that came after the request was split: this listing ends here
	}
}

// virtualizeDescribeTopicPartitions maps leaders and replicas as in Metadata.
func virtualizeDescribeTopicPartitions(_ *kmsg.DescribeTopicPartitionsRequest, resp *kmsg.DescribeTopicPartitionsResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			showPartitionLeader(&p.LeaderID, &p.ErrorCode, n)
			for _, ids := range [][]int32{p.Replicas, p.ISR, p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas} {
				showIDs(ids, n)
			}
		}
	}
}
