// Package limiter says how much may pass and when: token buckets in three levels
// (client ID, tenant, slice), for any number of dimensions (bytes, requests ...)
// whose meaning is the caller's.
//
// A [Limiter] holds the buckets. A connection resolves its [Account] once and
// then charges it; every charge goes to all the buckets above the account and the
// longest wait counts. A charge is a reservation: a place in time, so that
// connections are let through one after another instead of waking together.
//
// The package is arithmetic only. It starts no goroutine, sets no timer and reads
// no clock: time is a parameter, and whoever asks does the waiting.
//
// The parts: bucket.go is one bucket, till.go what may be spent of it without its
// lock while there is plenty, turns.go the bucket of a slice, on which tenants take
// turns; registry.go finds and collects buckets; account.go is the hot path; ask.go
// decides for requests that are charged by their answer.
//
// Locks: Limiter.mu or an Account's, then the mutexes of buckets, client ID before
// tenant before slice. Charging never takes Limiter.mu, and while there is plenty none
// of a bucket.
package limiter
