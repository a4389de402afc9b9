package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

const deniedTenants = `tenants:
  - name: sales
    client_ids: {team: sales}
    home: orders
    rules:
      - {allow: [READ, WRITE], topics: ["sales.*"]}
      - {allow: [READ], groups: ["sales.*"]}
      - {allow: [WRITE], transactional_ids: ["sales.*"]}
  - name: readers
    client_ids: {team: readers}
    home: orders
    rules: [{allow: [READ], topics: ["sales.*"]}, {allow: [READ], groups: ["readers.*"]}]
`

const (
	// tryFor is how long a refused client goes on.
	tryFor = 20 * time.Second
	// What a refused client may cost, per second.
	maxRequestRate, maxConnectionRate = 3.0, 0.5
)

// refusedClient is a client that is refused and goes on trying, at a gateway of
// its own, so that what it costs can be counted.
type refusedClient struct {
	name string
	// One of these three starts it.
	java, python []string // flags of program Refused, refused.py
	franz        func(ctx context.Context, address, clientID string) (try func(context.Context) error, closed func())
	// The error's name, and what its message must contain.
	want, text string
	// reader: the client is one of a tenant that may write nothing at all.
	reader bool

	tenant, clientID string
	g                *Gateway
	run              func() kafka.Result
	// What came of it: requests and connections are counted by its gateway.
	result          kafka.Result
	asked, accepted float64
}

func (c *refusedClient) start(t *testing.T, k *kafka.Broker, python *kafka.Python) {
	t.Helper()
	c.g = Start(t, "", deniedTenants, k)
	flags := []string{"--bootstrap", c.g.Address, "--client-id", c.clientID, "--seconds", fmt.Sprint(tryFor.Seconds())}
	c.run = func() kafka.Result {
		switch {
		case c.java != nil:
			return k.Jars.Program(t.Context(), "Refused", append(flags, c.java...)...).Wait()
		case c.python != nil:
			return python.Program(t.Context(), "refused", append(flags, c.python...)...).Wait()
		}
		return c.tries(t.Context())
	}
}

// tries is program Refused for a client in this process: its events are the same.
func (c *refusedClient) tries(ctx context.Context) kafka.Result {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	try, closed := c.franz(ctx, c.g.Address, c.clientID)
	defer closed()
	var out strings.Builder
	errs := map[string]bool{}
	tries, passed, failed := 0, 0, 0
	for start := time.Now(); ctx.Err() == nil; start = start.Add(time.Second) {
		tries++
		err := try(ctx)
		switch {
		case err == nil:
			passed++
		case !errors.Is(err, context.DeadlineExceeded):
			failed++
			name := err.Error()
			var e *kerr.Error
			if errors.As(err, &e) {
				name = e.Message
			}
			if !errs[name] {
				errs[name] = true
				fmt.Fprintf(&out, "{\"ms\":%d,\"event\":\"error\",\"error\":%q,\"message\":%q}\n", time.Now().UnixMilli(), name, err.Error())
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(start.Add(time.Second))):
		}
	}
	fmt.Fprintf(&out, "{\"ms\":%d,\"event\":\"done\",\"number\":%d,\"records\":%d,\"count\":%d}\n", time.Now().UnixMilli(), tries, passed, failed)
	return kafka.Result{Stdout: out.String()}
}

// measure runs the client and counts what it cost.
func (c *refusedClient) measure() {
	accepted, asked := c.g.Metric("sluice_accepted_connections_total"), c.g.Metric("sluice_requests_total", "tenant", c.tenant)
	c.result = c.run()
	c.accepted = c.g.Metric("sluice_accepted_connections_total") - accepted
	c.asked = c.g.Metric("sluice_requests_total", "tenant", c.tenant) - asked
}

