package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/gateway"
)

// workers ask at once, each for another set of rules.
const workers = 4

// matrix is the two sides, the gateway before one of them, and what came out.
type matrix struct {
	t               *testing.T
	sets            []ruleSet
	turning         []turningSet
	entries         []entry
	talks           []talk
	oracle, backend *side
	gateway         *gateway.Gateway
	offered         map[int16][2]int16

	mu      sync.Mutex
	cases   int
	equal   int
	hidden  map[string]int      // how many sets are not offered the API of an entry
	differ  map[string][]string // the difference, by where it occurs
	oracles map[string][]string // what the oracle said, by entry, version and set
}

// TestMatrix asks both sides everything.
func TestMatrix(t *testing.T) {
	began := time.Now()
	m := start(t)
	t.Logf("set up in %v", time.Since(began).Round(time.Millisecond))
	for _, phase := range []struct {
		name string
		run  func()
	}{
		{"first requests", func() { m.run(false) }},
		{"before and after a reload", m.reload},
		{"talks", m.talk},
		{"first requests that change something", func() { m.run(true) }},
	} {
		began = time.Now()
		phase.run()
		t.Logf("%s: asked in %v", phase.name, time.Since(began).Round(time.Millisecond))
	}
	m.held()
	m.heldTalks()
	m.heldReload()
	m.report()
}

// start starts the two brokers and the gateway.
func start(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{
		t: t, sets: ruleSets(), turning: turningSets(), entries: entries(), talks: talks(),
		differ: map[string][]string{}, hidden: map[string]int{}, oracles: map[string][]string{},
	}
	before := append(slices.Clone(m.sets), befores(m.turning)...)
	users := each(before, func(s ruleSet) string { return s.name })
	// Both have an authorizer, so that the answers on ACLs can be compared; the
	// gateway is a super user of its broker.
	m.oracle, m.backend = startSide(t, users), startSide(t, []string{"nobody"})
	createACLs(t, m.oracle.admin, before...)
	m.gateway = gateway.Start(t, "", tenants(before), m.backend.broker)
	var err error
	theirs, ours := m.connections(m.sets[0])
	defer theirs.close()
	defer ours.close()
	if m.offered, err = ours.versions(t.Context()); err != nil {
		t.Fatal(err)
	}
	broker, err := theirs.versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, v := range m.offered {
		of := broker[key]
		m.offered[key] = [2]int16{max(v[0], of[0]), min(v[1], of[1])}
	}
	return m
}

func (m *matrix) connections(s ruleSet) (oracle, ours *conn) {
	return &conn{address: m.oracle.broker.SASLAddress, clientID: s.clientID(), user: s.name}, &conn{address: m.gateway.Address, clientID: s.clientID()}
}

// versionsOf are those of an API between two that both sides offer.
func (m *matrix) versionsOf(key, from, to int16) []int16 {
	of, ok := m.offered[key]
	if !ok {
		return nil
	}
	var all []int16
	for v := max(of[0], from); v <= min(of[1], to); v++ {
		all = append(all, v)
	}
	return all
}

// parallel calls do with 0 to n-1, a few at a time.
func parallel(n int, do func(i int)) {
	all := make(chan int, n) // a worker may fail and end
	for i := range n {
		all <- i
	}
	close(all)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range all {
				do(i)
			}
		})
	}
	wg.Wait()
}

// run asks all entries that leave something behind, or all that do not.
func (m *matrix) run(changes bool) {
	parallel(len(m.sets), func(i int) {
		s := m.sets[i]
		theirs, ours := m.connections(s)
		defer theirs.close()
		defer ours.close()
		m.set(s, theirs, ours, i*10000, func(e *entry) bool { return e.changes == changes && (!e.rare || concerns(s, e.needs)) })
	})
}

// set asks one set of rules all entries that are chosen. Tokens begin at first.
func (m *matrix) set(s ruleSet, theirs, ours *conn, first int, chosen func(*entry) bool) {
	offered, err := ours.versions(m.t.Context())
	if err != nil {
		m.t.Errorf("%s: %v", s.name, err)
		return
	}
	for j := range m.entries {
		e := &m.entries[j]
		if !chosen(e) {
			continue
		}
		if _, ok := offered[e.key]; !ok {
			m.mu.Lock()
			m.hidden[e.name]++
			m.mu.Unlock()
			continue
		}
		for _, v := range m.versionsOf(e.key, e.min, e.max) {
			m.one(e, v, s, token(first+j*20+int(v)), theirs, ours)
		}
	}
}

// concerns reports whether a set says something of what is needed.
func concerns(s ruleSet, needs []string) bool {
	_, about, ok := strings.Cut(s.name, "-")
	return !ok || slices.Contains(needs, about)
}

