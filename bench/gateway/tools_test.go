package gateway

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/bench/kafka"
)

// TestTools shows that Kafka's own tools print through the gateway what they print
// at a broker, but for the addresses.
func TestTools(t *testing.T) {
	g, sides := startTwo(t, 0)
	both(t, sides, func(t *testing.T, s *side) {
		ruled, admin := newToolUser(t, s, s.team+".tools", s.team), newToolUser(t, s, s.ops, "ops")
		for _, u := range []toolUser{ruled, admin} {
			t.Run(u.clientID, func(t *testing.T) { u.data(t) })
		}
		direct := describe(t, newToolUser(t, s, "", s.team), s.broker.Address)
		t.Run("admin tools of "+ruled.clientID, func(t *testing.T) {
			seen := describe(t, ruled, s.g.Address)
			for i, d := range direct {
				want := d.out
				if d.list { // of which a tenant with rules sees its own
					own := slices.DeleteFunc(strings.Split(want, "\n"), func(name string) bool { return !strings.HasPrefix(name, s.team+".") })
					want = strings.Join(own, "\n")
				}
				equal(t, s.plain(seen[i].out), want)
			}
		})
		t.Run("admin tools of "+admin.clientID, func(t *testing.T) {
			seen := describe(t, newToolUser(t, s, s.ops, s.team), s.g.Address)
			for i, d := range direct {
				equal(t, s.plain(seen[i].out), d.out)
			}
		})
	})
	for _, s := range sides {
		t.Run("kafka-broker-api-versions "+s.name, func(t *testing.T) {
			if s.slot > 0 { // the tool's own client ID now belongs there
				g.Write("", tenantsWith(s.slot))
				g.Reload()
			}
			apiVersions(t, s)
		})
	}
}

// toolUser runs tools as one client ID; "" goes past the gateway.
type toolUser struct {
	*side
	clientID, config string
	prefix           string // of the topics and groups it uses
}

func newToolUser(t *testing.T, s *side, clientID, prefix string) toolUser {
	t.Helper()
	u := toolUser{side: s, clientID: clientID, config: filepath.Join(t.TempDir(), "client.properties"), prefix: prefix}
	if err := os.WriteFile(u.config, []byte("client.id="+clientID+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

// tool runs a tool and returns its standard output.
func (u toolUser) tool(t *testing.T, input, address, class string, args ...string) string {
	t.Helper()
	args = append([]string{"--bootstrap-server", address, "--command-config", u.config}, args...)
	r := u.broker.Jars.ToolInput(t.Context(), input, class, args...)
	if r.Err != nil || strings.Contains(r.Stderr, "Exception") || strings.Contains(r.Stdout, "Exception") {
		t.Fatalf("%s: %s", class, r)
	}
	if address == u.g.Address {
		u.hidden(t, r.Stdout+r.Stderr)
	}
	return r.Stdout
}

// data writes and reads with the performance and console tools.
func (u toolUser) data(t *testing.T) {
	perf, console, address := u.prefix+".perf", u.prefix+".console", u.g.Address
	out := u.tool(t, "", address, kafka.ProducerPerformance, "--topic", perf, "--num-records", "5000", "--record-size", "100", "--throughput", "-1")
	if !strings.Contains(out, "5000 records sent") {
		t.Errorf("kafka-producer-perf-test: %s", out)
	}
	out = u.tool(t, "", address, kafka.ConsumerPerformance, "--topic", perf, "--num-records", "5000", "--group", perf)
	if !strings.Contains(out, ", 5000, ") {
		t.Errorf("kafka-consumer-perf-test: %s", out)
	}
	u.tool(t, "one\ntwo\nthree\n", address, kafka.ConsoleProducer, "--topic", console)
	out = u.tool(t, "", address, kafka.ConsoleConsumer, "--topic", console, "--group", console, "--from-beginning", "--max-messages", "3", "--timeout-ms", "30000")
	if out != "one\ntwo\nthree\n" {
		t.Errorf("kafka-console-consumer: %q", out)
	}
}

type described struct {
	out  string
	list bool
}

// describe runs the administrative tools. Lines of what has no order are sorted.
func describe(t *testing.T, u toolUser, address string) []described {
	t.Helper()
	perf := u.prefix + ".perf"
	var all []described
	for _, args := range [][]string{
		{kafka.Topics, "--list"},
		{kafka.Topics, "--describe", "--topic", perf},
		{kafka.ConsumerGroups, "--list"},
		{kafka.ConsumerGroups, "--describe", "--group", perf},
		{kafka.ConsumerGroups, "--describe", "--group", perf, "--state"},
		{kafka.Configs, "--describe", "--entity-type", "topics", "--entity-name", perf, "--all"},
	} {
		lines := strings.Split(u.tool(t, "", address, args[0], args[1:]...), "\n")
		for i := range lines {
			lines[i] = strings.Join(strings.Fields(lines[i]), " ") // columns are as wide as the addresses
		}
		slices.Sort(lines)
		all = append(all, described{strings.TrimSpace(strings.Join(lines, "\n")), args[1] == "--list"})
	}
	return all
}

// offeredLine is one API in the output of kafka-broker-api-versions.
var offeredLine = regexp.MustCompile(`(\w+)\((\d+)\): (\d+)(?: to (\d+))? \[usable: (\d+)\]`)

// apiVersions checks that what the gateway offers lies within what the broker does.
func apiVersions(t *testing.T, s *side) {
	t.Helper()
	u := newToolUser(t, s, "", "")
	out := u.tool(t, "", s.g.Address, kafka.APIVersions)
	id, address := s.node()
	if want := address + " (id: " + strconv.Itoa(int(id)) + " "; !strings.Contains(out, want) || strings.Count(out, "(id: ") != 1 {
		t.Errorf("want %q alone: %s", want, out)
	}
	seen, direct := offers(t, out), offers(t, u.tool(t, "", s.broker.Address, kafka.APIVersions))
	for api, r := range seen {
		d, ok := direct[api]
		if !ok || r[0] < d[0] || r[1] > d[1] {
			t.Errorf("%s: %v, the broker offers %v", api, r, d)
		}
	}
	if len(seen) < 50 || seen["Produce"] != direct["Produce"] || seen["Fetch"] != direct["Fetch"] {
		t.Errorf("%d APIs: %v", len(seen), seen)
	}
	t.Logf("%d APIs of %d", len(seen), len(direct))
}

func offers(t *testing.T, out string) map[string][2]int {
	t.Helper()
	all := map[string][2]int{}
	for _, m := range offeredLine.FindAllStringSubmatch(out, -1) {
		first, _ := strconv.Atoi(m[3])
		last := first
		if m[4] != "" {
			last, _ = strconv.Atoi(m[4])
		}
		all[m[1]] = [2]int{first, last}
	}
	return all
}
