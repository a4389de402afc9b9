package proxy

import (
	"time"

	"sluice/proxy/slice"
)

// certificates are those that the gateway shows under one policy, with when each of
// them ends; the zero time is that of none.
type certificates map[certificate]func() time.Time

type certificate struct{ kind, name string }

func certificatesOf(entrances map[string]*entrance, outbound map[string]slice.Security, d adminDoor) certificates {
	all := certificates{}
	for name, e := range entrances {
		if e.certificate != nil {
			all[certificate{"listener", name}] = e.certificate.Expires
		}
	}
	for name, x := range outbound {
		if x.TLS != nil {
			all[certificate{"slice", name}] = x.TLS.Expires
		}
	}
	if d.tls != nil {
		all[certificate{"admin", "admin"}] = d.tls.Expires
	}
	return all
}

// certificates keeps the metric of when certificates end; before are those that it had.
func (m *metrics) certificates(before, now certificates) {
	for c := range before {
		if now[c] == nil {
			m.expiry.DeleteLabelValues(c.kind, c.name)
		}
	}
	for c, expires := range now {
		if at := expires(); !at.IsZero() {
			m.expiry.WithLabelValues(c.kind, c.name).Set(float64(at.Unix()))
		} else {
			m.expiry.DeleteLabelValues(c.kind, c.name)
		}
	}
}
