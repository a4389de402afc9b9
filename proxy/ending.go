package proxy

import (
	"errors"
	"os"
	"time"
)

// How a connection ends: who may end it, from where, and what is told and given back.

// kill ends the connection from another goroutine; the reason is told once by serve.
func (c *conn) kill(why *closing) {
	c.ending.CompareAndSwap(nil, why)
	c.cancel()
	c.pairs.giveUp()
	_ = c.client.SetDeadline(time.Unix(1, 0)) // wakes serve, which then closes
	c.in.wake()
}

// killed is why another goroutine has ended the connection; nil if none has.
func (c *conn) killed() error {
	if why := c.ending.Load(); why != nil {
		return why
	}
	return nil
}

// drain ends the connection once it is between two requests.
func (c *conn) drain() {
	if phase := c.watch.phase.Load(); phase == phaseIdle || phase == phaseFirst {
		_ = c.client.SetReadDeadline(time.Unix(1, 0))
		c.in.wake()
	}
}

// end says why a connection ends, and holds it open a moment where closing at
// once would only make the client come back at once.
func (c *conn) end(err error) {
	if errors.Is(err, errBeyondBuffer) {
		err = malformed("a request", err)
	}
	_ = c.in.flush() // what was passed on before is not lost
	var why *closing
	if own := c.ending.Load(); own != nil {
		why = own
	} else if c.gw.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		why = errDraining // drain woke a read that had just begun
	} else if !errors.As(err, &why) {
		return // the client closed it, or the broker did
	}
	if why == errDraining || why == errMoved {
		c.finish()
	}
	c.gw.tell(c, why)
	c.hold(why)
}

// close ends both sides. It is called by serve alone, at its end.
func (c *conn) close() {
	c.closed.Do(func() {
		if l := c.in.loop; l != nil {
			defer c.gw.running.Done()
			l.remove(&c.in.half)
			if c.up != nil {
				l.remove(&c.up.half)
			}
		}
		c.cancel()
		_ = c.client.Close()
		if c.up != nil {
			_ = c.up.conn.Close()
		}
		for _, p := range c.pairs.close() {
			c.abandon(p)
		}
		c.leave()
		c.in.release()
		c.gw.forget(c)
	})
}

// abandon settles a request that will never be answered.
func (c *conn) abandon(p *pending) {
	p.settle(time.Now(), 0)
	if p.local == nil && p.standing != nil && p.counters != nil {
		p.counters.count(p.api, outcomeError)
	}
}
