// Package slice is one real Kafka cluster as the gateway knows it: which brokers
// it has and where they listen, which topics and topic ids, which API versions,
// whether it can be reached, and how to open a connection to one of its brokers.
//
// Each [Slice] has a client of its own (franz-go) that asks for Metadata and
// ApiVersions in the background. What it learns is kept in immutable snapshots
// behind atomic pointers, so a lookup takes no lock and waits for nobody. An
// unknown topic id or node is worth one refresh, shared by all who wait for one;
// then the caller gets the honest answer.
//
// Its brokers may ask for TLS, a certificate and a login ([Security]): packages edge
// and login know how, this one when. Data connections log in with [Slice.Login]; their
// owner renews the [Session], because only it knows when nothing else is being sent.
//
// Over the same client it asks what clients ask of several slices at once
// ([Slice.Request]), each in the client's own version and only once.
//
// Of itself, a cluster is never asked in parallel: one goroutine does all refreshing, at
// most once a second on behalf of unknown ids and nodes, and less and less often
// while the cluster does not answer.
package slice
