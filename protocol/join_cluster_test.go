package protocol

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterMetadata is what a slice with the brokers 1 and 2 says of its topics.
func clusterMetadata(topics ...string) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID, resp.ControllerID, resp.ThrottleMillis = name("real"), 2, int32(len(topics))
	for id := int32(2); id > 0; id-- {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, "real", 9092
		resp.Brokers = append(resp.Brokers, b)
	}
	for _, topic := range topics {
		at := kmsg.NewMetadataResponseTopic()
		at.Topic, at.TopicID = name(topic), topicID(topic)
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Leader, p.Replicas = 1, []int32{1, 2}
		at.Partitions = []kmsg.MetadataResponseTopicPartition{p}
		resp.Topics = append(resp.Topics, at)
	}
	return resp
}

// metadataText is what a client makes of it: brokers, controller and leaders by slot
// and id, errors.
func metadataText(resp *kmsg.MetadataResponse) string {
	var b strings.Builder
	node := func(id int32) string { return fmt.Sprintf("%d.%d", id>>SlotBits, id&(1<<SlotBits-1)) }
	for i := range resp.Brokers {
		fmt.Fprintf(&b, "%s at %s, ", node(resp.Brokers[i].NodeID), resp.Brokers[i].Host)
	}
	fmt.Fprintf(&b, "controller %s of %s;", node(resp.ControllerID), *resp.ClusterID)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		fmt.Fprintf(&b, " %s", *t.Topic)
		if t.ErrorCode != codeNone {
			fmt.Fprintf(&b, " error %d", t.ErrorCode)
		}
		for k := range t.Partitions {
			fmt.Fprintf(&b, " led by %s", node(t.Partitions[k].Leader))
		}
	}
	return b.String()
}

// In all versions that have a controller and a cluster id: the brokers of all slices,
// each topic from its owner, one cluster.
func TestMetadataOfOneCluster(t *testing.T) {
	api := Lookup(KeyMetadata)
	const brokers = "3.2 at gateway-3.example, 3.1 at gateway-3.example, 0.2 at gateway-0.example, 0.1 at gateway-0.example, 5.2 at gateway-5.example, 5.1 at gateway-5.example, controller 0.1 of virtual;"
	const withoutFive = "3.2 at gateway-3.example, 3.1 at gateway-3.example, 0.2 at gateway-0.example, 0.1 at gateway-0.example, controller 0.1 of virtual;"
	for _, c := range []struct {
		name   string
		topics []string // nil: all
		down   int
		want   string
	}{
		{"all", nil, -1, brokers + " home led by 3.1 __consumer_offsets led by 3.1 a.one led by 0.1 f.one led by 5.1"},
		{"named", []string{"f.one", "home"}, -1, brokers + " home led by 3.1 f.one led by 5.1"},
		{"a slice is down", []string{"f.one", "home"}, 5, withoutFive + " home led by 3.1 f.one error 5"},
		{"all, and a slice is down", nil, 5, withoutFive + " home led by 3.1 __consumer_offsets led by 3.1 a.one led by 0.1 f.one error 5"},
		{"none", []string{}, -1, brokers},
	} {
		for v := int16(2); v <= api.Max; v++ {
			t.Run(fmt.Sprintf("%s/v%d", c.name, v), func(t *testing.T) {
				req := kmsg.NewPtrMetadataRequest()
				req.Version, req.AllowAutoTopicCreation = v, true
				if c.topics != nil {
					req.Topics = []kmsg.MetadataRequestTopic{}
				}
				for _, topic := range c.topics {
					req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: name(topic)})
				}
				resp := span(api, reread(t, req), 0, func(p Part) kmsg.Response {
					if p.Slot == c.down {
						return nil
					}
					return sliceMetadata(t, p)
				}).(*kmsg.MetadataResponse)
				if got := metadataText(resp); got != c.want {
					t.Errorf("\n got %s\nwant %s", got, c.want)
				}
				if v >= 3 && c.topics == nil && resp.ThrottleMillis != 3 {
					t.Errorf("throttled %d ms", resp.ThrottleMillis)
				}
				reread(t, resp)
			})
		}
	}
}

