package proxy

import (
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/bench/kafka"
)

// Clients of several slices prove who they are like all others: to the gateway.
func TestSpanningClientsLogIn(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	alice := a.Issue(t, "alice", pkix.Name{CommonName: "alice"})
	bound := strings.Replace(spanningTenant, "    reach: [clicks]\n", "    reach: [clicks]\n    principals: [\"User:alice\", \"User:CN=alice\"]\n", 1)
	for name, c := range map[string]struct {
		lines string
		opts  []kgo.Opt
	}{
		"SASL": {tlsLines(t, a, "") + terminateLines(t, a, ""), []kgo.Opt{
			kgo.DialTLSConfig(a.TLS(t, kafka.Pair{})), kgo.SASL(scram.Auth{User: "alice", Pass: secret}.AsSha256Mechanism()),
		}},
		"mTLS": {tlsLines(t, a, fmt.Sprintf(", client_ca: %s, client_auth: required", a.CAFile)), []kgo.Opt{kgo.DialTLSConfig(a.TLS(t, alice))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigAt(t, door{lines: c.lines}, "", bound, fakeCluster(t, "payments.a"), fakeCluster(t, "clicks.a"))
			cl := r.client("payments.app", append(c.opts, kgo.ConsumeTopics("payments.a", "clicks.a"))...)
			for _, topic := range []string{"payments.a", "clicks.a"} {
				if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
					t.Errorf("%s: %v", topic, err)
				}
			}
			seen := map[string]bool{}
			for len(seen) < 2 {
				fetches := cl.PollFetches(t.Context())
				if err := fetches.Err(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(rec *kgo.Record) { seen[rec.Topic] = true })
			}
			r.noSecrets()
		})
	}
}
