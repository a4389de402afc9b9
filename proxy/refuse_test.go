package proxy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestPenalty(t *testing.T) {
	for n, want := range []time.Duration{0, 1, 2, 4, 4, 4, 4} {
		if got := penalty(n); got != want*time.Second {
			t.Errorf("penalty(%d) = %v", n, got)
		}
	}
	if penalty(-3) != 0 {
		t.Error("a refusal within the grace waits")
	}
}

// Clients of nobody, whose applications try once a second: each is told why, as
// its own library tells, and costs next to nothing.
func TestRefusalBroker(t *testing.T) {
	t.Parallel()
	const text = `client.id "nobody" belongs to no tenant of this gateway`
	produce := func(ctx context.Context, cl *kgo.Client) error {
		return cl.ProduceSync(ctx, &kgo.Record{Topic: "payments.a", Value: []byte("x")}).FirstErr()
	}
	poll := func(ctx context.Context, cl *kgo.Client) error { return cl.PollFetches(ctx).Err() }
	for _, c := range []struct {
		name  string
		opts  []kgo.Opt
		try   func(context.Context, *kgo.Client) error
		want  func(error) bool
		fatal bool // the library itself asks nothing any more
	}{
		{name: "producer", try: produce, want: is(kerr.PolicyViolation)},
		{name: "transactional producer", opts: []kgo.Opt{kgo.TransactionalID("tx")}, try: func(ctx context.Context, cl *kgo.Client) error {
			if err := cl.BeginTransaction(); err != nil {
				return err
			}
			err := produce(ctx, cl)
			_ = cl.EndTransaction(ctx, kgo.TryAbort)
			return err
		}, want: func(err error) bool { return err != nil }, fatal: true},
		{name: "consumer", opts: []kgo.Opt{kgo.ConsumeTopics("payments.a")}, try: poll, want: is(kerr.TopicAuthorizationFailed)},
		{name: "group", opts: []kgo.Opt{kgo.ConsumeTopics("payments.a"), kgo.ConsumerGroup("payments.g")}, try: poll, want: is(kerr.GroupAuthorizationFailed)},
		{name: "admin creates", try: func(ctx context.Context, cl *kgo.Client) error {
			resp, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "new")
			if err == nil {
				return errors.New("created")
			}
			return errors.Join(err, errors.New(resp.ErrMessage))
		}, want: func(err error) bool {
			return errors.Is(err, kerr.PolicyViolation) && strings.Contains(err.Error(), text)
		}},
		{name: "admin lists groups", try: func(ctx context.Context, cl *kgo.Client) error {
			_, err := kadm.NewClient(cl).ListGroups(ctx)
			return err
		}, want: is(kerr.ClusterAuthorizationFailed)},
		{name: "admin lists topics", try: func(ctx context.Context, cl *kgo.Client) error {
			topics, err := kadm.NewClient(cl).ListTopics(ctx)
			if len(topics) > 0 {
				return errors.New("topics are listed")
			}
			return err
		}, want: func(err error) bool { return err == nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster, tap := tappedCluster(t, "payments.a")
			r := newRig(t, "", openTenant, cluster)
			ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
			defer cancel()
			cl := r.client("nobody", c.opts...)
			requests := func() float64 { return r.metric("requests_total", "tenant", unmatched) }
			conns := func() float64 { return r.metric("refused_connections_total", "reason", "unmatched") }
			if err := c.try(ctx, cl); !c.want(err) {
				t.Fatalf("the first answer is: %v", err)
			}
			began, n, k := time.Now(), requests(), conns()
			tries := 0.0
			for time.Since(began) < 7*time.Second {
				once := time.Now()
				if err := c.try(ctx, cl); ctx.Err() == nil && !c.want(err) {
					t.Fatalf("a later answer is: %v", err)
				}
				tries++
				time.Sleep(time.Until(once.Add(time.Second)))
			}
			seconds := time.Since(began).Seconds()
			if rate := (requests() - n) / seconds; rate >= 3 {
				t.Errorf("%.1f requests/s", rate)
			}
			if rate := (conns() - k) / seconds; rate >= 0.5 {
				t.Errorf("%.2f connections/s", rate)
			}
			if tries < 2 || requests() == n && !c.fatal {
				t.Errorf("only %v tries, %v requests: this proves nothing", tries, requests()-n)
			}
			if seen := tap.strangers(); len(seen) > 0 {
				t.Errorf("a broker saw %d requests", len(seen))
			}
			if r.lines("client refused", map[string]string{"client_id": "nobody"}) == 0 {
				t.Error("the log does not say that the client was refused")
			}
		})
	}
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

