package proxy

import (
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"time"
)

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
		for _, t := range s.first.tenants {
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
	level, peak, at := 0.0, 0.0, s.began
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
			s.t.Logf("limits of %s since %v: %+v", name, e.from.Sub(s.began), limits(e.policy))
		}
		s.fail("%s of %s: %.0f too much until %v (largest %.0f, %d clients, overrun %.0f)", kind, name, peak, peakAt.Sub(s.began), largest, clients, overrun)
	}
}

func (s *sim) only(ids map[string]bool, rate func(simLimits) float64) bool {
	if s.faults || len(s.epochs) > 1 {
		return false
	}
	p := s.first
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
	return true
}

func (s *sim) overrun(kind, name string) (sum float64) {
	s.gather(func(metric string, labels map[string]string, value float64) {
		if metric != "sluice_limit_overrun_bytes_total" || labels["limit"] != kind {
			return
		}
		if s.first.tenant(team(name)) == nil || labels["tenant"] == team(name) {
			sum += value
		}
	})
	return sum
}
