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

	"sluice/bench/gateway"
)

// workers ask at once, each for another set of rules.
const workers = 4

// matrix is the two sides, the gateway before one of them, and what came out.
type matrix struct {
	t               *testing.T
	sets            []ruleSet
	entries         []entry
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
	for _, changes := range []bool{false, true} {
		began = time.Now()
		m.run(changes)
		t.Logf("asked (changes: %v) in %v", changes, time.Since(began).Round(time.Millisecond))
	}
	m.held()
	m.report()
}

// start starts the two brokers and the gateway.
func start(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t, sets: ruleSets(), entries: entries(), differ: map[string][]string{}, hidden: map[string]int{}, oracles: map[string][]string{}}
	users := each(m.sets, func(s ruleSet) string { return s.name })
	// Both have an authorizer, so that the answers on ACLs can be compared; the
	// gateway is a super user of its broker.
	m.oracle, m.backend = startSide(t, users), startSide(t, []string{"nobody"})
	createACLs(t, m.oracle.admin, m.sets...)
	m.gateway = gateway.Start(t, "", tenants(m.sets), m.backend.broker)
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

// versionsOf are those in which an entry is asked.
func (m *matrix) versionsOf(e *entry) []int16 {
	of, ok := m.offered[e.key]
	if !ok {
		return nil
	}
	var all []int16
	for v := max(of[0], e.min); v <= min(of[1], e.max); v++ {
		all = append(all, v)
	}
	return all
}

// run asks all entries that leave something behind, or all that do not.
func (m *matrix) run(changes bool) {
	sets := make(chan int, len(m.sets)) // a worker may fail and end
	for i := range m.sets {
		sets <- i
	}
	close(sets)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range sets {
				m.set(i, changes)
			}
		})
	}
	wg.Wait()
}

// set asks everything of one set of rules.
func (m *matrix) set(i int, changes bool) {
	s := m.sets[i]
	theirs, ours := m.connections(s)
	defer theirs.close()
	defer ours.close()
	offered, err := ours.versions(m.t.Context())
	if err != nil {
		m.t.Errorf("%s: %v", s.name, err)
		return
	}
	for j := range m.entries {
		e := &m.entries[j]
		if e.changes != changes || e.rare && !e.concerns(s) {
			continue
		}
		if _, ok := offered[e.key]; !ok {
			m.mu.Lock()
			m.hidden[e.name]++
			m.mu.Unlock()
			continue
		}
		for _, v := range m.versionsOf(e) {
			m.one(e, v, s, token(i*10000+j*20+int(v)), theirs, ours)
		}
	}
}

// concerns reports whether a set says something of what the entry needs.
func (e *entry) concerns(s ruleSet) bool {
	_, about, ok := strings.Cut(s.name, "-")
	return !ok || slices.Contains(e.needs, about)
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
		if !passing(oracle) && !passing(gateway) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	d := difference(oracle, gateway)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cases++
	m.oracles[caseName(e, version, s.name)] = oracle
	if len(d) == 0 {
		m.equal++
		return
	}
	text := e.name + "\n\t" + strings.Join(d, "\n\t")
	m.differ[text] = append(m.differ[text], fmt.Sprintf("v%d %s", version, s.name))
}

// passing reports whether a coordinator only said that it is not ready yet.
func passing(said []string) bool {
	for _, line := range said {
		for _, code := range []string{"14", "15", "19"} {
			if strings.HasSuffix(line, "ErrorCode = "+code) {
				return true
			}
		}
	}
	return false
}

func caseName(e *entry, version int16, set string) string {
	return fmt.Sprintf("%s v%d %s", e.name, version, set)
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
	said := lines(n, resp)
	if e.key == fetchKey {
		// A broker lists a topic anew for each run of partitions.
		said = slices.DeleteFunc(said, func(line string) bool {
			return strings.Contains(line, "Topics has") || strings.Contains(line, "Partitions has")
		})
		said = slices.Compact(said)
	}
	if e.key == shareFetchKey {
		// Who gets which records depends on who asks first: what is left are denials.
		said = slices.DeleteFunc(said, func(line string) bool {
			return strings.HasPrefix(line, "Topics[") && !strings.HasSuffix(line, "ErrorCode = 29") && !strings.HasSuffix(line, "ErrorCode = 100")
		})
	}
	for i := range said {
		said[i] = strings.ReplaceAll(said[i], from.token, "N")
	}
	return said
}

