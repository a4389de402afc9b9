package proxy

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
	"sluice/proxy/policy"
)

// adminDoor is what guards the admin address under one policy. Both are nil where nothing
// does.
type adminDoor struct {
	tls   *edge.Server
	users *auth.File[auth.BasicUsers]
}

// basicUsersKey tells files of users apart from all else that is followed.
type basicUsersKey struct{ path string }

func (g *Gateway) adminDoor(a *policy.Admin, into following) (d adminDoor, err error) {
	if a.TLS != nil {
		if d.tls, err = g.serverTLS(a.TLS, into); err != nil {
			return d, fmt.Errorf("admin: %w", err)
		}
	}
	if a.BasicAuth != "" {
		d.users, err = follow(g, into, basicUsersKey{a.BasicAuth}, func() (*auth.File[auth.BasicUsers], error) {
			return auth.OpenBasicUsers(a.BasicAuth)
		}, files[*auth.File[auth.BasicUsers]](g, a.BasicAuth))
		if err != nil {
			return d, fmt.Errorf("admin.basic_auth: %w", err)
		}
	}
	return d, nil
}

// AdminTLS is for the listener of the admin address; nil: without TLS.
func (g *Gateway) AdminTLS() *tls.Config {
	if server := g.snapshot.Load().door.tls; server != nil {
		return server.Config()
	}
	return nil
}

// guarded lets only users in, where the policy asks for them. Without a name and a
// password there is what a probe needs: whether the gateway lives, and whether it is
// ready.
func (g *Gateway) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		users := g.snapshot.Load().door.users
		if users == nil {
			next.ServeHTTP(w, r)
			return
		}
		name, password, given := r.BasicAuth()
		switch from, _ := netip.ParseAddrPort(r.RemoteAddr); {
		case given && users.Current().Accepts(r.Context(), g.adminGuard, from.Addr().Unmap(), time.Now(), name, password):
			next.ServeHTTP(w, r)
		case !given && r.Method == http.MethodGet && r.URL.Path == "/healthz":
			next.ServeHTTP(w, r)
		case !given && r.Method == http.MethodGet && r.URL.Path == "/readyz":
			status, first := g.readiness()
			http.Error(w, first, status)
		default:
			if given {
				g.metrics.adminFailures.Inc()
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="sluice", charset="UTF-8"`)
			http.Error(w, "a name and a password of admin.basic_auth are needed", http.StatusUnauthorized)
		}
	})
}
