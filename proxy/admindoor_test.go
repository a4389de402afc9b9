package proxy

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"sluice/bench/kafka"
	"sluice/proxy/policy"
)

// usersFile is a file for basic_auth.
func usersFile(t *testing.T, path, name, password string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err == nil {
		err = os.WriteFile(path, []byte(name+":"+string(hash)+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// look asks for a path as somebody; nobody if name is empty.
func look(t *testing.T, client *http.Client, url, name, password string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		req.SetBasicAuth(name, password)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestAdminBasicAuth(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", openTenant, fakeCluster(t, "payments.a"))
	users := filepath.Join(t.TempDir(), "users")
	usersFile(t, users, "prometheus", "scrape-me-42")
	r.options.FollowEvery = 20 * time.Millisecond
	server := httptest.NewServer(r.Admin())
	defer server.Close()
	if status, _ := look(t, server.Client(), server.URL+"/metrics", "", ""); status != 200 {
		t.Errorf("%d where nothing is asked for", status)
	}
	// What a reload refuses to change is changed here as a start would.
	p := *r.snapshot.Load().policy
	p.Admin.BasicAuth = users
	r.reloading.Lock()
	err := r.apply(&p)
	r.reloading.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "it is ready", func() bool { status, _ := look(t, server.Client(), server.URL+"/readyz", "", ""); return status == 200 })
	for _, c := range []struct {
		path, name, password string
		status               int
		holds, not           string
	}{
		{"/metrics", "", "", 401, "basic_auth", "sluice_"},
		{"/metrics", "prometheus", "scrape-me-42", 200, "sluice_build_info", ""},
		{"/metrics", "prometheus", "wrong", 401, "", "sluice_"},
		{"/metrics", "somebody", "scrape-me-42", 401, "", "sluice_"},
		{"/healthz", "", "", 200, "ok", ""},
		{"/healthz", "somebody", "wrong", 401, "", "ok\n"},
		{"/readyz", "", "", 200, "ready", "orders"},
		{"/readyz", "prometheus", "scrape-me-42", 200, "slice orders: reachable", ""},
		{"/nowhere", "", "", 401, "", ""},
	} {
		status, body := look(t, server.Client(), server.URL+c.path, c.name, c.password)
		if status != c.status || !strings.Contains(body, c.holds) || c.not != "" && strings.Contains(body, c.not) {
			t.Errorf("%s as %q: %d %s", c.path, c.name, status, body)
		}
	}
	if got := r.metric("admin_authentication_failures_total"); got != 3 {
		t.Errorf("%v failures", got)
	}
	usersFile(t, users, "prometheus", "another-42")
	eventually(t, 10*time.Second, "the file is followed", func() bool {
		status, _ := look(t, server.Client(), server.URL+"/metrics", "prometheus", "another-42")
		return status == 200
	})
}

func TestAdminTLS(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	pair, own := a.Issue(t, "admin", pkix.Name{CommonName: "admin"}), a.Issue(t, "prometheus", pkix.Name{CommonName: "prometheus"})
	r := newRig(t, "", openTenant, fakeCluster(t, "payments.a"))
	if r.AdminTLS() != nil {
		t.Error("TLS that nobody asked for")
	}
	r.options.FollowEvery = 20 * time.Millisecond
	file := r.path + ".admin"
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "admin: {address: 127.0.0.1:0}", fmt.Sprintf(
		"admin: {address: \"0.0.0.0:0\", tls: {certificate: %s, key: %s, client_ca: %s, client_auth: required}}", pair.Certificate, pair.Key, a.CAFile), 1))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := loaded(t, file)
	r.reloading.Lock()
	err = r.apply(p)
	r.reloading.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.Admin(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(tls.NewListener(ln, r.AdminTLS())) }()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: a.TLS(t, own), DisableKeepAlives: true}}
	url := "https://" + ln.Addr().String() + "/metrics"
	if status, body := look(t, client, url, "", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: a.TLS(t, kafka.Pair{}), DisableKeepAlives: true}}
	if resp, err := stranger.Get(url); err == nil {
		resp.Body.Close()
		t.Error("somebody without a certificate came in")
	}
	eventually(t, 5*time.Second, "its end is told", func() bool {
		return r.metric("certificate_expiry_timestamp_seconds", "kind", "admin", "name", "admin") > float64(time.Now().Unix())
	})
	before := shown(t, ln.Addr().String(), a.TLS(t, own))
	a.Issue(t, "admin", pkix.Name{CommonName: "admin"})
	eventually(t, 10*time.Second, "a new certificate is shown", func() bool { return shown(t, ln.Addr().String(), a.TLS(t, own)) != before })
}

// shown is the serial number of the certificate that a server shows.
func shown(t *testing.T, address string, config *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func loaded(t *testing.T, path string) *policy.Policy {
	t.Helper()
	p, problems := policy.Load(path)
	if problems.Failed() {
		t.Fatal(problems)
	}
	return p
}
