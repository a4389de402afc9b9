package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"sluice/proxy/policy"
)

// usageTable prints who used what since it was last printed, from the gateway's
// own metrics.
type usageTable struct {
	last usageSample
	rows int
}

// usageSample is what the metrics said at one time.
type usageSample struct {
	at      time.Time
	tenants map[string]*usage
}

// usage are the counters of one tenant.
type usage struct {
	slice                 string
	in, out, held, denied float64
}

// print prints one line for each tenant that has asked for anything.
func (t *usageTable) print(w io.Writer, now time.Time, g prometheus.Gatherer, p *policy.Policy) {
	sample, err := sampleUsage(now, g)
	if err != nil {
		fmt.Fprintln(w, "metrics:", err)
		return
	}
	if !t.last.at.IsZero() && t.rows%30 == 0 {
		fmt.Fprintf(w, "%-10s %-8s %9s %9s  %-22s %9s %8s\n", "TENANT", "SLICE", "MB/s IN", "MB/s OUT", "LIMIT IN/OUT", "HELD s/s", "DENIED/s")
	}
	seconds := now.Sub(t.last.at).Seconds()
	for _, name := range slices.Sorted(maps.Keys(sample.tenants)) {
		u, before := sample.tenants[name], t.last.tenants[name]
		if before == nil {
			before = &usage{}
		}
		if t.last.at.IsZero() {
			continue
		}
		fmt.Fprintf(w, "%-10s %-8s %9.2f %9.2f  %-22s %9.2f %8.1f\n", name, u.slice,
			(u.in-before.in)/seconds/1e6, (u.out-before.out)/seconds/1e6, limitsOf(p, name),
			(u.held-before.held)/seconds, (u.denied-before.denied)/seconds)
		t.rows++
	}
	if len(sample.tenants) > 1 && !t.last.at.IsZero() {
		fmt.Fprintln(w)
	}
	t.last = sample
}

// limitsOf are a tenant's byte rates as they stand in the file now.
func limitsOf(p *policy.Policy, tenant string) string {
	if p == nil || p.Tenant(tenant) == nil {
		return "-"
	}
	rate := func(l policy.Limit) string {
		if r := p.Tenant(tenant).Limits.Rates[l]; r > 0 {
			return fmt.Sprintf("%.3g", r/1e6)
		}
		return "none"
	}
	return rate(policy.ProducerByteRate) + " / " + rate(policy.ConsumerByteRate) + " MB/s"
}

// sampleUsage adds the gateway's counters up by tenant.
func sampleUsage(now time.Time, g prometheus.Gatherer) (usageSample, error) {
	families, err := g.Gather()
	if err != nil {
		return usageSample{}, err
	}
	s := usageSample{at: now, tenants: map[string]*usage{}}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			s.add(f.GetName(), labels, m)
		}
	}
	return s, nil
}

func (s usageSample) add(name string, labels map[string]string, m *dto.Metric) {
	tenant := labels["tenant"]
	if tenant == "" {
		return
	}
	u := s.tenants[tenant]
	if u == nil {
		u = &usage{slice: "-"}
		s.tenants[tenant] = u
	}
	if labels["slice"] != "" {
		u.slice = labels["slice"]
	}
	value := m.GetCounter().GetValue()
	switch {
	case name == "sluice_bytes_total" && labels["direction"] == "in":
		u.in += value
	case name == "sluice_bytes_total":
		u.out += value
	case name == "sluice_throttled_seconds_total":
		u.held += value
	case name == "sluice_requests_total" && labels["outcome"] == "denied":
		u.denied += value
	}
}