// sliceMetadata answers a part: each slice has its own internal topic, and a topic of
// the name of another's.
func sliceMetadata(t *testing.T, p Part) kmsg.Response {
	q := reread(t, p.Req).(*kmsg.MetadataRequest)
	if q.Topics == nil {
		return clusterMetadata(map[int][]string{3: {"home", "__consumer_offsets", "a.one"}, 0: {"a.one", "__consumer_offsets", "home"}, 5: {"f.one", "home", "a.one"}}[p.Slot]...)
	}
	var topics []string
	for i := range q.Topics {
		if owner := spanning.Owner(Topic, *q.Topics[i].Topic); owner != p.Slot {
			t.Errorf("slot %d is asked for %s", p.Slot, *q.Topics[i].Topic)
		}
		topics = append(topics, *q.Topics[i].Topic)
	}
	return clusterMetadata(topics...)
}

// Version 0 cannot ask for no topic, and asks for all with an empty list.
func TestMetadataVersion0(t *testing.T) {
	api := Lookup(KeyMetadata)
	for _, p := range api.Divide(&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{Topic: name("home")}}}, spanning) {
		q := reread(t, p.Req).(*kmsg.MetadataRequest)
		if p.Slot == 3 && (q.Version != 0 || len(q.Topics) != 1) || p.Slot != 3 && (q.Version != 4 || len(q.Topics) != 0 || q.Topics == nil || q.AllowAutoTopicCreation) {
			t.Errorf("slot %d: %s", p.Slot, show(q))
		}
	}
	for _, p := range api.Divide(&kmsg.MetadataRequest{}, spanning) {
		if q := p.Req.(*kmsg.MetadataRequest); q.Version != 0 || len(q.Topics) != 0 {
			t.Errorf("all: %s", show(q))
		}
	}
}

func TestDescribeClusterOfOneCluster(t *testing.T) {
	api := Lookup(60)
	answer := func(p Part) kmsg.Response {
		resp := kmsg.NewPtrDescribeClusterResponse()
		resp.ClusterID, resp.ControllerID, resp.ClusterAuthorizedOperations = "real", 1, int32(1<<OpDescribe|1<<(4+p.Slot))
		resp.Brokers = []kmsg.DescribeClusterResponseBroker{{NodeID: 1, Host: "real", Port: 9092}}
		return resp
	}
	for v := api.Min; v <= api.Max; v++ {
		resp := span(api, requestOf(60, v), 3, answer).(*kmsg.DescribeClusterResponse)
		if len(resp.Brokers) != 3 || resp.ControllerID != 1 || resp.ClusterID != "virtual" || resp.ClusterAuthorizedOperations != 1<<OpDescribe {
			t.Errorf("v%d: %s", v, show(resp))
		}
		resp = span(api, requestOf(60, v), 3, func(p Part) kmsg.Response {
			if p.Slot != 5 {
				return nil
			}
			return answer(p)
		}).(*kmsg.DescribeClusterResponse)
		if len(resp.Brokers) != 1 || resp.ControllerID != 1|5<<SlotBits || resp.ErrorCode != codeNone {
			t.Errorf("v%d, one slice up: %s", v, show(resp))
		}
		resp = span(api, requestOf(60, v), 3, func(Part) kmsg.Response { return nil }).(*kmsg.DescribeClusterResponse)
		if resp.ErrorCode != codeRequestTimedOut || len(resp.Brokers) != 0 {
			t.Errorf("v%d, none up: %s", v, show(resp))
		}
	}
}

