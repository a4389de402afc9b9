// Package protocol is everything in Sluice that knows Kafka's bytes: frames and
// request headers, the table of APIs, the walkers of the two messages that
// stream, and what each API needs to be split, refused, merged, filtered and
// rewritten.
//
// It is a leaf: it takes bytes and kmsg structures and returns decisions. It
// knows no sockets, no limits, no policy file and no clock. What a tenant may do
// comes in as a [Judge], where brokers are seen as [Nodes], and what lives in which of
// several slices as a [VirtualCluster].
package protocol
