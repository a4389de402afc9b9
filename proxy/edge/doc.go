// Package edge is what stands between a TCP connection and Kafka's frames: TLS
// towards clients and towards brokers, with certificates that change while
// connections go on, the PROXY protocol, and telling by the first bytes what it is
// that somebody speaks.
//
// It opens no socket and keeps no connection. Who a certificate names is found out
// in package auth, which host name is which broker in package policy.
package edge
