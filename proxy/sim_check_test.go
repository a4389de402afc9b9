package proxy

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/limiter"
	"sluice/protocol"
)

// simMeter records what passed when.
type simMeter struct {
	mu     sync.Mutex
	events []simPassed
}

type simPassed struct {
	at             time.Time
	clientID, home string
	n              float64
}

func (m *simMeter) add(clientID, home string, n float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, simPassed{time.Now(), clientID, home, n})
}

// tap looks at what the gateway writes to a broker: when it begins to write a
// request is when the request's turn has come.
func (s *sim) tap(address string) func([]byte) {
	home := strings.Split(address, ".")[1]
	var head []byte
	left := 0 // of the frame
	return func(b []byte) {
		for len(b) > 0 {
			if left > 0 {
				n := min(left, len(b))
				b, left = b[n:], left-n
				continue
			}
			head = append(head, b[0])
			b = b[1:]
			if len(head) < 14 {
				continue
			}
			n := max(int(int16(binary.BigEndian.Uint16(head[12:]))), 0)
			if len(head) < 14+n {
				continue
			}
			size := 4 + int(binary.BigEndian.Uint32(head))
			id := string(head[14 : 14+n])
			left = size - len(head)
			switch key := int16(binary.BigEndian.Uint16(head[4:])); {
			case id == "sluice":
			case key == 0:
				s.in.add(id, home, float64(size))
				s.asked.add(id, home, 1)
			case key != 11 && key != 12:
				s.asked.add(id, home, 1)
			}
			head = head[:0]
		}
	}
}

// arrived checks what a broker is asked.
func (s *sim) arrived(h *simHandler, r *simRequest) {
	if r.clientID == "sluice" {
		if r.Key() != 18 && r.Key() != 3 {
			s.fail("the gateway's own client sends a request of key %d", r.Key())
		}
		return
	}
	t := s.tenant(r.clientID)
	switch {
	case t == nil:
		s.fail("broker %s: a request of client %q, which is nobody's", h.host(), r.clientID)
		return
	case t.home != h.cluster.name:
		s.fail("broker %s: a request of client %q, which lives at %s", h.host(), r.clientID, t.home)
	case h.tenant != "" && h.tenant != t.name:
		s.fail("broker %s: requests of %s and %s on one connection", h.host(), h.tenant, t.name)
	case r.correlation <= h.last:
		s.fail("broker %s: request %d of %s after %d", h.host(), r.correlation, r.clientID, h.last)
	}
	h.tenant, h.last = t.name, r.correlation
	if m, ok := r.Request.(*kmsg.MetadataRequest); ok && !t.observe {
		for _, topic := range m.Topics {
			if topic.Topic != nil && !strings.HasPrefix(*topic.Topic, t.name+".") {
				s.fail("broker %s: %s asks for the topic %s", h.host(), r.clientID, *topic.Topic)
			}
		}
	}
}

// judgedBefore is how long ago a request may have been judged that a broker gets now.
const judgedBefore = 12 * time.Second

// guard checks that a broker is not asked for what is denied.
func (s *sim) guard(h *simHandler, what, topic string) {
	if h.tenant == "" {
		return // told already
	}
	if some, _ := s.may(h.tenant, topic, time.Now().Add(-judgedBefore)); !some {
		s.fail("broker %s: tenant %s asks to %s %s, which is denied", h.host(), h.tenant, what, topic)
	}
}

// may reports whether a tenant may read and write a topic under some, and under
// all, of the policies that held between then and now.
func (s *sim) may(tenant, topic string, since time.Time) (some, all bool) {
	all = true
	for _, p := range s.policies(since) {
		t := p.tenant(tenant)
		last, mine := strings.CutPrefix(topic, tenant+".")
		may := t.observe || mine && !slices.Contains(t.denied, last)
		some, all = some || may, all && may
	}
	return some, all
}

// policies are those that held between then and now.
func (s *sim) policies(since time.Time) (all []*simPolicy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.epochs {
		if i+1 == len(s.epochs) || !s.epochs[i+1].from.Before(since) {
			all = append(all, e.policy)
		}
	}
	return all
}

