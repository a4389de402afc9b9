package proxy

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const twoHomes = `tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], everything: true}]
  - name: search
    client_ids: {team: search}
    home: clicks
    rules: [{allow: [ALL], everything: true}]
`

// twoSlices is a gateway in front of two clusters, and the taps of both.
func twoSlices(t *testing.T) (*rig, []*kfake.Cluster, []*tap) {
	a, tapA := tappedCluster(t, "payments.a")
	b, tapB := tappedCluster(t, "search.a")
	return newRig(t, "", twoHomes, a, b), []*kfake.Cluster{a, b}, []*tap{tapA, tapB}
}

func TestNodeIDsAndAddresses(t *testing.T) {
	t.Parallel()
	r, clusters, taps := twoSlices(t)
	for slot, clientID := range []string{"payments.app", "search.app"} {
		topic := []string{"payments.a", "search.a"}[slot]
		c := r.raw(clientID, "")
		m := metadataOf(c.ask(metadataReq(12, topic)))
		var ids, ports []int32
		for _, b := range m.Brokers {
			ids, ports = append(ids, b.NodeID), append(ports, b.Port)
			if b.Host != "127.0.0.1" {
				t.Errorf("slot %d: broker at %s", slot, b.Host)
			}
		}
		slices.Sort(ids)
		slices.Sort(ports)
		shift := int32(slot) << 20
		first := int32(r.base + 1 + 4*slot)
		if !slices.Equal(ids, []int32{shift, shift + 1}) || !slices.Equal(ports, []int32{first, first + 1}) {
			t.Errorf("slot %d: brokers %v at ports %v", slot, ids, ports)
		}
		if m.ControllerID != shift && m.ControllerID != shift+1 {
			t.Errorf("slot %d: controller %d", slot, m.ControllerID)
		}
		for _, p := range m.Topics[0].Partitions {
			real := clusters[slot].LeaderFor(topic, p.Partition)
			all := slices.Concat([]int32{p.Leader}, p.Replicas, p.ISR)
			if p.Leader != real+shift || slices.Min(all) < shift || slices.Max(all) > shift+1 {
				t.Errorf("slot %d: partition %d: leader %d (really %d), replicas %v, isr %v", slot, p.Partition, p.Leader, real, p.Replicas, p.ISR)
			}
		}
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.Version, find.CoordinatorKeys = 4, []string{"g"}
		co := c.ask(find).(*kmsg.FindCoordinatorResponse).Coordinators[0]
		if want := clusters[slot].CoordinatorFor("g"); co.NodeID != want+shift || co.Host != "127.0.0.1" || co.Port != first+want {
			t.Errorf("slot %d: coordinator %d at %s:%d, really %d", slot, co.NodeID, co.Host, co.Port, want)
		}
		dc := kmsg.NewPtrDescribeClusterRequest()
		for _, b := range c.ask(dc).(*kmsg.DescribeClusterResponse).Brokers {
			if b.NodeID>>20 != int32(slot) || b.Port != first+b.NodeID&1 {
				t.Errorf("slot %d: DescribeCluster: %+v", slot, b)
			}
		}
		if len(taps[slot].requests(clientID)) == 0 || len(taps[1-slot].requests(clientID)) != 0 {
			t.Errorf("slot %d: its tenant was sent to the other cluster", slot)
		}
	}
}

