// Package gateway runs the sluice binary in front of real Kafka brokers, for the
// tests that show what real clients see, and for benches. Brokers, tools and client
// programs come from package kafka.
package gateway
