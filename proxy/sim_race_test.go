//go:build race

package proxy

// simRace: the race detector is on.
const simRace = true
