package kafka

import (
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Secure gives a broker two further listeners. At [Broker.SASLSSLAddress] clients
// log in over TLS, with PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, whose
// tokens the broker verifies with the authority's JWKS. At [Broker.SSLAddress] they
// must show a certificate.
type Secure struct {
	// Authority issues the broker's certificate, and is the one whose certificates
	// and tokens count.
	Authority *Authority
	// Passwords are those of the users of PLAIN and SCRAM, by name.
	Passwords map[string]string
	// NameRules are ssl.principal.mapping.rules; "" is DEFAULT.
	NameRules string
	// Hosts are further names for the broker's certificate.
	Hosts []string
}

// SASLMechanisms are those of [Secure].
var SASLMechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}

// allowedURLs is the system property that lists where a JVM may read keys and
// tokens from (KIP-1139).
const allowedURLs = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="

// secureAddresses chooses ports for the two listeners.
func (b *Broker) secureAddresses() error {
	for _, to := range []*string{&b.SASLSSLAddress, &b.SSLAddress} {
		port, err := freePort()
		if err != nil {
			return err
		}
		*to = net.JoinHostPort(b.Host, strconv.Itoa(port))
	}
	return nil
}

// secure adds the two listeners to the properties.
func (b *Broker) secure(p map[string]string) {
	s := b.options.Secure
	for name, address := range map[string]string{"SASL_SSL": b.SASLSSLAddress, "SSL": b.SSLAddress} {
		p["listeners"] += "," + name + "://" + address
		p["advertised.listeners"] += "," + name + "://" + address
		p["listener.security.protocol.map"] += "," + name + ":" + name
	}
	const login = "org.apache.kafka.common.security."
	var jaas strings.Builder
	jaas.WriteString(login + "plain.PlainLoginModule required")
	for _, user := range slices.Sorted(maps.Keys(s.Passwords)) {
		fmt.Fprintf(&jaas, " user_%s=%q", user, s.Passwords[user])
	}
	maps.Copy(p, map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": b.pair.Both,
		"ssl.truststore.type": "PEM", "ssl.truststore.location": s.Authority.CAFile,
		"listener.name.ssl.ssl.client.auth":                                     "required",
		"listener.name.sasl_ssl.sasl.enabled.mechanisms":                        strings.Join(SASLMechanisms, ","),
		"listener.name.sasl_ssl.plain.sasl.jaas.config":                         jaas.String() + ";",
		"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config":                 login + "scram.ScramLoginModule required;",
		"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config":                 login + "scram.ScramLoginModule required;",
		"listener.name.sasl_ssl.oauthbearer.sasl.jaas.config":                   login + "oauthbearer.OAuthBearerLoginModule required;",
		"listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class": login + "oauthbearer.OAuthBearerValidatorCallbackHandler",
		"sasl.oauthbearer.jwks.endpoint.url":                                    "file:" + s.Authority.JWKSFile,
		"sasl.oauthbearer.expected.audience":                                    TokenAudience,
		"sasl.oauthbearer.expected.issuer":                                      TokenIssuer,
	})
	if s.NameRules != "" {
		p["ssl.principal.mapping.rules"] = s.NameRules
	}
}

// certify issues the broker's certificate.
func (b *Broker) certify(tb testing.TB) {
	tb.Helper()
	b.pair = b.options.Secure.Authority.Issue(tb, "broker-"+strconv.Itoa(int(b.NodeID)), pkix.Name{CommonName: "broker"}, b.options.Secure.Hosts...)
}

// addPasswords gives the users of PLAIN the same password with SCRAM.
func (b *Broker) addPasswords(tb testing.TB) {
	tb.Helper()
	admin := b.Admin(tb)
	for user, password := range b.options.Secure.Passwords {
		for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // Kafka takes one of a user in a request
			done, err := admin.AlterUserSCRAMs(tb.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: m, Iterations: 4096, Password: password}})
			if err == nil {
				err = done.Error()
			}
			if err != nil {
				tb.Fatalf("kafka: SCRAM users: %v", err)
			}
		}
	}
	for user := range b.options.Secure.Passwords { // until the broker knows what the controller has written
		for {
			described, err := admin.DescribeUserSCRAMs(tb.Context(), user)
			if err != nil {
				tb.Fatalf("kafka: SCRAM users: %v", err)
			}
			if len(described[user].CredInfos) == 2 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// AllowFiles lets the JVMs of tools and programs read tokens from these files.
func (j *Jars) AllowFiles(files ...string) *Jars {
	clone := *j
	urls := make([]string, len(files))
	for i, f := range files {
		urls[i] = "file:" + f
	}
	clone.JVM = append(slices.Clone(j.JVM), allowedURLs+strings.Join(urls, ","))
	return &clone
}

// SSLProperties are a Java client's for TLS, without a certificate of its own if own
// is the zero Pair.
func (a *Authority) SSLProperties(own Pair) map[string]string {
	p := map[string]string{"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.location": a.CAFile}
	if own != (Pair{}) {
		p["ssl.keystore.type"], p["ssl.keystore.location"] = "PEM", own.Both
	}
	return p
}

// SASLProperties are a Java client's for a login over TLS with a mechanism. With
// OAUTHBEARER the secret is a file with a token, which [Jars.AllowFiles] must allow;
// else it is the password.
func (a *Authority) SASLProperties(mechanism, user, secret string) map[string]string {
	p := a.SSLProperties(Pair{})
	p["security.protocol"], p["sasl.mechanism"] = "SASL_SSL", mechanism
	const login = "org.apache.kafka.common.security."
	switch mechanism {
	case "OAUTHBEARER":
		p["sasl.jaas.config"] = login + "oauthbearer.OAuthBearerLoginModule required;"
		p["sasl.login.callback.handler.class"] = login + "oauthbearer.OAuthBearerLoginCallbackHandler"
		p["sasl.oauthbearer.token.endpoint.url"] = "file:" + secret
	case "PLAIN":
		p["sasl.jaas.config"] = fmt.Sprintf("%splain.PlainLoginModule required username=%q password=%q;", login, user, secret)
	default:
		p["sasl.jaas.config"] = fmt.Sprintf("%sscram.ScramLoginModule required username=%q password=%q;", login, user, secret)
	}
	return p
}

// Props are properties as the client programs take them.
func Props(properties map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		args = append(args, "--prop", name+"="+properties[name])
	}
	return args
}
