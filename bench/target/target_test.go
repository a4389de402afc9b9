package target

import (
	"strings"
	"testing"

	"sluice/bench/sink"
	"sluice/proxy/policy"
)

func TestParse(t *testing.T) {
	got, err := Parse("k=127.0.0.1:9092,77")
	if err != nil || got.Name != "k" || got.Address != "127.0.0.1:9092" || got.PID != 77 {
		t.Errorf("%+v %v", got, err)
	}
	for _, s := range []string{"", "k", "k=127.0.0.1:9092", "k=127.0.0.1,7", "=127.0.0.1:9,7", "k=127.0.0.1:9,x", "k=127.0.0.1:9,0"} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q is a target", s)
		}
	}
}

// The policy with everything on is one that Sluice finds nothing to say about.
func TestPolicies(t *testing.T) {
	own, err := NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		policyText("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", 4, true, nil),
		policyText("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", 4, false, nil),
		policyText("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", 4, true, own),
	} {
		_, problems := policy.Parse("bench.yaml", []byte(text))
		for _, p := range problems {
			t.Errorf("%s", p)
		}
	}
}

func TestAProcessThatEndsIsToldWithItsLog(t *testing.T) {
	s, err := sink.Start("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = Sluice(t.TempDir(), "sluice", "false", s.Address(), true, nil)
	if err == nil || !strings.Contains(err.Error(), "it ended") {
		t.Errorf("%v", err)
	}
	if _, err = Sluice(t.TempDir(), "sluice", t.TempDir()+"/none", s.Address(), true, nil); err == nil {
		t.Error("there is no such binary")
	}
}
