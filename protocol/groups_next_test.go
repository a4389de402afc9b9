package protocol

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestConsumerGroupHeartbeat(t *testing.T) {
	beat := func(group string, regex *string, topics ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.ConsumerGroupHeartbeatRequest{
				Group: group, MemberID: "m", RebalanceTimeoutMillis: -1, SubscribedTopicNames: topics, SubscribedTopicRegex: regex,
				Topics: []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: topicID("theirs"), Partitions: []int32{0}}},
			}
		}
	}
	refused := func(code int16, text string) func(int16) kmsg.Response {
		return func(int16) kmsg.Response {
			return &kmsg.ConsumerGroupHeartbeatResponse{ErrorCode: code, ErrorMessage: &text}
		}
	}
	passed := func(int16) kmsg.Response {
		return &kmsg.ConsumerGroupHeartbeatResponse{MemberID: name("m"), MemberEpoch: 1, HeartbeatIntervalMillis: 5000}
	}
	j := judge([]string{"mine.a", "mine.b", "theirs", "__consumer_offsets"}, "READ group g", "DESCRIBE topic mine.a", "DESCRIBE topic mine.b")
	const noTopic = "Topic authorization failed."
	pass := func(what string, from int16, req func(int16) kmsg.Request, judge Judge) splitCase {
		return splitCase{name: what, key: 68, min: from, judge: judge, req: req, rest: req, answer: passed, want: passed}
	}
	assignment := func(topics ...string) func(int16) kmsg.Response {
		a := &kmsg.ConsumerGroupHeartbeatResponseAssignment{}
		for _, topic := range topics {
			a.Topics = append(a.Topics, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: topicID(topic), Partitions: []int32{0}})
		}
		return func(int16) kmsg.Response {
			return &kmsg.ConsumerGroupHeartbeatResponse{MemberID: name("m"), MemberEpoch: 1, Assignment: a}
		}
	}
	runSplitCases(t, []splitCase{
		{
			name: "a topic assigned that was made after the regex was judged", key: 68, judge: j, req: beat("g", nil), rest: beat("g", nil),
			answer: assignment("mine.a", "theirs", "deleted"), want: assignment("mine.a", "deleted"),
		},
		pass("unchanged", 0, beat("g", nil), j),
		pass("names", 0, beat("g", nil, "mine.a", "mine.b"), j),
		pass("regex", 1, beat("g", name(`mine\..*`)), j),
		pass("regex that matches a part of a denied name", 1, beat("g", name(`heir`)), j),
		pass("regex that begins a denied name, and then the whole of another", 1, beat("g", name(`th|mine\.a`)), j),
		pass("regex for internal topics", 1, beat("g", name(`__.*`)), j),
		pass("regex taken back", 1, beat("g", name("")), j),
		pass("regex, and everything allowed", 1, beat("g", name(`.*`)), judgeAll("mine.a", "theirs")),
		pass("invalid regex, and everything allowed", 1, beat("g", name(`(`)), judgeAll("mine.a", "theirs")),
		{name: "group denied", key: 68, judge: j, req: beat("h", nil), want: refused(30, "Group authorization failed.")},
		{name: "a name denied", key: 68, judge: j, req: beat("g", nil, "mine.a", "theirs"), want: refused(29, noTopic)},
		{name: "a name that is not there", key: 68, judge: j, req: beat("g", nil, "new"), want: refused(29, noTopic)},
		{name: "regex denied", key: 68, min: 1, judge: j, req: beat("g", name(`.*`)), want: refused(29, regexDenied)},
		{name: "regex of which the longest match is denied", key: 68, min: 1, judge: j, req: beat("g", name(`the|theirs`)), want: refused(29, regexDenied)},
		{name: "regex with an open quote", key: 68, min: 1, judge: j, req: beat("g", name(`\Qtheirs`)), want: refused(29, regexDenied)},
		{name: "regex too long", key: 68, min: 1, judge: j, req: beat("g", name(strings.Repeat("a", maxRegexBytes+1))), want: refused(29, regexTooLong)},
		{name: "regex invalid", key: 68, min: 1, judge: j, req: beat("g", name(`(`)), want: refused(128, "error parsing regexp: missing closing ): `(`")},
	})
}

func assigned(topics ...string) (a kmsg.Assignment) {
	for _, topic := range topics {
		a.TopicPartitions = append(a.TopicPartitions, kmsg.AssignmentTopicPartition{TopicID: topicID(topic), Topic: topic, Partitions: []int32{0}})
	}
	return a
}

