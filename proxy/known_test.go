package proxy

import (
	"fmt"
	"strings"
	"testing"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// connAmong is a connection of one of n tenants with n rules each; only what judging
// a topic needs.
func connAmong(t testing.TB, n int) *conn {
	t.Helper()
	var b strings.Builder
	b.WriteString("slices: [{name: a, slot: 0, bootstrap_servers: [\"h:1\"]}]\nlisteners: [{name: l, address: \"127.0.0.1:9092\", broker_ports: {a: {nodes: 0-1, ports: 9100-9101}}}]\ntenants:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: t%d, client_ids: [t%d], home: a, rules: [{allow: [WRITE], topics: [mine", i, i)
		for k := range n {
			fmt.Fprintf(&b, ", \"a%d.*\"", k)
		}
		b.WriteString("]}]}\n")
	}
	p, problems := policy.Parse("f", []byte(b.String()))
	if problems.Failed() {
		t.Fatal(problems)
	}
	tenant := p.Identify("t0")
	j := &judge{virtual: &virtual{tenant: tenant}}
	return &conn{standing: &standing{answering: j, judging: j, filtering: j}}
}

// A topic that a connection knows is not judged again.
func TestKnownTopics(t *testing.T) {
	c := connAmong(t, 20)
	name := []byte("a7.orders")
	if c.mayTopic(protocol.OpRead, name, [16]byte{}) || !c.mayTopic(protocol.OpWrite, name, [16]byte{}) {
		t.Fatal("WRITE is allowed, READ is not")
	}
	c.answering, c.judging = nil, nil // whoever asks it now panics
	if allocs := testing.AllocsPerRun(10, func() { c.mayTopic(protocol.OpWrite, name, [16]byte{}) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkTopicAmong is what a topic in a request costs with n tenants and n rules.
func BenchmarkTopicAmong(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		c := connAmong(b, n)
		name := []byte("a0.orders.created")
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !c.mayTopic(protocol.OpWrite, name, [16]byte{}) {
					b.Fatal("denied")
				}
			}
		})
	}
}
