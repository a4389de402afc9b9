package proxy

import (
	"fmt"
	"net"
	"strings"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// onPaper is a tenant's virtual cluster as far as the file tells.
type onPaper struct{ *policy.Tenant }

func (t onPaper) Slots() []int {
	var slots []int
	for _, s := range t.Slices() {
		slots = append(slots, s.Slot)
	}
	return slots
}

func (t onPaper) Owner(r protocol.Resource, name string) int { return t.Tenant.Owner(r, name).Slot }

func (onPaper) TopicName([16]byte) (string, bool) { return "", false }

func (onPaper) ClusterID() string { return "" }

// place says which slices answer the request, why, and where clients find them.
func (e *explainer) place() {
	if e.tenant == nil {
		return
	}
	e.Slice = e.tenant.Home.Name
	at := []*policy.Slice{e.tenant.Home}
	e.because("slice", "%s is the home of tenant %s", e.Slice, e.Tenant)
	if e.tenant.Spans() {
		at = e.placeAmong()
		e.Slice = at[0].Name
	}
	for _, l := range e.p.Listeners {
		if l.Name != e.q.Listener {
			continue
		}
		for _, s := range at {
			e.reached(l, s)
		}
	}
}

// reached says where a listener has the brokers of a slice.
func (e *explainer) reached(l *policy.Listener, s *policy.Slice) {
	if l.BrokerHosts != nil {
		e.because("slice", "listener %s: all at port %d, brokers by the host that a client asks for, such as %s", l.Name, l.AdvertisedPort, l.BrokerHosts.Host(s.Name, 0))
		return
	}
	r := l.BrokerPorts[s.Name]
	_, first, _ := r.Port(r.FirstNode)
	_, last, _ := r.Port(r.LastNode)
	e.because("slice", "listener %s: bootstrap %s, brokers %d-%d at %s", l.Name,
		net.JoinHostPort(l.AdvertisedHost, itoa(l.AdvertisedPort)), r.FirstNode, r.LastNode, net.JoinHostPort(l.AdvertisedHost, fmt.Sprintf("%d-%d", first, last)))
}

// placeAmong says which of the tenant's slices answer the request, and which own what it
// names.
func (e *explainer) placeAmong() []*policy.Slice {
	var reach []string
	for _, s := range e.tenant.Slices()[1:] {
		reach = append(reach, s.Name)
	}
	e.because("slice", "tenant %s reaches %s too, as far as routes lead there", e.Tenant, strings.Join(reach, " and "))
	for _, r := range []protocol.Resource{protocol.Topic, protocol.Group, protocol.TransactionalID} {
		if name, given := e.q.Names[r]; given {
			e.owned(r, name)
		}
	}
	if e.q.API.Access != protocol.Pass {
		return []*policy.Slice{e.tenant.Home}
	}
	e.placement = e.q.API.Placement(e.q.Names, onPaper{e.tenant})
	var at []*policy.Slice
	var names []string
	for _, slot := range e.placement.Slots {
		for _, s := range e.tenant.Slices() {
			if s.Slot == slot {
				at, names = append(at, s), append(names, s.Name)
			}
		}
	}
	e.because("slice", "%s is routed by %s, and answered by %s", e.q.API.Name, strings.ReplaceAll(e.q.API.Route.String(), "_", " "), strings.Join(names, " and "))
	return at
}

// owned says which slice owns a name, and which route leads it there.
func (e *explainer) owned(r protocol.Resource, name string) {
	what := fmt.Sprintf("%s %s", strings.ReplaceAll(r.String(), "_", " "), quote(name))
	owner := e.tenant.Owner(r, name).Name
	led := false
	for _, m := range e.p.Routes(e.tenant, r, name) {
		place := fmt.Sprintf("%s:%d:%d: %s", e.p.File, m.Line, m.Column, m.Text)
		if !m.Applies {
			e.because("slice", "%s: the route at %s is passed over, since the tenant does not reach its slice", what, place)
			continue
		}
		led = true
		e.because("slice", "%s lives in %s by the route at %s", what, owner, place)
	}
	if !led {
		e.because("slice", "%s lives in %s, the home: no route leads it elsewhere", what, owner)
	}
}

// crosses denies what would need several slices at once, unless it is denied anyway.
func (e *explainer) crosses() {
	if e.Decision != DecisionAllow || len(e.placement.Errors) == 0 {
		return
	}
	e.Decision, e.Rule = DecisionDeny, nil
	e.because("slice", "what it names lives in several slices, and %s cannot be done across them", e.q.API.Name)
	e.refusals(e.placement.Errors)
}