// namesOf are the topics that a Produce or Fetch names.
func (s *sim) namesOf(clientID string, req kmsg.Request) (names []string) {
	name := func(topic string, id [16]byte) {
		if t := s.home(clientID).topic(topic, id); t != nil {
			names = append(names, t.name)
		}
	}
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		for _, t := range r.Topics {
			name(t.Topic, t.TopicID)
		}
	case *kmsg.FetchRequest:
		for _, t := range r.Topics {
			name(t.Topic, t.TopicID)
		}
	}
	return names
}

// denies reports whether something in a request may be denied, now or after any of
// the reloads to come.
func (s *sim) denies(clientID string, req kmsg.Request) bool {
	t := s.tenant(clientID)
	if t == nil {
		return true
	}
	if t.observe {
		return false
	}
	for _, name := range s.namesOf(clientID, req) {
		last, mine := strings.CutPrefix(name, t.name+".")
		if !mine || last == "secret" || last == "a" || last == "b" {
			return true
		}
	}
	return false
}

// everLimited are the limits, of any level, that held for a client so far.
func (s *sim) everLimited(clientID string) (l simLimits) {
	t := s.tenant(clientID)
	if t == nil || t.observe {
		return l
	}
	for _, p := range s.policies(time.Time{}) {
		now := p.tenant(t.name)
		for _, x := range []simLimits{now.limits, now.perClient, p.slices[t.home]} {
			l.in, l.out, l.requests = max(l.in, x.in), max(l.out, x.out), max(l.requests, x.requests)
		}
	}
	return l
}

// check checks an answer against its request.
func (l *simLink) check(a *simAsked) {
	took := time.Since(a.at)
	bound := a.bound
	if l.s.faults {
		bound += 30 * time.Second
	}
	if took > bound && !l.patient && !l.s.isDraining() {
		l.s.fail("%s: a request of key %d was answered after %v, not within %v", l.clientID, a.req.Key(), took, bound)
	}
	l.checkThrottle(a)
	switch resp := a.resp.(type) {
	case *kmsg.MetadataResponse:
		l.checkMetadata(resp)
	case *kmsg.ProduceResponse:
		l.checkProduce(a, resp)
	case *kmsg.FetchResponse:
		l.checkFetch(a, resp)
	case *kmsg.FindCoordinatorResponse:
		if resp.Version < 4 {
			l.checkNode("coordinator", resp.NodeID, resp.Host, resp.Port)
		}
		for _, c := range resp.Coordinators {
			l.checkNode("coordinator", c.NodeID, c.Host, c.Port)
		}
	case *kmsg.InitProducerIDResponse:
		if resp.ErrorCode != 0 || resp.ProducerID>>48 != int64(l.s.home(l.clientID).slot+1) {
			l.s.fail("%s: producer id %x, error %d", l.clientID, resp.ProducerID, resp.ErrorCode)
		}
	case *kmsg.HeartbeatResponse:
		if resp.ErrorCode != 0 {
			l.s.fail("%s: a heartbeat is answered with error %d", l.clientID, resp.ErrorCode)
		}
	}
}

// checkThrottle: brokers here never throttle, so what is announced is the gateway's.
func (l *simLink) checkThrottle(a *simAsked) {
	t, ok := a.resp.(kmsg.ThrottleResponse)
	if !ok {
		return
	}
	ms, _ := t.Throttle()
	limited := l.s.everLimited(l.clientID)
	longest, may := maxAnnounceOther, limited.requests > 0
	switch a.req.(type) {
	case *kmsg.ProduceRequest:
		longest, may = maxAnnounceProduce, may || limited.in > 0
	case *kmsg.FetchRequest:
		may = may || limited.out > 0
	case *kmsg.HeartbeatRequest, *kmsg.JoinGroupRequest, *kmsg.ApiVersionsRequest:
		may = false
	}
	d := time.Duration(ms) * time.Millisecond
	if d < 0 || d > longest || d > 0 && !may {
		l.s.fail("%s: the answer to a request of key %d announces %v", l.clientID, a.req.Key(), d)
	}
	l.mu.Lock()
	l.throttle = max(l.throttle, d)
	l.mu.Unlock()
}

