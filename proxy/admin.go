package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin serves /metrics, /healthz, /readyz and, if the policy says so, /debug/pprof, to
// those whom admin.basic_auth lets in. [Gateway.AdminTLS] is for its listener.
func (g *Gateway) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", g.readyz)
	if g.snapshot.Load().policy.Admin.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return g.guarded(mux)
}

// readiness is whether clients are served, and in words.
func (g *Gateway) readiness() (status int, words string) {
	reachable := false
	for _, s := range g.snapshot.Load().slices {
		reachable = reachable || s.Health().Reachable
	}
	switch {
	case g.draining.Load():
		return http.StatusServiceUnavailable, "not ready: draining"
	case !g.started.Load():
		return http.StatusServiceUnavailable, "not ready: starting"
	case !reachable:
		return http.StatusServiceUnavailable, "not ready: no slice can be reached"
	}
	return http.StatusOK, "ready"
}

// readyz is 503 while starting, while draining, and when no slice at all can be
// reached. Its body names each slice and the last reload.
func (g *Gateway) readyz(w http.ResponseWriter, _ *http.Request) {
	var body strings.Builder
	status, first := g.readiness()
	snap := g.snapshot.Load()
	for _, name := range slices.Sorted(maps.Keys(snap.slices)) {
		h := snap.slices[name].Health()
		state := "unreachable"
		if h.Reachable {
			state = "reachable"
		}
		fmt.Fprintf(&body, "slice %s: %s since %s, %d brokers, %d topics", name, state, h.Since.UTC().Format(time.RFC3339), h.Brokers, h.Topics)
		if h.Err != "" {
			fmt.Fprintf(&body, ": %s", h.Err)
		}
		body.WriteByte('\n')
	}
	if last := g.lastReload.Load(); last != nil {
		result := "applied"
		if last.problems.Failed() {
			result = "refused, the policy before it stays"
		}
		fmt.Fprintf(&body, "last reload: %s at %s, running policy %s\n", result, last.at.UTC().Format(time.RFC3339), snap.policy.Hash)
		for _, p := range last.problems {
			fmt.Fprintln(&body, p)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\n%s", first, body.String())
}
