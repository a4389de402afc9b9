// Command quota shows what a limit feels like, Sluice's beside Kafka's own quota of
// the same rate on the same broker: how even the rate of one client is that always
// wants more (smooth.go), and what becomes of a quiet client beside it (neighbour.go).
// ../README.md says how to run and read it.
package main
