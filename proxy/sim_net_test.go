package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// simNet is a network in memory whose time is that of a synctest bubble. Unlike
// net.Pipe it has buffers, so that a peer that does not read holds the other back
// only after a while, as TCP does.
type simNet struct {
	mu        sync.Mutex
	listeners map[string]*simListener
	ports     int
	open      map[*simConn]bool // ends that nobody has closed
}

func newSimNet() *simNet {
	return &simNet{listeners: map[string]*simListener{}, open: map[*simConn]bool{}}
}

// simLine is what lies between two ends.
type simLine struct {
	latency time.Duration
	rate    float64 // bytes per second and direction; 0 has no bound
	buffer  int     // bytes per direction that are on the way or not read
}

type simAddr string

func (simAddr) Network() string  { return "tcp" }
func (a simAddr) String() string { return string(a) }

// simListener is one listening port.
type simListener struct {
	net     *simNet
	addr    string
	backlog chan *simConn
	once    sync.Once
	done    chan struct{}
	refuse  bool // guarded by simNet.mu: connections are refused
}

func (n *simNet) Listen(_, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: simAddr(address), Err: syscall.EADDRINUSE}
	}
	l := &simListener{net: n, addr: address, backlog: make(chan *simConn, 128), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

func (l *simListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *simListener) Addr() net.Addr { return simAddr(l.addr) }

func (l *simListener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr)
		close(l.done)
		l.net.mu.Unlock()
		for {
			select {
			case c := <-l.backlog:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// dial connects to an address; who names the host that dials.
func (n *simNet) dial(ctx context.Context, who, address string, line simLine) (*simConn, error) {
	timer := time.NewTimer(2 * line.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[address]
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: simAddr(address), Err: syscall.ECONNREFUSED}
	if l == nil || l.refuse {
		return nil, refused
	}
	n.ports++
	there, back := newSimPipe(line), newSimPipe(line)
	local := simAddr(net.JoinHostPort(who, itoa(20000+n.ports)))
	c := &simConn{net: n, in: back, out: there, local: local, remote: simAddr(address)}
	s := &simConn{net: n, in: there, out: back, local: simAddr(address), remote: local}
	select {
	case l.backlog <- s:
	default:
		return nil, refused
	}
	n.open[c], n.open[s] = true, true
	return c, nil
}

// setRefuse makes an address refuse connections, or take them again.
func (n *simNet) setRefuse(address string, refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.listeners[address]; l != nil {
		l.refuse = refuse
	}
}

// left names the ends that nobody has closed.
func (n *simNet) left() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		all = append(all, string(c.local+" of the connection to "+c.remote))
	}
	return all
}

// simPipe is one direction of a connection.
type simPipe struct {
	line simLine

	mu       sync.Mutex
	segments []simSegment // in the order of their arrival
	size     int          // bytes of all segments
	free     time.Time    // when the line has sent all that was written
	finished bool         // the writer has closed its side
	deaf     bool         // the reader has closed its side
	broken   error        // a reset
	read     time.Time    // deadlines; zero for none
	write    time.Time
	changed  chan struct{} // closed and made anew with each change
}

type simSegment struct {
	at   time.Time // of its arrival
	data []byte
}

func newSimPipe(line simLine) *simPipe {
	return &simPipe{line: line, changed: make(chan struct{})}
}

// change does something to the pipe and wakes all who wait at it.
func (p *simPipe) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	p.wake()
}

func (p *simPipe) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait lets go of the lock until something changes, or a time comes (zero: never).
func (p *simPipe) wait(until ...time.Time) {
	changed := p.changed
	p.mu.Unlock()
	defer p.mu.Lock()
	var first time.Time
	for _, t := range until {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if first.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

// get reads what has arrived.
func (p *simPipe) get(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.deaf:
			return 0, net.ErrClosed
		case p.broken != nil:
			return 0, p.broken
		case passed(p.read):
			return 0, os.ErrDeadlineExceeded
		}
		now := time.Now()
		for len(p.segments) > 0 && n < len(b) && !p.segments[0].at.After(now) {
			s := &p.segments[0]
			m := copy(b[n:], s.data)
			n += m
			if s.data = s.data[m:]; len(s.data) == 0 {
				p.segments = p.segments[1:]
			}
		}
		if n > 0 {
			p.size -= n
			p.wake()
			return n, nil
		}
		if len(p.segments) > 0 {
			p.wait(p.segments[0].at, p.read)
			continue
		}
		if p.finished {
			return 0, io.EOF
		}
		p.wait(p.read)
	}
}

// put writes, waiting for room.
func (p *simPipe) put(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n < len(b) {
		switch {
		case p.finished:
			return n, net.ErrClosed
		case p.broken != nil:
			return n, p.broken
		case p.deaf:
			return n, syscall.EPIPE
		case passed(p.write):
			return n, os.ErrDeadlineExceeded
		}
		room := min(len(b)-n, p.line.buffer-p.size)
		if room < min(len(b)-n, p.line.buffer/4) { // small pieces would become ever smaller
			p.wait(p.write)
			continue
		}
		at := time.Now()
		if p.free.After(at) {
			at = p.free
		}
		if p.line.rate > 0 {
			at = at.Add(time.Duration(float64(room) / p.line.rate * float64(time.Second)))
		}
		p.free = at
		p.segments = append(p.segments, simSegment{at.Add(p.line.latency), append([]byte(nil), b[n:n+room]...)})
		p.size += room
		n += room
		p.wake()
	}
	return n, nil
}

// simConn is one end of a connection.
type simConn struct {
	net           *simNet
	in, out       *simPipe
	local, remote simAddr
	tap           func([]byte) // sees what is written, when writing begins; nil for none
}

var _ net.Conn = (*simConn)(nil)

func (c *simConn) Read(b []byte) (int, error) {
	n, err := c.in.get(b)
	return n, c.op("read", err)
}

func (c *simConn) Write(b []byte) (int, error) {
	if c.tap != nil {
		c.tap(b)
	}
	n, err := c.out.put(b)
	return n, c.op("write", err)
}

func (c *simConn) op(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// CloseWrite closes one direction: the peer reads io.EOF behind what was written.
func (c *simConn) CloseWrite() error {
	c.out.change(func() { c.out.finished = true })
	return nil
}

func (c *simConn) Close() error {
	c.net.mu.Lock()
	delete(c.net.open, c)
	c.net.mu.Unlock()
	c.out.change(func() { c.out.finished = true })
	c.in.change(func() { c.in.deaf, c.in.segments, c.in.size = true, nil, 0 })
	return nil
}

// reset closes the connection so that the peer loses what is on the way.
func (c *simConn) reset() {
	c.out.change(func() { c.out.broken, c.out.segments = syscall.ECONNRESET, nil })
	c.in.change(func() { c.in.broken, c.in.segments = syscall.ECONNRESET, nil })
	_ = c.Close()
}

func (c *simConn) LocalAddr() net.Addr  { return c.local }
func (c *simConn) RemoteAddr() net.Addr { return c.remote }

func (c *simConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *simConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.read = t })
	return nil
}

func (c *simConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.write = t })
	return nil
}
