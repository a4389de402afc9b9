package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"

	"sluice/bench/load"
	"sluice/bench/proc"
)

// workload is one row of the table.
type workload struct {
	name  string
	quick bool // it belongs to the quick version too
	// apart gives it a sink and targets of its own, started for it alone, since memory
	// is measured or the sink has further topics; in the quick version it runs once.
	apart  bool
	topics int
	kafka  bool // with Kafka's own tools and a real broker; only the API of the job counts
	job    load.Job
}

// pipeline is how many requests are in flight on each connection of a closed loop:
// max.in.flight.requests.per.connection of Kafka's producer.
const pipeline = 5

// sizes are those of the closed loops, with so many connections.
var sizes = []struct {
	name  string
	bytes int
	conns []int
	quick []int
}{
	{"500B", 500, []int{1, 64, 500, 1000}, []int{1, 64, 500}},
	{"16KiB", 16 << 10, []int{1, 64, 1000}, []int{64}},
	{"1MiB", 1 << 20, []int{1, 64}, []int{1}},
}

// The open loop: well below what any target can do.
const (
	steadyRate  = 2000
	steadyConns = 50
)

// workloads are all there are, those whose names match only.
func workloads(quick bool, only *regexp.Regexp) []workload {
	var all []workload
	for _, size := range sizes {
		for _, api := range []string{load.Produce, load.Fetch} {
			for _, conns := range size.conns {
				all = append(all, workload{
					name:  fmt.Sprintf("%s-%s-%d", api, size.name, conns),
					quick: slices.Contains(size.quick, conns),
					job:   load.Job{API: api, Size: size.bytes, Conns: conns, Pipeline: pipeline},
				})
			}
		}
	}
	all = append(all, workload{
		name: "produce-500B-64-joined",
		job:  load.Job{API: load.Produce, Size: 500, Conns: 64, Pipeline: pipeline, Joined: true},
	})
	for _, api := range []string{load.Produce, load.Fetch} {
		all = append(all, workload{
			name: api + "-500B-steady", quick: true,
			job: load.Job{API: api, Size: 500, Conns: steadyConns, Rate: steadyRate},
		})
	}
	all = append(all, apart()...)
	for _, api := range []string{load.Produce, load.Fetch} {
		all = append(all, workload{name: "kafka-perf-" + api, kafka: true, job: load.Job{API: api}})
	}
	return slices.DeleteFunc(all, func(w workload) bool {
		return quick && !w.quick || !only.MatchString(w.name)
	})
}

// apart are the workloads that look at memory and at what is rare.
func apart() []workload {
	return []workload{
		{name: "fetch-50MiB-64", quick: true, apart: true, job: load.Job{API: load.Fetch, Size: 50 << 20, Conns: 64, Pipeline: 1}},
		{name: "produce-96MiB-4", apart: true, job: load.Job{API: load.Produce, Size: 96 << 20, Conns: 4, Pipeline: 1}},
		{name: "idle-5000", quick: true, apart: true, job: load.Job{API: load.Produce, Size: 500, Conns: 5000, Pipeline: 20, Idle: true}},
		{name: "metadata-10000-topics", apart: true, topics: 10_000, job: load.Job{API: load.Metadata, Conns: 16, Pipeline: 1}},
	}
}

// possible leaves out the workloads that need more open files than a process may
// have, and says so loudly.
func possible(all []workload, log io.Writer) []workload {
	limit, err := proc.OpenFiles()
	if err != nil {
		return all
	}
	return slices.DeleteFunc(all, func(w workload) bool {
		need := w.job.Conns*5/2 + 500
		if uint64(need) <= limit {
			return false
		}
		fmt.Fprintf(log, "*** SKIPPED %s: it needs %d open files in a process, the limit is %d (ulimit -Hn): raise it\n", w.name, need, limit)
		return true
	})
}
