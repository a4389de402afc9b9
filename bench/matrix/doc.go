// Package matrix compares what Sluice's rules answer with what Kafka's ACLs
// answer: every API in every version that is offered, for many sets of rules,
// request by request. The oracle is a broker with Kafka's own authorizer, on which
// each set of rules is a user with the same ACLs; beside it stands a broker on
// which the gateway may do everything, with a tenant for each set. Both hold the
// same topics, groups and transactional ids and are asked the same in the same
// order: first requests; talks, in which later requests take up a session, a member
// or a transaction; and both before and after the rules change, by a reload here and
// by other ACLs there, on the same connections. An answer must be equal, code for code, but for what no two brokers have
// in common; what differs on purpose is in a list, with its reason.
//
// The package has no code of its own beyond its tests.
package matrix
