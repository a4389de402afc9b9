package proxy

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"sluice/proxy/slice"
)

// Where brokers ask for a login, the gateway logs in over each connection that it
// dials, and again before its session ends (KIP-368), as Kafka's own clients do: right
// before a request that comes late in the session. A connection that idles past the
// end of its session is renewed with its next request too, which brokers allow.

// login is the first one, before anything else is sent. Where clients log in at the
// broker themselves, there is none.
func (c *conn) login(up net.Conn) (*slice.Session, error) {
	if with := c.entrance.sasl; with != nil && with.Passthrough {
		return nil, nil
	}
	session, logged, err := c.slice.Login(c.ctx, up, rand.Float64())
	if logged || err != nil {
		c.countLogin(c.slice, err)
	}
	return session, err
}

func (c *conn) countLogin(s *slice.Slice, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	c.gw.metrics.brokerLogins.WithLabelValues(s.Name(), outcome).Inc()
}

// renew logs in again over a connection in use. Its requests take their place among
// the client's, none of which may be sent meanwhile; answers to those before it pass
// as ever.
func (c *conn) renew() error {
	if err := c.ours(); err != nil {
		return err
	}
	defer c.theirs()
	exchange, answers := c.session.Begin(), make(chan []byte, 1)
	request, err := exchange.First(), error(nil)
	for request != nil {
		var answer []byte
		if answer, err = c.askOwn(request, answers); err == nil {
			request, err = exchange.Next(c.ctx, answer)
		}
		if errors.Is(err, errPairsClosed) {
			return err
		}
		if err != nil {
			c.countLogin(c.upTo, err)
			return &closing{reason: reasonBrokerLogin, brief: true, text: "the login could not be renewed: " + c.session.Failed(c.ctx, err).Error()}
		}
	}
	c.session.Renewed(exchange, rand.Float64())
	c.countLogin(c.upTo, nil)
	return nil
}

// askOwn sends a request of the gateway's own and waits for its answer, from its
// correlation id on. Requests before it may take as long as they like.
func (c *conn) askOwn(request []byte, answers chan []byte) ([]byte, error) {
	p := &pending{correlation: int32(binary.BigEndian.Uint32(request[8:])), own: answers}
	if err := c.pairs.push(p, c.answerFromServe); err != nil {
		return nil, err
	}
	if err := c.in.write(request); err != nil {
		return nil, err
	}
	tick := time.NewTicker(dialTimeout)
	defer tick.Stop()
	for asked := false; ; {
		select {
		case answer := <-answers:
			return answer, nil
		case <-c.ctx.Done():
			return nil, errPairsClosed
		case <-tick.C:
			switch first := c.pairs.first(p); {
			case asked && first:
				return nil, errors.New("the broker does not answer within " + dialTimeout.String())
			case first:
				asked = true
			}
		}
	}
}

// maxOwnAnswer bounds an answer to a request of the gateway's own.
const maxOwnAnswer = wireBuffer

// ownAnswer hands the answer to the request at the head to whoever asked.
func (c *conn) ownAnswer(p *pending, size int) error {
	if size > maxOwnAnswer {
		return &closing{reason: reasonBrokerAnswer, text: "the broker's answer to a login has " + itoa(size) + " bytes"}
	}
	p.own <- append([]byte(nil), c.up.buffered()[4:size]...)
	c.up.use(size)
	_, err := c.pairs.pop(c.up.flush, c.answerFromAnswers)
	return err
}