// Each broker port is exactly one broker.
func TestBrokerPorts(t *testing.T) {
	t.Parallel()
	r, clusters, taps := twoSlices(t)
	for slot, clientID := range []string{"payments.app", "search.app"} {
		topic := []string{"payments.a", "search.a"}[slot]
		for node := range int32(2) {
			c := r.raw(clientID, r.brokerPort(slot, node))
			for partition := range int32(4) {
				req := produceReq(9, 1, 10, topic)
				req.Topics[0].Partitions[0].Partition = partition
				want := int16(0)
				if clusters[slot].LeaderFor(topic, partition) != node {
					want = 6 // NOT_LEADER_OR_FOLLOWER
				}
				p := c.ask(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
				if p.ErrorCode != want {
					t.Errorf("slot %d: node %d said %d to a Produce to partition %d, want %d", slot, node, p.ErrorCode, partition, want)
				}
			}
		}
		conns := taps[slot].connections(clientID)
		if len(conns) != 2 || conns[0].broker == conns[1].broker {
			t.Errorf("slot %d: %d connections to brokers", slot, len(conns))
		}
	}
	// A port of another slice than the tenant's home leads home all the same.
	c := r.raw("payments.app", r.brokerPort(1, 0))
	if m := metadataOf(c.ask(metadataReq(9, "payments.a"))); m.Topics[0].ErrorCode != 0 || m.Brokers[0].NodeID > 1 {
		t.Errorf("at another slice's port: %+v", m)
	}
	// A port for a broker that the cluster does not have.
	c = r.raw("payments.app", r.brokerPort(0, 3))
	c.send(metadataReq(9, "payments.a"))
	if took := c.ended(5 * time.Second); took < holdBrief-100*time.Millisecond {
		t.Errorf("held for %v", took)
	}
	if got := r.metric("refused_connections_total", "reason", reasonUnreachable); got != 1 {
		t.Errorf("counted %v times", got)
	}
}

// Real clients work on both slices at once, idempotent as they are by default.
func TestBothHomes(t *testing.T) {
	t.Parallel()
	r, clusters, _ := twoSlices(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for slot, team := range []string{"payments", "search"} {
		topic := team + ".a"
		p := r.client(team + ".app")
		for i := range 50 {
			if err := p.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		c := r.client(team+".reader", kgo.ConsumeTopics(topic), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for got := 0; got < 50; {
			fs := c.PollFetches(ctx)
			if err := fs.Err(); err != nil {
				t.Fatal(err)
			}
			got += fs.NumRecords()
		}
		if err := c.CommitUncommittedOffsets(ctx); err != nil {
			t.Error(err)
		}
		if g := clusters[slot].GroupInfo("g"); g == nil {
			t.Errorf("slot %d does not know the group", slot)
		}
	}
}

// A broker outside of the port range is not shown: its partitions have no leader.
func TestBrokerWithoutAPort(t *testing.T) {
	t.Parallel()
	cluster, _ := tappedClusterWith(t, kfake.NumBrokers(5), kfake.SeedTopics(1, "payments.a", "payments.b"))
	if err := cluster.MoveTopicPartition("payments.a", 0, 4); err != nil {
		t.Fatal(err)
	}
	if err := cluster.MoveTopicPartition("payments.b", 0, 3); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "", openTenant, cluster)
	c := r.raw("payments.app", r.brokerPort(0, 0))
	m := metadataOf(c.ask(metadataReq(9, "payments.a", "payments.b")))
	if len(m.Brokers) != 4 {
		t.Errorf("%d brokers are shown, want 4", len(m.Brokers))
	}
	for _, topic := range m.Topics {
		p := topic.Partitions[0]
		want, code := int32(3), int16(0)
		if *topic.Topic == "payments.a" {
			want, code = -1, 5
		}
		if p.Leader != want || p.ErrorCode != code {
			t.Errorf("%s: leader %d, error %d", *topic.Topic, p.Leader, p.ErrorCode)
		}
	}
	eventually(t, 3*time.Second, "the log names the broker", func() bool {
		return r.lines("a broker has no port: widen broker_ports, clients cannot reach its partitions", map[string]string{"node": "4"}) == 1
	})
}

// Brokers of every cluster hand out producer ids from near 0: the slice's mark keeps
// them apart, and comes off where a broker is asked about its id.
func TestProducerIDs(t *testing.T) {
	t.Parallel()
	r, clusters, taps := twoSlices(t)
	for slot, clientID := range []string{"payments.app", "search.app"} {
		clusters[slot].ControlKey(22, func(req kmsg.Request) (kmsg.Response, error, bool) {
			clusters[slot].KeepControl()
			resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
			resp.ProducerID = 7
			return resp, nil, true
		})
		topic := []string{"payments.a", "search.a"}[slot]
		c := r.raw(clientID, r.brokerPort(slot, clusters[slot].LeaderFor(topic, 0)))
		want := 7 | int64(slot+1)<<48
		init := kmsg.NewPtrInitProducerIDRequest()
		init.Version = 4
		if got := c.ask(init).(*kmsg.InitProducerIDResponse); got.ErrorCode != 0 || got.ProducerID != want {
			t.Errorf("slot %d: error %d, id %#x, want %#x", slot, got.ErrorCode, got.ProducerID, want)
		}
		// Bumping the epoch names the id again.
		init.ProducerID, init.ProducerEpoch = want, 0
		if got := c.ask(init).(*kmsg.InitProducerIDResponse); got.ProducerID != want {
			t.Errorf("slot %d: again: id %#x, want %#x", slot, got.ProducerID, want)
		}
		all := taps[slot].requests(clientID, 22)
		if up := all[len(all)-1].decoded(t).(*kmsg.InitProducerIDRequest); up.ProducerID != 7 {
			t.Errorf("slot %d: the broker was asked about id %#x", slot, up.ProducerID)
		}
		// A transactional one is its coordinator's and stays as it is.
		init.ProducerID, init.ProducerEpoch, init.TransactionalID = -1, -1, kmsg.StringPtr("tx")
		if got := c.ask(init).(*kmsg.InitProducerIDResponse); got.ProducerID != 7 {
			t.Errorf("slot %d: transactional: id %#x", slot, got.ProducerID)
		}
		req := produceReq(9, -1, 10, topic)
		req.Topics[0].Partitions[0].Records = batch(10, want)
		if got := produced(c.ask(req))[topic]; got != 0 {
			t.Errorf("slot %d: an idempotent Produce: error %d", slot, got)
		}
	}
}
