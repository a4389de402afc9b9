// Package wire makes the frames of the bench: Produce, Fetch and Metadata requests
// as current clients send them (Produce 13, Fetch 17, with topic ids), record
// batches of an exact size with a valid checksum, and the reading of headers.
//
// It knows nothing of sockets; package load sends the frames, package sink
// answers them.
package wire
