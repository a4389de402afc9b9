package protocol

import (
	"cmp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Joining what says something of topics and configurations.

// joinElectLeaders tells of no topic that its slice does not own, which null topics bring.
func joinElectLeaders(_ *kmsg.ElectLeadersRequest, answers []slotAnswer[*kmsg.ElectLeadersResponse], v VirtualCluster) *kmsg.ElectLeadersResponse {
	resp := kmsg.NewPtrElectLeadersResponse()
	resp.Version = answers[0].resp.Version
	for _, a := range answers {
		if resp.ErrorCode == codeNone {
			resp.ErrorCode = a.resp.ErrorCode
		}
		resp.Topics = append(resp.Topics, keep(a.resp.Topics, func(t *kmsg.ElectLeadersResponseTopic) bool {
			return len(answers) == 1 || ownerOf(v, Topic, t.Topic) == a.slot
		})...)
	}
	return resp
}

func takeAlterPartitionReassignments(first, other *kmsg.AlterPartitionAssignmentsResponse) {
	firstError(&first.ErrorCode, &first.ErrorMessage, other.ErrorCode, other.ErrorMessage)
	first.AllowReplicationFactorChange = first.AllowReplicationFactorChange && other.AllowReplicationFactorChange
	first.Topics = append(first.Topics, other.Topics...)
}

func takeListPartitionReassignments(first, other *kmsg.ListPartitionReassignmentsResponse) {
	firstError(&first.ErrorCode, &first.ErrorMessage, other.ErrorCode, other.ErrorMessage)
	first.Topics = append(first.Topics, other.Topics...)
}

func takeAlterConfigs(first, other *kmsg.AlterConfigsResponse) {
	type result = kmsg.AlterConfigsResponseResource
	first.Resources = takeResults(first.Resources, other.Resources,
		func(a, b *result) bool { return a.ResourceType == b.ResourceType && a.ResourceName == b.ResourceName },
		func(r *result) (*int16, **string) { return &r.ErrorCode, &r.ErrorMessage })
}

func takeIncrementalAlterConfigs(first, other *kmsg.IncrementalAlterConfigsResponse) {
	type result = kmsg.IncrementalAlterConfigsResponseResource
	first.Resources = takeResults(first.Resources, other.Resources,
		func(a, b *result) bool { return a.ResourceType == b.ResourceType && a.ResourceName == b.ResourceName },
		func(r *result) (*int16, **string) { return &r.ErrorCode, &r.ErrorMessage })
}

// takeResults puts the results of one slice to those of others: what was changed in
// several has the first error.
func takeResults[E any](first, other []E, same func(a, b *E) bool, result func(*E) (*int16, **string)) []E {
	asked := len(first)
others:
	for i := range other {
		for k := range first[:asked] {
			if same(&first[k], &other[i]) {
				code, message := result(&first[k])
				otherCode, otherMessage := result(&other[i])
				firstError(code, message, *otherCode, *otherMessage)
				continue others
			}
		}
		first = append(first, other[i])
	}
	return first
}

// pagePlace is where a page of DescribeTopicPartitions begins or ends: in the order of
// topics, which is that of bytes for their names, and then of partitions.
type pagePlace struct {
	topic     string
	partition int32
}

func (p pagePlace) compare(o pagePlace) int {
	return cmp.Or(strings.Compare(p.topic, o.topic), cmp.Compare(p.partition, o.partition))
}

// maxPagePartitions is how many partitions a broker describes in one answer
// (max.request.partition.size.limit; its default).
const maxPagePartitions = 2000

// joinTopicPartitions makes one page of those of the slices, sorted, as long as the
// request allows one. It ends where the page of any slice ends at the latest: what
// comes behind is not known of that one (KIP-966).
func joinTopicPartitions(req *kmsg.DescribeTopicPartitionsRequest, answers []slotAnswer[*kmsg.DescribeTopicPartitionsResponse], _ VirtualCluster) *kmsg.DescribeTopicPartitionsResponse {
	resp := answers[0].resp
	if len(answers) == 1 {
		return resp
	}
	var end *pagePlace
	for _, a := range answers {
		if c := a.resp.NextCursor; c != nil {
			if at := (pagePlace{c.Topic, c.Partition}); end == nil || at.compare(*end) < 0 {
				end = &at
			}
		}
	}
	for _, a := range answers[1:] {
		resp.Topics = append(resp.Topics, a.resp.Topics...)
	}
	slices.SortStableFunc(resp.Topics, func(a, b kmsg.DescribeTopicPartitionsResponseTopic) int {
		return strings.Compare(topicOf(&a), topicOf(&b))
	})
	left := int(min(max(req.ResponsePartitionLimit, 1), maxPagePartitions))
	resp.NextCursor = nil
	for i := range resp.Topics {
		t := &resp.Topics[i]
		cut := cutTopic(t, end, &left)
		if cut == nil {
			continue
		}
		resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: cut.topic, Partition: cut.partition}
		if len(t.Partitions) > 0 {
			i++ // some of it is on this page
		}
		clear(resp.Topics[i:])
		resp.Topics = resp.Topics[:i]
		return resp
	}
	if end != nil { // behind the last topic that is shown
		resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: end.topic, Partition: end.partition}
	}
	return resp
}

func topicOf(t *kmsg.DescribeTopicPartitionsResponseTopic) string {
	if t.Topic == nil {
		return ""
	}
	return *t.Topic
}

// cutTopic takes from a topic the partitions at end and behind, and those for which
// there is no room left; it returns where the page ends if that is in or before the
// topic.
func cutTopic(t *kmsg.DescribeTopicPartitionsResponseTopic, end *pagePlace, left *int) *pagePlace {
	at := pagePlace{topicOf(t), 0}
	if end != nil && end.compare(at) <= 0 {
		t.Partitions = nil
		return end
	}
	for i := range t.Partitions {
		at.partition = t.Partitions[i].Partition
		if end != nil && end.compare(at) <= 0 || *left == 0 {
			if end == nil || *left == 0 && at.compare(*end) < 0 {
				end = &at
			}
			t.Partitions = t.Partitions[:i]
			return end
		}
		*left--
	}
	return nil
}
