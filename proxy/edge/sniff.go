package edge

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Speech is what somebody speaks, by the first bytes.
type Speech int

// What the first bytes may be.
const (
	Unclear     Speech = iota // too few bytes
	TLS                       // a ClientHello
	TLSAlert                  // what a TLS client says that has given up
	Kafka                     // a frame with a request of Kafka
	HTTP                      // a request of HTTP
	ProxyHeader               // a header of the PROXY protocol
	Noise                     // none of them
)

// String names it for a log.
func (s Speech) String() string {
	switch s {
	case TLS:
		return "TLS"
	case TLSAlert:
		return "a TLS alert"
	case Kafka:
		return "Kafka without TLS"
	case HTTP:
		return "HTTP"
	case ProxyHeader:
		return "the PROXY protocol"
	case Unclear:
		return "too little to tell"
	default:
		return "neither Kafka nor TLS"
	}
}

// SniffBytes is how many bytes are enough for [Sniff].
const SniffBytes = 6

// What a frame of Kafka may begin with. The largest frame that a gateway can be set
// to is 1 GiB, TLS begins like one of 352 MiB or more, text like one of 512 MiB: both
// are looked for first.
const (
	maxSniffedFrame = 1 << 30
	minSniffedFrame = 8 // key, version, correlation id
	maxSniffedKey   = 127
)

var methods = []string{"GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "CONN", "PATC", "TRAC", "PRI "}

// Sniff tells what begins with these bytes.
func Sniff(first []byte) Speech {
	switch {
	case len(first) >= 3 && first[1] == 3 && first[2] <= 4 && first[0] == 0x16:
		return TLS
	case len(first) >= 3 && first[1] == 3 && first[2] <= 4 && first[0] == 0x15:
		return TLSAlert
	case len(first) >= 5 && bytes.HasPrefix(first, []byte("PROXY")), len(first) >= 4 && bytes.HasPrefix(first, []byte(proxyV2[:4])):
		return ProxyHeader
	}
	if len(first) < 4 {
		return Unclear
	}
	for _, m := range methods {
		if string(first[:4]) == m {
			return HTTP
		}
	}
	if size := binary.BigEndian.Uint32(first); size < minSniffedFrame || size > maxSniffedFrame {
		return Noise
	}
	switch {
	case len(first) < SniffBytes:
		return Unclear
	case first[4] != 0 || first[5] > maxSniffedKey:
		return Noise
	}
	return Kafka
}

// ExplainHandshake says why a handshake with a client failed, so that whoever reads
// the log knows what to do.
func ExplainHandshake(err error) string {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &record):
		switch speech := Sniff(record.RecordHeader[:]); speech {
		case Kafka, Unclear:
			return "the client speaks Kafka without TLS on a TLS port: set security.protocol to SSL or SASL_SSL"
		case ProxyHeader:
			return "the client sends a header of the PROXY protocol: list the balancer in proxy_protocol"
		default:
			return fmt.Sprintf("the client speaks %s on a TLS port", speech)
		}
	case errors.As(err, &verify):
		return fmt.Sprintf("the client's certificate is not good: %v", verify.Err)
	case errors.Is(err, io.EOF):
		return "the client went away during the TLS handshake: it may not trust the gateway's certificate"
	}
	return err.Error()
}

// ExplainBroker says why a handshake with a broker failed.
func ExplainBroker(err error) string {
	var record tls.RecordHeaderError
	if errors.As(err, &record) || errors.Is(err, io.EOF) {
		return "the broker does not answer with TLS: its listener may be a plain one"
	}
	return err.Error()
}
