package slice

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestUnreachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.set(addr0, "refused")
		c.set(addr1, "refused")
		s := c.open(t)
		time.Sleep(time.Second)
		h := s.Health()
		if h.Reachable || !h.LastSuccess.IsZero() {
			t.Errorf("health %+v", h)
		}
		for _, want := range []string{"no broker answered", addr0 + ": dial tcp: ", addr1, "connection refused"} {
			if !strings.Contains(h.Err, want) {
				t.Errorf("health says %q, without %q", h.Err, want)
			}
		}
		time.Sleep(time.Minute) // the back-off is at its longest now
		before := c.dialled()
		time.Sleep(10 * time.Minute)
		// 300 to 600 refreshes, with at most 6 dials each.
		if n := c.dialled() - before; n < 300 || n > 3600 {
			t.Errorf("%d dials in 10 min", n)
		}
		if !s.Health().Since.Equal(h.Since) {
			t.Error("Since moved without a change")
		}

		c.set(addr1, "")
		// Less than a client waits for its slice.
		time.Sleep(4 * time.Second)
		if h := s.Health(); !h.Reachable || h.LastSuccess.IsZero() {
			t.Errorf("health after recovery %+v", h)
		}
	})
}

// Callers who ask for unknown things do not make a dead cluster busier.
func TestUnreachableIsNotHammered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()
		c.Close()
		c.set(addr0, "refused")
		c.set(addr1, "refused")
		time.Sleep(2 * time.Minute)
		before, start := c.dialled(), time.Now()
		for i := range 600 {
			if _, ok := s.TopicName(after(time.Second), id(i)); ok {
				t.Error("found an id")
			}
		}
		if n, most := c.dialled()-before, int(time.Since(start)/(backoffMax/2)+1)*6; n > most {
			t.Errorf("%d dials in %v, want at most %d", n, time.Since(start), most)
		}
		if h := s.Health(); h.Reachable || h.Brokers != 2 || h.LastSuccess.IsZero() {
			t.Errorf("health %+v", h)
		}
		if len(s.Brokers()) != 2 || len(s.TopicNames()) != 2 {
			t.Error("the last topology is gone")
		}
	})
}

func TestOneDeadSeedIsNoTrouble(t *testing.T) {
	for _, state := range []string{"refused", "hanging"} {
		for _, addr := range []string{addr0, addr1} {
			bubble(t, func(t *testing.T) {
				c := newCluster(t)
				c.set(addr, state)
				s := c.open(t)
				time.Sleep(dialTimeout + time.Second)
				if h := s.Health(); !h.Reachable {
					t.Errorf("%s is %s: %+v", addr, state, h)
				}
			})
		}
	}
}

func TestMetadataFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := c.open(t)
		synctest.Wait()

		stop := c.control(3, func(int32, kmsg.Request) (kmsg.Response, error) { return nil, errRefused })
		time.Sleep(2 * time.Minute)
		h := s.Health()
		if h.Reachable || !strings.Contains(h.Err, "closed the connection") || !strings.Contains(h.Err, addr0) {
			t.Errorf("brokers that hang up: %+v", h)
		}
		if len(s.Brokers()) != 2 {
			t.Error("the last topology is gone")
		}
		stop()
		time.Sleep(backoffMax)
		if h := s.Health(); !h.Reachable || h.Err != "" {
			t.Errorf("after recovery: %+v", h)
		}
	})
}

// A port that takes connections and never says a word.
func TestSilentBrokers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.set(addr0, "silent")
		c.set(addr1, "silent")
		s := c.open(t)
		time.Sleep(time.Minute)
		if h := s.Health(); h.Reachable || !strings.Contains(h.Err, addr0) || !strings.Contains(h.Err, "timeout") {
			t.Errorf("health %+v", h)
		}
		c.set(addr1, "")
		time.Sleep(time.Minute)
		if h := s.Health(); !h.Reachable {
			t.Errorf("health with one silent broker %+v", h)
		}
	})
}

func TestOddMetadataIsNotTaken(t *testing.T) {
	answers := map[string]func(*kmsg.MetadataResponse){
		"REBOOTSTRAP_REQUIRED": func(r *kmsg.MetadataResponse) { r.ErrorCode = kerr.RebootstrapRequired.Code },
		"lists no brokers":     func(*kmsg.MetadataResponse) {},
	}
	for want, fill := range answers {
		bubble(t, func(t *testing.T) {
			c := newCluster(t)
			s := c.open(t)
			synctest.Wait()
			defer c.control(3, func(_ int32, req kmsg.Request) (kmsg.Response, error) {
				resp := req.ResponseKind().(*kmsg.MetadataResponse)
				fill(resp)
				return resp, nil
			})()
			time.Sleep(time.Minute)
			if h := s.Health(); !h.Reachable || !strings.Contains(h.Err, want) || h.Brokers != 2 {
				t.Errorf("%s: health %+v", want, h)
			}
			if len(s.Brokers()) != 2 || len(s.TopicNames()) != 2 {
				t.Errorf("%s: topology was replaced", want)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	for n, most := range map[int]time.Duration{1: backoffMin, 2: 2 * backoffMin, 3: time.Second, 4: backoffMax, 1000: backoffMax} {
		low, high := most, time.Duration(0)
		for range 1000 {
			d := backoff(n)
			low, high = min(low, d), max(high, d)
		}
		if low < most/2 || high > most || high-low < most/4 {
			t.Errorf("failure %d: between %v and %v, want all of %v to %v", n, low, high, most/2, most)
		}
	}
}
