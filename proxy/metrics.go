package proxy

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/limiter"
	"sluice/protocol"
)

// unmatched is the tenant label of clients that no tenant of the file takes.
const unmatched = "unmatched"

// outcome of a request, as in sluice_requests_total.
type outcome uint8

const (
	outcomeOK        outcome = iota // all of it went to a broker and was answered
	outcomePartial                  // some of it was refused here, the rest answered by a broker
	outcomeDenied                   // all of it was refused here
	outcomeError                    // no answer: the broker or the client went away
	outcomeElsewhere                // all of it lives in another slice, and the client was sent there
	outcomes
)

func (o outcome) String() string {
	return [...]string{"ok", "partial", "denied", "error", "elsewhere"}[o]
}

// metrics are the gateway's own. Labels are bounded: tenants and slices of the
// file, API names of the table; never a client ID, topic or topic id.
type metrics struct {
	requests       *prometheus.CounterVec
	bytes          *prometheus.CounterVec
	throttledSecs  *prometheus.CounterVec
	throttledReqs  *prometheus.CounterVec
	overrun        *prometheus.CounterVec
	denied         *prometheus.CounterVec
	accepted       *prometheus.CounterVec
	authFailures   *prometheus.CounterVec
	connections    *prometheus.GaugeVec
	refused        *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	held           prometheus.Gauge
	reloadOK       prometheus.Gauge
	reloadTime     prometheus.Gauge
	sliceReachable *prometheus.GaugeVec
	unknown        *prometheus.CounterVec
	hidden         *prometheus.GaugeVec
	brokerLogins   *prometheus.CounterVec
	expiry         *prometheus.GaugeVec
	adminFailures  prometheus.Counter
	buildInfo      *prometheus.GaugeVec

	perTenant sync.Map // tenantKey -> *tenantMetrics
	perSlice  sync.Map // slice name -> *sliceMetrics
}

func newMetrics(r prometheus.Registerer, version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_" + name, Help: help}, labels)
	}
	m := &metrics{
		requests:       counter("requests_total", "Requests, by what became of them: ok, partial, denied, error, elsewhere.", "tenant", "slice", "api", "outcome"),
		bytes:          counter("bytes_total", "Bytes of Produce requests (in) and of Fetch and ShareFetch responses (out), whole frames as exchanged with the broker.", "tenant", "slice", "direction"),
		throttledSecs:  counter("throttled_seconds_total", "Seconds that requests waited for a limit, or in observe mode would have.", "tenant", "limit", "level", "mode"),
		throttledReqs:  counter("throttled_requests_total", "Requests that waited for a limit, or in observe mode would have.", "tenant", "limit", "level", "mode"),
		overrun:        counter("limit_overrun_bytes_total", "Bytes that passed above a limit because waiting for them would have taken longer than gateway.max_throttle.", "tenant", "limit"),
		denied:         counter("denied_total", "Resources that a rule denied, or in observe mode would have.", "tenant", "resource", "operation", "mode"),
		accepted:       counter("accepted_connections_total", "Connections accepted, whatever became of them.", "listener"),
		authFailures:   counter("authentication_failures_total", "Failed authentications of clients, by what was wrong; broker: it was the broker that refused.", "listener", "reason"),
		connections:    gauge("connections", "Open client connections.", "tenant", "listener"),
		refused:        counter("refused_connections_total", "Connections refused or closed by the gateway, by reason.", "reason"),
		sliceReachable: gauge("slice_reachable", "1 when the slice's brokers could be reached at the last attempt.", "slice"),
		hidden:         gauge("hidden_topics", "Topics that a tenant does not see in one of its slices, because its routes lead their names to another one that has them too.", "tenant", "slice"),
		unknown:        counter("unknown_slice_answers_total", "Answers to tenants of several slices without the part of one that has never been reached since the start: listings lack its topics.", "tenant", "slice"),
		brokerLogins:   counter("broker_logins_total", "Logins of the gateway at brokers, over clients' connections, by what became of them: ok, failed.", "slice", "outcome"),
		expiry:         gauge("certificate_expiry_timestamp_seconds", "When a certificate that the gateway shows expires; kind is listener, slice or admin.", "kind", "name"),
		adminFailures:  prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_admin_authentication_failures_total", Help: "Requests to the admin address with a name and a password that are not those of a user."}),
		buildInfo:      gauge("build_info", "Always 1; the labels say what runs.", "version", "goversion"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_request_duration_seconds", Help: "From sent to the broker to answered.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"slice", "api"}),
		held:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_held_connections", Help: "Connections held open for a moment before they are closed by policy."}),
		reloadOK:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_config_last_reload_successful", Help: "1 when the last load of the file succeeded."}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_config_last_reload_success_timestamp_seconds", Help: "When the file was last loaded with success."}),
	}
	r.MustRegister(m.requests, m.bytes, m.throttledSecs, m.throttledReqs, m.overrun, m.denied, m.accepted, m.authFailures, m.connections, m.refused,
		m.duration, m.held, m.reloadOK, m.reloadTime, m.sliceReachable, m.unknown, m.hidden, m.brokerLogins, m.expiry, m.adminFailures, m.buildInfo)
	m.buildInfo.WithLabelValues(version, runtime.Version()).Set(1)
	return m
}

