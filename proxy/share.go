package proxy

import (
	"bytes"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// maxSharePartitions bounds the partitions that are remembered of the share sessions
// of one connection. A session that would exceed it is held to the rules all the same,
// but hears of a denied topic only when it adds it.
const maxSharePartitions = 4096

// shareSessions are the share sessions (KIP-932) of one connection, with the topics
// that their clients asked for. A client names a topic when it adds it and then relies
// on the broker to answer for it each time, also that it may not be read. The broker
// is told only of what may be read. So what is held back is remembered, asked for
// again with each request, and goes to the broker once a reload allows it; what a
// reload denies is taken out of the broker's session. Only serve touches them.
type shareSessions struct {
	byMember map[shareMember]*shareSession
	size     int // partitions of all
}

type shareMember struct{ group, member string }

type shareSession struct {
	rules  string // under which it was judged, as policy.Tenant.RulesID
	topics map[[16]byte]*shareTopic
	full   bool // it is too large to be remembered
}

type shareTopic struct {
	partitions []int32
	passed     bool // the broker has it
}

// planShareFetch judges a ShareFetch.
func (c *conn) planShareFetch(q *query, req *kmsg.ShareFetchRequest) {
	s, known := c.sharing.resume(req, c.rules)
	c.split(q)
	switch refused, _ := q.refused.(*kmsg.ShareFetchResponse); {
	case q.local:
		c.sharing.drop(memberOf(req)) // the group is denied
	case known:
		c.sharing.judged(s, req, refused)
	case req.ShareSessionEpoch > 0:
		// What it holds was judged for nobody, or elsewhere: the client begins anew.
		q.refused, q.local = protocol.ShareSessionNotFound(req.Version), true
	}
}

func memberOf(req *kmsg.ShareFetchRequest) shareMember {
	var m shareMember
	if req.GroupID != nil {
		m.group = *req.GroupID
	}
	if req.MemberID != nil {
		m.member = *req.MemberID
	}
	return m
}

// resume finds the session of a request, notes what it adds, and makes it ask for what
// is to be judged besides. False: there is no such session, or it ends.
func (s *shareSessions) resume(req *kmsg.ShareFetchRequest, rules string) (*shareSession, bool) {
	of, known := s.session(req)
	if known {
		changed := of.rules != rules
		of.rules = rules
		s.note(of, req)
		of.repeat(req, changed)
	}
	return of, known
}

// session is the one that a request begins (epoch 0) or goes on with; false if it
// ends one (epoch -1), or goes on with one that is not known.
func (s *shareSessions) session(req *kmsg.ShareFetchRequest) (*shareSession, bool) {
	who := memberOf(req)
	if req.ShareSessionEpoch > 0 {
		have, ok := s.byMember[who]
		return have, ok
	}
	s.drop(who)
	if req.ShareSessionEpoch < 0 {
		return nil, false
	}
	if s.byMember == nil || len(s.byMember) >= maxSessions {
		s.byMember, s.size = map[shareMember]*shareSession{}, 0 // those clients begin anew
	}
	begun := &shareSession{topics: map[[16]byte]*shareTopic{}}
	s.byMember[who] = begun
	return begun, true
}

func (s *shareSessions) drop(who shareMember) {
	if have := s.byMember[who]; have != nil {
		s.forgetAll(have)
		delete(s.byMember, who)
	}
}

func (s *shareSessions) forgetAll(of *shareSession) {
	for id := range of.topics {
		s.forget(of, id)
	}
}

func (s *shareSessions) forget(of *shareSession, id [16]byte) {
	if t := of.topics[id]; t != nil {
		s.size -= len(t.partitions)
		delete(of.topics, id)
	}
}

// note takes in what a request adds to its session and what it forgets.
func (s *shareSessions) note(of *shareSession, req *kmsg.ShareFetchRequest) {
	if of.full = of.full || sharePartitions(req) > maxSharePartitions; of.full {
		s.forgetAll(of)
		return
	}
	for i := range req.Topics {
		r := &req.Topics[i]
		t := of.topics[r.TopicID]
		if t == nil {
			t = &shareTopic{}
			of.topics[r.TopicID] = t
		}
		for k := range r.Partitions {
			p := r.Partitions[k].Partition
			if slices.Contains(t.partitions, p) {
				continue
			}
			if s.size >= maxSharePartitions {
				of.full = true
				s.forgetAll(of)
				return
			}
			t.partitions = append(t.partitions, p)
			s.size++
		}
	}
	// Last, as the broker does: acknowledgements of what is forgotten name it too.
	for i := range req.ForgottenTopicsData {
		f := &req.ForgottenTopicsData[i]
		t := of.topics[f.TopicID]
		if t == nil {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(t.partitions), func(p int32) bool { return slices.Contains(f.Partitions, p) })
		s.size -= len(t.partitions) - len(left)
		if t.partitions = left; len(left) == 0 {
			delete(of.topics, f.TopicID)
		}
	}
}

// sharePartitions is how many partitions a request names, to add or to forget.
func sharePartitions(req *kmsg.ShareFetchRequest) int {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	for i := range req.ForgottenTopicsData {
		n += len(req.ForgottenTopicsData[i].Partitions)
	}
	return n
}

// repeat asks again for what the broker does not have, or for everything if it is to
// be judged anew.
func (of *shareSession) repeat(req *kmsg.ShareFetchRequest, everything bool) {
	at := map[[16]byte]int{}
	for i := range req.Topics {
		at[req.Topics[i].TopicID] = i
	}
	for _, id := range slices.SortedFunc(maps.Keys(of.topics), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }) {
		t := of.topics[id]
		if t.passed && !everything {
			continue
		}
		i, named := at[id]
		if !named {
			i = len(req.Topics)
			req.Topics = append(req.Topics, kmsg.ShareFetchRequestTopic{TopicID: id})
		}
		r := &req.Topics[i]
		for _, p := range t.partitions {
			if !slices.ContainsFunc(r.Partitions, func(have kmsg.ShareFetchRequestTopicPartition) bool { return have.Partition == p }) {
				add := kmsg.NewShareFetchRequestTopicPartition()
				add.Partition = p
				r.Partitions = append(r.Partitions, add)
			}
		}
	}
}

// judged takes note of what the broker gets, and has it forget what it had and may not
// be read any more. Ids that no topic has are not remembered.
func (s *shareSessions) judged(of *shareSession, req *kmsg.ShareFetchRequest, refused *kmsg.ShareFetchResponse) {
	for i := range req.Topics {
		if t := of.topics[req.Topics[i].TopicID]; t != nil {
			t.passed = true
		}
	}
	if refused == nil {
		return
	}
	for i := range refused.Topics {
		id := refused.Topics[i].TopicID
		t := of.topics[id]
		if t == nil {
			continue
		}
		if t.passed {
			f := kmsg.NewShareFetchRequestForgottenTopicsData()
			f.TopicID, f.Partitions = id, slices.Clone(t.partitions)
			req.ForgottenTopicsData = append(req.ForgottenTopicsData, f)
			t.passed = false
		}
		if p := refused.Topics[i].Partitions; len(p) == 0 || !protocol.DeniedTopic(p[0].ErrorCode) {
			s.forget(of, id)
		}
	}
}
