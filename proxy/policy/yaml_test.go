package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// wantProblems compares problems with "line:column: text" in order, texts by what
// they contain.
func wantProblems(t *testing.T, got Problems, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("problems:\n%v\nwant %q", got, want)
	}
	for i, p := range got {
		place, text, _ := strings.Cut(want[i], ": ")
		if fmt.Sprintf("%d:%d", p.Line, p.Column) != place || !strings.Contains(p.Text, text) {
			t.Errorf("%v\nwant %s", p, want[i])
		}
	}
}

const flowFile = `slices:
  - {name: orders, slot: 0, bootstrap_servers: [127.0.0.1:19092, broker.example.com:9092]}
  - {name: clicks, slot: 1, bootstrap_servers: [127.0.0.1:19093]}
listeners: [{name: edge, address: 127.0.0.1:9092, broker_ports: {orders: {nodes: 1-32, ports: 9100-9131}, clicks: {nodes: 1, ports: 9200}}}]
tenants: [{name: t, client_ids: ["*"], home: orders, rules: [{allow: [ALL], everything: true}]}]
`

// A colon without a blank after it is a part of the word, however deep it stands.
func TestFlowStyle(t *testing.T) {
	p := mustParse(t, flowFile)
	if got := fmt.Sprint(p.Slices[0].BootstrapServers, p.Slices[1].BootstrapServers); got != "[127.0.0.1:19092 broker.example.com:9092] [127.0.0.1:19093]" {
		t.Errorf("bootstrap servers %s", got)
	}
	edge := p.Listener("edge")
	if edge.Address != "127.0.0.1:9092" {
		t.Errorf("address %q", edge.Address)
	}
	if want := (PortRange{1, 32, 9100, 9100}); edge.BrokerPorts["orders"] != want {
		t.Errorf("orders %+v", edge.BrokerPorts["orders"])
	}
	if want := (PortRange{1, 1, 9200, 9200}); edge.BrokerPorts["clicks"] != want {
		t.Errorf("clicks %+v", edge.BrokerPorts["clicks"])
	}
}

func TestQuotesDoNotMatter(t *testing.T) {
	for _, q := range []string{"", `"`, "'"} {
		p := mustParse(t, strings.ReplaceAll("gateway: {max_throttle: @1500ms@, max_frame: @1.5MiB@, max_connections: @77@}\n", "@", q)+flowFile)
		if g := p.Gateway; g.MaxThrottle != 1500*time.Millisecond || g.MaxFrame != 3<<19 || g.MaxConnections != 77 {
			t.Errorf("with %q: %+v", q, g)
		}
	}
}

// The same file in other shapes gives the same policy.
func TestTextShapes(t *testing.T) {
	for name, text := range map[string]string{
		"comments":         "# first\n\n" + strings.ReplaceAll(flowFile, "\n", " # why: {so} [it] *is\n  # and: more\n"),
		"CRLF":             strings.ReplaceAll(flowFile, "\n", "\r\n"),
		"BOM":              "\ufeff" + flowFile,
		"BOM and CRLF":     "\ufeff" + strings.ReplaceAll(flowFile, "\n", "\r\n"),
		"tabs after words": strings.ReplaceAll(flowFile, ": ", ":\t"),
		"no last line end": strings.TrimSuffix(flowFile, "\n"),
		"document marks":   "---\n" + flowFile + "...\n",
		"empty documents":  "---\n---\n" + flowFile + "---\n# nothing\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, text)
			if len(p.Slices) != 2 || p.Slices[0].BootstrapServers[0] != "127.0.0.1:19092" || len(p.Tenants) != 1 {
				t.Errorf("%+v", p)
			}
		})
	}
}

