package main

import (
	"cmp"
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
	at   time.Time
	rows map[usageKey]*usage
	held map[string]float64 // by tenant
}

// usageKey: a tenant of several slices has a line for each.
type usageKey struct{ tenant, slice string }

// usage are the counters of one tenant in one slice.
type usage struct{ in, out, denied float64 }

// print prints one line for each tenant and slice of which anything was asked. Seconds
// held are the tenant's as a whole, and stand in its first line.
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
	told := ""
	for _, key := range slices.SortedFunc(maps.Keys(sample.rows), usageKey.compare) {
		u, before := sample.rows[key], t.last.rows[key]
		if before == nil {
			before = &usage{}
		}
		if t.last.at.IsZero() {
			continue
		}
		held := 0.0
		if key.tenant != told {
			held = sample.held[key.tenant] - t.last.held[key.tenant]
		}
		told = key.tenant
		fmt.Fprintf(w, "%-10s %-8s %9.2f %9.2f  %-22s %9.2f %8.1f\n", key.tenant, cmp.Or(key.slice, "-"),
			(u.in-before.in)/seconds/1e6, (u.out-before.out)/seconds/1e6, limitsOf(p, key.tenant),
			held/seconds, (u.denied-before.denied)/seconds)
		t.rows++
	}
	if len(sample.rows) > 1 && !t.last.at.IsZero() {
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
	s := usageSample{at: now, rows: map[usageKey]*usage{}, held: map[string]float64{}}
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
	tenant, value := labels["tenant"], m.GetCounter().GetValue()
	switch name {
	case "sluice_throttled_seconds_total":
		s.held[tenant] += value
		return
	case "sluice_bytes_total", "sluice_requests_total":
	default:
		return
	}
	key := usageKey{tenant, labels["slice"]}
	u := s.rows[key]
	if u == nil {
		u = &usage{}
		s.rows[key] = u
	}
	switch {
	case labels["direction"] == "in":
		u.in += value
	case labels["direction"] == "out":
		u.out += value
	case labels["outcome"] == "denied":
		u.denied += value
	}
}

func (k usageKey) compare(o usageKey) int {
	return cmp.Or(cmp.Compare(k.tenant, o.tenant), cmp.Compare(k.slice, o.slice))
}
