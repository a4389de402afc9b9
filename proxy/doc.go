// Package proxy is the gateway: it accepts clients, learns from the first request
// who they are, judges and charges each request, forwards it to a broker of the
// tenant's slice, and rewrites and returns the answer.
//
// Start reading at conn.go, which holds the whole life of a request. What the
// bytes of each API mean is in package protocol, how much may pass and when in
// package limiter, what the file says in proxy/policy, and what is known of a
// real cluster in proxy/slice.
//
// A tenant may have several slices, and sees them as one (virtual.go). What is sent to a
// leader or a coordinator goes to that broker like any other request, after a guard has
// taken out what lives elsewhere; what any broker may answer is divided, asked of each
// slice over its own client, and joined (fanout.go). A connection whose tenant has moved
// is served the same way until its client has gone where the answers send it.
//
// Each client connection has one connection to one broker of its own, so order,
// fetch and share sessions, acks=0 and back-pressure need no machinery. Two halves
// serve a connection: one reads requests, one reads answers. On Linux they run on an
// event loop for each processor, and in a goroutine of their own for as long as
// they must wait (half.go, loop_linux.go); on other transports always in one.
package proxy
