// Package auth finds out who a client is: it is the server's side of SASL, it reads
// along where a broker is the server, and it reads names out of certificates.
//
// There is no connection in the room. A [Session] and an [Observer] take bytes and
// return decisions; whoever owns the connection reads, writes, and waits before it
// answers a failure. A [Server] is what one listener offers, made anew from each
// policy; a [Guard] is what outlives policies: the bound on key derivations and the
// rate of failures of each address.
//
// The one thing that goes out on its own is [Keys], which fetches a JWKS.
//
// What the gateway itself needs to log in at a broker is in package login, who may
// do what in package policy.
package auth