// checkNode: a node is a virtual one of the tenant's slice, at an address of the gateway.
func (l *simLink) checkNode(what string, id int32, host string, port int32) {
	l.checkID(what, id)
	if host == "" && id < 0 {
		return
	}
	want := int32(9092)
	if t := l.s.tenant(l.clientID); t != nil {
		want = 9100 + id&(1<<protocol.SlotBits-1) - 1
		if t.home == "clicks" {
			want += 10
		}
	}
	if host != "127.0.0.1" || port != want {
		l.s.fail("%s: %s %d is at %s:%d", l.clientID, what, id, host, port)
	}
}

// checkID: a node id is a virtual one of the tenant's slice, or none.
func (l *simLink) checkID(what string, id int32) {
	ok := id == -1
	if l.s.tenant(l.clientID) == nil {
		ok = ok || id == protocol.RefusalNode
	} else {
		node := id - int32(l.s.home(l.clientID).slot)<<protocol.SlotBits
		ok = ok || node >= 1 && node <= simBrokers
	}
	if !ok {
		l.s.fail("%s: %s has the node id %d", l.clientID, what, id)
	}
}

func (l *simLink) checkMetadata(resp *kmsg.MetadataResponse) {
	for _, b := range resp.Brokers {
		l.checkNode("broker", b.NodeID, b.Host, b.Port)
	}
	l.checkID("controller", resp.ControllerID)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for _, id := range slices.Concat([]int32{p.Leader}, p.Replicas, p.ISR, p.OfflineReplicas) {
				l.checkID("partition", id)
			}
		}
		if tenant := l.s.tenant(l.clientID); tenant != nil && t.Topic != nil {
			mine := tenant.observe || strings.HasPrefix(*t.Topic, tenant.name+".")
			if mine != (t.ErrorCode == 0) || !mine && t.ErrorCode != 29 {
				l.s.fail("%s: topic %s has error %d", l.clientID, *t.Topic, t.ErrorCode)
			}
		}
	}
}

// verdict checks the error code of one topic.
func (l *simLink) verdict(a *simAsked, topic string, code int16) {
	some, all := l.s.may(team(l.clientID), topic, a.at)
	refused := code == 29 || code == 100 // by an id whose topic may not be described
	if refused && all || !refused && !some || !refused && code != 0 && code != 6 {
		l.s.fail("%s: the answer of key %d, version %d for topic %s has error %d", l.clientID, a.req.Key(), a.req.GetVersion(), topic, code)
	}
}

func (l *simLink) checkProduce(a *simAsked, resp *kmsg.ProduceResponse) {
	missing := map[string]int{}
	for _, name := range l.s.namesOf(l.clientID, a.req) {
		missing[name]++
	}
	for _, t := range resp.Topics {
		topic := l.s.home(l.clientID).topic(t.Topic, t.TopicID)
		if topic == nil || missing[topic.name] == 0 || len(t.Partitions) != 1 {
			l.s.fail("%s: an answer for the topic %q %x, which was not asked for", l.clientID, t.Topic, t.TopicID)
			continue
		}
		missing[topic.name]--
		for _, p := range t.Partitions {
			l.verdict(a, topic.name, p.ErrorCode)
			l.checkID("leader", p.CurrentLeader.LeaderID)
		}
	}
	for name, n := range missing {
		if n > 0 {
			l.s.fail("%s: no answer for the topic %s", l.clientID, name)
		}
	}
	for _, b := range resp.Brokers {
		l.checkNode("new leader", b.NodeID, b.Host, b.Port)
	}
}

