package proxy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// The names and labels that dashboards are built on.
var goldenMetrics = map[string]string{
	"sluice_requests_total":                               "api outcome slice tenant",
	"sluice_bytes_total":                                  "direction slice tenant",
	"sluice_throttled_seconds_total":                      "level limit mode tenant",
	"sluice_throttled_requests_total":                     "level limit mode tenant",
	"sluice_limit_overrun_bytes_total":                    "limit tenant",
	"sluice_denied_total":                                 "mode operation resource tenant",
	"sluice_connections":                                  "listener tenant",
	"sluice_refused_connections_total":                    "reason",
	"sluice_request_duration_seconds":                     "api slice",
	"sluice_config_last_reload_successful":                "",
	"sluice_config_last_reload_success_timestamp_seconds": "",
	"sluice_build_info":                                   "goversion version",
}

func TestMetricNames(t *testing.T) {
	t.Parallel()
	const tenant = ruledTenant + "    limits: {producer_byte_rate: 10kB, burst: 100ms}\n"
	r, cluster, _, c := leaderRig(t, "max_throttle: 1s", tenant)
	for range 2 {
		c.ask(produceReq(9, 1, 30_000, "payments.a"))
	}
	c.ask(metadataReq(9, "other", "payments.a"))
	c.ask(fetchReq(11, 0, "payments.a"))
	r.raw("nobody", "").ask(metadataReq(9, "a-topic-of-nobody"))
	got := map[string]string{}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	id := cluster.TopicInfo("payments.a").TopicID
	for _, f := range families {
		var names []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		slices.Sort(names)
		got[f.GetName()] = strings.Join(names, " ")
		if f.GetHelp() == "" {
			t.Errorf("%s: no help", f.GetName())
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				for _, secret := range []string{"payments.app", "nobody", "payments.a", "a-topic-of-nobody", string(id[:])} {
					if strings.Contains(l.GetValue(), secret) {
						t.Errorf("%s: label %s=%q tells of a client or topic", f.GetName(), l.GetName(), l.GetValue())
					}
				}
			}
		}
	}
	for name, labels := range goldenMetrics {
		if g, ok := got[name]; !ok || g != labels {
			t.Errorf("%s{%s}: got %q, there: %v", name, labels, g, ok)
		}
	}
	for name := range maps.Keys(got) {
		if !strings.HasPrefix(name, "sluice_") {
			t.Errorf("%s has no prefix", name)
		}
	}
	for _, k := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{2, "requests_total", []string{"tenant", "payments", "slice", "orders", "api", "Produce", "outcome", "ok"}},
		{1, "requests_total", []string{"tenant", "payments", "slice", "orders", "api", "Metadata", "outcome", "partial"}},
		{1, "requests_total", []string{"tenant", "payments", "slice", "orders", "api", "Fetch", "outcome", "ok"}},
		{1, "requests_total", []string{"tenant", "unmatched", "api", "Metadata", "outcome", "denied"}},
		{1, "denied_total", []string{"tenant", "payments", "resource", "topic", "operation", "DESCRIBE", "mode", "enforce"}},
		{2, "request_duration_seconds", []string{"slice", "orders", "api", "Produce"}},
		{1, "connections", []string{"tenant", "payments", "listener", "edge"}},
		{1, "refused_connections_total", []string{"reason", "unmatched"}},
		{1, "config_last_reload_successful", nil},
	} {
		if got := r.metric(k.name, k.labels...); got != k.want {
			t.Errorf("%s%v = %v, want %v", k.name, k.labels, got, k.want)
		}
	}
}

func TestAdminEndpoints(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, cluster)
	eventually(t, 3*time.Second, "it is ready", func() bool { status, _ := r.get("/readyz"); return status == 200 })
	for path, want := range map[string]string{
		"/metrics": "sluice_build_info{goversion=\"go",
		"/healthz": "ok\n",
		"/readyz":  "ready\nslice orders: reachable since ",
	} {
		if status, body := r.get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
	if status, _ := r.get("/debug/pprof/"); status != 404 {
		t.Errorf("pprof is served without being asked for: %d", status)
	}
}
