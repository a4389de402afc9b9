// Package login is how the gateway proves to brokers who it is: the mechanisms, the
// secrets and tokens they need, and the exchange over a connection that somebody
// else has dialled.
//
// A [Login] belongs to a slice. It is a franz-go mechanism for the slice's own
// client, and runs the exchange itself, before the first frame of a client and again
// before the session ends, on data connections. Secrets are read when they are
// needed, so that one that has changed holds from the next login on.
//
// How clients prove who they are is in package auth.
package login
