package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/bench/kafka"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/report"
	"sluice/bench/target"
)

// recordSize is that of the records of Kafka's perf tools, in bytes.
const recordSize = 1000

const (
	filled     = "bench.filled" // what is fetched
	partitions = 6
)

// perf is a real broker, targets in front of it, and Kafka's own perf tools.
type perf struct {
	bench  *bench
	tb     testing.TB
	broker *kafka.Broker
	admin  *kadm.Client
	runs   int
}

// runOnKafka starts a broker and the targets in front of it. Clients are told
// addresses by the broker, so it has a listener for each HAProxy, whose
// clients are told HAProxy's address.
func (b *bench) runOnKafka(ctx context.Context, all []workload) error {
	var err error
	if failed := kafka.Outside(ctx, "bench", b.log, func(tb testing.TB) {
		err = b.onKafka(ctx, tb, all)
	}); failed != nil {
		return failed
	}
	return err
}

func (b *bench) onKafka(ctx context.Context, tb testing.TB, all []workload) error {
	proxies := make([]string, 2)
	for i := range proxies {
		var err error
		if proxies[i], err = target.FreeAddress(); err != nil {
			return err
		}
	}
	k := kafka.Start(tb, kafka.Options{
		Proxies: proxies, JVM: []string{"-Xmx1g"},
		Properties: map[string]string{"log.segment.delete.delay.ms": "1000", "auto.create.topics.enable": "false"},
	})
	// The tools run long enough for the optimising compiler.
	k.Jars.JVM = []string{"-Xmx512m", "-XX:+UseSerialGC"}
	b.kafka = &perf{bench: b, tb: tb, broker: k, admin: k.Admin(tb)}
	targets, err := b.targetsOf(k, proxies)
	for _, t := range targets {
		defer t.Stop()
	}
	if err != nil {
		return err
	}
	k.CreateTopics(tb, partitions, filled)
	if slices.ContainsFunc(all, func(w workload) bool { return w.job.API == load.Fetch }) {
		if _, err := b.kafka.produce(ctx, target.Direct(k.Address), filled); err != nil {
			return err
		}
	}
	return b.rounds(ctx, targets, all)
}

func (b *bench) targetsOf(k *kafka.Broker, proxies []string) ([]*target.Target, error) {
	var all []*target.Target
	for _, name := range b.options.targets {
		var t *target.Target
		var err error
		switch name {
		case report.Baseline:
			t, err = target.HAProxy(b.dir, name, proxies[0], k.Behind[0], false, b.certificate)
		case splicing:
			t, err = target.HAProxy(b.dir, name, proxies[1], k.Behind[1], true, b.certificate)
		default:
			t, err = b.target(name, k.Address)
		}
		if err != nil {
			return all, err
		}
		all = append(all, t)
	}
	return all, nil
}

// once runs a tool once.
func (p *perf) once(ctx context.Context, w workload, t *target.Target, round int) error {
	topic := filled
	if w.job.API == load.Produce {
		p.runs++
		topic = fmt.Sprintf("bench.produced-%d", p.runs)
		p.broker.CreateTopics(p.tb, partitions, topic)
		defer func() { _, _ = p.admin.DeleteTopics(context.WithoutCancel(ctx), topic) }() // else only the disk fills
	}
	if t.PID != 0 {
		_ = proc.ResetPeak(t.PID)
	}
	before, err := cpu(t)
	if err != nil {
		return err
	}
	var seconds float64
	if w.job.API == load.Produce {
		seconds, err = p.produce(ctx, t, topic)
	} else {
		seconds, err = p.consume(ctx, t, topic)
	}
	if err != nil {
		return err
	}
	after, err := cpu(t)
	if err != nil {
		return err
	}
	s := report.Sample{Workload: w.name, Target: t.Name, Round: round, HasCPU: t.PID != 0, Result: load.Result{
		Seconds: seconds, Bytes: p.bytes(), CPU: (after - before).Seconds(),
	}}
	if t.PID != 0 {
		s.PeakRSS, err = proc.PeakRSS(t.PID)
	}
	p.bench.data.Samples = append(p.bench.data.Samples, s)
	return err
}

