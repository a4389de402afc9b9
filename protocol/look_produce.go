package protocol

// throttleOfPlain walks the body of the answer to a Produce, and says where its
// throttle_time_ms stands, which version 0 has not; not ok if it is not plain.
func throttleOfPlain(body []byte, version int16) (throttle int, ok bool) {
	flexible := version >= 9
	partition := 4 + 2 + 8 // index, error code, base offset
	if version >= 2 {
		partition += 8 // log append time
	}
	if version >= 5 {
		partition += 8 // log start offset
	}
	c := cursor{b: body}
	untagged := func() {
		if flexible && c.uvarint() != 0 {
			c.fail("tags")
		}
	}
	for topics := c.count(flexible, 2, len(body)); topics > 0 && !c.stopped(); topics-- {
		if version >= produceByID {
			c.take(16)
		} else {
			c.string(flexible)
		}
		for n := c.count(flexible, partition, len(body)); n > 0 && !c.stopped(); n-- {
			c.take(partition)
			if version >= 8 {
				if c.count(flexible, 1, len(body)) > 0 {
					c.fail("errors of records")
				}
				c.nullableString(flexible)
			}
			untagged()
		}
		untagged()
	}
	throttle = c.at
	if version >= 1 {
		c.take(4)
	}
	untagged()
	return throttle, !c.stopped() && c.at == len(body)
}

// plainProduce reports whether the answer to a Produce, a whole frame, says nothing
// about brokers (KIP-951), as nearly all do: it may then pass as it came. If so,
// and ms is above 0, its throttle_time_ms is raised to that. Answers with errors of
// single records are not plain.
func plainProduce(frame []byte, version int16, ms int32) bool {
	at := lengthBytes + ResponseHeaderSize(KeyProduce, version)
	if len(frame) < at || FlexibleResponse(KeyProduce, version) && frame[at-1] != 0 {
		return false
	}
	throttle, ok := throttleOfPlain(frame[at:], version)
	if !ok {
		return false
	}
	if version >= 1 {
		raise(frame[at+throttle:], ms)
	}
	return true
}
