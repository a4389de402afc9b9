package proxy

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// These tests compare goroutines, so none of them runs beside others.

// gated lets a cluster answer ListOffsets only once the gate is open.
func gated(t *testing.T, cluster *kfake.Cluster) (open func()) {
	gate := make(chan struct{})
	cluster.ControlKey(2, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	opened := false
	open = func() {
		if !opened {
			close(gate)
		}
		opened = true
	}
	t.Cleanup(open)
	return open
}

func listOffsetsReq() *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 5, -1
	return req
}

// nothingLeft: no goroutine of the package is running, but the tests' own.
func nothingLeft(t *testing.T) {
	t.Helper()
	var left string
	ours := func() bool {
		buf := make([]byte, 1<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "sluice/proxy.(*") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "proxy.(*tapped)") && !strings.Contains(g, "proxy.tapListener") || strings.Contains(g, "sluice/proxy/slice.") {
				left = g
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(3 * time.Second); !ours(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still running:\n%s", left)
		}
	}
}

func drained(r *rig) chan int {
	cut := make(chan int, 1)
	go func() { cut <- r.Drain(context.Background()) }()
	return cut
}

func TestDrain(t *testing.T) {
	cluster, _ := tappedCluster(t, "payments.a")
	open := gated(t, cluster)
	r := newRig(t, "", openTenant, cluster)
	busy, idle, fresh := r.raw("payments.busy", ""), r.raw("payments.idle", ""), r.raw("", "")
	idle.ask(metadataReq(9, "payments.a"))
	busy.send(listOffsetsReq(), listOffsetsReq(), apiVersionsReq(3))
	held := r.raw("nobody", "")
	held.send(produceReq(9, 0, 10, "payments.a"))
	eventually(t, time.Second, "three are in flight, one is held", func() bool {
		n := 0
		for _, c := range r.connections() {
			n += c.pairs.len()
		}
		return n == 3 && r.metric("held_connections") == 1
	})
	if status, _ := r.get("/readyz"); status != 200 {
		t.Errorf("/readyz %d before", status)
	}
	cut := drained(r)
	idle.ended(time.Second)
	fresh.ended(time.Second)
	held.ended(time.Second)
	eventually(t, time.Second, "no new connection is taken", func() bool {
		c, err := net.Dial("tcp", r.bootstrap)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if status, body := r.get("/readyz"); status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("/readyz %d: %s", status, body)
	}
	if p := r.Reload(); !p.Failed() {
		t.Error("a reload was taken while draining")
	}
	open()
	for i := range 3 {
		if corr, _, err := busy.recv(); err != nil || corr != int32(i+1) {
			t.Fatalf("answer %d is to %d: %v", i+1, corr, err)
		}
	}
	busy.ended(2 * time.Second)
	select {
	case n := <-cut:
		if n != 0 {
			t.Errorf("%d connections were cut", n)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("Drain does not end")
	}
	nothingLeft(t)
}

// Whatever a connection is stuck in, it is cut when the time is over.
func TestDrainCutsWhatIsStuck(t *testing.T) {
	// A write that spans three looks of the janitor has filled all buffers on its way.
	full := func(c *conn, o *outlet) bool { return o.underway(c.gw.clock.Load()) >= 3*period(&c.gw.settings) }
	toClient := func(c *conn) bool { return full(c, &c.toClient) }
	toBroker := func(c *conn) bool { return full(c, &c.toBroker) }
	for name, k := range map[string]struct {
		begin func(*testing.T, *rig, *kfake.Cluster) *raw
		stuck func(*conn) bool
	}{
		"a broker that does not answer": {func(t *testing.T, r *rig, cluster *kfake.Cluster) *raw {
			gated(t, cluster)
			c := r.raw("payments.app", "")
			c.send(listOffsetsReq())
			return c
		}, func(c *conn) bool { return c.pairs.len() == 1 && c.watch.phase.Load() == phaseIdle }},
		"a client that does not read": {func(t *testing.T, r *rig, cluster *kfake.Cluster) *raw {
			c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
			for range 10 {
				c.ask(produceReq(9, 1, 900_000, "payments.a"))
			}
			for range 50 {
				c.send(fetchReq(11, 0, "payments.a"))
			}
			return c
		}, toClient},
		"a client that does not read what the gateway says": {func(t *testing.T, r *rig, _ *kfake.Cluster) *raw {
			c := r.raw("payments.app", "")
			frame := c.frame(apiVersionsReq(0))
			go func() {
				for range 100_000 {
					if _, err := c.Write(frame); err != nil {
						return
					}
				}
			}()
			return c
		}, toClient},
		"a broker that does not read": {func(t *testing.T, r *rig, cluster *kfake.Cluster) *raw {
			gated(t, cluster)
			c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
			c.send(listOffsetsReq())
			frame := c.frame(produceReq(9, 1, 900_000, "payments.a"))
			go func() {
				for range 50 {
					if _, err := c.Write(frame); err != nil {
						return
					}
				}
			}()
			return c
		}, toBroker},
		"half a request": {func(t *testing.T, r *rig, cluster *kfake.Cluster) *raw {
			c := r.raw("payments.app", r.brokerPort(0, cluster.LeaderFor("payments.a", 0)))
			c.write(c.frame(produceReq(9, 1, 900_000, "payments.a"))[:300_000])
			return c
		}, func(c *conn) bool { return c.pairs.len() == 1 && c.watch.phase.Load() == phaseFrame }},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, _ := tappedCluster(t, "payments.a")
			r := newRig(t, "drain_timeout: 600ms, first_frame_timeout: 1s", openTenant, cluster) // the janitor looks each 250 ms
			c := k.begin(t, r, cluster)
			eventually(t, 20*time.Second, "it is stuck", func() bool {
				open := r.connections()
				return len(open) == 1 && k.stuck(open[0])
			})
			began := time.Now()
			select {
			case n := <-drained(r):
				if n != 1 {
					t.Errorf("%d connections were cut, want 1", n)
				}
			case <-time.After(20 * time.Second):
				buf := make([]byte, 1<<20)
				t.Fatalf("Drain does not end:\n%s", buf[:runtime.Stack(buf, true)])
			}
			if took := time.Since(began); took < 500*time.Millisecond || took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			_ = c.Close()
			nothingLeft(t)
		})
	}
}

// An end of the context cuts at once.
func TestDrainCutShort(t *testing.T) {
	cluster, _ := tappedCluster(t, "payments.a")
	gated(t, cluster)
	r := newRig(t, "", openTenant, cluster)
	c := r.raw("payments.app", "")
	c.send(listOffsetsReq())
	eventually(t, time.Second, "it is in flight", func() bool { return len(r.connections()) == 1 && r.connections()[0].pairs.len() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	within(t, "Drain", 50*time.Millisecond, 2*time.Second, func() {
		if n := r.Drain(ctx); n != 1 {
			t.Errorf("%d connections were cut", n)
		}
	})
	nothingLeft(t)
}
