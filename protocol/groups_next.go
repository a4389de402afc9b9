package protocol

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Consumer groups (KIP-848) and streams groups (KIP-1071), whose assignments the
// broker computes. So a subscription is judged when it is announced, and a
// regular expression by what it matches then; what appears later is guarded when
// it is fetched.

const (
	codeInvalidRegularExpression int16 = 128

	// maxRegexBytes bounds a subscription's regular expression, and maxRegexSize the
	// program that it is compiled to, which "(.{99}){9}" makes much larger: matching
	// one name takes a step for each instruction and byte.
	maxRegexBytes = 8 << 10
	maxRegexSize  = 10_000
	// maxRegexSteps bounds what the expressions of one request may cost together, a
	// second or so at the worst: nothing can stop them on the way, and heartbeats are
	// held for no limit. 50,000 topics and a plain pattern take about half of it.
	maxRegexSteps = 100_000_000

	regexDenied  = "The subscription's regular expression matches topics that may not be described."
	regexTooLong = "The subscription's regular expression is too long or too complex."
	groupHidden  = "The group has described topic(s) that the client is not authorized to describe."
)

// regexCode judges a regular expression over topic names: everything it matches
// must be describable, and live where the group does. Brokers match whole names, never internal ones, and take
// RE2 syntax, as Go does. The message names no topic: the tenant may not even
// know that there is one.
//
// An expression that Go cannot read is refused as the broker would refuse it,
// unless there is nothing to guard: one that only the broker can read would
// otherwise pass unjudged. What would take more steps than are left is refused.
func regexCode(j Judge, pattern string, steps *int) (int16, *string) {
	if pattern == "" { // the subscription has none any more
		return codeNone, nil
	}
	var hidden []string
	for _, name := range j.TopicNames() {
		if !strings.HasPrefix(name, "__") && !j.Allowed(OpDescribe, Topic, name) {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) == 0 {
		return codeNone, nil
	}
	tooLong := kmsg.StringPtr(regexTooLong)
	if len(pattern) > maxRegexBytes {
		return codeTopicAuthorizationFailed, tooLong
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return codeInvalidRegularExpression, kmsg.StringPtr(err.Error())
	}
	size := regexSize(parsed)
	if size > maxRegexSize {
		return codeTopicAuthorizationFailed, tooLong
	}
	re, err := regexp.Compile(`\A(?:` + parsed.String() + `)\z`)
	if err != nil {
		return codeInvalidRegularExpression, kmsg.StringPtr(err.Error())
	}
	for _, name := range hidden {
		if *steps -= size * (len(name) + 1); *steps < 0 {
			return codeTopicAuthorizationFailed, tooLong
		}
		if !re.MatchString(name) {
			continue
		}
		if code := codeOf(j, OpDescribe, Topic, name); code != codeTopicAuthorizationFailed {
			return code, messageOf(j, code)
		}
		return codeTopicAuthorizationFailed, kmsg.StringPtr(regexDenied)
	}
	return codeNone, nil
}

// regexSize is about how many instructions a regular expression is compiled to. The
// parser takes no more than a thousand repetitions of anything, nested ones too.
func regexSize(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		size += regexSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return size
}

// describable is the code of a list of topics of which all must be describable.
func describable(j Judge, names []string) int16 {
	for _, name := range names {
		if code := codeOf(j, OpDescribe, Topic, name); code != codeNone {
			return code
		}
	}
	return codeNone
}

// splitConsumerGroupHeartbeat: READ on the group, DESCRIBE on all subscribed
// topics. Null names and a null expression mean "as before". The partitions that
// the member owns were assigned by the broker and are not judged.
func splitConsumerGroupHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest, j Judge) (*kmsg.ConsumerGroupHeartbeatResponse, bool) {
	code := codeOf(j, OpRead, Group, req.Group)
	if code == codeNone {
		code = describable(j, req.SubscribedTopicNames)
	}
	text := messageOf(j, code)
	if code == codeNone && req.SubscribedTopicRegex != nil {
		steps := maxRegexSteps
		code, text = regexCode(j, *req.SubscribedTopicRegex, &steps)
	}
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = code, text
	return resp, false
}

// filterConsumerGroupHeartbeat takes topics without DESCRIBE out of what the member
// is assigned: a regular expression may match a topic that was made after it was
// judged. The broker leaves those partitions with the member, so nobody reads them.
// They must not be refused only when the client asks for their names: Kafka's Java
// client (4.3.1) then loses all answers that came with that one, and reads nothing
// any more. An id without a name stays; the topic has been deleted.
func filterConsumerGroupHeartbeat(resp *kmsg.ConsumerGroupHeartbeatResponse, j Judge) {
	if resp.Assignment == nil {
		return
	}
	resp.Assignment.Topics = keep(resp.Assignment.Topics, func(t *kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) bool {
		name, known := j.TopicName(t.TopicID)
		return !known || j.Allowed(OpDescribe, Topic, name)
	})
}

func splitConsumerGroupDescribe(req *kmsg.ConsumerGroupDescribeRequest, j Judge) (*kmsg.ConsumerGroupDescribeResponse, bool) {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	req.Groups, resp.Groups = refuse(req.Groups, describeGroupCode(j), refusedConsumerGroup)
	if resp.Groups == nil {
		return nil, true
	}
	return resp, len(req.Groups) > 0
}

func refusedConsumerGroup(group *string, code int16) kmsg.ConsumerGroupDescribeResponseGroup {
	a := kmsg.NewConsumerGroupDescribeResponseGroup()
	a.Group, a.ErrorCode = *group, code
	return a
}