func TestAdministrationOfAllSlices(t *testing.T) {
	rule := func(principal string) kmsg.DescribeACLsResponseResourceACL {
		return kmsg.DescribeACLsResponseResourceACL{Principal: principal, Host: "*"}
	}
	described := span(Lookup(29), requestOf(29, 3), 3, func(p Part) kmsg.Response {
		resp := kmsg.NewPtrDescribeACLsResponse()
		acls := []kmsg.DescribeACLsResponseResourceACL{rule("User:all"), rule(fmt.Sprint("User:", p.Slot))}
		resp.Resources = []kmsg.DescribeACLsResponseResource{{ResourceName: "t", ACLs: acls}, {ResourceName: fmt.Sprint(p.Slot), ACLs: acls[:1]}}
		return resp
	}).(*kmsg.DescribeACLsResponse)
	if len(described.Resources) != 4 || len(described.Resources[0].ACLs) != 4 {
		t.Errorf("ACLs: %s", show(described))
	}
	created := span(Lookup(30), &kmsg.CreateACLsRequest{Version: 3, Creations: make([]kmsg.CreateACLsRequestCreation, 2)}, 3, func(p Part) kmsg.Response {
		resp := &kmsg.CreateACLsResponse{Results: make([]kmsg.CreateACLsResponseResult, 2)}
		if p.Slot == 5 {
			resp.Results[1].ErrorCode = codeInvalidRequest
		}
		return resp
	}).(*kmsg.CreateACLsResponse)
	if len(created.Results) != 2 || created.Results[0].ErrorCode != codeNone || created.Results[1].ErrorCode != codeInvalidRequest {
		t.Errorf("made: %s", show(created))
	}
	deleted := span(Lookup(31), &kmsg.DeleteACLsRequest{Version: 3, Filters: make([]kmsg.DeleteACLsRequestFilter, 1)}, 3, func(Part) kmsg.Response {
		return &kmsg.DeleteACLsResponse{Results: []kmsg.DeleteACLsResponseResult{{MatchingACLs: make([]kmsg.DeleteACLsResponseResultMatchingACL, 1)}}}
	}).(*kmsg.DeleteACLsResponse)
	if len(deleted.Results) != 1 || len(deleted.Results[0].MatchingACLs) != 3 {
		t.Errorf("deleted: %s", show(deleted))
	}
	users := span(Lookup(50), requestOf(50, 0), 3, func(p Part) kmsg.Response {
		r := kmsg.DescribeUserSCRAMCredentialsResponseResult{User: "u", ErrorCode: 91}
		if p.Slot == 0 {
			r.ErrorCode = codeNone
		}
		return &kmsg.DescribeUserSCRAMCredentialsResponse{Results: []kmsg.DescribeUserSCRAMCredentialsResponseResult{r}}
	}).(*kmsg.DescribeUserSCRAMCredentialsResponse)
	if len(users.Results) != 1 || users.Results[0].ErrorCode != codeNone {
		t.Errorf("users: %s", show(users))
	}
	quotas := span(Lookup(48), requestOf(48, 1), 3, func(p Part) kmsg.Response {
		entity := func(name *string) kmsg.DescribeClientQuotasResponseEntry {
			return kmsg.DescribeClientQuotasResponseEntry{Entity: []kmsg.DescribeClientQuotasResponseEntryEntity{{Type: "user", Name: name}}}
		}
		return &kmsg.DescribeClientQuotasResponse{Entries: []kmsg.DescribeClientQuotasResponseEntry{entity(nil), entity(name("")), entity(name(fmt.Sprint(p.Slot)))}}
	}).(*kmsg.DescribeClientQuotasResponse)
	if len(quotas.Entries) != 5 {
		t.Errorf("quotas: %s", show(quotas))
	}
}

