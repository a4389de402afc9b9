// Package kafka runs the real thing for tests and benches: Apache Kafka brokers
// started from Maven jars, Kafka's own tools, and client programs in Java and
// Python (librdkafka) that report what they saw as JSON lines.
//
//	jars := kafka.Resolve(t, "")                   // skips where java or mvn is missing; under CI that fails
//	broker := kafka.Start(t, kafka.Options{})      // stopped when the test ends
//	run := jars.Program(t.Context(), "Produce", "--bootstrap", broker.Address, "--topics", "a", "--seconds", "10")
//	result := run.Wait()
//	windows := kafka.Windows(result.Samples(), 2*time.Second)
//
// What is downloaded and compiled stays in the user's cache directory, under
// sluice; a directory there is complete, since it appears by being renamed. A
// broker takes about 400 MB, a client program 100 to 300 MB.
//
// The programs' flags and events stand at the head of java/*.java and
// python/*.py. The package works on Unix only.
package kafka
