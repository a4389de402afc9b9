package proxy

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/proxy/policy"
)

// rig is a gateway in front of one or two fake clusters.
type rig struct {
	*Gateway
	t         testing.TB
	path      string
	bootstrap string
	clusters  []*kfake.Cluster
	logs      *observer.ObservedLogs
	base      int // first of the ports in use
	door      door
}

// nextPorts is where freePorts looks next: below the ports that the kernel gives to
// outgoing connections, and at another place in each process.
var nextPorts = func() *atomic.Int64 {
	var at atomic.Int64
	at.Store(10_000 + rand.Int64N(10_000))
	return &at
}()

// freePorts finds n consecutive free ports, which no other test is given.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	for range 100 {
		base := int(nextPorts.Add(int64(n))) - n
		free := true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

// fakeCluster is a cluster of two brokers with these topics of four partitions.
func fakeCluster(t testing.TB, topics ...string) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(4, topics...), kfake.DefaultNumPartitions(4))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newRig starts a gateway. tenants is the file's text from "tenants:" on, and may
// say more; gateway is what stands in the gateway block.
func newRig(t testing.TB, gateway, tenants string, clusters ...*kfake.Cluster) *rig {
	t.Helper()
	return newRigAt(t, door{}, gateway, tenants, clusters...)
}

// door is what a rig's listener asks of clients.
type door struct {
	lines string // of the listener: tls, sasl, proxy_protocol
	hosts string // broker_hosts in place of broker_ports
	by    string // identify_by
	slice string // more lines of each slice
}

// newRigAt starts a gateway with such a listener.
func newRigAt(t testing.TB, d door, gateway, tenants string, clusters ...*kfake.Cluster) *rig {
	t.Helper()
	r := &rig{t: t, clusters: clusters, base: freePorts(t, 1+4*len(clusters)), door: d}
	r.path = filepath.Join(t.TempDir(), "sluice.yaml")
	r.bootstrap = fmt.Sprintf("127.0.0.1:%d", r.base)
	r.write(gateway, tenants)
	p, problems := policy.Load(r.path)
	if problems.Failed() {
		t.Fatalf("policy: %v", problems)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	r.logs = logs
	g, err := Start(p, Options{Path: r.path, Log: zap.New(core), RefreshEvery: 200 * time.Millisecond, FollowEvery: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway = g
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		g.Drain(ctx)
		if t.Failed() {
			for _, e := range logs.All() {
				if e.Level >= zapcore.InfoLevel {
					t.Log(e.Level, e.Message, e.ContextMap())
				}
			}
		}
	})
	return r
}

// write writes the file.
func (r *rig) write(gateway, tenants string) {
	r.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "admin: {address: 127.0.0.1:0}\ngateway: {%s}\nclient_ids: {pattern: \"{team}.{app}\", unmatched: refuse, identify_by: %s}\nslices:\n", gateway, cmp.Or(r.door.by, "client_id"))
	names := []string{"orders", "clicks"}
	for i, c := range r.clusters {
		fmt.Fprintf(&b, "  - name: %s\n    slot: %d\n    bootstrap_servers: [%s]\n%s", names[i], i, strings.Join(c.ListenAddrs(), ", "), r.door.slice)
	}
	fmt.Fprintf(&b, "listeners:\n  - name: edge\n    address: %s\n    advertised_host: 127.0.0.1\n%s", r.bootstrap, r.door.lines)
	if r.door.hosts != "" {
		fmt.Fprintf(&b, "    broker_hosts: %q\n", r.door.hosts)
	} else {
		b.WriteString("    broker_ports:\n")
	}
	for i := range r.clusters {
		if r.door.hosts != "" {
			break
		}
		first := r.base + 1 + 4*i
		fmt.Fprintf(&b, "      %s: {nodes: 0-3, ports: %d-%d}\n", names[i], first, first+3)
	}
	b.WriteString(tenants)
	if err := os.WriteFile(r.path, []byte(b.String()), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// client is a franz-go client of the gateway.
func (r *rig) client(clientID string, opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(r.bootstrap), kgo.ClientID(clientID)}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cl.Close)
	return cl
}
