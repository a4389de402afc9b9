package slice

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// asked is a slice over a fake cluster that has been reached.
func asked(t *testing.T, c *fakeCluster) *Slice {
	t.Helper()
	s := c.open(t)
	if _, err := s.Versions(after(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := asked(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()

		// The version is the client's own, and so is what is asked.
		for version := int16(0); version <= 8; version++ {
			req := kmsg.NewPtrMetadataRequest()
			req.Version = version
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr("orders")
			req.Topics = append(req.Topics, topic)
			resp, err := s.Request(ctx, To{Node: -1}, req)
			if err != nil {
				t.Fatal(err)
			}
			if m := resp.(*kmsg.MetadataResponse); m.Version != version || len(m.Topics) != 1 || len(m.Topics[0].Partitions) != 3 {
				t.Fatalf("version %d: %+v", version, m)
			}
		}
		// An older broker's answer in another version is not taken.
		newer := kmsg.NewPtrMetadataRequest()
		newer.Version = 99
		if _, err := s.Request(ctx, To{Node: -1}, newer); !errors.Is(err, errVersion) {
			t.Errorf("a version that no broker knows: %v", err)
		}
		// A broker answers for itself, and one that there is not does not.
		list := kmsg.NewPtrListGroupsRequest()
		for node, want := range map[int32]bool{0: true, 1: true, 7: false} {
			if _, err := s.Request(ctx, To{Node: node}, list); err == nil != want {
				t.Errorf("node %d: %v", node, err)
			}
		}
		// The controller, wherever it is; and what takes long has a connection of its own.
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Version, create.TimeoutMillis = 5, 1000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "new", 2, 1
		create.Topics = append(create.Topics, topic)
		resp, err := s.Request(ctx, To{Node: -1}, create)
		if err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
			t.Fatalf("%+v, %v", resp, err)
		}
		if s.ClusterID() == "" {
			t.Error("the cluster has no id")
		}
	})
}

func TestRequestCoordinator(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		s := asked(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		commit := func(group string) {
			t.Helper()
			req := kmsg.NewPtrOffsetCommitRequest()
			req.Version, req.Group, req.Generation = 8, group, -1
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = "orders"
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Offset = 5
			topic.Partitions = append(topic.Partitions, p)
			req.Topics = append(req.Topics, topic)
			resp, err := s.Request(ctx, To{Group: group}, req)
			if err != nil {
				t.Fatal(err)
			}
			if code := resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("group %s: error %d", group, code)
			}
		}
		for _, group := range []string{"a", "b", "c", "d"} {
			commit(group)
			// One that has become another broker's is looked up again.
			node, _ := s.coordinators.get(group)
			s.coordinators.put(group, 1-node)
			commit(group)
			if got, _ := s.coordinators.get(group); got != node {
				t.Errorf("group %s: coordinator %d, want %d", group, got, node)
			}
		}
	})
}

// Only what no broker has seen is asked of another one.
func TestRequestIsNotRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.set(addr1, "refused")
		s := asked(t, c)
		for range 4 { // each begins with another broker
			if _, err := s.Request(after(2*time.Second), To{Node: -1}, kmsg.NewPtrListGroupsRequest()); err != nil {
				t.Error(err)
			}
		}
		seen := 0
		c.control(kmsg.ListGroups, func(int32, kmsg.Request) (kmsg.Response, error) {
			seen++
			return nil, errors.New("the broker closes the connection")
		})
		for n := range 4 {
			if _, err := s.Request(after(2*time.Second), To{Node: -1}, kmsg.NewPtrListGroupsRequest()); err == nil || seen != n+1 {
				t.Errorf("%v after %d were seen, want %d", err, seen, n+1)
			}
		}
	})
}
