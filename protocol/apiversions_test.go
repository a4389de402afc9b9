package protocol

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerVersions are what a Kafka 4.3 broker offers of a few keys, and one key
// that Sluice never offers.
func brokerVersions() *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	for _, k := range [][3]int16{{0, 0, 13}, {1, 4, 18}, {3, 0, 13}, {18, 0, 4}, {19, 2, 7}, {22, 0, 6}, {24, 0, 5}, {12, 0, 3}, {83, 0, 0}, {9999, 0, 1}} {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k[0], MinVersion: k[1], MaxVersion: k[2]})
	}
	resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{
		{Name: "transaction.version", MinVersion: 0, MaxVersion: 2}, {Name: "metadata.version", MinVersion: 7, MaxVersion: 29},
	}
	resp.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{
		{Name: "transaction.version", MaxVersionLevel: 2, MinVersionLevel: 2}, {Name: "metadata.version", MaxVersionLevel: 29, MinVersionLevel: 29},
	}
	resp.FinalizedFeaturesEpoch = 42
	return resp
}

func goodClient(version int16) *kmsg.ApiVersionsRequest {
	return &kmsg.ApiVersionsRequest{Version: version, ClientSoftwareName: "apache-kafka-java", ClientSoftwareVersion: "4.3.1"}
}

// keysOf reads the offered versions back from the bytes of the answer.
func keysOf(t *testing.T, resp *kmsg.ApiVersionsResponse) map[int16]Range {
	t.Helper()
	resp = reread(t, resp)
	if !slices.IsSortedFunc(resp.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) }) {
		t.Error("keys are not sorted")
	}
	return VersionsOf(resp).Keys
}

func TestApiVersionsOffer(t *testing.T) {
	v := VersionsOf(brokerVersions())
	want := map[int16]Range{0: {0, 13}, 1: {4, 18}, 3: {0, 13}, 12: {0, 3}, 18: {0, 4}, 19: {2, 7}, 22: {0, 5}, 24: {0, 3}}
	for version := int16(0); version <= 4; version++ {
		resp := AnswerApiVersions(version, goodClient(version), &v, false)
		if resp.Version != version || resp.ErrorCode != 0 {
			t.Fatalf("version %d, error %d", resp.Version, resp.ErrorCode)
		}
		if got := keysOf(t, resp); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("v%d offers %v, want %v", version, got, want)
		}
	}
}

// TestApiVersionsProduce: brokers that refuse old Produce versions offer them all
// the same, and so does the gateway for brokers that do not (KAFKA-18659).
func TestApiVersionsProduce(t *testing.T) {
	v := Versions{Keys: map[int16]Range{0: {3, 12}}}
	if got := keysOf(t, AnswerApiVersions(0, nil, &v, false)); got[0] != (Range{0, 12}) {
		t.Errorf("Produce is offered as %v", got[0])
	}
	v.Keys[0] = Range{14, 15} // a broker beyond all that the table knows
	if got, ok := keysOf(t, AnswerApiVersions(0, nil, &v, false))[0]; ok {
		t.Errorf("Produce is offered as %v to clients of brokers that know none of it", got)
	}
}

func TestApiVersionsTable(t *testing.T) {
	got := keysOf(t, AnswerApiVersions(4, goodClient(4), nil, false))
	for _, a := range apis {
		r, ok := got[a.Key]
		if want := a.Access == Pass || a.Access == Local; ok != want {
			t.Errorf("%s offered: %v, want %v", a.Name, ok, want)
		}
		if ok && r != (Range{a.Min, a.Max}) {
			t.Errorf("%s is offered as %v", a.Name, r)
		}
	}
	resp := AnswerApiVersions(4, goodClient(4), nil, false)
	if len(resp.SupportedFeatures)+len(resp.FinalizedFeatures) != 0 || resp.FinalizedFeaturesEpoch != -1 {
		t.Errorf("the table has no features, but %s", show(resp))
	}
}

// TestTableWithinKmsg: what is offered must be decodable.
func TestTableWithinKmsg(t *testing.T) {
	for key, a := range apis {
		if a.Key != int16(key) {
			t.Errorf("row %d has key %d", key, a.Key)
		}
		if a.Access == Refuse {
			continue
		}
		if req := kmsg.RequestForKey(a.Key); req == nil || req.MaxVersion() < a.Max || a.Min > a.Max {
			t.Errorf("%s: versions %d to %d are not all known to kmsg", a.Name, a.Min, a.Max)
		}
	}
}