// What the refusal broker says on the wire.
func TestRefusalBrokerOnTheWire(t *testing.T) {
	t.Parallel()
	cluster, tap := tappedCluster(t, "payments.a")
	r := newRig(t, "", openTenant, cluster)
	c := r.raw("nobody", "")
	v := c.ask(apiVersionsReq(3)).(*kmsg.ApiVersionsResponse)
	if v.ErrorCode != 0 || len(v.ApiKeys) < 20 {
		t.Fatalf("ApiVersions: error %d, %d keys", v.ErrorCode, len(v.ApiKeys))
	}
	m := metadataOf(c.ask(metadataReq(12, "payments.a")))
	if len(m.Brokers) != 1 || m.Brokers[0].NodeID != 512<<20 || m.Brokers[0].Host != "127.0.0.1" || int(m.Brokers[0].Port) != r.base {
		t.Errorf("brokers: %+v", m.Brokers)
	}
	p := c.ask(produceReq(9, 1, 100_000, "payments.a")).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 44 || p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, `"nobody" belongs to no tenant`) {
		t.Errorf("Produce: %+v", p)
	}
	h := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	h.Group = "payments.g"
	hb := c.ask(h).(*kmsg.ConsumerGroupHeartbeatResponse)
	if hb.ErrorCode != 30 || hb.ErrorMessage == nil || !strings.Contains(*hb.ErrorMessage, "nobody") {
		t.Errorf("ConsumerGroupHeartbeat: %+v", hb)
	}
	began := time.Now()
	f := fetchReq(11, time.Minute, "payments.a")
	if got := c.ask(f).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; got != 29 {
		t.Errorf("Fetch: %d", got)
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > 2500*time.Millisecond {
		t.Errorf("a refused Fetch was held %v, want about 1 s", took)
	}
	// acks=0 has no answer: the connection is held, and ends.
	c.send(produceReq(9, 0, 10, "payments.a"))
	if took := c.ended(8 * time.Second); took < 3800*time.Millisecond {
		t.Errorf("held for %v", took)
	}
	if got := r.metric("refused_connections_total", "reason", reasonDeniedAcks0); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if seen := tap.strangers(); len(seen) > 0 {
		t.Errorf("a broker saw %d requests", len(seen))
	}
}

// Who is refused everything again and again is answered more and more slowly; the
// first request that passes makes it quick again.
func TestPenaltyGrowsAndResets(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedCluster(t, "payments.a", "other")
	r := newRig(t, "", ruledTenant, cluster)
	c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
	c.ask(apiVersionsReq(3))
	denied := []kmsg.Request{metadataReq(9, "other"), produceReq(9, 1, 10, "other"), metadataReq(9, "other")}
	for i, want := range []time.Duration{0, time.Second, 2 * time.Second} {
		if took := c.timed(denied[i]); took < want-50*time.Millisecond || took > want+900*time.Millisecond {
			t.Errorf("refusal %d was answered after %v, want %v", i+1, took, want)
		}
	}
	// Partly refused is not refused.
	if took := c.timed(metadataReq(9, "other", "payments.a")); took > 500*time.Millisecond {
		t.Errorf("a request that passes in part took %v", took)
	}
	for i := range 10 {
		if took := c.timed(metadataReq(9, "other", "payments.a")); took > 500*time.Millisecond {
			t.Errorf("with one denied topic of two, answer %d took %v", i, took)
		}
	}
	if took := c.timed(produceReq(9, 1, 10, "other")); took > 500*time.Millisecond {
		t.Errorf("the first refusal after a request that passed took %v", took)
	}
	if took := c.timed(produceReq(9, 1, 10, "payments.a")); took > 500*time.Millisecond {
		t.Errorf("a request that passes took %v", took)
	}
}

// timed asks and says how long the answer took.
func (c *raw) timed(req kmsg.Request) time.Duration {
	c.t.Helper()
	began := time.Now()
	c.ask(req)
	return time.Since(began)
}
