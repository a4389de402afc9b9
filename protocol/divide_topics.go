package protocol

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Dividing what asks about topics and configurations.

// divideMetadata asks every slice, if only for its brokers: those that none of the
// named topics belongs to for no topic. What may be created is created by the owner
// of its name, who alone is asked for it.
func divideMetadata(req *kmsg.MetadataRequest, v VirtualCluster) []Part {
	all := toAll(req, v)
	if req.Topics == nil || len(req.Topics) == 0 && req.Version < metadataNoTopics {
		return all
	}
	for i := range all {
		all[i].Req.(*kmsg.MetadataRequest).Topics = []kmsg.MetadataRequestTopic{}
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		}
		owner := ownerOfTopic(v, name, t.TopicID)
		at := slices.IndexFunc(all, func(p Part) bool { return p.Slot == owner })
		part := all[at].Req.(*kmsg.MetadataRequest)
		part.Topics = append(part.Topics, *t)
	}
	for i := range all {
		if part := all[i].Req.(*kmsg.MetadataRequest); len(part.Topics) == 0 && part.Version < metadataNoTopics {
			ForbidAutoCreation(part) // becomes a version that can ask for no topic
		}
	}
	return all
}

// divideTopicPartitions gives the cursor to the owner of its topic, and to the others
// what comes behind it; where all topics are asked for, to each slice: it need not have
// the topic then.
func divideTopicPartitions(req *kmsg.DescribeTopicPartitionsRequest, v VirtualCluster) []Part {
	name := func(t *kmsg.DescribeTopicPartitionsRequestTopic) string { return t.Topic }
	if len(req.Topics) == 0 {
		all := toAll(req, v)
		for i := range all {
			part := all[i].Req.(*kmsg.DescribeTopicPartitionsRequest)
			if part.Cursor != nil {
				c := *part.Cursor
				part.Cursor = &c
			}
		}
		return all
	}
	c := req.Cursor
	if c != nil && !slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == c.Topic }) {
		return toHome(req, v) // which says that the cursor is wrong
	}
	divide := byTopic(func(r *kmsg.DescribeTopicPartitionsRequest) *[]kmsg.DescribeTopicPartitionsRequestTopic {
		return &r.Topics
	}, name)
	all := divide(req, v)
	if c == nil || len(all) == 1 {
		return all
	}
	owner := ownerOf(v, Topic, c.Topic)
	return slices.DeleteFunc(all, func(p Part) bool {
		part := p.Req.(*kmsg.DescribeTopicPartitionsRequest)
		if p.Slot != owner {
			part.Cursor = nil
			part.Topics = keep(part.Topics, func(t *kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic > c.Topic })
		}
		return len(part.Topics) == 0
	})
}

// divideDeleteTopics: by name, or by name or id from version 6 on.
func divideDeleteTopics(req *kmsg.DeleteTopicsRequest, v VirtualCluster) []Part {
	if req.Version < deleteByID {
		return byTopic(func(r *kmsg.DeleteTopicsRequest) *[]string { return &r.TopicNames }, func(name *string) string { return *name })(req, v)
	}
	owner := func(v VirtualCluster, _ *kmsg.DeleteTopicsRequest, t *kmsg.DeleteTopicsRequestTopic) int {
		if t.Topic != nil {
			return ownerOf(v, Topic, *t.Topic)
		}
		return ownerOfTopic(v, "", t.TopicID)
	}
	return byList(func(r *kmsg.DeleteTopicsRequest) *[]kmsg.DeleteTopicsRequestTopic { return &r.Topics }, owner, false)(req, v)
}

// resource is what an element of a request about configurations is about.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// place is the slot of the slice that has the resource, and the broker's own id if only
// that one can answer. Defaults of all brokers, and what is of no kind that lives in
// one slice, are the home's.
func (r resource) place(v VirtualCluster) (slot int, node int32) {
	switch {
	case r.kind == kmsg.ConfigResourceTypeTopic:
		return ownerOf(v, Topic, r.name), -1
	case r.kind == kmsg.ConfigResourceTypeGroupConfig:
		return ownerOf(v, Group, r.name), -1
	case !isBroker(r.kind):
		return homeOf(v), -1
	}
	id, err := strconv.ParseInt(r.name, 10, 32)
	if err != nil {
		return homeOf(v), -1
	}
	slot = slotOfNode(v, int32(id))
	if int(id>>SlotBits) != slot {
		return slot, -1 // no broker of any slice
	}
	return slot, int32(id) & (1<<SlotBits - 1)
}

