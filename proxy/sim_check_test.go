package proxy

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/limiter"
	"sluice/protocol"
)

// simMeter records what passed when.
// tap looks at what the gateway writes to a broker: when it begins to write a
// request is when the request's turn has come.
// arrived checks what a broker is asked.
func (s *sim) arrived(h *simHandler, r *simRequest) {
	if r.clientID == "sluice" {
		if r.Key() != 18 && r.Key() != 3 && r.Key() != 10 {
			s.fail("the gateway's own client sends a request of key %d", r.Key())
		}
		return
	}
	t := s.tenant(r.clientID)
	switch {
	case t == nil:
		s.fail("broker %s: a request of client %q, which is nobody's", h.host(), r.clientID)
		return
	case t.home != h.cluster.name && (t.reach != h.cluster.name || r.Key() == 11 || r.Key() == 12):
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
	if owner := s.first.tenant(h.tenant).owner(topic); owner != h.cluster.name {
		s.fail("broker %s: tenant %s asks to %s %s, which lives in %s", h.host(), h.tenant, what, topic, owner)
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
		if t := s.topic(clientID, topic, id); t != nil {
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
// the reloads to come, or lives in another slice than the one that is asked.
func (s *sim) denies(clientID string, at *simCluster, req kmsg.Request) bool {
	t := s.tenant(clientID)
	if t == nil {
		return true
	}
	for _, name := range s.namesOf(clientID, req) {
		if t.reach != "" && t.owner(name) != at.name {
			return true
		}
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
		for _, x := range []simLimits{now.limits, now.perClient, p.slices[t.home], p.slices[t.reach]} {
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
		if resp.ErrorCode != 0 || resp.ProducerID>>48 != int64(l.cluster.slot+1) {
			l.s.fail("%s: producer id %x, error %d", l.clientID, resp.ProducerID, resp.ErrorCode)
		}
	case *kmsg.HeartbeatResponse:
		want := int16(0)
		if l.cluster != l.s.home(l.clientID) {
			want = 16
		}
		if resp.ErrorCode != want {
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

// checkNode: a node is a virtual one of the tenant's slices, at an address of the gateway.
func (l *simLink) checkNode(what string, id int32, host string, port int32) {
	l.checkID(what, id)
	if host == "" && id < 0 {
		return
	}
	want := int32(9092)
	if t := l.s.tenant(l.clientID); t != nil {
		want = 9100 + id&(1<<protocol.SlotBits-1) - 1
		if l.s.at(l.clientID, id).name == "clicks" {
			want += 10
		}
	}
	if host != "127.0.0.1" || port != want {
		l.s.fail("%s: %s %d is at %s:%d", l.clientID, what, id, host, port)
	}
}

// checkID: a node id is a virtual one of the tenant's slices, or none.
func (l *simLink) checkID(what string, id int32) {
	ok := id == -1
	t := l.s.tenant(l.clientID)
	if t == nil {
		ok = ok || id == protocol.RefusalNode
	}
	for _, c := range l.s.clusters {
		if t != nil && (c.name == t.home || c.name == t.reach) {
			node := id - int32(c.slot)<<protocol.SlotBits
			ok = ok || node >= 1 && node <= simBrokers
		}
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
			for _, p := range t.Partitions {
				if p.Leader >= 0 && l.s.at(l.clientID, p.Leader).name != tenant.owner(*t.Topic) {
					l.s.fail("%s: topic %s is led by %d", l.clientID, *t.Topic, p.Leader)
				}
			}
			mine := tenant.observe || strings.HasPrefix(*t.Topic, tenant.name+".")
			if t.ErrorCode == 5 && tenant.reach != "" && l.s.faults {
				continue // its slice did not answer
			}
			if mine != (t.ErrorCode == 0) || !mine && t.ErrorCode != 29 {
				l.s.fail("%s: topic %s has error %d", l.clientID, *t.Topic, t.ErrorCode)
			}
		}
	}
}

// verdict checks the error code of one topic.
func (l *simLink) verdict(a *simAsked, topic string, code int16) {
	if t := l.s.tenant(l.clientID); t.owner(topic) != l.cluster.name {
		if code != 6 && code != 100 {
			l.s.fail("%s: the answer of key %d, version %d for topic %s of another slice has error %d", l.clientID, a.req.Key(), a.req.GetVersion(), topic, code)
		}
		return
	}
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
		topic := l.s.topic(l.clientID, t.Topic, t.TopicID)
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
		topic := l.s.topic(l.clientID, t.Topic, t.TopicID)
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
	for what, m := range map[string]*memory{"frames": s.gw.budget.frames, "decoded": s.gw.budget.decoded, "answers": s.gw.budget.answers} {
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
			case "refs":
				n += v.Field(i).Int()
			case "heavy", "idle": // atomic.Int64
				n += v.Field(i).FieldByName("v").Int()
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
// checkBucket: over any time, what passed is at most rate × time + burst, one
// message of each client more, since each waits with its own, and what the metrics
// say has passed above the limit.
// only reports whether all that these clients wait for is one and the same limit
// from beginning to end.
// overrun is what was let through above a limit, by the metrics, of a tenant, a
// client ID's tenant or all.
