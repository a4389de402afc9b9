package proxy

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

// maxRefusedPartitions bounds the partitions that the refusal of one Produce
// names; what sends more in one request is no client.
const maxRefusedPartitions = 100_000

// produce is the life of a Produce request, which streams: its record bytes go
// from one socket to the other and are never looked at. It is read as far as its
// last topic's name, since then it is known whether all of it may pass; for one
// topic that is the first few bytes.
func (c *conn) produce(h *protocol.Header, api *protocol.API) error {
	size := 4 + int(h.Size)
	w := &c.walk
	w.Reset(h.Version, size-h.Body)
	pos, err := c.walkTo(h.Body, protocol.ProduceHead)
	if err != nil {
		return err
	}
	may := true
	switch {
	case c.unjudged():
	case w.Topics > 1 && size > wireBuffer:
		return c.produceMany(h, api, pos)
	default:
		for range w.Topics {
			if pos, err = c.walkTo(pos, protocol.ProduceTopic); err != nil {
				return err
			}
			may = c.mayProduce() && may
		}
	}
	switch {
	case may:
	case w.Topics == 1:
		c.in.use(pos)
		return c.refuseProduce(h, api)
	default:
		f, err := c.readFrame(h)
		if err != nil {
			return err
		}
		defer f.release()
		return c.producePart(h, api, f.bytes)
	}
	c.refusals = 0
	w.TopicName = nil // it keeps the read buffer, which others use next
	c.query = query{header: *h, api: api}
	charged, err := c.sendProduce(c.pending(&c.query), size)
	if err != nil {
		return err
	}
	c.passing, c.charged = size, charged
	return c.pass()
}

// pass passes on what the Produce being served still lacks, as it comes.
func (c *conn) pass() (err error) {
	if c.passing, err = c.in.pour(c.passing); errors.Is(err, errParked) {
		return err
	}
	return c.sent(c.charged, c.passing, err)
}

// walkTo walks on from pos in the read buffer, which holds the frame from its
// length on, to an event. What it walks stays in the buffer.
func (c *conn) walkTo(pos int, until protocol.ProduceEvent) (int, error) {
	for {
		b := c.in.buffered()
		n, ev, err := c.walk.Next(b[min(pos, len(b)):])
		if err != nil {
			return pos, malformed("Produce", err)
		}
		pos += n
		switch ev {
		case until, protocol.ProduceDone:
			return pos, nil
		case protocol.ProduceMore:
			if _, err := c.in.peek(len(b) + 1); err != nil {
				return pos, err
			}
		default: // on the way
		}
	}
}

// mayProduce reports whether the topic at which the walk stands may be written to.
// What it denies is counted by whoever refuses it.
func (c *conn) mayProduce() bool {
	w := &c.walk
	may := c.mayTopic(protocol.OpWrite, w.TopicName, w.TopicID)
	if w.HasTransactionalID && !c.judging.Allowed(protocol.OpWrite, protocol.TransactionalID, w.TransactionalID) {
		may = false
	}
	if may || !c.tenant.Observe {
		return may
	}
	name, known := string(w.TopicName), true
	if w.TopicID != [16]byte{} {
		name, known = c.asking.CachedTopicName(w.TopicID)
	}
	if known {
		c.asking.Allowed(protocol.OpWrite, protocol.Topic, name)
	}
	if w.HasTransactionalID {
		c.asking.Allowed(protocol.OpWrite, protocol.TransactionalID, w.TransactionalID)
	}
	return c.guard == nil || known && c.guard.Allowed(protocol.OpWrite, protocol.Topic, name) &&
		(!w.HasTransactionalID || c.guard.Allowed(protocol.OpWrite, protocol.TransactionalID, w.TransactionalID))
}

// produceMany holds a Produce of several topics until its last name has been seen,
// and no longer unless something in it is refused.
func (c *conn) produceMany(h *protocol.Header, api *protocol.API, pos int) error {
	size := 4 + int(h.Size)
	free, err := c.reserve(c.gw.budget.frames, int64(size))
	if err != nil {
		return err
	}
	defer free()
	held, may := make([]byte, 0, min(size, wireBuffer)), true
	for seen := 0; seen < c.walk.Topics; {
		n, ev, err := c.walk.Next(held[min(pos, len(held)):])
		if err != nil {
			return malformed("Produce", err)
		}
		pos += n
		switch ev {
		case protocol.ProduceTopic:
			seen++
			may = c.mayProduce() && may
		case protocol.ProduceMore:
			if held, err = c.in.more(held, size); err != nil {
				return err
			}
		case protocol.ProduceDone:
			seen = c.walk.Topics
		default: // on the way
		}
	}
	if !may {
		return c.producePart(h, api, held)
	}
	c.refusals = 0
	charged, err := c.sendProduce(c.pending(&query{header: *h, api: api}), size)
	if err != nil {
		return err
	}
	left := size - len(held)
	if err = c.in.write(held); err == nil {
		left, err = c.in.relay(left)
	}
	return c.sent(charged, left, err)
}

