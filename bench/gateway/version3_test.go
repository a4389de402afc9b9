package gateway

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// TestVersion3 shows that clients of today work through the gateway with a broker
// of yesterday, of which they are offered no more than it can do.
func TestVersion3(t *testing.T) {
	k := kafka.Start(t, kafka.Options{Version: kafka.Version3})
	g := Start(t, "", deniedTenants, k)
	s := &side{name: "orders", team: "sales", broker: k, g: g}
	k.CreateTopics(t, 2, "sales.old", "sales.txn", "sales.copy")
	programs := kafka.Resolve(t, "")
	run := func(class string, flags ...string) kafka.Result {
		t.Helper()
		flags = append([]string{"--bootstrap", g.Address, "--client-id", "sales.java"}, flags...)
		return s.clean(t, class, programs.Program(t.Context(), class, flags...).Wait())
	}
	written := run("Produce", "--topics", "sales.old", "--records", "3000")
	s.tagged(t, "sales.old", true)
	same(t, run("Consume", "--topics", "sales.old", "--group", "sales.old", "--records", "3000", "--consumers", "2", "--client-id", "sales.c{i}"), written)
	run("Txn", "--topic", "sales.txn", "--to", "sales.copy", "--transactional-id", "sales.t", "--group", "sales.txn")
	within(t, g, k, "sales.app")
}

// within checks that no version is offered that the broker does not know. Produce
// is offered from 0, as brokers themselves do (KAFKA-18659).
func within(t *testing.T, g *Gateway, k *kafka.Broker, clientID string) {
	t.Helper()
	direct := map[int16]kmsg.ApiVersionsResponseApiKey{}
	for _, a := range offeredTo(t, k.Address, clientID) {
		direct[a.ApiKey] = a
	}
	seen := offeredTo(t, g.Address, clientID)
	for _, a := range seen {
		b, ok := direct[a.ApiKey]
		if !ok || a.MaxVersion > b.MaxVersion || a.MinVersion < b.MinVersion && a.ApiKey != int16(kmsg.Produce) {
			t.Errorf("%s: %d to %d, the broker offers %d to %d (%v)", kmsg.NameForKey(a.ApiKey), a.MinVersion, a.MaxVersion, b.MinVersion, b.MaxVersion, ok)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d APIs are offered", len(seen))
	}
}

func offeredTo(t *testing.T, address, clientID string) []kmsg.ApiVersionsResponseApiKey {
	t.Helper()
	c := dial(t, address)
	defer func() { _ = c.Close() }()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 2 // the last that is not flexible
	c.send(t, clientID, req)
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = 2
	c.receive(t, resp)
	if resp.ErrorCode != 0 {
		t.Fatalf("ApiVersions: error %d", resp.ErrorCode)
	}
	return resp.ApiKeys
}
