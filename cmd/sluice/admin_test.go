package main

import (
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"sluice/bench/kafka"
)

// The admin address speaks TLS and asks for a name and a password, and nothing that
// the process prints holds them.
func TestRunAdminSecured(t *testing.T) {
	const password = "scrape-me-42"
	a := kafka.NewAuthority(t)
	pair := a.Issue(t, "admin", pkix.Name{CommonName: "admin"})
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	users := writeFile(t, "prometheus:"+string(hash)+"\n")
	s := newSite(t)
	s.rewrite(t, strings.Replace(s.policy, fmt.Sprintf("admin: {address: %q}", s.admin),
		fmt.Sprintf("admin: {address: %q, tls: {certificate: %s, key: %s}, basic_auth: %s}", s.admin, pair.Certificate, pair.Key, users), 1))
	c := start(t, "run", "--config", s.path)
	c.says("serving")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: a.TLS(t, kafka.Pair{})}}
	for user, want := range map[string]int{"": http.StatusUnauthorized, "prometheus": http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.admin+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || strings.Contains(string(body), password) {
			t.Errorf("%q: %d, want %d", user, resp.StatusCode, want)
		}
	}
	if status, body := s.get(t, "/metrics"); status != http.StatusBadRequest {
		t.Errorf("without TLS: %d %s", status, body)
	}
	c.stops()
	if text := strings.Join(c.seen, "\n") + c.stdout.String(); strings.Contains(text, password) || strings.Contains(text, string(hash)) {
		t.Errorf("the process tells the password:\n%s", text)
	}
}

// A file of users or a certificate that cannot be used ends the start.
func TestRunAdminNeedsItsFiles(t *testing.T) {
	for what, with := range map[string]string{
		"basic_auth":  "basic_auth: " + filepath.Join(t.TempDir(), "none"),
		"certificate": "tls: {certificate: /nowhere/a.crt, key: /nowhere/a.key}",
	} {
		s := newSite(t)
		s.rewrite(t, strings.Replace(s.policy, fmt.Sprintf("admin: {address: %q}", s.admin), fmt.Sprintf("admin: {address: %q, %s}", s.admin, with), 1))
		code, stderr := start(t, "run", "--config", s.path).exits()
		if code != exitFailed || !strings.Contains(stderr, what) || !strings.Contains(stderr, "no such file") {
			t.Errorf("%s: exit %d\n%s", what, code, stderr)
		}
	}
}