func TestConsumerGroupDescribe(t *testing.T) {
	const notAsked = -1 << 31
	type group = kmsg.ConsumerGroupDescribeResponseGroup
	type member = kmsg.ConsumerGroupDescribeResponseGroupMember
	answer := func(groups ...group) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.ConsumerGroupDescribeResponse{Groups: groups} }
	}
	ask := func(groups ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return &kmsg.ConsumerGroupDescribeRequest{Groups: groups} }
	}
	fine := group{Group: "g", State: "Stable", AuthorizedOperations: 1 << OpDescribe, Members: []member{{MemberID: "m", Assignment: assigned("mine"), TargetAssignment: assigned("mine")}}}
	denied := group{Group: "h", ErrorCode: 30, AuthorizedOperations: notAsked}
	hidden := group{Group: "k", ErrorCode: 29, ErrorMessage: name(groupHidden), AuthorizedOperations: notAsked}
	asked := fine
	asked.AuthorizedOperations = 1<<OpDescribe | 1<<OpRead
	now := group{Group: "k", State: "Stable", AuthorizedOperations: notAsked, Members: []member{{MemberID: "m", Assignment: assigned("theirs")}, {MemberID: "n", Assignment: assigned("mine")}}}
	next := group{Group: "k", State: "Stable", AuthorizedOperations: notAsked, Members: []member{{}, {MemberID: "m", TargetAssignment: assigned("mine", "theirs")}}}
	j := judge(nil, "DESCRIBE group g", "DESCRIBE group k", "DESCRIBE topic mine")
	runSplitCases(t, []splitCase{
		{name: "some denied", key: 69, judge: j, req: ask("h", "g"), rest: ask("g"), answer: answer(asked), want: answer(fine, denied)},
		{name: "all denied", key: 69, judge: j, req: ask("h"), want: answer(denied)},
		{name: "assignment hidden", key: 69, judge: j, req: ask("g", "k"), rest: ask("g", "k"), answer: answer(asked, now), want: answer(fine, hidden)},
		{name: "target hidden", key: 69, judge: j, req: ask("k"), rest: ask("k"), answer: answer(next), want: answer(hidden)},
	})
}

// topology has one topic of each role; a null name leaves the role out.
func topology(source, regex, sink, repartition, changelog string) *kmsg.StreamsGroupHeartbeatRequestTopology {
	one := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	info := func(s string) []kmsg.TopicInfo {
		if s == "" {
			return nil
		}
		return []kmsg.TopicInfo{{Topic: s}}
	}
	return &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0"}, {
		SubtopologyID: "1", SourceTopics: one(source), SourceTopicRegex: one(regex), RepartitionSinkTopics: one(sink),
		RepartitionSourceTopics: info(repartition), StateChangelogTopics: info(changelog),
	}}}
}

