package policy

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// mustParse compiles a file that has no errors.
func mustParse(t testing.TB, text string) *Policy {
	t.Helper()
	p, problems := Parse("test.yaml", []byte(text))
	if p == nil {
		t.Fatalf("problems:\n%v\nin\n%s", problems, text)
	}
	return p
}

// fileOf is a file with one slice and listener around the given rest.
func fileOf(rest string) string {
	return `slices: [{name: a, slot: 0, bootstrap_servers: ["h:1"]}]
listeners: [{name: l, address: "127.0.0.1:9092", broker_ports: {a: {nodes: 0-1, ports: 9100-9101}}}]
` + rest
}

func TestExampleLoadsClean(t *testing.T) {
	p, problems := Load("../../deploy/sluice.yaml")
	if len(problems) > 0 || p == nil {
		t.Fatalf("problems:\n%v", problems)
	}
	if len(p.Tenants) != 3 || len(p.Slices) != 2 || !p.Tenant("platform").Everything() {
		t.Errorf("unexpected content: %+v", p)
	}
}

func TestGood(t *testing.T) {
	p, problems := Load("testdata/good.yaml")
	if len(problems) > 0 || p == nil {
		t.Fatalf("problems:\n%v", problems)
	}
	if want := (Admin{Address: "[::1]:9644", Pprof: true}); p.Admin != want {
		t.Errorf("admin %+v", p.Admin)
	}
	if want := (Gateway{
		MaxThrottle: 5 * time.Second, MaxFrame: 3 << 19, MaxBuffered: 64 << 20, MaxConnections: 2000, FirstFrameTimeout: time.Second,
		FrameTimeout: 2 * time.Second, IdleTimeout: 90 * time.Minute, DrainTimeout: 4 * time.Second,
	}); p.Gateway != want {
		t.Errorf("gateway %+v", p.Gateway)
	}
	orders, clicks := p.Slice("orders"), p.Slice("clicks")
	if orders.Slot != 0 || clicks.Slot != 511 || p.Slice("x") != nil {
		t.Errorf("slots %d %d", orders.Slot, clicks.Slot)
	}
	if want := []string{"10.0.0.1:9092", "[fe80::1]:9092", "broker.example.com:9093"}; !reflect.DeepEqual(orders.BootstrapServers, want) {
		t.Errorf("bootstrap servers %q", orders.BootstrapServers)
	}
	if want := (Limits{Rates: [NumRates]float64{ProducerByteRate: 200e6}, Connections: 500, Burst: 2 * time.Second}); orders.Limits != want {
		t.Errorf("slice limits %+v", orders.Limits)
	}
	if want := (Limits{Burst: time.Second}); clicks.Limits != want {
		t.Errorf("slice limits %+v", clicks.Limits)
	}
	edge, inside := p.Listener("edge"), p.Listener("inside")
	if edge.Address != ":9092" || edge.AdvertisedHost != "kafka.example.com" || edge.AdvertisedPort != 31092 {
		t.Errorf("edge %+v", edge)
	}
	if inside.AdvertisedHost != "127.0.0.1" || inside.AdvertisedPort != 9292 {
		t.Errorf("inside %+v", inside)
	}
	if edge.BrokerAddress(9100) != ":9100" || inside.BrokerAddress(9293) != "127.0.0.1:9293" {
		t.Errorf("broker addresses %s %s", edge.BrokerAddress(9100), inside.BrokerAddress(9293))
	}
	if p.PatternText() != "app-{team}.{app}.{rest...}" || p.Unmatched != p.Tenant("others") || len(p.Hash) != 12 {
		t.Errorf("pattern %q, unmatched %v, hash %q", p.PatternText(), p.Unmatched, p.Hash)
	}
}

func TestPortRange(t *testing.T) {
	r := PortRange{FirstNode: 3, LastNode: 5, FirstPort: 100, AdvertisedFirstPort: 30000}
	for node, want := range map[int32]string{
		2: "0 0 false", 3: "100 30000 true", 5: "102 30002 true", 6: "0 0 false", -1: "0 0 false", math.MaxInt32: "0 0 false",
	} {
		port, advertised, ok := r.Port(node)
		if got := fmt.Sprint(port, advertised, ok); got != want {
			t.Errorf("node %d: %s, want %s", node, got, want)
		}
	}
}

