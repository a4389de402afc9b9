package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// BrokerHosts gives each broker of each slice a host name, so that one port serves
// them all. It never changes.
type BrokerHosts struct {
	text                   string
	before, between, after string
	nodeFirst              bool
	slices                 map[string]string // by the name in small letters
}

// Host is the name of a broker, in small letters.
func (h *BrokerHosts) Host(slice string, node int32) string {
	first, second := strings.ToLower(slice), strconv.Itoa(int(node))
	if h.nodeFirst {
		first, second = second, first
	}
	return h.before + first + h.between + second + h.after
}

// Broker is what Host gave a name to. A name that the template does not make is not
// ok: it is for bootstrap. One of an unknown slice is ok, with an empty slice.
func (h *BrokerHosts) Broker(host string) (slice string, node int32, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	middle, begins := strings.CutPrefix(host, h.before)
	middle, ends := strings.CutSuffix(middle, h.after)
	if !begins || !ends {
		return "", 0, false
	}
	var digits string
	if h.nodeFirst {
		digits, slice, ok = strings.Cut(middle, h.between)
	} else if i := strings.LastIndex(middle, h.between); i >= 0 {
		slice, digits, ok = middle[:i], middle[i+len(h.between):], true
	}
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || n > maxNode || strconv.Itoa(n) != digits || slice == "" {
		return "", 0, false
	}
	return h.slices[slice], int32(n), true
}

// String is the template as written.
func (h *BrokerHosts) String() string { return h.text }

// parseBrokerHosts reads a template as "{slice}-{node}.kafka.example.com".
func parseBrokerHosts(s string) (*BrokerHosts, error) {
	const form = `as in "{slice}-{node}.kafka.example.com"`
	slice, node := strings.Index(s, "{slice}"), strings.Index(s, "{node}")
	if strings.Count(s, "{slice}") != 1 || strings.Count(s, "{node}") != 1 {
		return nil, fmt.Errorf("%q needs {slice} and {node} once each, %s", s, form)
	}
	if _, err := parseHost(strings.NewReplacer("{slice}", "s", "{node}", "1").Replace(s)); err != nil {
		return nil, fmt.Errorf("%q does not make a host name", s)
	}
	h := &BrokerHosts{text: s, nodeFirst: node < slice, slices: make(map[string]string)}
	small := strings.ToLower(strings.TrimSuffix(s, "."))
	if h.nodeFirst {
		h.before, h.between, h.after = small[:node], small[node+len("{node}"):slice], small[slice+len("{slice}"):]
	} else {
		h.before, h.between, h.after = small[:slice], small[slice+len("{slice}"):node], small[node+len("{node}"):]
	}
	beside := h.between
	if h.nodeFirst {
		beside = h.before + h.between
	}
	if h.between == "" || strings.Trim(beside, "0123456789") != beside {
		return nil, fmt.Errorf("%q: between {slice} and {node} there must be more than digits, %s", s, form)
	}
	return h, nil
}

// brokerHosts reads a listener's template.
func (c *compiler) brokerHosts(l *Listener, o *object) {
	h, ok := scalar(&c.reporter, o.get("broker_hosts"), "broker_hosts", parseBrokerHosts)
	if !ok {
		return
	}
	if o.get("broker_ports") != nil {
		c.errorf(o.place("broker_hosts"), "a listener has broker_ports or broker_hosts, not both")
	}
	if o.get("tls") == nil {
		c.missing(o, o.place("broker_hosts"), "broker_hosts needs tls: without it, clients do not say which host they want")
	}
	for _, name := range slices.Sorted(maps.Keys(c.slices)) {
		lower := strings.ToLower(name)
		at := o.get("broker_hosts").at
		if other, twice := h.slices[lower]; twice {
			c.errorf(at, "broker_hosts: slices %s and %s would have the same hosts", other, name)
			continue
		}
		if err := hostOf(h, name); err != nil {
			c.errorf(at, "broker_hosts: %v", err)
		}
		h.slices[lower] = name
	}
	l.BrokerHosts = h
}

// hostOf reports why a slice's brokers cannot have host names.
func hostOf(h *BrokerHosts, slice string) error {
	if strings.ContainsAny(slice, "._") {
		return fmt.Errorf("the name of slice %s cannot be part of a host name: use letters, digits and -", slice)
	}
	longest := h.Host(slice, maxNode)
	if _, err := parseHost(longest); err != nil {
		return fmt.Errorf("the hosts of slice %s are too long: %s", slice, longest)
	}
	return nil
}
