package proxy

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/bench/kafka"
)

// What vouches for endpoints of keys and tokens follows its file.
func TestAuthoritiesFollowTheirFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", openTenant, fakeCluster(t, "payments.a"))
	path := filepath.Join(t.TempDir(), "ca.pem")
	become := func(a *kafka.Authority) *x509.CertPool {
		data, err := os.ReadFile(a.CAFile)
		if err == nil {
			err = os.WriteFile(path+".new", data, 0o600)
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(data) {
			t.Fatal(err)
		}
		return pool
	}
	before := become(kafka.NewAuthority(t))
	config, err := r.authorities(path, following{})
	if err != nil {
		t.Fatal(err)
	}
	if got := config(); !got.RootCAs.Equal(before) || got.ServerName != "" {
		t.Errorf("%v", got)
	}
	after := become(kafka.NewAuthority(t))
	eventually(t, 5*time.Second, "the new file holds", func() bool { return config().RootCAs.Equal(after) })
	if none, err := r.authorities("", following{}); none != nil || err != nil {
		t.Errorf("without a file: %v", err)
	}
	if _, err := r.authorities(path+".none", following{}); err == nil {
		t.Error("there is no such file")
	}
}
