package gateway

import (
	"strings"
	"testing"
	"time"

	"sluice/bench/kafka"
)

// BenchmarkCost reports the processor time of the gateway for each GB that Kafka's own
// perf tools produce and consume through it, for a tenant with rules and limits that
// do not bind. Nothing is compared with anything; for that the runs must interleave.
func BenchmarkCost(b *testing.B) {
	k := kafka.Start(b, kafka.Options{JVM: []string{"-Xmx1g"}})
	k.CreateTopics(b, 6, "noisy.cost")
	g := Start(b, "", strings.ReplaceAll(heldTenants, "5MB", "5000MB"), k)
	const records, size = 1_000_000, 1000
	for b.Loop() {
		before := g.CPU()
		r := k.Jars.Tool(b.Context(), kafka.ProducerPerformance, "--topic", "noisy.cost", "--num-records", "1000000", "--record-size", "1000",
			"--throughput", "-1", "--producer-props", "bootstrap.servers="+g.Address, "client.id=noisy.perf")
		if r.Err != nil {
			b.Fatalf("%s", r)
		}
		produced := g.CPU()
		c := k.Jars.Tool(b.Context(), kafka.ConsumerPerformance, "--topic", "noisy.cost", "--messages", "1000000", "--bootstrap-server", g.Address,
			"--group", "noisy.perf", "--command-property", "client.id=noisy.perf")
		if c.Err != nil {
			b.Fatalf("%s", c)
		}
		consumed := g.CPU()
		const gb = records * size / 1e9
		report := func(name string, d time.Duration) { b.ReportMetric(d.Seconds()/gb, name) }
		report("cpu-s/GB-in", produced-before)
		report("cpu-s/GB-out", consumed-produced)
		b.Logf("%s\n%s", lastLine(r.Stdout), lastLine(c.Stdout))
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
