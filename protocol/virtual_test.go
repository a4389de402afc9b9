package protocol

import (
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// testCluster is a virtual cluster of the slots 0, 3 and 5, in which 3 is the home.
// Names that begin with "a." live in slot 0, those with "f." in 5, all others at home.
type testCluster struct{ topics []string }

func (testCluster) Slots() []int      { return []int{3, 0, 5} }
func (testCluster) ClusterID() string { return "virtual" }

func (testCluster) Owner(_ Resource, name string) int {
	switch {
	case strings.HasPrefix(name, "a."), strings.HasPrefix(name, "__"):
		return 0
	case strings.HasPrefix(name, "f."):
		return 5
	}
	return 3
}

func (v testCluster) TopicName(id [16]byte) (string, bool) {
	return judgeAll(v.topics...).TopicName(id)
}

var spanning = testCluster{topics: spanningNames[:5]}

// spanningNames are those of topics, groups and transactional ids of all slots; one
// topic does not exist, one is empty.
var spanningNames = []string{"a.one", "a.two", "home", "f.one", "__consumer_offsets", "gone", ""}

// guardOf is the Guard of a slot for a tenant that may do everything.
func guardOf(slot int) *Guard {
	return &Guard{Judge: judgeAll(spanning.topics...), Cluster: spanning, Slot: slot}
}

// Each element of a divided request is in the part of its owner, and nowhere else.
func TestDivideTakesEachElementOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Divide == nil || !slices.Contains(splitKeys, api.Key) || api.Key == 42 {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 200 {
			req := requestOf(api.Key, v)
			randomFiller(r, spanningNames).fill(req)
			req = reread(t, asClient(req))
			want := elementsOf(req)
			before := show(req)
			parts := api.Divide(req, spanning)
			if len(parts) > 1 && show(req) != before {
				t.Fatalf("divided, %s is %s", before, show(req))
			}
			if len(parts) == 1 && parts[0].Req != req && api.Route != ByGroup {
				t.Fatalf("one part of %s, and not the request itself", before)
			}
			for _, p := range parts {
				for key, n := range elementsOf(p.Req) {
					if want[key] < n {
						t.Fatalf("%q is in slot %d, and %d times too often in %s", key, p.Slot, n-want[key], before)
					}
					if common := strings.HasPrefix(key, "BROKER  ") || strings.HasPrefix(key, "CLIENT_METRICS"); !common {
						want[key] -= n
					}
				}
				reread(t, p.Req)
			}
			for key, n := range want {
				if n > 0 && !strings.HasPrefix(key, "BROKER  ") && !strings.HasPrefix(key, "CLIENT_METRICS") {
					t.Fatalf("%q is in no part of %s", key, before)
				}
			}
		}
	})
}

func TestGuard(t *testing.T) {
	g := guardOf(0)
	if g.Allowed(OpRead, Topic, "home") || !g.Allowed(OpRead, Topic, "a.one") || g.Allowed(OpRead, Topic, "__consumer_offsets") || !g.Allowed(OpAlter, Cluster, ClusterName) {
		t.Error("what answers show")
	}
	name := []byte("a.one")
	if n := testing.AllocsPerRun(100, func() { g.Allowed(OpRead, Topic, string(name)) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
