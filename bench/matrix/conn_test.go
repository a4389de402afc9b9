package matrix

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTimeout is longer than the gateway holds what it refuses.
const answerTimeout = 6 * time.Second

var errClosed = errors.New("the connection was closed")

// conn speaks Kafka without a client's manners: it sends what it is told in the
// version that it is told. It dials again after it was closed.
type conn struct {
	address, clientID string
	user              string // logs in with SASL PLAIN, unless empty
	raw               net.Conn
	correlation       int32
}

func (c *conn) close() {
	if c.raw != nil {
		_ = c.raw.Close()
		c.raw = nil
	}
}

// dial connects, and logs in.
func (c *conn) dial(ctx context.Context) error {
	if c.raw != nil {
		return nil
	}
	raw, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.raw = raw
	if c.user == "" {
		return nil
	}
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, "PLAIN"
	if _, err := c.ask(ctx, shake); err != nil {
		return err
	}
	login := kmsg.NewPtrSASLAuthenticateRequest()
	login.Version, login.SASLAuthBytes = 1, []byte("\x00"+c.user+"\x00"+c.user)
	resp, err := c.ask(ctx, login)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.SASLAuthenticateResponse).ErrorCode; code != 0 {
		return fmt.Errorf("login of %s: error %d", c.user, code)
	}
	return nil
}

// ask sends a request and waits for its answer; errClosed if there was none.
func (c *conn) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if err := c.send(ctx, req); err != nil {
		return nil, err
	}
	return c.receive(req)
}

func (c *conn) send(ctx context.Context, req kmsg.Request) error {
	if err := c.dial(ctx); err != nil {
		return err
	}
	c.correlation++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.clientID)).AppendRequest(nil, req, c.correlation)
	return c.write(frame)
}

func (c *conn) write(frame []byte) error {
	if _, err := c.raw.Write(frame); err != nil {
		c.close()
		return errClosed
	}
	return nil
}

// receive reads the answer to a request that was sent.
func (c *conn) receive(req kmsg.Request) (kmsg.Response, error) {
	body, err := c.frame()
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	body = body[4:] // correlation id
	if resp.IsFlexible() && resp.Key() != apiVersionsKey {
		body = body[1:] // no tags
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s v%d: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp, nil
}

const apiVersionsKey = 18

// frame reads one frame, without its length.
func (c *conn) frame() ([]byte, error) {
	_ = c.raw.SetReadDeadline(time.Now().Add(answerTimeout))
	var size [4]byte
	if _, err := io.ReadFull(c.raw, size[:]); err != nil {
		c.close()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, err
		}
		return nil, errClosed
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.raw, body); err != nil {
		c.close()
		return nil, err
	}
	return body, nil
}

// pass sends what nobody is denied, so that answers that come more and more
// slowly come at once again.
func (c *conn) pass(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 4, []kmsg.MetadataRequestTopic{}
	_, err := c.ask(ctx, req)
	return err
}

// versions is what ApiVersions offers: highest and lowest version by key.
func (c *conn) versions(ctx context.Context) (map[int16][2]int16, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 2
	resp, err := c.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	offered := map[int16][2]int16{}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		offered[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return offered, nil
}
