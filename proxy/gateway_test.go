package proxy

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const openTenant = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

const ruledTenant = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules:
      - {allow: [READ, WRITE, CREATE], topics: ["payments.*"]}
      - {allow: [READ], groups: ["payments.*"]}
`

func TestProduceAndConsume(t *testing.T) {
	for name, tenants := range map[string]string{"everything": openTenant, "ruled": ruledTenant} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "", tenants, fakeCluster(t, "payments.a", "other"))
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			p := r.client("payments.app")
			for i := range 100 {
				rec := &kgo.Record{Topic: "payments.a", Value: fmt.Append(nil, i)}
				if err := p.ProduceSync(ctx, rec).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			c := r.client("payments.reader", kgo.ConsumeTopics("payments.a"), kgo.ConsumerGroup("payments.g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			got := 0
			for got < 100 {
				fs := c.PollFetches(ctx)
				if err := fs.Err(); err != nil {
					t.Fatal(err)
				}
				got += fs.NumRecords()
			}
		})
	}
}