// producePart cuts what is refused out of a Produce of which held is the
// beginning, and sends the rest.
func (c *conn) producePart(h *protocol.Header, api *protocol.API, held []byte) error {
	for size := 4 + int(h.Size); len(held) < size; {
		var err error
		if held, err = c.in.more(held, size); err != nil {
			return err
		}
	}
	c.watch.whole()
	q := &query{header: *h, api: api, frame: frame{bytes: held}}
	req, err := c.decode(q)
	if err != nil {
		return err
	}
	q.req = req
	c.split(q)
	if c.walk.Acks == 0 && q.refused != nil {
		return c.unheard()
	}
	if q.local {
		return c.refuse(q)
	}
	c.refusals = 0
	out := protocol.AppendRequest(make([]byte, 0, len(held)), h, req)
	charged, err := c.sendProduce(c.pending(q), len(out))
	if err != nil {
		return err
	}
	return c.sent(charged, 0, c.in.write(out))
}

// refuseProduce reads a Produce whose one topic is refused to its end, without
// keeping its records, and answers for every partition.
func (c *conn) refuseProduce(h *protocol.Header, api *protocol.API) error {
	req, err := c.drainProduce(h)
	if err != nil {
		return err
	}
	q := &query{header: *h, api: api, req: req}
	c.split(q)
	switch {
	case c.walk.Acks == 0:
		return c.unheard()
	case q.refused == nil:
		// Its id got a name meanwhile, but its records are gone: the client sends it again.
		return &closing{reason: reasonAppeared, brief: true, text: "a topic id became known while its Produce was being refused"}
	}
	q.local = true
	return c.refuse(q)
}

// drainProduce reads the rest of a Produce away, from where the walk stands, and
// returns the request without its records.
func (c *conn) drainProduce(h *protocol.Header) (*kmsg.ProduceRequest, error) {
	w := &c.walk
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = h.Version, w.Acks, w.TimeoutMillis
	if w.HasTransactionalID {
		req.TransactionID = kmsg.StringPtr(w.TransactionalID)
	}
	topic := func() {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = string(w.TopicName), w.TopicID
		req.Topics = append(req.Topics, t)
	}
	if w.TopicName != nil || w.TopicID != [16]byte{} {
		topic()
	}
	partitions := 0
	for {
		b := c.in.buffered()
		n, ev, err := w.Next(b)
		if err != nil {
			return nil, malformed("Produce", err)
		}
		switch ev {
		case protocol.ProduceHead:
			req.Acks, req.TimeoutMillis = w.Acks, w.TimeoutMillis
			if w.HasTransactionalID {
				req.TransactionID = kmsg.StringPtr(w.TransactionalID)
			}
		case protocol.ProduceTopic:
			topic()
		case protocol.ProducePartition:
			if partitions++; partitions > maxRefusedPartitions {
				return nil, &closing{reason: reasonMalformed, hold: true, text: "a Produce that is refused names too many partitions"}
			}
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = w.Partition
			t := &req.Topics[len(req.Topics)-1]
			t.Partitions = append(t.Partitions, p)
		case protocol.ProduceMore:
			c.in.use(n)
			if _, err := c.in.peek(len(c.in.buffered()) + 1); err != nil {
				return nil, err
			}
			continue
		case protocol.ProduceDone:
			c.in.use(n)
			c.watch.whole()
			return req, nil
		}
		c.in.use(n)
	}
}

// sendProduce charges a Produce of size bytes, waits for its turn, and puts it
// among the requests that wait for an answer. The caller then writes it, and says
// with [conn.sent] what became of the bytes that were charged.
func (c *conn) sendProduce(p *pending, size int) (charged int, err error) {
	var t turns
	if c.account.Limited(limitRequests) {
		c.take(&t, limitRequests, 1, c.in.at)
		p.announces(limitRequests)
	}
	if c.account.Limited(limitIn) {
		c.take(&t, limitIn, float64(size), c.in.at)
		p.announces(limitIn)
		charged = size
	}
	heard := c.walk.Acks != 0
	p.waited = t.wait
	err = c.await(t, c.gw.settings.MaxThrottle, heard)
	if err == nil {
		err = c.connect()
	}
	if err != nil { // no broker gets it
		return 0, c.sent(charged, size, err)
	}
	c.counters.in.Add(float64(size))
	if !heard {
		c.counters.count(p.api, outcomeOK)
		return charged, nil
	}
	p.sent = c.in.at
	return charged, c.push(p)
}

// sent gives back what a Produce was charged for the bytes that no broker got: left of
// them were not passed on. What an unwritten error speaks of may be in part of requests
// before it, which get nothing back.
func (c *conn) sent(charged, left int, err error) error {
	if err == nil && left == 0 {
		return nil
	}
	var unsent *unwritten
	if errors.As(err, &unsent) {
		left += unsent.left
	}
	if left = min(left, charged); left > 0 {
		c.account.Settle(time.Now(), limitIn, float64(charged), float64(charged-left))
	}
	return err
}