// held holds the oracle to what the entries say that they need: without it, and
// only without it, the answer is another.
func (m *matrix) held() {
	for i := range m.entries {
		e := &m.entries[i]
		versions := m.versionsOf(e)
		if len(versions) == 0 {
			m.t.Errorf("%s (key %d) is not offered", e.name, e.key)
			continue
		}
		newest := versions[len(versions)-1]
		all := m.oracles[caseName(e, newest, "all")]
		var found []string
		for _, s := range m.sets {
			op, ok := strings.CutPrefix(s.name, "deny-")
			if said, asked := m.oracles[caseName(e, newest, s.name)]; ok && asked && len(difference(all, said)) > 0 {
				found = append(found, op)
			}
		}
		if !slices.Contains(e.needs, "TOPIC-CREATE") && slices.Contains(e.needs, "CLUSTER-CREATE") {
			// The set that denies the one denies the other too.
			found = slices.DeleteFunc(found, func(op string) bool { return op == "TOPIC-CREATE" })
		}
		slices.Sort(found)
		if needs := slices.Sorted(slices.Values(e.needs)); !slices.Equal(found, needs) {
			m.t.Errorf("%s v%d: the table says that it needs %v, the oracle %v", e.name, newest, needs, found)
		}
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
	m.t.Logf("%d entries, %d sets of rules, %d cases: %d equal, %d differ on purpose, %d differ", len(m.entries), len(m.sets), m.cases, m.equal, meant, m.cases-m.equal-meant)
}

const (
	fetchKey      = 1
	shareFetchKey = 78
)

// intent is a difference that is meant.
type intent struct {
	entry  string // the entry's name, or its beginning with a * at the end
	line   string // what each line of the difference holds
	reason string
}

func (d intent) covers(text string) bool {
	name, rest, _ := strings.Cut(text, "\n\t")
	if prefix, wild := strings.CutSuffix(d.entry, "*"); name != d.entry && !(wild && strings.HasPrefix(name, prefix)) {
		return false
	}
	for line := range strings.SplitSeq(rest, "\n\t") {
		if !strings.Contains(line, d.line) {
			return false
		}
	}
	return true
}

var intended = []intent{
	{"AddPartitionsToTxn of all", "absent].Partitions[", "where something is denied no broker is asked, so what does not exist is not attempted (55) rather than unknown (3)"},
	{"AlterShareGroupOffsets", "Topics[", "the id of a topic that was denied is not told"},
	{"DescribeCluster", "ClusterAuthorizedOperations", "WRITE on any topic implies IDEMPOTENT_WRITE, also where operations are listed"},
	{"Metadata with operations", "AuthorizedOperations", "as of DescribeCluster"},
	{"DescribeLogDirs*", "Topics", "with DESCRIBE on the cluster, Kafka lists everybody's topics; the gateway those that may be described"},
	{"ListConfigResources of all types", "ConfigResources", "as of DescribeLogDirs"},
	{"DescribeQuorum", "Listeners", "no client learns the addresses of brokers"},
	{"DescribeUserScramCredentials of all", "", "a broker that denies this one never answers: its error response fails on the null list"},
	{"SyncGroup without a protocol", "ErrorCode", "the gateway denies before it looks at the rest of the request"},
	{"Fetch as a follower", "", "the APIs between brokers are not served, whatever the rules say: denied like any topic"},
	{"DeleteTopics of none", "absent", "without DELETE a topic is denied (29) whether or not it exists; Kafka tells those who may describe it that it does not (3)"},
	{"OffsetForLeaderEpoch", "Partitions[", "CLUSTER_ACTION, which is for brokers, does not stand in for DESCRIBE"},
	{"Produce in a transaction of none", "Partitions[", "topics are denied (29) as they stream by, before their batches are looked at: a transactional batch without an id is 53 where its topic is allowed"},
	{"StreamsGroupHeartbeat with a changelog", "", "Kafka lets the member in and creates no topic; behind the gateway the broker would create it, as the gateway's own user, so it is refused"},
	{"ShareFetch of an absent topic", "", "a broker fails (-1) on an id that it does not have; the gateway answers UNKNOWN_TOPIC_ID, as to a Fetch"},
	{"*", "Message", "the gateway says what was denied; brokers say other words or none"},
}