func TestStreamsGroupHeartbeat(t *testing.T) {
	beat := func(group string, of *kmsg.StreamsGroupHeartbeatRequestTopology) func(int16) kmsg.Request {
		return func(int16) kmsg.Request {
			return &kmsg.StreamsGroupHeartbeatRequest{
				Group: group, MemberID: "m", RebalanceTimeoutMillis: -1, Topology: of,
				UserEndpoint: &kmsg.StreamsGroupHeartbeatRequestUserEndpoint{Host: "app", Port: 80},
			}
		}
	}
	passed := func(int16) kmsg.Response {
		return &kmsg.StreamsGroupHeartbeatResponse{MemberID: "m", MemberEpoch: 1, AcceptableRecoveryLag: -1}
	}
	grants := []string{"READ group g", "DESCRIBE topic mine", "DESCRIBE topic app-new", "DESCRIBE topic app-old"}
	topics := []string{"mine", "theirs", "app-old"}
	j := judge(topics, grants...)
	creator := judge(topics, append(slices.Clone(grants), "CREATE topic app-new")...)
	clusterCreator := judge(topics, append(slices.Clone(grants), "CREATE cluster kafka-cluster")...)
	pass := func(what string, of *kmsg.StreamsGroupHeartbeatRequestTopology, judge Judge) splitCase {
		return splitCase{name: what, key: 88, judge: judge, req: beat("g", of), rest: beat("g", of), answer: passed, want: passed}
	}
	refuse := func(what, group string, of *kmsg.StreamsGroupHeartbeatRequestTopology, code int16, text string) splitCase {
		return splitCase{name: what, key: 88, judge: j, req: beat(group, of), want: func(int16) kmsg.Response {
			return &kmsg.StreamsGroupHeartbeatResponse{ErrorCode: code, ErrorMessage: &text, AcceptableRecoveryLag: -1}
		}}
	}
	const noTopic, noCreate = "Topic authorization failed.", "Unauthorized to CREATE on topic app-new."
	runSplitCases(t, []splitCase{
		pass("no topology", nil, j),
		pass("topics that exist", topology("mine", "mi.*", "app-old", "app-old", "app-old"), j),
		pass("topics that may be created", topology("mine", "", "app-new", "app-new", "app-new"), creator),
		pass("topics that may be created anywhere", topology("mine", "", "", "app-new", ""), clusterCreator),
		pass("sinks are not created", topology("mine", "", "app-new", "", ""), j),
		refuse("group", "h", nil, 30, "Group authorization failed."),
		refuse("source", "g", topology("theirs", "", "", "", ""), 29, noTopic),
		refuse("source regex", "g", topology("", ".*", "", "", ""), 29, regexDenied),
		refuse("sink", "g", topology("mine", "", "theirs", "", ""), 29, noTopic),
		refuse("repartition", "g", topology("mine", "", "", "theirs", ""), 29, noTopic),
		refuse("changelog", "g", topology("mine", "", "", "", "theirs"), 29, noTopic),
		refuse("new repartition", "g", topology("mine", "", "", "app-new", ""), 29, noCreate),
		refuse("new changelog", "g", topology("mine", "", "", "", "app-new"), 29, noCreate),
	})
}

func TestStreamsGroupDescribe(t *testing.T) {
	const notAsked = -1 << 31
	type group = kmsg.StreamsGroupDescribeResponseGroup
	type sub = kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology
	answer := func(groups ...group) func(int16) kmsg.Response {
		return func(int16) kmsg.Response { return &kmsg.StreamsGroupDescribeResponse{Groups: groups} }
	}
	ask := func(groups ...string) func(int16) kmsg.Request {
		return func(int16) kmsg.Request { return &kmsg.StreamsGroupDescribeRequest{Groups: groups} }
	}
	with := func(s sub) group {
		return group{
			Group: "g", State: "Stable", AuthorizedOperations: notAsked,
			Topology: &kmsg.StreamsGroupDescribeResponseGroupTopology{Subtopologies: []sub{{SubtopologyID: "0"}, s, {SubtopologyID: "2"}}},
			Members:  []kmsg.StreamsGroupDescribeResponseGroupMember{{MemberID: "m", ProcessID: "p"}},
		}
	}
	fine := with(sub{SourceTopics: []string{"mine"}, RepartitionSinkTopics: []string{"mine"}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: "mine"}}})
	asked := fine
	asked.AuthorizedOperations = 1<<OpRead | 1<<OpDescribe
	cut := fine
	cut.AuthorizedOperations = 1 << OpDescribe
	none := group{Group: "k", State: "Empty", AuthorizedOperations: notAsked}
	denied := group{Group: "h", ErrorCode: 30, AuthorizedOperations: notAsked}
	hidden := answer(group{Group: "g", ErrorCode: 29, AuthorizedOperations: notAsked, ErrorMessage: name("The described group uses topics that the client is not authorized to describe.")})
	j := judge(nil, "DESCRIBE group g", "DESCRIBE group k", "DESCRIBE topic mine")
	cases := []splitCase{
		{name: "some denied", key: 89, judge: j, req: ask("h", "g", "k"), rest: ask("g", "k"), answer: answer(asked, none), want: answer(cut, none, denied)},
		{name: "all denied", key: 89, judge: j, req: ask("h"), want: answer(denied)},
	}
	for what, s := range map[string]sub{
		"source": {SourceTopics: []string{"mine", "theirs"}}, "sink": {RepartitionSinkTopics: []string{"theirs"}},
		"changelog": {StateChangelogTopics: []kmsg.TopicInfo{{Topic: "theirs"}}}, "repartition": {RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "theirs"}}},
	} {
		cases = append(cases, splitCase{name: what + " hidden", key: 89, judge: j, req: ask("g"), rest: ask("g"), answer: answer(with(s)), want: hidden})
	}
	runSplitCases(t, cases)
}