// isCommon reports whether a resource is the same in all slices: a change goes to all.
func (r resource) isCommon() bool {
	return r.kind == kmsg.ConfigResourceTypeBroker && r.name == "" || r.kind == kmsg.ConfigResourceTypeClientMetrics
}

// byResource divides a request about configurations, by what its elements are about.
// Each broker is asked alone about itself. own is not nil for requests that change
// them: it makes of a copy of an element one that shares nothing.
func byResource[Q requestTo[T], T, E any](list func(Q) *[]E, of func(*E) resource, own func(*E)) func(Q, VirtualCluster) []Part {
	return func(req Q, v VirtualCluster) []Part {
		var all []Part
		add := func(slot int, node int32, e E) {
			at := slices.IndexFunc(all, func(p Part) bool { return p.Slot == slot && p.Node == node })
			if at < 0 {
				c := *req
				*list(&c) = nil
				at = len(all)
				all = append(all, Part{Slot: slot, Node: node, Req: Q(&c)})
			}
			elements := list(all[at].Req.(Q))
			*elements = append(*elements, e)
		}
		for i := range *list(req) {
			e := &(*list(req))[i]
			r := of(e)
			if own != nil && r.isCommon() {
				for _, slot := range v.Slots() {
					e := *e
					own(&e)
					add(slot, -1, e)
				}
				continue
			}
			slot, node := r.place(v)
			add(slot, node, *e)
		}
		switch len(all) {
		case 0:
			return toHome(req, v)
		case 1:
			all[0].Req = req
		}
		return all
	}
}

// What names topics by their names.
var (
	divideCreateTopics = byTopic(
		func(r *kmsg.CreateTopicsRequest) *[]kmsg.CreateTopicsRequestTopic { return &r.Topics },
		func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	divideCreatePartitions = byTopic(
		func(r *kmsg.CreatePartitionsRequest) *[]kmsg.CreatePartitionsRequestTopic { return &r.Topics },
		func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
	divideElectLeaders = byTopicOrAll(
		func(r *kmsg.ElectLeadersRequest) *[]kmsg.ElectLeadersRequestTopic { return &r.Topics },
		func(t *kmsg.ElectLeadersRequestTopic) string { return t.Topic })
	divideAlterPartitionReassignments = byTopic(
		func(r *kmsg.AlterPartitionAssignmentsRequest) *[]kmsg.AlterPartitionAssignmentsRequestTopic {
			return &r.Topics
		},
		func(t *kmsg.AlterPartitionAssignmentsRequestTopic) string { return t.Topic })
	divideListPartitionReassignments = byTopicOrAll(
		func(r *kmsg.ListPartitionReassignmentsRequest) *[]kmsg.ListPartitionReassignmentsRequestTopic {
			return &r.Topics
		},
		func(t *kmsg.ListPartitionReassignmentsRequestTopic) string { return t.Topic })
)

// What names resources of several types.
var (
	divideDescribeConfigs = byResource(
		func(r *kmsg.DescribeConfigsRequest) *[]kmsg.DescribeConfigsRequestResource { return &r.Resources },
		func(r *kmsg.DescribeConfigsRequestResource) resource { return resource{r.ResourceType, r.ResourceName} }, nil)
	divideAlterConfigs = byResource(
		func(r *kmsg.AlterConfigsRequest) *[]kmsg.AlterConfigsRequestResource { return &r.Resources },
		func(r *kmsg.AlterConfigsRequestResource) resource { return resource{r.ResourceType, r.ResourceName} },
		func(r *kmsg.AlterConfigsRequestResource) { r.Configs = slices.Clone(r.Configs) })
	divideIncrementalAlterConfigs = byResource(
		func(r *kmsg.IncrementalAlterConfigsRequest) *[]kmsg.IncrementalAlterConfigsRequestResource {
			return &r.Resources
		},
		func(r *kmsg.IncrementalAlterConfigsRequestResource) resource {
			return resource{r.ResourceType, r.ResourceName}
		},
		func(r *kmsg.IncrementalAlterConfigsRequestResource) { r.Configs = slices.Clone(r.Configs) })
)
