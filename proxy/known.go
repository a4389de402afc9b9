package proxy

import (
	"time"

	"sluice/protocol"
)

// maxKnown bounds the topics that a connection remembers for each operation.
const maxKnown = 1000

// known are the topics that a connection was found to be allowed to read and to write
// under its snapshot, and that live in its slice. Each is judged once, so that what a
// request costs does not depend on how many rules its tenant has, or routes. Only what
// is allowed is in it.
type known struct {
	read, write map[string]struct{}
}

func (k *known) of(op protocol.Operation) *map[string]struct{} {
	if op == protocol.OpWrite {
		return &k.write
	}
	return &k.read
}

// mayTopic reports whether the tenant may read or write the topic of that id, or, if
// it is zero, of that name, on this connection. It counts nothing, and allocates
// nothing for a topic that it knows.
func (c *conn) mayTopic(op protocol.Operation, name []byte, id [16]byte) bool {
	if id == ([16]byte{}) {
		_, ok := (*c.known.of(op))[string(name)]
		return ok || c.getToKnow(op, string(name))
	}
	topic, ok := c.asking.CachedTopicName(id)
	if !ok {
		_ = c.in.flush() // what was passed on does not wait for the name; an error comes again with the next write
		c.in.block()
		if topic, ok = c.asking.TopicName(id); !ok {
			return false
		}
		c.in.at = time.Now()
	}
	_, ok = (*c.known.of(op))[topic]
	return ok || c.getToKnow(op, topic)
}

// getToKnow judges a topic that the connection does not know yet.
func (c *conn) getToKnow(op protocol.Operation, topic string) bool {
	if !c.judging.Allowed(op, protocol.Topic, topic) {
		return false
	}
	names := c.known.of(op)
	if *names == nil || len(*names) >= maxKnown {
		*names = map[string]struct{}{}
	}
	(*names)[topic] = struct{}{}
	return true
}
