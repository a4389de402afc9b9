package proxy

import (
	"crypto/x509/pkix"
	"fmt"
	"testing"
	"time"

	"sluice/bench/kafka"
)

// When a listener's certificate ends is told for as long as it has one.
func TestCertificateExpiry(t *testing.T) {
	t.Parallel()
	pair := kafka.NewAuthority(t).Issue(t, "edge", pkix.Name{CommonName: "edge"})
	lines := fmt.Sprintf("    tls: {certificate: %s, key: %s}\n", pair.Certificate, pair.Key)
	r := newRigAt(t, door{lines: lines}, "", openTenant, fakeCluster(t, "payments.a"))
	expiry := func() float64 {
		return r.metric("certificate_expiry_timestamp_seconds", "kind", "listener", "name", "edge")
	}
	eventually(t, 10*time.Second, "it is told", func() bool {
		left := expiry() - float64(time.Now().Unix())
		return left > (23*time.Hour).Seconds() && left < (25*time.Hour).Seconds()
	})
	r.rewrite(lines, "")
	if problems := r.Reload(); problems.Failed() {
		t.Fatal(problems)
	}
	eventually(t, 10*time.Second, "it is gone", func() bool { return expiry() == 0 })
}