func TestLimitsMerge(t *testing.T) {
	p, _ := Load("testdata/good.yaml")
	for name, want := range map[string][2]Limits{
		"payments": {
			{Rates: [NumRates]float64{ProducerByteRate: 20 << 20, ConnectionCreationRate: 0.5}, Connections: 20, Burst: 3 * time.Second},
			{Connections: 7, Burst: time.Second},
		},
		"listed": {
			{Rates: [NumRates]float64{ProducerByteRate: 1e9, RequestRate: 100.5}, Burst: 100 * time.Millisecond},
			{Rates: [NumRates]float64{ProducerByteRate: 10e3}, Burst: time.Second},
		},
		"others": {
			{Rates: [NumRates]float64{ProducerByteRate: 1e9, RequestRate: 100.5}, Burst: 3 * time.Second},
			{Connections: 7, Burst: time.Second},
		},
	} {
		tenant := p.Tenant(name)
		if got := [2]Limits{tenant.Limits, tenant.LimitsPerClientID}; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if tenant.Observe != (name != "payments") {
			t.Errorf("%s: observe %t", name, tenant.Observe)
		}
	}
	if ProducerByteRate.String() != "producer_byte_rate" || ControllerMutationRate.String() != "controller_mutation_rate" || Limit(99).String() != "limit(99)" {
		t.Error("names of limits")
	}
}

func TestDefaults(t *testing.T) {
	p := mustParse(t, fileOf(`tenants: [{name: t, client_ids: ["*"], home: a, rules: [{allow: [ALL], everything: true}]}]`))
	want := Gateway{8 * time.Second, 100 << 20, 256 << 20, 10000, 10 * time.Second, 30 * time.Second, 10 * time.Minute, 30 * time.Second}
	if p.Gateway != want || p.Admin != (Admin{Address: "127.0.0.1:9644"}) || p.PatternText() != "" || p.Unmatched != nil {
		t.Errorf("%+v %+v", p.Gateway, p.Admin)
	}
	if tenant := p.Tenants[0]; tenant.Observe || tenant.Limits != (Limits{Burst: time.Second}) || tenant.Home != p.Slices[0] {
		t.Errorf("%+v", tenant)
	}
}

func TestUnreadableFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	p, problems := Load(missing)
	if p != nil || problems.Error() != missing+":1:1: error: cannot be read: no such file or directory" {
		t.Errorf("%v", problems)
	}
	if p, problems := Load(t.TempDir()); p != nil || !problems.Failed() {
		t.Errorf("a directory: %v", problems)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, problems := Load(large); p != nil || !strings.Contains(problems.Error(), "1:1: error: the file is larger than 16MiB") {
		t.Errorf("%v", problems)
	}
}

func TestNotText(t *testing.T) {
	_, problems := Parse("f", []byte("a: b\ncé: \xff\n"))
	if problems.Error() != "f:2:5: error: not UTF-8 text" {
		t.Errorf("%v", problems)
	}
}

func TestProblemsAreCapped(t *testing.T) {
	var b strings.Builder
	for i := range 150 {
		fmt.Fprintf(&b, "  - {name: t%d, client_ids: [x], home: a, limits: {producer_byte_rate: 5}, rules: [], bad: 1}\n", i)
	}
	_, problems := Parse("f", []byte(fileOf("tenants:\n"+b.String())))
	if len(problems) != maxProblems+1 || !problems.Failed() {
		t.Fatalf("%d problems", len(problems))
	}
	for _, p := range problems[:maxProblems] {
		if p.Warning || !strings.HasPrefix(p.Text, `unknown field "bad"`) {
			t.Errorf("kept a warning before an error: %v", p)
		}
	}
	if last := problems[maxProblems]; last.Warning || last.Text != "and 200 more problems: fix these first" {
		t.Errorf("last: %v", last)
	}
}

func TestFileLimit(t *testing.T) {
	p, _ := Load("testdata/good.yaml")
	if problems := p.fileLimitProblems(4000); problems != nil {
		t.Errorf("enough: %v", problems)
	}
	problems := p.fileLimitProblems(3999)
	want := "testdata/good.yaml:6:20: warning: max_connections: 2000 clients need 4000 open files, two each, the limit here is 3999 "
	if len(problems) != 1 || !strings.HasPrefix(problems.Error(), want) {
		t.Errorf("%v", problems)
	}
	byDefault := mustParse(t, fileOf(`tenants: [{name: t, client_ids: ["*"], home: a, rules: [{allow: [ALL], everything: true}]}]`))
	if problems := byDefault.fileLimitProblems(20000); problems != nil {
		t.Errorf("the default with 20000: %v", problems)
	}
	if problems := byDefault.fileLimitProblems(19999); len(problems) != 1 || problems.Failed() {
		t.Errorf("the default with 19999: %v", problems)
	}
	if problems := FileLimitProblems(p); problems.Failed() {
		t.Errorf("not a warning: %v", problems)
	}
}