// check holds the client to what it should have been told, and to what it may cost.
func (c *refusedClient) check(t *testing.T) {
	t.Helper()
	r := c.result
	done, ok := r.Done()
	if r.Err != nil || !ok || done.Records != 0 {
		t.Fatalf("it was not refused: %s", r)
	}
	named := false
	for _, e := range r.Find("error") {
		named = named || e.Error == c.want && strings.Contains(e.Message, c.text)
		t.Logf("%s: %s", e.Error, e.Message)
	}
	if !named {
		t.Errorf("no %s with %q: %s", c.want, c.text, r)
	}
	requests, connections := c.asked/tryFor.Seconds(), c.accepted/tryFor.Seconds()
	t.Logf("%.2f requests/s, %.2f connections/s, %.0f tries, %d errors", requests, connections, done.Number, done.Count)
	if c.asked == 0 || requests >= maxRequestRate {
		t.Errorf("%.2f requests/s, want below %v", requests, maxRequestRate)
	}
	if c.accepted == 0 || connections >= maxConnectionRate {
		t.Errorf("%.2f connections/s, want below %v", connections, maxConnectionRate)
	}
}

// TestRefused shows what clients of no tenant, and clients of a tenant that ask for
// what its rules deny, are told, and that their trying again and again costs little.
func TestRefused(t *testing.T) {
	k := kafka.Start(t, kafka.Options{})
	k.CreateTopics(t, 1, "sales.a", "other.a")
	python := kafka.ResolvePython(t)
	together := func(name, tenant, clientID string, clients []*refusedClient) {
		t.Run(name, func(t *testing.T) {
			for _, c := range clients {
				if c.tenant, c.clientID = tenant, clientID; c.reader {
					c.tenant, c.clientID = "readers", "readers.app"
				}
				c.start(t, k, python)
			}
			var all sync.WaitGroup
			for _, c := range clients {
				all.Go(func() { c.measure() })
			}
			all.Wait()
			for _, c := range clients {
				t.Run(c.name, c.check)
			}
		})
	}
	together("unmatched", "unmatched", "stranger.app", unmatchedClients())
	together("denied", "sales", "sales.app", deniedClients())
}

func unmatchedClients() []*refusedClient {
	const text = `Sluice: client.id "stranger.app" belongs to no tenant of this gateway; client IDs follow`
	kind := func(k string, more ...string) []string {
		return append([]string{"--kind", k, "--topic", "sales.a", "--group", "sales.g"}, more...)
	}
	return []*refusedClient{
		{name: "java producer", java: kind("producer"), want: "PolicyViolationException", text: text},
		{name: "java consumer", java: kind("consumer"), want: "GroupAuthorizationException", text: "sales.g"},
		{name: "java consumer, group protocol consumer", java: kind("consumer-next"), want: "GroupAuthorizationException", text: "sales.g"},
		{name: "java share consumer", java: kind("share"), want: "GroupAuthorizationException", text: "sales.g"},
		{name: "java admin", java: kind("admin"), want: "ClusterAuthorizationException", text: text},
		{name: "java admin creates a topic", java: kind("admin-create"), want: "PolicyViolationException", text: text},
		{name: "librdkafka producer", python: kind("producer"), want: "POLICY_VIOLATION"},
		{name: "librdkafka idempotent producer", python: kind("producer", "--prop", "enable.idempotence=true"), want: "POLICY_VIOLATION"},
		{name: "librdkafka consumer", python: kind("consumer"), want: "GROUP_AUTHORIZATION_FAILED", text: text},
		{name: "librdkafka admin creates a topic", python: kind("admin-create"), want: "POLICY_VIOLATION", text: text},
		{name: "franz-go producer", franz: franzProducer("sales.a"), want: "POLICY_VIOLATION"},
		{name: "franz-go consumer", franz: franzConsumer("sales.a", "sales.g"), want: "GROUP_AUTHORIZATION_FAILED"},
		{name: "franz-go consumer, group protocol consumer", franz: franzConsumer("sales.a", "sales.g", nextProtocol), want: "GROUP_AUTHORIZATION_FAILED", text: text},
		{name: "franz-go consumer without a group", franz: franzConsumer("sales.a", ""), want: "TOPIC_AUTHORIZATION_FAILED"},
		{name: "franz-go admin", franz: franzCreate("sales.new"), want: "POLICY_VIOLATION", text: text},
	}
}

