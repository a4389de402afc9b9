// Package sink is a broker that keeps nothing: a cluster of one node that answers
// ApiVersions, Metadata, Produce and Fetch as fast as it can, so that a bench
// measures what stands in front of it.
//
// It checks the record batches of the first Produce of each connection and counts
// every byte, so that a proxy that drops, repeats or damages something is found
// out. A Fetch is answered with as many bytes of record batches as it allows.
// Groups, transactions and further brokers are not in the room.
package sink
