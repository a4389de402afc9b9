package main

import (
	"fmt"
	"regexp"
	"slices"

	"sluice/bench/load"
)

// workload is one row of the table.
type workload struct {
	name  string
	quick bool // it belongs to the quick version too
	job   load.Job
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
	return slices.DeleteFunc(all, func(w workload) bool {
		return quick && !w.quick || !only.MatchString(w.name)
	})
}
