package policy

import "fmt"

// CheckReload reports, by name, what p changes over old and a running process
// cannot: admin, gateway, the names and addresses of listeners, and slots. The
// ports of brokers and what is advertised can change. The problems stand where p's
// file has the change.
func (p *Policy) CheckReload(old *Policy) Problems {
	r := &reporter{file: p.File}
	p.reloadAdmin(old, r)
	p.reloadGateway(old, r)
	p.reloadListeners(old, r)
	p.reloadSlots(old, r)
	return r.problems.tidy()
}

const needsRestart = "a reload cannot change it: restart, or take it back"

func (p *Policy) reloadAdmin(old *Policy, r *reporter) {
	if p.Admin.Address != old.Admin.Address {
		r.errorf(p.positions.admin, "admin.address is %s, was %s: %s", p.Admin.Address, old.Admin.Address, needsRestart)
	}
	if is, was := p.Admin.security(), old.Admin.security(); is != was {
		r.errorf(p.positions.admin, "admin is %s, was %s: %s", is, was, needsRestart)
	}
	if p.Admin.Pprof != old.Admin.Pprof {
		r.errorf(p.positions.admin, "admin.pprof is %t, was %t: %s", p.Admin.Pprof, old.Admin.Pprof, needsRestart)
	}
}

func (p *Policy) reloadGateway(old *Policy, r *reporter) {
	size := func(n int64) string { return formatSize(float64(n)) }
	a, b := p.Gateway, old.Gateway
	for _, s := range []struct{ key, is, was string }{
		{"max_throttle", formatDuration(a.MaxThrottle), formatDuration(b.MaxThrottle)},
		{"max_connections", fmt.Sprint(a.MaxConnections), fmt.Sprint(b.MaxConnections)},
		{"first_frame_timeout", formatDuration(a.FirstFrameTimeout), formatDuration(b.FirstFrameTimeout)},
		{"frame_timeout", formatDuration(a.FrameTimeout), formatDuration(b.FrameTimeout)},
		{"idle_timeout", formatDuration(a.IdleTimeout), formatDuration(b.IdleTimeout)},
		{"drain_timeout", formatDuration(a.DrainTimeout), formatDuration(b.DrainTimeout)},
	} {
		if s.is != s.was {
			r.errorf(p.gatewayAt(s.key), "gateway.%s is %s, was %s: %s", s.key, s.is, s.was, needsRestart)
		}
	}
	if a.MaxFrame != b.MaxFrame { // compared as numbers: their texts are rounded
		r.errorf(p.gatewayAt("max_frame"), "gateway.max_frame is %s, was %s: %s", size(a.MaxFrame), size(b.MaxFrame), needsRestart)
	}
	if a.MaxBuffered != b.MaxBuffered {
		r.errorf(p.gatewayAt("max_buffered"), "gateway.max_buffered is %s, was %s: %s", size(a.MaxBuffered), size(b.MaxBuffered), needsRestart)
	}
}

func (p *Policy) gatewayAt(key string) pos {
	if at, ok := p.positions.gatewayKeys[key]; ok {
		return at
	}
	return p.positions.gateway
}

func (p *Policy) reloadListeners(old *Policy, r *reporter) {
	for _, l := range p.Listeners {
		switch was := old.Listener(l.Name); {
		case was == nil:
			r.errorf(l.at, "listener %s is new: %s", l.Name, needsRestart)
		case was.Address != l.Address:
			r.errorf(l.at, "the address of listener %s is %s, was %s: %s", l.Name, l.Address, was.Address, needsRestart)
		}
	}
	for _, was := range old.Listeners {
		if p.Listener(was.Name) == nil {
			r.errorf(p.positions.listeners, "listener %s is gone: %s", was.Name, needsRestart)
		}
	}
}

func (p *Policy) reloadSlots(old *Policy, r *reporter) {
	for _, s := range p.Slices {
		if was := old.Slice(s.Name); was != nil && was.Slot != s.Slot {
			r.errorf(s.slotAt, "slice %s has slot %d, had %d: clients hold node ids made with the old one; %s", s.Name, s.Slot, was.Slot, needsRestart)
			continue
		}
		for _, was := range old.Slices {
			if was.Slot == s.Slot && was.Name != s.Name {
				r.errorf(s.slotAt, "slot %d of slice %s was that of slice %s: clients hold node ids made with it; %s", s.Slot, s.Name, was.Name, needsRestart)
			}
		}
	}
}