func cpu(t *target.Target) (time.Duration, error) {
	if t.PID == 0 {
		return 0, nil
	}
	return proc.CPU(t.PID)
}

// bytes are those of the records' values.
func (p *perf) bytes() int64 { return int64(p.bench.options.records) * recordSize }

// produce runs kafka-producer-perf-test with its defaults, and returns how long it
// says that it took.
func (p *perf) produce(ctx context.Context, t *target.Target, topic string) (seconds float64, err error) {
	args := []string{
		"--topic", topic, "--num-records", strconv.Itoa(p.bench.options.records),
		"--record-size", strconv.Itoa(recordSize), "--throughput", "-1", "--bootstrap-server", t.Bootstrap,
	}
	r := p.broker.Jars.Tool(ctx, kafka.ProducerPerformance, append(args, p.properties(t)...)...)
	if r.Err != nil {
		return 0, fmt.Errorf("kafka-producer-perf-test: %w\n%s", r.Err, r)
	}
	return produceSeconds(r.Stdout, p.bench.options.records)
}

// properties tell a tool who it is, and how to speak to a target.
func (p *perf) properties(t *target.Target) []string {
	if t.CA == "" {
		return []string{"--command-property", "client.id=" + target.ClientID}
	}
	file := filepath.Join(p.bench.dir, "client.properties")
	text := "client.id=" + target.ClientID + "\nsecurity.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location=" + p.bench.certificate.File + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.tb.Fatal(err)
	}
	return []string{"--command-config", file}
}

// produced is the last line of kafka-producer-perf-test: it counts all records.
var produced = regexp.MustCompile(`(?m)^(\d+) records sent, ([0-9.]+) records/sec`)

func produceSeconds(out string, records int) (float64, error) {
	for _, line := range produced.FindAllStringSubmatch(out, -1) {
		rate, err := strconv.ParseFloat(line[2], 64)
		if n, _ := strconv.Atoi(line[1]); n == records && err == nil && rate > 0 {
			return float64(records) / rate, nil
		}
	}
	return 0, fmt.Errorf("kafka-producer-perf-test does not say that it sent %d records:\n%s", records, out)
}

// consume runs kafka-consumer-perf-test with its defaults, as a group of its own.
func (p *perf) consume(ctx context.Context, t *target.Target, topic string) (seconds float64, err error) {
	p.runs++
	args := []string{
		"--topic", topic, "--num-records", strconv.Itoa(p.bench.options.records),
		"--bootstrap-server", t.Bootstrap, "--group", fmt.Sprintf("bench.perf-%d", p.runs),
	}
	r := p.broker.Jars.Tool(ctx, kafka.ConsumerPerformance, append(args, p.properties(t)...)...)
	if r.Err != nil {
		return 0, fmt.Errorf("kafka-consumer-perf-test: %w\n%s", r.Err, r)
	}
	return consumeSeconds(r.Stdout, p.bench.options.records)
}

// consumeSeconds reads fetch.time.ms of the tool's table, which is without the time
// that the group took to form.
func consumeSeconds(out string, records int) (float64, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	names, values := columns(lines, len(lines)-2), columns(lines, len(lines)-1)
	column := func(name string) (float64, error) {
		i := slices.Index(names, name)
		if i < 0 || i >= len(values) {
			return 0, errors.New("no " + name)
		}
		return strconv.ParseFloat(values[i], 64)
	}
	n, err := column("data.consumed.in.nMsg")
	ms, err2 := column("fetch.time.ms")
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("kafka-consumer-perf-test: %w in its table:\n%s", err, out)
	}
	if int(n) < records || ms <= 0 {
		return 0, fmt.Errorf("kafka-consumer-perf-test does not say that it read %d records:\n%s", records, out)
	}
	return ms / 1000, nil
}

func columns(lines []string, i int) []string {
	if i < 0 {
		return nil
	}
	all := strings.Split(lines[i], ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}