func mergeConsumerGroupDescribe(resp, refused *kmsg.ConsumerGroupDescribeResponse) {
	resp.Groups = append(resp.Groups, refused.Groups...)
}

// filterConsumerGroupDescribe hides a group as a whole if any topic assigned in
// it may not be described, as Kafka does.
func filterConsumerGroupDescribe(resp *kmsg.ConsumerGroupDescribeResponse, j Judge) {
	tenant := permits(j)
	hidden := func(a *kmsg.Assignment) bool {
		for i := range a.TopicPartitions {
			if !tenant.Allowed(OpDescribe, Topic, a.TopicPartitions[i].Topic) {
				return true
			}
		}
		return false
	}
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.AuthorizedOperations = authorizedOperations(g.AuthorizedOperations, j, Group, g.Group)
		for k := range g.Members {
			if m := &g.Members[k]; hidden(&m.Assignment) || hidden(&m.TargetAssignment) {
				*g = refusedConsumerGroup(&g.Group, codeTopicAuthorizationFailed)
				g.ErrorMessage = kmsg.StringPtr(groupHidden)
				break
			}
		}
	}
}

// splitStreamsGroupHeartbeat: READ on the group, and DESCRIBE on every topic of
// the topology when one is announced. The broker creates missing internal topics
// (changelogs, repartition topics) on its own authority, so they need CREATE
// here. Kafka only says in the status that they were not created; to pass the
// heartbeat on would create them.
func splitStreamsGroupHeartbeat(req *kmsg.StreamsGroupHeartbeatRequest, j Judge) (*kmsg.StreamsGroupHeartbeatResponse, bool) {
	code := codeOf(j, OpRead, Group, req.Group)
	text := messageOf(j, code)
	if code == codeNone && req.Topology != nil {
		code, text = topologyCode(j, req.Topology)
	}
	if code == codeNone {
		return nil, true
	}
	resp := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = code, text
	return resp, false
}

func topologyCode(j Judge, t *kmsg.StreamsGroupHeartbeatRequestTopology) (int16, *string) {
	var internal []string
	steps := maxRegexSteps
	for i := range t.Subtopologies {
		s := &t.Subtopologies[i]
		made := append(infoNames(s.RepartitionSourceTopics), infoNames(s.StateChangelogTopics)...)
		internal = append(internal, made...)
		for _, names := range [][]string{s.SourceTopics, s.RepartitionSinkTopics, made} {
			if code := describable(j, names); code != codeNone {
				return code, messageOf(j, code)
			}
		}
		for _, pattern := range s.SourceTopicRegex {
			if code, text := regexCode(j, pattern, &steps); code != codeNone {
				return code, text
			}
		}
	}
	return creatable(j, internal)
}

// creatable refuses names that do not exist yet and that the tenant may not create.
func creatable(j Judge, names []string) (int16, *string) {
	if len(names) == 0 || j.Allowed(OpCreate, Cluster, ClusterName) {
		return codeNone, nil
	}
	exists := make(map[string]bool)
	for _, name := range j.TopicNames() {
		exists[name] = true
	}
	for _, name := range names {
		if !exists[name] && !j.Allowed(OpCreate, Topic, name) {
			return codeTopicAuthorizationFailed, kmsg.StringPtr("Unauthorized to CREATE on topic " + name + ".")
		}
	}
	return codeNone, nil
}

func infoNames(infos []kmsg.TopicInfo) []string {
	names := make([]string, 0, len(infos))
	for i := range infos {
		names = append(names, infos[i].Topic)
	}
	return names
}

func splitStreamsGroupDescribe(req *kmsg.StreamsGroupDescribeRequest, j Judge) (*kmsg.StreamsGroupDescribeResponse, bool) {
	resp := kmsg.NewPtrStreamsGroupDescribeResponse()
	req.Groups, resp.Groups = refuse(req.Groups, describeGroupCode(j), refusedStreamsGroup)
	if resp.Groups == nil {
		return nil, true
	}
	return resp, len(req.Groups) > 0
}

func refusedStreamsGroup(group *string, code int16) kmsg.StreamsGroupDescribeResponseGroup {
	a := kmsg.NewStreamsGroupDescribeResponseGroup()
	a.Group, a.ErrorCode = *group, code
	return a
}

func mergeStreamsGroupDescribe(resp, refused *kmsg.StreamsGroupDescribeResponse) {
	resp.Groups = append(resp.Groups, refused.Groups...)
}

// filterStreamsGroupDescribe hides a group as a whole if any topic of its
// topology may not be described, as Kafka does.
func filterStreamsGroupDescribe(resp *kmsg.StreamsGroupDescribeResponse, j Judge) {
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.AuthorizedOperations = authorizedOperations(g.AuthorizedOperations, j, Group, g.Group)
		if g.Topology == nil {
			continue
		}
		for k := range g.Topology.Subtopologies {
			s := &g.Topology.Subtopologies[k]
			names := append(infoNames(s.RepartitionSourceTopics), infoNames(s.StateChangelogTopics)...)
			names = append(append(names, s.SourceTopics...), s.RepartitionSinkTopics...)
			if code := describable(permits(j), names); code != codeNone {
				*g = refusedStreamsGroup(&g.Group, code)
				g.ErrorMessage = kmsg.StringPtr("The described group uses topics that the client is not authorized to describe.")
				break
			}
		}
	}
}