type tenantKey struct{ tenant, slice string }

// tenantMetrics are the counters of one tenant in one slice, resolved once: a
// lookup by label values costs more than all else that is counted.
type tenantMetrics struct {
	m             *metrics
	tenant, slice string
	in, out       prometheus.Counter
	requests      [protocol.NumAPIs]atomic.Pointer[[outcomes]prometheus.Counter]
	denials       denialSamples
}

func (m *metrics) tenant(tenant, slice string) *tenantMetrics {
	key := tenantKey{tenant, slice}
	if t, ok := m.perTenant.Load(key); ok {
		return t.(*tenantMetrics)
	}
	t, _ := m.perTenant.LoadOrStore(key, &tenantMetrics{
		m: m, tenant: tenant, slice: slice,
		in: m.bytes.WithLabelValues(tenant, slice, "in"), out: m.bytes.WithLabelValues(tenant, slice, "out"),
	})
	return t.(*tenantMetrics)
}

// count adds one request.
func (t *tenantMetrics) count(api *protocol.API, o outcome) {
	slot := &t.requests[api.Key]
	c := slot.Load()
	if c == nil {
		c = new([outcomes]prometheus.Counter)
		for i := range c {
			c[i] = t.m.requests.WithLabelValues(t.tenant, t.slice, api.Name, outcome(i).String())
		}
		slot.Store(c)
	}
	c[o].Inc()
}

// sliceMetrics are the histograms of one slice, resolved once.
type sliceMetrics struct {
	m        *metrics
	slice    string
	duration [protocol.NumAPIs]atomic.Pointer[prometheus.Observer]
}

func (m *metrics) slice(name string) *sliceMetrics {
	if s, ok := m.perSlice.Load(name); ok {
		return s.(*sliceMetrics)
	}
	s, _ := m.perSlice.LoadOrStore(name, &sliceMetrics{m: m, slice: name})
	return s.(*sliceMetrics)
}

func (s *sliceMetrics) observe(api *protocol.API, seconds float64) {
	slot := &s.duration[api.Key]
	h := slot.Load()
	if h == nil {
		o := s.m.duration.WithLabelValues(s.slice, api.Name)
		h = &o
		slot.Store(h)
	}
	(*h).Observe(seconds)
}

// mode is the label of what enforcement does.
func mode(observe bool) string {
	if observe {
		return "observe"
	}
	return "enforce"
}

func (t *tenantMetrics) throttled(limit string, level limiter.Level, observe bool, seconds float64) {
	t.m.throttledReqs.WithLabelValues(t.tenant, limit, level.String(), mode(observe)).Inc()
	t.m.throttledSecs.WithLabelValues(t.tenant, limit, level.String(), mode(observe)).Add(seconds)
}
