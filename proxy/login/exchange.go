package login

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Versions of the two requests. Brokers have both since Kafka 1.0 (KIP-152), and
// tell the session's lifetime since 2.2 (KIP-368): see [Exchange.Version].
const (
	handshakeVersion = 1
	maxVersion       = 1
)

// maxAnswer bounds a broker's answer, in bytes.
const maxAnswer = 512 << 10

// firstCorrelation is what the correlation ids of the exchange begin with: as with
// Kafka's Java client (SaslClientAuthenticator.MIN_RESERVED_CORRELATION_ID), they
// are apart from those of other requests.
const firstCorrelation = 1<<31 - 8

// ErrRefused means that the broker has refused the login, so that trying again with
// the same secret is of no use.
var ErrRefused = errors.New("the broker refuses the login")

// Exchange is one login over one connection, as bytes: it makes requests and reads
// their answers, in turn. What is dialled anew lets [Login.Do] carry it; on a
// connection in use, its owner sends each request when it may be sent, and hands
// back the answer that belongs to it.
type Exchange struct {
	login    *Login
	clientID string
	host     string
	// Version is that of SaslAuthenticate: 1, or 0 for brokers before 2.2.
	version int16

	session     sasl.Session
	correlation int32
	over        bool
	lifetime    time.Duration
}

// Begin begins an exchange. The host is the broker's host and port; the client ID is
// for the requests' headers; version is the broker's maximum of SaslAuthenticate.
func (l *Login) Begin(host, clientID string, version int16) *Exchange {
	return &Exchange{login: l, host: host, clientID: clientID, version: max(0, min(version, maxVersion)), correlation: firstCorrelation}
}

// First is the first request: a whole frame of SaslHandshake with its length.
func (e *Exchange) First() []byte {
	r := kmsg.NewPtrSASLHandshakeRequest()
	r.Version, r.Mechanism = handshakeVersion, e.login.mechanism.Name()
	return e.frame(r)
}

// Next takes the answer to the request before, from its correlation id on, and
// returns the next request; nil when the login is complete. Secrets are read at the
// first call; ctx bounds that, where a token is fetched.
func (e *Exchange) Next(ctx context.Context, answer []byte) (request []byte, err error) {
	if e.over {
		return nil, errors.New("login: the exchange is over")
	}
	if len(answer) < 4 || int32(binary.BigEndian.Uint32(answer)) != e.correlation-1 {
		return nil, errors.New("login: the answer is to another request")
	}
	if e.session == nil {
		return e.begin(ctx, answer[4:])
	}
	r := kmsg.NewPtrSASLAuthenticateResponse()
	if r.Version = e.version; r.ReadFrom(answer[4:]) != nil {
		return nil, errors.New("login: the broker's answer to SaslAuthenticate cannot be read")
	}
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, refused(err, r.ErrorMessage)
	}
	done, token, err := e.session.Challenge(r.SASLAuthBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if len(token) > 0 || !done {
		return e.authenticate(token), nil
	}
	e.over, e.lifetime = true, time.Duration(max(0, r.SessionLifetimeMillis))*time.Millisecond
	return nil, nil
}

// begin takes the answer to the handshake.
func (e *Exchange) begin(ctx context.Context, answer []byte) ([]byte, error) {
	r := kmsg.NewPtrSASLHandshakeResponse()
	if r.Version = handshakeVersion; r.ReadFrom(answer) != nil {
		return nil, errors.New("login: the broker's answer to SaslHandshake cannot be read")
	}
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		if len(r.SupportedMechanisms) > 0 {
			return nil, fmt.Errorf("%w with %s: %w; it takes %q", ErrRefused, e.login.mechanism.Name(), err, r.SupportedMechanisms)
		}
		return nil, refused(err, nil)
	}
	session, token, err := e.login.mechanism.Authenticate(ctx, e.host)
	if err != nil {
		return nil, err
	}
	e.session = session
	return e.authenticate(token), nil
}

func refused(err error, message *string) error {
	if message != nil && *message != "" {
		return fmt.Errorf("%w: %w: %s", ErrRefused, err, *message)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

func (e *Exchange) authenticate(token []byte) []byte {
	r := kmsg.NewPtrSASLAuthenticateRequest()
	r.Version, r.SASLAuthBytes = e.version, token
	return e.frame(r)
}

func (e *Exchange) frame(r kmsg.Request) []byte {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(e.clientID))
	frame := formatter.AppendRequest(nil, r, e.correlation)
	e.correlation++
	return frame
}

// Lifetime is how long the session lasts, once the login is complete; 0: for ever.
func (e *Exchange) Lifetime() time.Duration { return e.lifetime }

// RenewAfter is when to begin the next login, from when this one was complete: at 85
// to 95 % of the session (KIP-368), by chance as with Kafka's clients; false if the
// session lasts for ever. The chance is between 0 and 1.
func (e *Exchange) RenewAfter(chance float64) (time.Duration, bool) {
	if e.lifetime <= 0 {
		return 0, false
	}
	return time.Duration(float64(e.lifetime) * (0.85 + 0.1*min(max(chance, 0), 1))), true
}

// Do logs in over a connection that has just been dialled and carries nothing else
// yet. It ends with ctx; the connection is then of no use.
func (e *Exchange) Do(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := e.do(ctx, conn)
	switch {
	case !stop():
		return fmt.Errorf("login: %w", ctx.Err())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("login: the broker closed the connection: its listener may not be one with SASL: %w", err)
	}
	return err
}

func (e *Exchange) do(ctx context.Context, conn net.Conn) error {
	for request := e.First(); request != nil; {
		if _, err := conn.Write(request); err != nil {
			return fmt.Errorf("login: %w", err)
		}
		answer, err := readFrame(conn)
		if err != nil {
			return fmt.Errorf("login: %w", err)
		}
		if request, err = e.Next(ctx, answer); err != nil {
			return err
		}
	}
	return nil
}

// readFrame reads one frame, and not one byte more.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes: the broker does not speak Kafka, or speaks TLS", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}
