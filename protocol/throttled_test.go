package protocol

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestThrottledReplicas: the broker ids in the lists of throttled replicas are mapped
// both ways, whoever is asked about them.
func TestThrottledReplicas(t *testing.T) {
	const leader, follower = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"
	real, shown := "0:1,0:2,1:1", fmt.Sprintf("0:%d,0:%d,1:%d", virtual(1), virtual(2), virtual(1))
	foreign, refused := fmt.Sprintf("0:%d,1:1", 1<<20+1), fmt.Sprintf("0:%d,1:%d", 1<<20+1, RefusalNode)
	set := func(config, value string) kmsg.Request {
		return &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: config, Value: &value}, {Name: "gone", Op: 1}},
		}}}
	}
	alter := func(value string) kmsg.Request {
		return &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t",
			Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: follower, Value: &value}},
		}}}
	}
	create := func(value string) kmsg.Request {
		return &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "t", Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: leader, Value: &value}}}}}
	}
	created := func(value string) kmsg.Response {
		return &kmsg.CreateTopicsResponse{Topics: []kmsg.CreateTopicsResponseTopic{{Topic: "t", Configs: []kmsg.CreateTopicsResponseTopicConfig{{Name: leader, Value: &value}}}}}
	}
	described := func(config, value string) kmsg.Response {
		return &kmsg.DescribeConfigsResponse{Resources: []kmsg.DescribeConfigsResponseResource{{
			ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t",
			Configs: []kmsg.DescribeConfigsResponseResourceConfig{{Name: config, Value: &value, ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{{Name: config, Value: &value}}}},
		}}}
	}
	failed := func(text *string) kmsg.Response {
		return &kmsg.IncrementalAlterConfigsResponse{Resources: []kmsg.IncrementalAlterConfigsResponseResource{{ErrorCode: 40, ErrorMessage: text, ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"}}}
	}
	quoting, other := name("Invalid value 0:1 for configuration "+leader), name("Invalid value -7 for configuration retention.ms")
	runRewriteCases(t, []rewriteCase{
		{name: "leader", key: 44, req: set(leader, shown), wantReq: set(leader, real), resp: failed(quoting), wantResp: failed(nil)},
		{name: "follower", key: 44, req: set(follower, shown), wantReq: set(follower, real), resp: failed(other), wantResp: failed(other)},
		{name: "all", key: 44, req: set(leader, "*"), wantReq: set(leader, "*")},
		{name: "no list", key: 44, req: set(leader, "0:x,1,"), wantReq: set(leader, "0:x,1,")},
		{name: "another configuration", key: 44, req: set("other.replicas", shown), wantReq: set("other.replicas", shown)},
		{name: "of another slice", key: 44, foreign: true, req: set(leader, foreign), wantReq: set(leader, refused)},
		{name: "whole configuration", key: 33, req: alter(shown), wantReq: alter(real)},
		{name: "new topic", key: 19, min: 5, req: create(shown), wantReq: create(real), resp: created(real), wantResp: created(shown)},
		{name: "described", key: 32, min: 1, resp: described(leader, real), wantResp: described(leader, shown)},
		{name: "described, all", key: 32, min: 1, resp: described(follower, "*"), wantResp: described(follower, "*")},
		{name: "another described", key: 32, min: 1, resp: described("other.replicas", real), wantResp: described("other.replicas", real)},
	})
}