// Each text is at the place that an editor shows for it.
func TestSyntaxProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"1:1: the file is empty"}},
		{"BOM only", "\ufeff", []string{"1:1: the file is empty"}},
		{"comments only", "# a\r\n\r\n# b", []string{"1:1: the file is empty"}},
		{"document mark only", "---\n", []string{"1:1: the file is empty"}},
		{"null", "\nnull\n", []string{"2:1: the file is empty"}},
		{"not UTF-8", "\ufeffa: é\xff\n", []string{"1:5: not UTF-8 text"}},
		{"UTF-16", "\xff\xfea\x00", []string{"1:1: not UTF-8 text"}},
		{"control character", "a: é\nb: é\x01\n", []string{"2:5: YAML: control characters are not allowed"}},
		{"tab as indentation", "admin:\n\taddress: x\n", []string{"2:1: YAML: found character that cannot start any token"}},
		{"tab in a plain text", "a: b\n\tc: d\n", []string{"2:1: YAML: found a tab character that violates indentation"}},
		{"CRLF", "admin:\r\n  a: b: c\r\n", []string{"2:7: YAML: mapping values are not allowed in this context"}},
		{"column counts characters", "é: \"é\" é\n", []string{"1:8: YAML: did not find expected key"}},
		{"open quote", "a: b\nc: \"d\ne: f\n", []string{"2:4: YAML: found unexpected end of stream"}},
		{"open bracket", "x:\n  y: [a, b\n  z: c\nw: v\n", []string{"3:4: YAML: did not find expected ',' or ']'"}},
		{"word without a colon", "a: b\nc\nd: e\n", []string{"2:1: YAML: could not find expected ':'"}},
		{"indentation", "t:\n  - name: a\n   home: b\n", []string{"3:4: YAML: did not find expected '-' indicator"}},
		{"text after the document", "{admin: {}} x\n", []string{"1:13: YAML: did not find expected <document start>"}},
		{"pattern", "a:\n  pattern: {team}.{app}\n", []string{`2:18: needs quotes, as in "{team}.{app}"`}},
		{"IPv6", "a: [[::1]:80]\n", []string{"1:6: a value that begins with { or [ needs quotes"}},
		{"duplicate keys, all of them", "admin: {pprof: true, pprof: true, pprof: false}\nadmin:\n", []string{
			"1:22: pprof is given twice in admin, first at line 1", "1:35: pprof is given twice", "2:1: admin is given twice in the file",
		}},
		{"globs, all of them", "admin:\n  - [*.a, *b, '*c', *]\n  - @d\n  - `e\n  - %f\n  - &\n", []string{
			"2:3: admin must be a mapping", "2:6: as in \"*.x\"", "2:11: YAML aliases are not supported", "2:21: needs quotes", "3:5: begins with @ needs quotes",
			"4:5: begins with ` needs quotes", "5:5: begins with % needs quotes", "6:5: begins with & needs quotes",
		}},
		{"aliases", "a: &x [1]\nb: [*x, *x]\n<<: *x\n", []string{
			"1:4: anchors are not supported", "2:5: YAML aliases", "2:9: YAML aliases", "3:1: YAML merge keys", "3:5: YAML aliases",
		}},
		{"an anchor around itself", "a: &x [*x]\n", []string{"1:4: anchors", "1:8: aliases"}},
		{"anchors and tags of every kind", "&k a: &m\n  b: c\nd: !!map {}\ne: !f\ng: ! h\ni: !<x> j\nk: !no!tag l\n", []string{
			"1:1: anchors", "1:7: anchors", "3:4: tags", "4:4: tags", "5:4: tags", "6:4: tags", "7:4: tags",
		}},
		{"question mark", "? a\n: [?b, {? c : d}]\n", []string{"1:1: begins with ?", "2:4: begins with ?", "2:9: begins with ?"}},
		{"a comment that asks", "# why?\nadmin: {pprof: false} # why?\nadmin: # ?\n", []string{"3:1: admin is given twice"}},
		{"directive", "\n# c\n%YAML 1.2\n---\na: b\n", []string{"3:1: YAML directives are not supported"}},
		{"keys that are not words", "[a]: b\n? {c: d}\n: e\n~: f\n", []string{"1:1: a key must be a word", "2:1: begins with ?", "2:3: a key must be a word", "4:1: a key must be a word"}},
		{"third document", "admin:\n---\na: b\n---\nc: [\n", []string{"3:1: a second YAML document"}},
		{"broken second document", "admin:\n---\na: ]\n", []string{"3:4: YAML: did not find expected node content"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, problems := Parse("f", []byte(c.text))
			if p != nil {
				t.Error("accepted")
			}
			kept := problems[:0]
			for _, p := range problems {
				if !strings.HasPrefix(p.Text, "no ") { // no slices, no listeners, no tenants
					kept = append(kept, p)
				}
			}
			wantProblems(t, kept, c.want)
		})
	}
}

// What could grow beyond the text, or recurse as deep as it, does not.
func TestHostileText(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x]\n")
	for i := range 40 {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	for name, text := range map[string]string{
		"aliases of aliases":   laughs.String(),
		"deep lists":           "a: " + strings.Repeat("[", 1<<20),
		"deep mappings":        strings.Repeat("{a: ", 1<<18),
		"deep blocks":          strings.Repeat("- ", 1<<18),
		"deep, and closed":     "a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"deep explicit keys":   strings.Repeat("? ", 1<<18),
		"many documents":       strings.Repeat("---\n", 1<<18),
		"some thousand globs":  "a: [" + strings.Repeat("*, ", 1<<12) + "]",
		"many globs":           "a: [" + strings.Repeat("*, ", 1<<18) + "]",
		"many empty items":     "a: [" + strings.Repeat("[],", 1<<17) + "]",
		"one long line":        "a: {" + strings.Repeat("b: é, ", 1<<17) + "}",
		"many comments":        "a:\n" + strings.Repeat(" # c\n", 1<<17) + "a:\n",
		"many comments inside": "a:\n" + strings.Repeat("- b # c\n# d\n\n", 1<<16) + "a:\n",
		"blanks":               "a: [" + strings.Repeat(" ", 1<<20) + "?b]",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			if p, problems := Parse("f", []byte(text)); p != nil || len(problems) == 0 {
				t.Error("accepted")
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%d bytes took %s", len(text), took)
			}
		})
	}
}
