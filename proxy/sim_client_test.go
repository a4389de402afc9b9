package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/protocol"
)

const simBootstrap = "127.0.0.1:9092"

// simActor is one program with one client ID and at most one connection to a
// broker at a time.
type simActor struct {
	s        *sim
	clientID string
	rng      *rand.Rand
	line     simLine
	lenient  bool        // its connections may end without a fault
	patient  bool        // no answer is late for it
	at       *simCluster // that it has come to
}

// simLink is a client's connection, written by its actor and read by a goroutine.
type simLink struct {
	*simActor
	conn    *simConn
	cluster *simCluster   // that it leads to; nil for a stranger's
	dead    chan struct{} // closed when nothing is read any more

	mu       sync.Mutex
	out      []*simAsked // without an answer yet, in order
	last     int32       // correlation id
	closing  bool        // the actor closes it, or expects its end
	throttle time.Duration
	answered chan struct{} // a token when an answer has come
}

// simAsked is a request that waits for its answer.
type simAsked struct {
	req         kmsg.Request
	correlation int32
	size        int // bytes of the request and of its answer, at most
	at          time.Time
	cost        time.Duration // how long it may hold what is behind it
	bound       time.Duration // how long its answer may take
	resp        kmsg.Response // once done is closed
	done        chan struct{}
}

func (a *simActor) dial(address string) *simLink {
	conn, err := a.s.net.dial(context.Background(), "client", address, a.line)
	if err != nil {
		if !a.s.mayEnd() {
			a.s.fail("%s cannot connect to %s: %v", a.clientID, address, err)
		}
		return nil
	}
	l := &simLink{simActor: a, conn: conn, cluster: a.at, dead: make(chan struct{}), answered: make(chan struct{}, 1)}
	a.s.acting.Go(l.read)
	return l
}

// open finds a broker, as clients do: it asks the bootstrap port for Metadata and
// connects to one of the nodes it is shown. Nil if that fails.
func (a *simActor) open() (l *simLink, node int32) {
	if a.at = nil; a.s.tenant(a.clientID) != nil {
		a.at = a.s.home(a.clientID)
	}
	boot := a.dial(simBootstrap)
	if boot == nil {
		return nil, 0
	}
	resp, ok := boot.hello()
	boot.close()
	if !ok || len(resp.Brokers) == 0 {
		return nil, 0
	}
	b := resp.Brokers[a.rng.IntN(len(resp.Brokers))]
	if a.at != nil {
		a.at = a.s.at(a.clientID, b.NodeID)
	}
	if l = a.dial(net.JoinHostPort(b.Host, itoa(int(b.Port)))); l == nil {
		return nil, 0
	}
	if _, ok := l.hello(); !ok {
		l.close()
		return nil, 0
	}
	return l, b.NodeID & (1<<protocol.SlotBits - 1)
}

// hello is how a connection begins.
func (l *simLink) hello() (*kmsg.MetadataResponse, bool) {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version = int16(l.rng.IntN(5))
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "simulated", "1"
	if _, ok := l.call(versions); !ok {
		return nil, false
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Version = int16(4 + l.rng.IntN(9))
	for _, name := range l.s.topicsOf(l.clientID) {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, ok := l.call(req)
	if !ok {
		return nil, false
	}
	return resp.(*kmsg.MetadataResponse), true
}

// send writes a request. Nil for a Produce with acks=0, which has no answer.
func (l *simLink) send(req kmsg.Request) *simAsked {
	l.mu.Lock()
	l.last++
	a := &simAsked{req: req, correlation: l.last, at: time.Now(), cost: l.s.cost(l.clientID, l.cluster, req), done: make(chan struct{})}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(l.clientID)).AppendRequest(nil, req, a.correlation)
	a.size = len(frame)
	heard := true
	if p, ok := req.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		heard = false
	}
	a.bound = 500*time.Millisecond + 4*l.line.latency + a.cost
	if f, ok := req.(*kmsg.FetchRequest); ok {
		a.size += int(f.MaxBytes) + simMaxBatch
	}
	way := a.size
	for _, before := range l.out {
		a.bound += before.cost
		way += before.size
	}
	// Twice: from hop to hop.
	a.bound += time.Duration(2 * float64(way) / l.line.rate * float64(time.Second))
	if heard {
		l.out = append(l.out, a)
	}
	l.mu.Unlock()
	_, _ = l.conn.Write(frame) // an error shows where it is read
	if !heard {
		return nil
	}
	return a
}