func (l *simLink) checkFetch(a *simAsked, resp *kmsg.FetchResponse) {
	req := a.req.(*kmsg.FetchRequest)
	if resp.ErrorCode != 0 && (req.SessionEpoch <= 0 || resp.ErrorCode != 70 && resp.ErrorCode != 71) {
		l.s.fail("%s: a Fetch is answered with error %d", l.clientID, resp.ErrorCode)
	}
	for _, t := range resp.Topics {
		topic := l.s.home(l.clientID).topic(t.Topic, t.TopicID)
		if topic == nil {
			l.s.fail("%s: a Fetch returned the topic %q %x", l.clientID, t.Topic, t.TopicID)
			continue
		}
		for _, p := range t.Partitions {
			l.verdict(a, topic.name, p.ErrorCode)
			l.checkID("preferred replica", p.PreferredReadReplica)
			l.checkID("leader", p.CurrentLeader.LeaderID)
			if !intact(p.RecordBatches) {
				l.s.fail("%s: the records of a Fetch are not those that were sent", l.clientID)
			}
		}
	}
	for _, b := range resp.Brokers {
		l.checkNode("new leader", b.NodeID, b.Host, b.Port)
	}
}

// checkEnd: when all is over, nothing is held.
func (s *sim) checkEnd() {
	if n := len(s.gw.connections()); n > 0 {
		s.fail("the gateway still has %d connections", n)
	}
	for what, m := range map[string]*memory{"frames": s.gw.budget.frames, "decoded": s.gw.budget.decoded} {
		if !m.all.TryAcquire(m.max) {
			s.fail("memory for %s is still held", what)
		}
		for name, share := range m.tenants {
			if !share.TryAcquire(m.max / 4) {
				s.fail("memory for %s of tenant %s is still held", what, name)
			}
		}
	}
	if seats := s.gw.seats; len(seats.clients)+len(seats.tenants)+len(seats.slices) > 0 {
		s.fail("connections are still counted: %v %v %v", seats.clients, seats.tenants, seats.slices)
	}
	s.gather(func(name string, labels map[string]string, value float64) {
		if (name == "sluice_connections" || name == "sluice_held_connections") && value != 0 {
			s.fail("%s%v is %v", name, labels, value)
		}
	})
	if open := limiterRefs(reflect.ValueOf(s.gw.limiter)); open > 0 {
		s.fail("%d accounts of the limiter are still open or have asks out", open)
	}
}

