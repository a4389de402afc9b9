package matrix

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// talk is a sequence of requests on one connection, of which the later ones take up
// what the earlier ones were answered: a session, a member, a transaction.
type talk struct {
	name     string
	key      int16 // of the API whose versions are gone through
	min, max int16
	needs    []string // as of an entry
	steps    []step
	turn     int // the step before which the rules change, where they do
}

// step is one request of a talk.
type step struct {
	name    string
	key     int16
	version int16 // unless it is of the API that the talk is about
	fill    func(req kmsg.Request, mem *memo)
	heard   func(resp kmsg.Response, mem *memo)
}

// memo is what one side has said so far.
type memo struct {
	in
	fetch      fetcher
	member     string
	epoch      int32 // a member's, or its generation
	shareEpoch int32
	producer   int64
	producing  int16            // the producer's epoch
	sequence   map[string]int32 // by topic
}

func say[Q kmsg.Request, R kmsg.Response](name string, key, version int16, fill func(Q, *memo), heard func(R, *memo)) step {
	s := step{name: name, key: key, version: version, fill: func(req kmsg.Request, mem *memo) { fill(req.(Q), mem) }}
	if heard != nil {
		s.heard = func(resp kmsg.Response, mem *memo) { heard(resp.(R), mem) }
	}
	return s
}

// again is a step under another name.
func (s step) again(name string) step { s.name = name; return s }

// talking is a talk in one version under one set of rules, on both sides.
type talking struct {
	*talk
	version int16
	set     ruleSet
	sides   [2]*side // the oracle's, the gateway's
	conns   [2]*conn
	memos   [2]memo
	said    []string // by the oracle, of all steps

	failed bool
}

func (m *matrix) talking(tk *talk, version int16, s ruleSet, token string) *talking {
	theirs, ours := m.connections(s)
	c := &talking{talk: tk, version: version, set: s, sides: [2]*side{m.oracle, m.backend}, conns: [2]*conn{theirs, ours}}
	for i := range c.memos {
		c.memos[i] = memo{in: in{c.sides[i], version, token}, producer: -1, sequence: map[string]int32{}}
	}
	return c
}

func (c *talking) close() {
	c.conns[0].close()
	c.conns[1].close()
}

// steps takes the steps from one up to another and compares what is said to each.
func (m *matrix) steps(c *talking, from, to int) {
	for i := from; i < to && !c.failed; i++ {
		st := &c.talk.steps[i]
		if err := c.conns[1].pass(m.t.Context()); err != nil {
			m.t.Errorf("%s v%d %s: a request that passes: %v", c.name, c.version, c.set.name, err)
			c.failed = true
			return
		}
		said, answers := m.step(c, st)
		for i, resp := range answers {
			if resp != nil && st.heard != nil {
				st.heard(resp, &c.memos[i])
			}
		}
		m.compare(c.name+": "+st.name, c.version, c.set.name+c.set.when, said[0], said[1])
		for _, line := range said[0] {
			c.said = append(c.said, st.name+": "+line)
		}
	}
}

// step asks both sides until none says that it is not ready yet.
func (m *matrix) step(c *talking, st *step) (said [2][]string, answers [2]kmsg.Response) {
	for range 40 {
		for i := range said {
			said[i], answers[i] = m.hear(c, st, i)
		}
		if !passing(said[0]) && !passing(said[1]) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return said, answers
}

func (m *matrix) hear(c *talking, st *step, i int) ([]string, kmsg.Response) {
	version := st.version
	if st.key == c.key {
		version = c.version
	}
	mem := &c.memos[i]
	e := entry{key: st.key, fill: func(req kmsg.Request, _ in) { st.fill(req, mem) }}
	from := mem.in
	from.version = version
	resp, err := c.conns[i].ask(m.t.Context(), e.request(from))
	if err != nil {
		return []string{err.Error()}, nil
	}
	said := comparable(c.sides[i].names, resp, mem.token)
	// Whether an assignment is told with this heartbeat or the next is a matter of time.
	return slices.DeleteFunc(said, func(line string) bool { return strings.HasPrefix(line, "Assignment") }), resp
}

// talkSets are the sets of rules under which a talk is held: those that say something
// of what it needs, and in its newest version all that deny one operation.
func (m *matrix) talkSets(tk *talk, newest bool) []ruleSet {
	return slices.DeleteFunc(slices.Clone(m.sets), func(s ruleSet) bool {
		return !concerns(s, tk.needs) && !(newest && strings.HasPrefix(s.name, "deny-"))
	})
}

// talk holds all talks, whose rules stay the same.
func (m *matrix) talk() {
	var all []*talking
	for i := range m.talks {
		tk := &m.talks[i]
		versions := m.versionsOf(tk.key, tk.min, tk.max)
		for _, v := range versions {
			for _, s := range m.talkSets(tk, v == versions[len(versions)-1]) {
				all = append(all, m.talking(tk, v, s, token(1_000_000+len(all))))
			}
		}
	}
	parallel(len(all), func(i int) {
		defer all[i].close()
		m.steps(all[i], 0, len(all[i].talk.steps))
		m.mu.Lock()
		defer m.mu.Unlock()
		m.oracles[caseName(all[i].name, all[i].version, all[i].set.name)] = all[i].said
	})
}

// heldTalks holds the oracle to what the talks say that they need.
func (m *matrix) heldTalks() {
	for i := range m.talks {
		tk := &m.talks[i]
		versions := m.versionsOf(tk.key, tk.min, tk.max)
		if len(versions) == 0 {
			m.t.Errorf("%s (key %d) is not offered", tk.name, tk.key)
			continue
		}
		m.holds(tk.name, versions[len(versions)-1], tk.needs)
	}
}