func TestReload(t *testing.T) {
	data, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	old := mustParse(t, string(data))
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"limits", "20MiB", "21MiB", ""},
		{"broker ports", "ports: 9100-9131", "ports: 9400-9431", ""},
		{"advertised host and port", "advertised_host: kafka.example.com\n    advertised_port: 31092", "advertised_host: h\n    advertised_port: 1", ""},
		{"more nodes", "{nodes: 0-1, ports: 9296-9297}", "{nodes: 0-2, ports: 9296-9298}", ""},
		{"new slice", "listeners:\n", "  - {name: new, slot: 7, bootstrap_servers: [\"h:1\"]}\nlisteners:\n", ""},
		{"admin", `"[::1]:9644", pprof: true`, `"[::1]:9645", pprof: false`, "1:1: admin.address is [::1]:9645, was [::1]:9644;1:1: admin.pprof is false, was true"},
		{"gateway", "max_throttle: 5s\n  max_frame: 1.5MiB", "max_throttle: 6s\n  max_frame: 1572865", "3:3: gateway.max_throttle is 6s, was 5s;4:3: gateway.max_frame is"},
		{"gateway, taken out", "  max_connections: 2000\n", "", "2:1: gateway.max_connections is 10000, was 2000"},
		{"the other timeouts", "  first_frame_timeout: 1s\n  frame_timeout: 2s\n  idle_timeout: 1h30m\n  drain_timeout: 4s\n", "  max_buffered: 65MiB\n", "2:1: gateway.first_frame_timeout;2:1: gateway.frame_timeout;2:1: gateway.idle_timeout;2:1: gateway.drain_timeout;7:3: gateway.max_buffered is 65MiB, was 64MiB"},
		{"listener address", `":9092"`, `":9093"`, "25:14: the address of listener edge is :9093, was :9092"},
		{"listener renamed", "name: inside", "name: within", "23:1: listener inside is gone;32:14: listener within is new"},
		{"slot", "slot: 511", "slot: 5", "20:11: slice clicks has slot 5, had 511"},
		{"slot of another", "slot: 0", "slot: 12", "16:11: slice orders has slot 12, had 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := string(data)
			if c.from != "" {
				if strings.Count(text, c.from) != 1 {
					t.Fatalf("%q occurs %d times", c.from, strings.Count(text, c.from))
				}
				text = strings.Replace(text, c.from, c.to, 1)
			}
			if c.name == "the other timeouts" {
				text = strings.Replace(text, "  max_buffered: 64MiB\n", "", 1)
				text = strings.Replace(text, "  max_connections: 2000\n", "  max_connections: 2000\n\n", 1)
			}
			checkReload(t, mustParse(t, text).CheckReload(old), c.want)
		})
	}
	t.Run("a slice takes the slot of one that is gone", func(t *testing.T) {
		text := strings.ReplaceAll(string(data), "clicks", "views")
		checkReload(t, mustParse(t, text).CheckReload(old), "20:11: slot 511 of slice views was that of slice clicks")
	})
}

// checkReload compares problems with "line:column: text;…", texts by prefix.
func checkReload(t *testing.T, got Problems, want string) {
	t.Helper()
	var wants []string
	if want != "" {
		wants = strings.Split(want, ";")
	}
	if len(got) != len(wants) {
		t.Fatalf("problems:\n%v\nwant %d", got, len(wants))
	}
	for i, p := range got {
		if s := fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Text); p.Warning || !strings.HasPrefix(s, wants[i]) {
			t.Errorf("%s\nwant %s", s, wants[i])
		}
	}
}

// manyTenants is a file of n tenants with the usual rules.
func manyTenants(n int) string {
	var b strings.Builder
	b.WriteString("client_ids: {pattern: \"{team}.{app}.{env}\"}\ntenants:\n")
	for i := range n {
		fmt.Fprintf(&b, `  - name: t%d
    client_ids: {team: t%d}
    home: a
    limits:
      producer_byte_rate: 20MiB
      request_rate: 2000
    rules:
      - {allow: [READ, WRITE, CREATE], topics: ["t%d.*"]}
      - {allow: [READ], groups: ["t%d.*"]}
      - {deny: [WRITE], topics: ["t%d.audit"]}
`, i, i, i, i, i)
	}
	return fileOf(b.String())
}

func BenchmarkParse5000Tenants(b *testing.B) {
	data := []byte(manyTenants(5000))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if p, problems := Parse("f", data); p == nil || len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(flowFile))
	f.Add([]byte("a: &x [*x, *.y, @z, ! q, ?r]\n? s: [[::1]:80]\n<<: *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, problems := Parse("f", data)
		if (p == nil) != problems.Failed() {
			t.Fatalf("policy nil: %t, problems:\n%v", p == nil, problems)
		}
		lines := 2
		for _, lineBreak := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(string(data), lineBreak)
		}
		for _, problem := range problems {
			if problem.File != "f" || problem.Line < 1 || problem.Line > lines || problem.Column < 1 || problem.Text == "" {
				t.Errorf("no position: %+v", problem)
			}
		}
		if p == nil {
			return
		}
		p.Identify("a.b.c")
		if reload := p.CheckReload(p); len(reload) > 0 {
			t.Errorf("differs from itself: %v", reload)
		}
	})
}