// gather calls each for every counter and gauge.
func (s *sim) gather(each func(name string, labels map[string]string, value float64)) {
	families, err := s.registry.Gather()
	if err != nil {
		s.fail("metrics: %v", err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			each(f.GetName(), labels, m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
}

// limiterRefs adds up the references to the limiter's buckets, and the asks that
// are out there, wherever they are kept.
func limiterRefs(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && strings.HasPrefix(v.Type().String(), "*limiter.") {
			n += limiterRefs(v.Elem())
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			n += limiterRefs(i.Value())
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += limiterRefs(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			switch v.Type().Field(i).Name {
			case "refs", "heavy", "idle":
				n += v.Field(i).Int()
			case "backlog": // shares that owe
			default:
				n += limiterRefs(v.Field(i))
			}
		}
	}
	return n
}

var _ = limiter.New // what limiterRefs looks into

// checkRates holds the meters against the limits of each level.
func (s *sim) checkRates() {
	kinds := []struct {
		name  string
		meter *simMeter
		rate  func(simLimits) float64
	}{
		{"producer_byte_rate", s.in, func(l simLimits) float64 { return l.in }},
		{"consumer_byte_rate", s.out, func(l simLimits) float64 { return l.out }},
		{"request_rate", s.asked, func(l simLimits) float64 { return l.requests }},
	}
	for _, k := range kinds {
		observed := map[string]bool{}
		for _, t := range s.epochs[0].policy.tenants {
			if t.observe {
				observed[t.home] = true
				continue
			}
			s.checkBucket(k.name, k.meter, t.name, func(e simPassed) bool { return team(e.clientID) == t.name },
				func(p *simPolicy) simLimits { return p.tenant(t.name).limits }, k.rate)
			for _, app := range []string{".app", ".batch"} {
				s.checkBucket(k.name, k.meter, t.name+app, func(e simPassed) bool { return e.clientID == t.name+app },
					func(p *simPolicy) simLimits { return p.tenant(t.name).perClient }, k.rate)
			}
		}
		for _, c := range s.clusters {
			if !observed[c.name] { // who is only observed takes from the others
				s.checkBucket(k.name, k.meter, c.name, func(e simPassed) bool { return e.home == c.name },
					func(p *simPolicy) simLimits { return p.slices[c.name] }, k.rate)
			}
		}
	}
}

// checkBucket: over any time, what passed is at most rate × time + burst, one
// message of each client more, since each waits with its own, and what the metrics
// say has passed above the limit.
func (s *sim) checkBucket(kind string, m *simMeter, name string, of func(simPassed) bool, limits func(*simPolicy) simLimits, rate func(simLimits) float64) {
	largest, overrun, clients := 0.0, s.overrun(kind, name), 0
	ids := map[string]bool{}
	var events []simPassed
	for _, e := range m.events {
		if of(e) {
			events = append(events, e)
			largest = max(largest, e.n)
			ids[e.clientID] = true
		}
	}
	for id := range ids {
		clients += s.actors[id]
	}
	if overrun == 0 && kind == "producer_byte_rate" && s.only(ids, rate) {
		clients = 0 // turns come one after the other, by this limit alone
	}
	level, peak, at := 0.0, 0.0, s.start()
	var peakAt time.Time
	for i, epoch := range s.epochs {
		until := time.Unix(math.MaxInt32, 0)
		if i+1 < len(s.epochs) {
			until = s.epochs[i+1].from
		}
		l := limits(epoch.policy)
		r := rate(l)
		for len(events) > 0 && events[0].at.Before(until) {
			e := events[0]
			events = events[1:]
			level = max(level-r*e.at.Sub(at).Seconds(), 0) + e.n
			at = e.at
			if r == 0 {
				level = 0
				continue
			}
			one := largest
			if kind == "consumer_byte_rate" {
				// The first Fetch of a connection is charged all that it may bring; what
				// it then leaves comes back to a bucket that has filled up again.
				one = max(one, r*l.burst.Seconds())
			}
			allowed := r*l.burst.Seconds() + float64(clients+1)*one + overrun
			if over := level - allowed; over > peak {
				peak, peakAt = over, e.at
			}
		}
		if i+1 == len(s.epochs) {
			break
		}
		level = max(level-r*until.Sub(at).Seconds(), 0)
		at = until
		// A reload leaves what is in the bucket, as far as the new one holds it.
		next := limits(s.epochs[i+1].policy)
		depth := rate(next) * next.burst.Seconds()
		if level = depth - min(r*l.burst.Seconds()-level, depth); r == 0 {
			level = 0
		}
	}
	if peak > 0 {
		for _, e := range s.epochs {
			s.t.Logf("limits of %s since %v: %+v", name, e.from.Sub(s.start()), limits(e.policy))
		}
		s.fail("%s of %s: %.0f too much until %v (largest %.0f, %d clients, overrun %.0f)", kind, name, peak, peakAt.Sub(s.start()), largest, clients, overrun)
	}
}

// only reports whether all that these clients wait for is one and the same limit
// from beginning to end.
func (s *sim) only(ids map[string]bool, rate func(simLimits) float64) bool {
	if s.faults || len(s.epochs) > 1 {
		return false
	}
	p := s.epochs[0].policy
	for id := range ids {
		t, levels := p.tenant(team(id)), 0
		for _, l := range []simLimits{t.limits, t.perClient, p.slices[t.home]} {
			if l.requests > 0 {
				return false
			}
			if rate(l) > 0 {
				levels++
			}
		}
		if levels != 1 {
			return false
		}
	}
	s.sharp++
	return true
}

// overrun is what was let through above a limit, by the metrics, of a tenant, a
// client ID's tenant or all.
func (s *sim) overrun(kind, name string) (sum float64) {
	s.gather(func(metric string, labels map[string]string, value float64) {
		if metric != "sluice_limit_overrun_bytes_total" || labels["limit"] != kind {
			return
		}
		if s.epochs[0].policy.tenant(team(name)) == nil || labels["tenant"] == team(name) {
			sum += value
		}
	})
	return sum
}