// A resource that is in all slices is listed once; a slice that is down is left out.
func TestListConfigResourcesOfOneCluster(t *testing.T) {
	resp := span(Lookup(74), requestOf(74, 1), 3, func(p Part) kmsg.Response {
		if p.Slot == 5 {
			return nil
		}
		a := kmsg.NewPtrListConfigResourcesResponse()
		for _, r := range []struct {
			name string
			kind kmsg.ConfigResourceType
		}{{"1", kmsg.ConfigResourceTypeBroker}, {"metrics", kmsg.ConfigResourceTypeClientMetrics}, {"a.one", kmsg.ConfigResourceTypeTopic}} {
			a.ConfigResources = append(a.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: r.name, Type: int8(r.kind)})
		}
		return a
	}).(*kmsg.ListConfigResourcesResponse)
	var names []string
	for _, r := range resp.ConfigResources {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "3145729 metrics 1 a.one" || resp.ErrorCode != codeNone {
		t.Errorf("%s, error %d", got, resp.ErrorCode)
	}
}

// Configurations go to whom they are about: each broker alone, defaults to all.
func TestConfigsAreDivided(t *testing.T) {
	broker := func(id string) kmsg.IncrementalAlterConfigsRequestResource {
		return kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: id}
	}
	req := &kmsg.IncrementalAlterConfigsRequest{Version: 1, Resources: []kmsg.IncrementalAlterConfigsRequestResource{
		broker("1"), broker("5242882"), broker(""), broker("4194305"),
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a.one"},
		{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "f.group"},
	}}
	var parts []string
	for _, p := range Lookup(44).Divide(req, spanning) {
		Lookup(44).Realize(p.Req, nodesOf(p.Slot))
		text := fmt.Sprintf("%d.%d:", p.Slot, p.Node)
		for _, r := range p.Req.(*kmsg.IncrementalAlterConfigsRequest).Resources {
			text += fmt.Sprintf(" %s=%s", r.ResourceType, r.ResourceName)
		}
		parts = append(parts, text)
	}
	// 4194305 is of slot 4, which the tenant does not reach: the home says that there is none.
	want := "0.1: BROKER=1 | 5.2: BROKER=2 | 3.-1: BROKER= BROKER=4194305 | 0.-1: BROKER= TOPIC=a.one | 5.-1: BROKER= GROUP_CONFIG=f.group"
	if got := strings.Join(parts, " | "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestSpan(t *testing.T) {
	one := &Versions{Keys: map[int16]Range{0: {0, 12}, 1: {4, 13}}, Finalized: map[string]Range{"transaction.version": {0, 2}, "x": {1, 1}}, Epoch: 7}
	two := &Versions{Keys: map[int16]Range{0: {3, 13}}, Finalized: map[string]Range{"transaction.version": {0, 1}}, Epoch: 5}
	three := &Versions{Keys: map[int16]Range{0: {0, 13}}, Finalized: map[string]Range{"transaction.version": {0, 2}}, Epoch: -1}
	got := Span([]*Versions{one, two, three})
	if len(got.Keys) != 1 || got.Keys[0] != (Range{3, 12}) || len(got.Finalized) != 1 || got.Finalized["transaction.version"] != (Range{0, 1}) || got.Epoch != 12 {
		t.Errorf("%+v", got)
	}
	if alone := Span([]*Versions{one}); alone.Epoch != 7 || len(alone.Keys) != 2 || one.Epoch != 7 {
		t.Errorf("%+v", alone)
	}
}

func TestProducerIDSlot(t *testing.T) {
	for _, slot := range []int{0, 3, 511} {
		n := Nodes{Slot: slot}
		if got, ok := ProducerIDSlot(n.TagProducerID(1000)); !ok || got != slot {
			t.Errorf("slot %d: %d %v", slot, got, ok)
		}
		// Another slice that is asked for it anew sees no mark.
		if got := (Nodes{Slot: 7}).UntagProducerID(n.TagProducerID(1000)); got != 1000 {
			t.Errorf("untagged: %d", got)
		}
	}
	for _, pid := range []int64{-1, 0, 1000, refusalPidTag << pidTagShift} {
		if slot, ok := ProducerIDSlot(pid); ok {
			t.Errorf("%d is of slot %d", pid, slot)
		}
	}
}
