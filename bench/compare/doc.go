// Command compare measures what stands between Kafka clients and a broker, side by
// side: nothing, HAProxy, Sluice with everything open, Sluice with everything on,
// and whatever else is named with --target. ../README.md says how to run and read it.
//
// The broker is a sink and the load comes from a process of its own: both are this
// binary, started again (child.go). What runs is in workloads.go, the rounds are in
// run.go.
package main