// one is one case.
func (m *matrix) one(e *entry, version int16, s ruleSet, token string, theirs, ours *conn) {
	ctx := m.t.Context()
	if e.prepare != nil {
		e.prepare(m.t, m.oracle, token)
		e.prepare(m.t, m.backend, token)
	}
	if err := ours.pass(ctx); err != nil {
		m.t.Errorf("%s: a request that passes: %v", s.name, err)
		return
	}
	var oracle, gateway []string
	for range 20 {
		oracle = answer(ctx, theirs, e, in{m.oracle, version, token}, m.oracle.names)
		gateway = answer(ctx, ours, e, in{m.backend, version, token}, m.backend.names)
		if !passing(oracle) && !passing(gateway) && !late(gateway) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.compare(e.name, version, s.name+s.when, oracle, gateway)
}

// compare notes a case: what the two sides said to the same.
func (m *matrix) compare(name string, version int16, set string, oracle, gateway []string) {
	d := difference(oracle, gateway)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cases++
	m.oracles[caseName(name, version, set)] = oracle
	if len(d) == 0 {
		m.equal++
		return
	}
	text := name + "\n\t" + strings.Join(d, "\n\t")
	m.differ[text] = append(m.differ[text], fmt.Sprintf("v%d %s", version, set))
}

// passing reports whether a coordinator only said that it is not ready yet.
func passing(said []string) bool {
	for _, line := range said {
		for _, code := range []string{"14", "15", "19", "51"} {
			if strings.HasSuffix(line, "ErrorCode = "+code) {
				return true
			}
		}
	}
	return false
}

// late reports whether an answer did not come in time, on a machine that is busy.
func late(said []string) bool { return len(said) == 1 && strings.HasSuffix(said[0], "i/o timeout") }

func caseName(name string, version int16, set string) string {
	return fmt.Sprintf("%s v%d %s", name, version, set)
}

// answer asks one side and says what it said.
func answer(ctx context.Context, c *conn, e *entry, from in, n names) []string {
	resp, err := c.ask(ctx, e.request(from))
	switch {
	case errors.Is(err, errClosed):
		return []string{"the connection was closed"}
	case err != nil:
		return []string{err.Error()}
	}
	return comparable(n, resp, from.token)
}

// comparable is what an answer says that two brokers have in common.
func comparable(n names, resp kmsg.Response, token string) []string {
	said := lines(n, resp)
	if resp.Key() == fetchKey {
		// A broker lists a topic anew for each run of partitions.
		said = slices.DeleteFunc(said, func(line string) bool {
			return strings.Contains(line, "Topics has") || strings.Contains(line, "Partitions has")
		})
		said = slices.Compact(said)
	}
	if resp.Key() == shareFetchKey {
		// Who gets which records depends on who asks first: what is left are denials.
		said = slices.DeleteFunc(said, func(line string) bool {
			return strings.HasPrefix(line, "Topics[") && !strings.HasSuffix(line, "ErrorCode = 29") && !strings.HasSuffix(line, "ErrorCode = 100")
		})
	}
	if resp.Key() == shareAcknowledgeKey {
		// Brokers say 0 where no error makes the leader mean anything, the gateway none.
		said = slices.DeleteFunc(said, func(line string) bool { return strings.Contains(line, ".CurrentLeader.") })
	}
	for i := range said {
		said[i] = strings.ReplaceAll(said[i], token, "N")
	}
	return said
}

// held holds the oracle to what the entries say that they need: without it, and
// only without it, the answer is another.
func (m *matrix) held() {
	for i := range m.entries {
		e := &m.entries[i]
		versions := m.versionsOf(e.key, e.min, e.max)
		if len(versions) == 0 {
			m.t.Errorf("%s (key %d) is not offered", e.name, e.key)
			continue
		}
		m.holds(e.name, versions[len(versions)-1], e.needs)
	}
}

// holds holds the oracle to what one entry or talk needs.
func (m *matrix) holds(name string, newest int16, needs []string) {
	all := m.oracles[caseName(name, newest, "all")]
	var found []string
	for _, s := range m.sets {
		op, ok := strings.CutPrefix(s.name, "deny-")
		if said, asked := m.oracles[caseName(name, newest, s.name)]; ok && asked && len(difference(all, said)) > 0 {
			found = append(found, op)
		}
	}
	if !slices.Contains(needs, "TOPIC-CREATE") && slices.Contains(needs, "CLUSTER-CREATE") {
		// The set that denies the one denies the other too.
		found = slices.DeleteFunc(found, func(op string) bool { return op == "TOPIC-CREATE" })
	}
	slices.Sort(found)
	if needs := slices.Sorted(slices.Values(needs)); !slices.Equal(found, needs) {
		m.t.Errorf("%s v%d: the table says that it needs %v, the oracle %v", name, newest, needs, found)
	}
}

// report prints the size of the matrix and what differs.
func (m *matrix) report() {
	for name, sets := range m.hidden {
		m.t.Errorf("%s: not offered to %d sets of rules", name, sets)
	}
	meant := 0
	used := make([]int, len(intended))
	var texts []string
	for text := range m.differ {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	for _, text := range texts {
		i := slices.IndexFunc(intended, func(d intent) bool { return d.covers(text) })
		if i >= 0 {
			used[i] += len(m.differ[text])
			meant += len(m.differ[text])
			continue
		}
		where := m.differ[text]
		slices.Sort(where)
		m.t.Errorf("%s\n\tin %d cases: %s", text, len(where), strings.Join(where[:min(len(where), 6)], ", "))
	}
	for i, d := range intended {
		if used[i] == 0 {
			m.t.Errorf("an intended difference does not occur: %s: %s", d.entry, d.reason)
		} else {
			m.t.Logf("intended, %d cases: %s: %s", used[i], d.entry, d.reason)
		}
	}
	steps := 0
	for _, tk := range m.talks {
		steps += len(tk.steps)
	}
	m.t.Logf("%d entries, %d talks of %d steps, %d sets of rules, %d that change, %d cases: %d equal, %d differ on purpose, %d differ",
		len(m.entries), len(m.talks), steps, len(m.sets), len(m.turning), m.cases, m.equal, meant, m.cases-m.equal-meant)
}

const (
	fetchKey            = 1
	shareFetchKey       = 78
	shareAcknowledgeKey = 79
)

// intent is a difference that is meant.
type intent struct {
	entry  string // the entry's name, or its beginning with a * at the end
	line   string // what each line of the difference holds
	reason string
	says   []string // all that the gateway says and the oracle does not, where that is known
}

func (d intent) covers(text string) bool {
	name, rest, _ := strings.Cut(text, "\n\t")
	if prefix, wild := strings.CutSuffix(d.entry, "*"); name != d.entry && !(wild && strings.HasPrefix(name, prefix)) {
		return false
	}
	var says []string
	for line := range strings.SplitSeq(rest, "\n\t") {
		if !strings.Contains(line, d.line) {
			return false
		}
		if own, ok := strings.CutPrefix(line, "+ "); ok {
			says = append(says, own)
		}
	}
	return d.says == nil || slices.Equal(says, d.says)
}

var intended = []intent{
	{entry: "AlterShareGroupOffsets", line: "Topics[", reason: "the id of a topic that was denied is not told"},
	{entry: "DescribeLogDirs*", line: "Topics", reason: "with DESCRIBE on the cluster, Kafka lists everybody's topics; the gateway those that may be described"},
	{entry: "ListConfigResources of all types", line: "ConfigResources", reason: "as of DescribeLogDirs"},
	{entry: "DescribeQuorum", line: "Listeners", reason: "no client learns the addresses of brokers"},
	{entry: "DescribeUserScramCredentials of all", line: "", reason: "a broker that denies this one never answers: its error response fails on the null list"},
	{entry: "SyncGroup without a protocol", line: "ErrorCode", reason: "the gateway denies before it looks at the rest of the request"},
	{entry: "Fetch as a follower", line: "", reason: "the APIs between brokers are not served, whatever the rules say: denied like any topic"},
	{entry: "DeleteTopics of none", line: "absent", reason: "without DELETE a topic is denied (29) whether or not it exists; Kafka tells those who may describe it that it does not (3)"},
	{entry: "OffsetForLeaderEpoch", line: "Partitions[", reason: "CLUSTER_ACTION, which is for brokers, does not stand in for DESCRIBE"},
	{entry: "Produce in a transaction of none", line: "Partitions[", reason: "topics are denied (29) as they stream by, before their batches are looked at: a transactional batch without an id is 53 where its topic is allowed"},
	{entry: "StreamsGroupHeartbeat with a changelog", line: "", reason: "Kafka lets the member in and creates no topic; behind the gateway the broker would create it, as the gateway's own user, so it is refused"},
	{entry: "ShareFetch of an absent topic", line: "", reason: "a broker fails (-1) on an id that it does not have; the gateway answers UNKNOWN_TOPIC_ID, as to a Fetch"},
	{entry: "Fetch in a session: a topic more", says: []string{"ErrorCode = 70"}, reason: "a session holds only what may be read: the gateway ends it, and the client, which begins anew, is told the same as by Kafka"},
	{entry: "Fetch in a session: a foreign topic more", says: []string{"ErrorCode = 70"}, reason: "as of a topic more"},
	{entry: "Fetch in a session: go on after the turn", says: []string{"ErrorCode = 70"}, reason: "a session ends with the rules that it was judged by; the next request is answered as by Kafka"},
	{entry: "*", line: "Message", reason: "the gateway says what was denied; brokers say other words or none"},
}