func deniedClients() []*refusedClient {
	kind := func(k, topic, group string) []string {
		return []string{"--kind", k, "--topic", topic, "--group", group}
	}
	return []*refusedClient{
		{name: "java producer", java: kind("producer", "other.a", ""), want: "TopicAuthorizationException", text: "other.a"},
		// These are refused a producer id, with the code that Kafka gives; without the
		// penalty the Java client asks for another thousands of times a second.
		{name: "java producer that may write nothing", reader: true, java: kind("producer", "sales.a", ""), want: "ClusterAuthorizationException"},
		{name: "franz-go producer that may write nothing", reader: true, franz: franzProducer("sales.a"), want: "CLUSTER_AUTHORIZATION_FAILED"},
		{name: "java transactional producer", java: kind("txn", "", "other.t"), want: "TransactionalIdAuthorizationException"},
		{name: "java consumer of a denied group", java: kind("consumer", "sales.a", "other.g"), want: "GroupAuthorizationException", text: "other.g"},
		{name: "java consumer of a denied topic", java: kind("consumer", "other.a", "sales.g"), want: "TopicAuthorizationException", text: "other.a"},
		{name: "java consumer of a denied group, group protocol consumer", java: kind("consumer-next", "sales.a", "other.g"), want: "GroupAuthorizationException", text: "other.g"},
		{name: "java consumer of a denied topic, group protocol consumer", java: kind("consumer-next", "other.a", "sales.h"), want: "TopicAuthorizationException", text: "other.a"},
		{name: "java share consumer of a denied group", java: kind("share", "sales.a", "other.g"), want: "GroupAuthorizationException", text: "other.g"},
		{name: "librdkafka producer", python: kind("producer", "other.a", ""), want: "TOPIC_AUTHORIZATION_FAILED"},
		{name: "librdkafka consumer of a denied group", python: kind("consumer", "sales.a", "other.g"), want: "GROUP_AUTHORIZATION_FAILED"},
		{name: "librdkafka consumer of a denied topic", python: kind("consumer", "other.a", "sales.i"), want: "TOPIC_AUTHORIZATION_FAILED"},
		{name: "franz-go producer", franz: franzProducer("other.a"), want: "TOPIC_AUTHORIZATION_FAILED"},
		{name: "franz-go consumer of a denied group", franz: franzConsumer("sales.a", "other.g"), want: "GROUP_AUTHORIZATION_FAILED"},
		{name: "franz-go consumer of a denied topic", franz: franzConsumer("other.a", ""), want: "TOPIC_AUTHORIZATION_FAILED"},
		{name: "franz-go transactional producer", franz: franzProducer("sales.a", kgo.TransactionalID("other.t")), want: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"},
	}
}

type franzKind = func(ctx context.Context, address, clientID string) (try func(context.Context) error, closed func())

func franzClient(address, clientID string, options ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.ClientID(clientID)}, options...)...)
	if err != nil {
		panic(err) // an option of this file is wrong
	}
	return cl
}

func franzProducer(topic string, options ...kgo.Opt) franzKind {
	return func(_ context.Context, address, clientID string) (try func(context.Context) error, closed func()) {
		cl := franzClient(address, clientID, options...)
		return func(ctx context.Context) error {
			if len(options) > 0 {
				_, _, err := cl.ProducerID(ctx)
				return err
			}
			return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
		}, cl.Close
	}
}

// nextProtocol makes franz-go use the consumer protocol of KIP-848, which it has
// behind this key.
var nextProtocol = kgo.WithContext(context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true)) //nolint:revive,staticcheck // the key is franz-go's

func franzConsumer(topic, group string, more ...kgo.Opt) franzKind {
	return func(_ context.Context, address, clientID string) (try func(context.Context) error, closed func()) {
		options := append([]kgo.Opt{kgo.ConsumeTopics(topic)}, more...)
		if group != "" {
			options = append(options, kgo.ConsumerGroup(group))
		}
		cl := franzClient(address, clientID, options...)
		return func(ctx context.Context) error {
			fetches := cl.PollFetches(ctx)
			for _, e := range fetches.Errors() {
				return e.Err
			}
			return nil
		}, cl.Close
	}
}

func franzCreate(topic string) franzKind {
	return func(_ context.Context, address, clientID string) (try func(context.Context) error, closed func()) {
		cl := franzClient(address, clientID)
		return func(ctx context.Context) error {
			created, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, topic)
			if created.ErrMessage != "" {
				return fmt.Errorf("%w: %s", created.Err, created.ErrMessage)
			}
			return err
		}, cl.Close
	}
}
