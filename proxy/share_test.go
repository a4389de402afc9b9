package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

const sharedTopics = 6

func sharedID(topic int) [16]byte { return [16]byte{1, 15: byte(topic)} }

// sharedJudge knows the topics by id and lets those be read that are allowed.
type sharedJudge struct{ allowed [sharedTopics]bool }

func (j *sharedJudge) Allowed(_ protocol.Operation, r protocol.Resource, name string) bool {
	return r == protocol.Group || j.allowed[name[0]-'0']
}
func (j *sharedJudge) AllowedSome(protocol.Operation, protocol.Resource) bool { return true }
func (j *sharedJudge) Partitions(string) int                                  { return 0 }
func (j *sharedJudge) TopicNames() []string                                   { return nil }

func (j *sharedJudge) TopicName(id [16]byte) (string, bool) {
	return fmt.Sprint(id[15]), id[0] == 1
}

// sharer is a client with its share session, the gateway's memory of it, and the
// session that the broker has.
type sharer struct {
	sessions shareSessions
	judge    sharedJudge
	rules    int
	epoch    int32
	wants    map[[16]byte][]int32
	broker   map[[16]byte][]int32
}

func (s *sharer) request(add, forget map[int][]int32) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = 1, kmsg.StringPtr("g"), kmsg.StringPtr("m"), s.epoch
	for topic, partitions := range add {
		r := kmsg.ShareFetchRequestTopic{TopicID: sharedID(topic)}
		for _, p := range partitions {
			r.Partitions = append(r.Partitions, kmsg.ShareFetchRequestTopicPartition{Partition: p})
			with(s.wants, r.TopicID, p)
		}
		req.Topics = append(req.Topics, r)
	}
	for topic, partitions := range forget {
		f := kmsg.NewShareFetchRequestForgottenTopicsData()
		f.TopicID, f.Partitions = sharedID(topic), partitions
		req.ForgottenTopicsData = append(req.ForgottenTopicsData, f)
		without(s.wants, f.TopicID, partitions)
	}
	return req
}

func with(of map[[16]byte][]int32, id [16]byte, p int32) {
	if !slices.Contains(of[id], p) {
		of[id] = append(of[id], p)
		slices.Sort(of[id])
	}
}

func without(of map[[16]byte][]int32, id [16]byte, partitions []int32) {
	of[id] = slices.DeleteFunc(of[id], func(p int32) bool { return slices.Contains(partitions, p) })
	if len(of[id]) == 0 {
		delete(of, id)
	}
}

// ask passes a request through the gateway's part to the broker, and returns the
// partitions that are denied.
func (s *sharer) ask(req *kmsg.ShareFetchRequest) map[[16]byte][]int32 {
	of, known := s.sessions.resume(req, fmt.Sprint(s.rules))
	answer, _ := protocol.Lookup(78).Split(req, &s.judge)
	refused, _ := answer.(*kmsg.ShareFetchResponse)
	if known {
		s.sessions.judged(of, req, refused)
	}
	s.epoch++
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			with(s.broker, t.TopicID, p.Partition)
		}
	}
	for _, t := range req.ForgottenTopicsData {
		without(s.broker, t.TopicID, t.Partitions)
	}
	denied := map[[16]byte][]int32{}
	if refused != nil {
		for _, t := range refused.Topics {
			for _, p := range t.Partitions {
				with(denied, t.TopicID, p.Partition)
			}
		}
	}
	return denied
}

// Whatever is added, forgotten, allowed and denied in whatever order: the broker's
// session has what the client asked for and may read, and each answer denies the rest.
func TestShareSession(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		s := &sharer{wants: map[[16]byte][]int32{}, broker: map[[16]byte][]int32{}}
		for range 40 {
			if rnd.IntN(4) == 0 {
				s.judge.allowed[rnd.IntN(sharedTopics)] = rnd.IntN(2) == 0
				s.rules++
			}
			some := func() map[int][]int32 {
				list := map[int][]int32{}
				for range rnd.IntN(3) {
					list[rnd.IntN(sharedTopics)] = []int32{rnd.Int32N(3), 3}
				}
				return list
			}
			forgets := some()
			denied := s.ask(s.request(some(), forgets))
			for topic := range sharedTopics {
				id := sharedID(topic)
				at, refused := s.wants[id], []int32(nil)
				if !s.judge.allowed[topic] {
					at, refused = nil, at
				}
				// What it adds and forgets at once is denied with the rest.
				without(denied, id, forgets[topic])
				if !slices.Equal(s.broker[id], at) || !slices.Equal(denied[id], refused) {
					t.Fatalf("seed %d, topic %d: the broker has %v, want %v; denied are %v, want %v", seed, topic, s.broker[id], at, denied[id], refused)
				}
			}
		}
		if size := s.sessions.size; size > sharedTopics*4 || size < 0 {
			t.Fatalf("seed %d: %d partitions are remembered", seed, size)
		}
	}
}

// What no client would ask for is not remembered, and still judged.
func TestShareSessionBounds(t *testing.T) {
	t.Parallel()
	s := &sharer{wants: map[[16]byte][]int32{}, broker: map[[16]byte][]int32{}}
	stranger := kmsg.NewPtrShareFetchRequest()
	stranger.GroupID, stranger.MemberID = kmsg.StringPtr("g"), kmsg.StringPtr("m")
	for i := range byte(100) {
		stranger.Topics = append(stranger.Topics, kmsg.ShareFetchRequestTopic{TopicID: [16]byte{2, 15: i}, Partitions: make([]kmsg.ShareFetchRequestTopicPartition, 1)})
	}
	if denied := s.ask(stranger); len(denied) != 100 || s.sessions.size != 0 {
		t.Errorf("%d ids without a topic are refused, %d partitions remembered", len(denied), s.sessions.size)
	}
	var many []int32
	for p := range int32(maxSharePartitions) {
		many = append(many, p)
	}
	if denied := s.ask(s.request(map[int][]int32{0: many}, nil)); len(denied) != 1 || s.sessions.size != maxSharePartitions {
		t.Errorf("%d topics are refused, %d partitions remembered", len(denied), s.sessions.size)
	}
	if denied := s.ask(s.request(map[int][]int32{1: {1}}, nil)); len(denied) != 1 || s.sessions.size != 0 {
		t.Errorf("%d topics are refused, %d partitions remembered", len(denied), s.sessions.size)
	}
	s.epoch = 0 // the same member begins anew
	if denied := s.ask(s.request(map[int][]int32{1: {1}}, nil)); len(denied) != 1 || s.sessions.size != 1 {
		t.Errorf("%d topics are refused, %d partitions remembered", len(denied), s.sessions.size)
	}
	for i := range maxSessions + 10 {
		req := s.request(map[int][]int32{1: {1}}, nil)
		req.ShareSessionEpoch, req.MemberID = 0, kmsg.StringPtr(fmt.Sprint(i))
		s.ask(req)
	}
	if n := len(s.sessions.byMember); n > maxSessions || s.sessions.size > maxSessions {
		t.Errorf("%d sessions, %d partitions are remembered", n, s.sessions.size)
	}
}
