package gateway

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/bench/kafka"
)

const heldTenants = `tenants:
  - name: noisy
    client_ids: {team: noisy}
    home: orders
    limits: {producer_byte_rate: 5MB, consumer_byte_rate: 5MB}
    rules: [{allow: [READ, WRITE, CREATE], topics: ["noisy.*"]}, {allow: [READ], groups: ["noisy.*"]}]
  - name: free
    client_ids: {team: free}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

const rate = 5.0 // MB/s, decimal

// steady checks each two-second window after the burst and before the end.
func steady(t *testing.T, what string, samples []kafka.Sample, request float64) {
	t.Helper()
	first, last := kafka.FirstBytes(samples), kafka.LastBytes(samples)
	ws := kafka.Windows(kafka.Before(kafka.After(samples, first.Add(3*time.Second)), last.Add(-500*time.Millisecond)), 2*time.Second)
	if len(ws) < 3 {
		t.Fatalf("%s: only %d windows", what, len(ws))
	}
	var rates []string
	bad := false
	slack := request / 2 / 1e6 // one request more or less in two seconds
	for _, w := range ws {
		rates = append(rates, strings.TrimSpace(formatMB(w.MB())))
		bad = bad || w.MB() < rate*.95-slack || w.MB() > rate*1.05+slack
	}
	t.Logf("%s: MB/s per two seconds: %s", what, strings.Join(rates, " "))
	if bad {
		t.Errorf("%s: not within %.2f to %.2f MB/s", what, rate*.95-slack, rate*1.05+slack)
	}
}

func TestJavaProducerHeld(t *testing.T) {
	k := kafka.Start(t, kafka.Options{})
	topics := []string{"noisy.a", "noisy.b", "noisy.c", "noisy.d", "noisy.e"}
	k.CreateTopics(t, 3, topics...)
	g := Start(t, "", heldTenants, k)
	p := k.Jars.Program(t.Context(), "Produce", "--bootstrap", g.Address, "--client-id", "noisy.java",
		"--topics", strings.Join(topics, ","), "--seconds", "16").Wait()
	if p.Err != nil {
		t.Fatalf("%s", p)
	}
	t.Logf("%v %v", p.Find("metric"), p.Find("done"))
	steady(t, "java producer", p.Samples(), 1<<20)
}

func formatMB(mb float64) string { return strconv.FormatFloat(mb, 'f', 2, 64) }
