package proxy

import (
	"net"
	"testing"
	"time"

	"sluice/proxy/policy"
)

func TestLate(t *testing.T) {
	g := &Gateway{settings: policy.Gateway{FirstFrameTimeout: time.Second, FrameTimeout: 2 * time.Second, IdleTimeout: 10 * time.Second}}
	for _, c := range []struct {
		name   string
		does   func(*conn)
		after  time.Duration
		reason string
	}{
		{"silent", func(*conn) {}, 900 * time.Millisecond, ""},
		{"silent for long", func(*conn) {}, 1100 * time.Millisecond, reasonFirstFrame},
		{"half a first header", func(c *conn) { c.watch.idle(time.Now(), false); c.watch.frame(time.Now()) }, 1100 * time.Millisecond, reasonFirstFrame},
		{"half a first frame", func(c *conn) {
			c.watch.idle(time.Now(), false)
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
		}, 1900 * time.Millisecond, ""},
		{"half a first frame for long", func(c *conn) { c.watch.frame(time.Now()); c.watch.size(time.Now(), 10) }, 2100 * time.Millisecond, reasonFrame},
		{"a large frame has longer", func(c *conn) { c.watch.frame(time.Now()); c.watch.size(time.Now(), 5<<20) }, 6900 * time.Millisecond, ""},
		{"but not for ever", func(c *conn) { c.watch.frame(time.Now()); c.watch.size(time.Now(), 5<<20) }, 7100 * time.Millisecond, reasonFrame},
		{"whole", func(c *conn) { c.watch.frame(time.Now()); c.watch.size(time.Now(), 10); c.watch.whole() }, time.Hour, ""},
		{"waiting for its turn", func(c *conn) { c.watch.frame(time.Now()); c.watch.size(time.Now(), 10); c.watch.ours() }, time.Hour, ""},
		{"after its turn", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
			c.watch.ours()
			c.watch.paused = c.watch.paused.Add(-time.Minute)
			c.watch.theirs(time.Now())
		}, time.Minute + 1900*time.Millisecond, ""},
		{"after its turn, slow again", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
			c.watch.ours()
			c.watch.paused = c.watch.paused.Add(-time.Minute)
			c.watch.theirs(time.Now())
		}, time.Minute + 2100*time.Millisecond, reasonFrame},
		{"whole and after its turn", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 1)
			c.watch.whole()
			c.watch.ours()
			c.watch.theirs(time.Now())
		}, time.Hour, ""},
		{"between two", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
			c.watch.idle(time.Now(), false)
		}, 9 * time.Second, ""},
		{"idle", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
			c.watch.idle(time.Now(), false)
		}, 11 * time.Second, reasonIdle},
		{"long poll", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
			c.watch.idle(time.Now(), false)
			c.pairs.q = []*pending{{}}
		}, time.Hour, ""},
		{"answered lately", func(c *conn) {
			c.watch.frame(time.Now())
			c.watch.size(time.Now(), 10)
			c.watch.idle(time.Now(), false)
			c.watch.answered(time.Now().Add(time.Hour))
		}, time.Hour + 9*time.Second, ""},
	} {
		cn := &conn{gw: g, pairs: newPairs()}
		cn.watch.start()
		c.does(cn)
		got := ""
		if why := cn.late(time.Now().Add(c.after)); why != nil {
			got = why.reason
		}
		if got != c.reason {
			t.Errorf("%s: %q, want %q", c.name, got, c.reason)
		}
	}
}

// Who does not take what is written is ended after its time and never before, and the
// time that the broker takes is not the client's.
func TestStalled(t *testing.T) {
	g := &Gateway{ctx: t.Context(), settings: policy.Gateway{FirstFrameTimeout: 4 * time.Second, FrameTimeout: 4 * time.Second, IdleTimeout: 40 * time.Second}}
	began := time.Now()
	at := func(d time.Duration) { g.clock.Store(began.Add(d).UnixNano()) }
	at(0)
	client, _ := net.Pipe()
	c := newConn(g, newPort("", nil, portPlace{}), client)
	reason := func() string {
		if why := c.stalled(g.clock.Load()); why != nil {
			return why.reason
		}
		return ""
	}
	for _, side := range []struct {
		to     *outlet
		reason string
	}{{&c.toClient, reasonClientStalled}, {&c.toBroker, reasonBrokerStalled}} {
		at(0)
		side.to.set(writes(func() {
			at(6 * time.Second) // 4 s, and 2 s for 2 MiB
			if got := reason(); got != "" {
				t.Errorf("too soon: %q", got)
			}
			at(6*time.Second + 1)
			if got := reason(); got != side.reason {
				t.Errorf("%q, want %q", got, side.reason)
			}
		}))
		_, _ = side.to.write(make([]byte, 2<<20), &half{})
		at(time.Hour)
		if got := reason(); got != "" {
			t.Errorf("after the write: %q", got)
		}
	}
	at(0)
	c.watch.size(time.Now(), 1)
	late := func(after time.Duration) bool { return c.late(began.Add(after)) != nil }
	c.toBroker.set(writes(func() {
		at(time.Minute)
		if late(time.Minute + 3*time.Second) {
			t.Error("blamed while the broker takes its time")
		}
	}))
	_, _ = c.toBroker.write([]byte{1}, &half{})
	if late(time.Minute + 3*time.Second) {
		t.Error("blamed afterwards")
	}
	if !late(time.Minute + 5*time.Second) {
		t.Error("not blamed for its own time")
	}
}

// writes does something during each write.
type writes func()

func (w writes) Write(b []byte) (int, error) { w(); return len(b), nil }

func TestSeats(t *testing.T) {
	s := newSeats()
	orders := &policy.Slice{Name: "orders", Limits: policy.Limits{Connections: 4}}
	tenants := []*policy.Tenant{
		{Name: "a", Home: orders, Limits: policy.Limits{Connections: 3}, LimitsPerClientID: policy.Limits{Connections: 2}},
		{Name: "b", Home: orders},
	}
	over := func(at *seat) scope {
		for _, t := range tenants {
			if t.Name == at.tenant {
				return s.over(at, t)
			}
		}
		return "no tenant"
	}
	var taken []*seat
	for i, c := range []struct {
		tenant, client string
		want           scope
	}{
		{"a", "x", ""}, {"a", "x", ""}, {"a", "x", scopeClientID}, {"a", "y", scopeTenant}, {"b", "z", scopeSlice},
	} {
		at := s.take("orders", c.tenant, c.client)
		if got := over(at); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
		taken = append(taken, at)
	}
	for at, level := range map[scope]string{scopeClientID: "client_id", scopeTenant: "tenant", scopeSlice: "slice"} {
		if got := at.level().String(); got != level {
			t.Errorf("%q: level %q", at, got)
		}
	}
	for _, at := range taken {
		s.leave(at)
	}
	if len(s.clients)+len(s.tenants)+len(s.slices) != 0 {
		t.Errorf("something is remembered: %v %v %v", s.clients, s.tenants, s.slices)
	}
}
