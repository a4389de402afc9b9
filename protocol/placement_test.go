package protocol

import (
	"fmt"
	"testing"
)

func TestPlacement(t *testing.T) {
	for _, c := range []struct{ api, names, want string }{
		{"Produce", "topic=a.one", "[0]"},
		{"Produce", "topic=a.one txn=a.txn", "[0]"},
		{"Produce", "topic=a.one txn=txn", "[0] 44"},
		{"Fetch", "topic=home", "[3]"},
		{"Metadata", "topic=a.one", "[3 0 5]"},
		{"CreateTopics", "topic=f.one", "[5]"},
		{"DescribeTopicPartitions", "topic=f.one", "[5]"},
		{"FindCoordinator", "group=a.group", "[0]"},
		{"FindCoordinator", "txn=f.txn", "[5]"},
		{"OffsetCommit", "group=group topic=home", "[3]"},
		{"OffsetCommit", "group=group topic=f.one", "[5]"},
		{"OffsetFetch", "group=a.group topic=home", "[3]"},
		{"DeleteGroups", "group=a.group", "[0 3 5]"},
		{"ConsumerGroupHeartbeat", "group=group topic=a.one", "[3] 35"},
		{"ConsumerGroupHeartbeat", "group=a.group topic=a.one", "[0]"},
		{"AddPartitionsToTxn", "txn=a.txn topic=home", "[0] 44"},
		{"AddOffsetsToTxn", "txn=a.txn group=group", "[0] 30"},
		{"TxnOffsetCommit", "txn=a.txn group=group topic=home", "[3] 120"},
		{"InitProducerId", "", "[3]"},
		{"UpdateFeatures", "cluster", "[3] 44"},
		{"DescribeConfigs", "topic=a.one", "[0]"},
		{"ListGroups", "", "[3]"},
	} {
		p := LookupName(c.api).Placement(namesOf(t, c.names), spanning)
		got := fmt.Sprint(p.Slots)
		for _, e := range p.Errors {
			got += fmt.Sprint(" ", e.Code)
		}
		if got != c.want {
			t.Errorf("%s %s: %s, want %s", c.api, c.names, got, c.want)
		}
	}
}

// Every API can be placed, whatever it names.
func TestPlacementOfEveryAPI(t *testing.T) {
	for _, a := range APIs() {
		if a.Access != Pass {
			continue
		}
		for _, names := range []Names{{}, {Topic: "home", Group: "group", TransactionalID: "txn"}} {
			if p := a.Placement(names, spanning); len(p.Slots) == 0 || p.Errors != nil && a.Route != ToNone {
				t.Errorf("%s %v: %+v", a.Name, names, p)
			}
		}
	}
}