// TestApiVersionsUnknownVersion: KIP-511.
func TestApiVersionsUnknownVersion(t *testing.T) {
	v := VersionsOf(brokerVersions())
	want := []byte{0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4} // as observed on a broker
	for _, version := range []int16{5, 6, 127, math.MaxInt16, -1, math.MinInt16} {
		for _, versions := range []*Versions{&v, nil} {
			resp := AnswerApiVersions(version, nil, versions, false)
			if got := resp.AppendTo(nil); resp.Version != 0 || !bytes.Equal(got, want) {
				t.Errorf("version %d is answered in version %d with % x", version, resp.Version, got)
			}
		}
	}
}

func TestApiVersionsSoftware(t *testing.T) {
	v := VersionsOf(brokerVersions())
	for _, c := range []struct {
		name, version string
		ok            bool
	}{
		{"apache-kafka-java", "4.3.1", true},
		{"a", "1", true},
		{"confluent-kafka-python", "2.16.1-librdkafka-2.16.0", true},
		{"bad name!", "1", false},
		{"a", "", false},
		{"", "1", false},
		{"-a", "1", false},
		{"a", "1.", false},
		{"a\n", "1", false},
		{"ä", "1", false},
	} {
		for version := int16(0); version <= 4; version++ {
			resp := AnswerApiVersions(version, &kmsg.ApiVersionsRequest{ClientSoftwareName: c.name, ClientSoftwareVersion: c.version}, &v, false)
			refused := version >= 3 && !c.ok
			if (resp.ErrorCode == 42) != refused || (len(resp.ApiKeys) == 0) != refused || resp.Version != version {
				t.Errorf("%q %q in version %d: %s", c.name, c.version, version, show(resp))
			}
		}
	}
}

func TestApiVersionsFeatures(t *testing.T) {
	v := VersionsOf(brokerVersions())
	for version, want := range map[int16]string{
		2: "[] [] -1",
		3: "[{metadata.version 7 29}] [{metadata.version 29 29} {transaction.version 2 2}] 42",
		4: "[{metadata.version 7 29} {transaction.version 0 2}] [{metadata.version 29 29} {transaction.version 2 2}] 42",
	} {
		resp := reread(t, AnswerApiVersions(version, goodClient(version), &v, false))
		var supported, finalized []struct {
			name     string
			min, max int16
		}
		for _, f := range resp.SupportedFeatures {
			supported = append(supported, struct {
				name     string
				min, max int16
			}{f.Name, f.MinVersion, f.MaxVersion})
		}
		for _, f := range resp.FinalizedFeatures {
			finalized = append(finalized, struct {
				name     string
				min, max int16
			}{f.Name, f.MinVersionLevel, f.MaxVersionLevel})
		}
		if got := fmt.Sprint(supported, finalized, resp.FinalizedFeaturesEpoch); got != want {
			t.Errorf("v%d: %s, want %s", version, got, want)
		}
	}
}

func TestVersionsIntersect(t *testing.T) {
	a := Versions{
		Keys:      map[int16]Range{0: {0, 13}, 1: {4, 18}, 2: {1, 3}, 3: {0, 9}},
		Supported: map[string]Range{"x": {0, 3}, "y": {1, 1}, "z": {1, 2}},
		Finalized: map[string]Range{"x": {3, 3}, "y": {1, 1}},
		Epoch:     9,
	}
	b := Versions{
		Keys:      map[int16]Range{0: {3, 12}, 1: {4, 18}, 2: {4, 5}, 4: {0, 1}},
		Supported: map[string]Range{"x": {1, 2}, "z": {3, 4}},
		Finalized: map[string]Range{"x": {2, 2}},
		Epoch:     8,
	}
	want := Versions{
		Keys:      map[int16]Range{0: {3, 12}, 1: {4, 18}},
		Supported: map[string]Range{"x": {1, 2}},
		Finalized: map[string]Range{"x": {2, 2}},
		Epoch:     8,
	}
	for _, got := range []Versions{a.Intersect(b), b.Intersect(a)} {
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got := a.Intersect(a); fmt.Sprint(got) != fmt.Sprint(a) {
		t.Errorf("a ∩ a is %v", got)
	}
}