// call sends a request and waits for its answer; false if the connection ends first.
func (l *simLink) call(req kmsg.Request) (kmsg.Response, bool) {
	a := l.send(req)
	select {
	case <-a.done:
		return a.resp, true
	case <-l.dead:
		return nil, false
	}
}

func (l *simLink) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out)
}

// below waits until less than n requests have no answer; false at the connection's end.
func (l *simLink) below(n int) bool {
	for l.inFlight() >= n {
		select {
		case <-l.answered:
		case <-l.dead:
			return false
		}
	}
	select {
	case <-l.dead:
		return false
	default:
		return true
	}
}

// obey waits as long as the last answers asked for.
func (l *simLink) obey() {
	l.mu.Lock()
	d := l.throttle
	l.throttle = 0
	l.mu.Unlock()
	l.s.sleep(d)
}

// end says that the connection may end from now on.
func (l *simLink) end() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
}

// finish waits for what is in flight and closes.
func (l *simLink) finish() {
	longest := time.Second
	l.mu.Lock()
	for _, a := range l.out {
		longest = max(longest, a.bound)
	}
	l.mu.Unlock()
	late := time.After(longest + 40*time.Second)
	for l.inFlight() > 0 {
		select {
		case <-l.answered:
			continue
		case <-l.dead:
		case <-late:
			l.s.fail("%s: %d requests have no answer, and the connection does not end", l.clientID, l.inFlight())
		}
		break
	}
	l.close()
}

func (l *simLink) close() {
	l.end()
	_ = l.conn.Close()
	<-l.dead
}

// read takes the answers until the connection ends.
func (l *simLink) read() {
	defer close(l.dead)
	var frame []byte
	for {
		var length [4]byte
		if _, err := io.ReadFull(l.conn, length[:]); err != nil {
			l.ended(err)
			return
		}
		n := int(binary.BigEndian.Uint32(length[:]))
		if n < 4 || n > 8<<20 {
			l.s.fail("%s: an answer of %d bytes", l.clientID, n)
			return
		}
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(l.conn, frame); err != nil {
			l.ended(err)
			return
		}
		if !l.take(frame) {
			return
		}
	}
}

// ended judges the end of the connection.
func (l *simLink) ended(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.lenient || l.s.mayEnd() {
		return
	}
	l.s.fail("%s: its connection to %s ended without a reason, %d requests in flight: %v", l.clientID, l.conn.remote, len(l.out), err)
}

// take checks one answer and hands it to whoever asked.
func (l *simLink) take(frame []byte) bool {
	if bytes.Contains(frame, []byte(secretHost)) {
		l.s.fail("%s was told the address of a broker", l.clientID)
	}
	l.mu.Lock()
	if len(l.out) == 0 {
		l.mu.Unlock()
		l.s.fail("%s: an answer to no request", l.clientID)
		return false
	}
	a := l.out[0]
	l.out = l.out[1:]
	l.mu.Unlock()
	if got := int32(binary.BigEndian.Uint32(frame)); got != a.correlation {
		l.s.fail("%s: the answer to request %d where that to %d (key %d) was due", l.clientID, got, a.correlation, a.req.Key())
		return false
	}
	body := frame[4:]
	resp := a.req.ResponseKind()
	if resp.IsFlexible() && resp.Key() != 18 {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		l.s.fail("%s: the answer to a request of key %d, version %d cannot be read: %v", l.clientID, a.req.Key(), a.req.GetVersion(), err)
		return false
	}
	a.resp = resp
	l.check(a)
	close(a.done)
	select {
	case l.answered <- struct{}{}:
	default:
	}
	return true
}

// run connects again and again, and does its work on each connection, until the
// simulation ends.
func (a *simActor) run(work func(l *simLink, node int32)) {
	for !a.s.stopped() {
		if l, node := a.open(); l != nil {
			work(l, node)
			l.finish()
		}
		a.s.sleep(200*time.Millisecond + rnd(a.rng, 300*time.Millisecond))
	}
}

// rnd is a random duration below d.
func rnd(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// pick is a random element.
func pick[E any](r *rand.Rand, all ...E) E { return all[r.IntN(len(all))] }

// partitionOf is a partition that the node leads.
// producer is how one producer behaves.
// request is a Produce to topics that the node leads.
// produce is the work of a producer.
// simConsumer fetches from topics of one node in one session.
// took goes on from an answer.
// consume is the work of a consumer.
// heartbeat is a heartbeat in the tenant's group.
// member is the work of a group member beside its data: it joins and beats.
// mix is the work of a client that puts everything on one connection.
// hangUp is the work of a client that gives up while its request waits.
// half sends the beginning of a request and no more.
