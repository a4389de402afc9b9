// Package load sends Kafka requests over many connections and measures what the
// other side makes of them and what a process in between has cost: in a closed loop
// (so many requests in flight on each connection, as fast as answers come) and in an
// open loop (at a fixed rate, whatever the answers do; latency counts from when a
// request was due, so a stall costs all who had to wait for it).
//
// It goes straight to the address it is given and ignores what Metadata advertises.
// Each answer is checked against the first of its connection, and that one is
// decoded: what is slow may be measured, what is wrong is an error.
package load
