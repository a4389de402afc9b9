package protocol

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// This file holds the APIs about configurations. They name brokers as text: the
// resource name of a BROKER or BROKER_LOGGER is its node id.

// configsWithAddresses are the broker configurations whose values say where
// brokers and controllers are, or with which id. Clients see null.
var configsWithAddresses = []string{
	"advertised.listeners",
	"listeners",
	"controller.quorum.voters",
	"node.id",
	"broker.id",
	"zookeeper.connect",
	"host.name", // this and the rest before Kafka 3.0
	"port",
	"advertised.host.name",
	"advertised.port",
}

// givesAddress reports whether a configuration's value says where brokers are: one of
// those, or the bootstrap servers of anything (controllers, remote log metadata,
// metrics reporters).
func givesAddress(name string) bool {
	return slices.Contains(configsWithAddresses, name) || strings.HasSuffix(name, "bootstrap.servers")
}

// isBroker reports whether resources of the type are named by a node id.
func isBroker(t kmsg.ConfigResourceType) bool {
	return t == kmsg.ConfigResourceTypeBroker || t == kmsg.ConfigResourceTypeBrokerLogger
}

// realName is the name of a broker resource as its slice knows it; false if the
// node belongs to another slice. The empty name (the defaults of all brokers), and
// text that is no node id, stay for the broker to answer.
func realName(name string, n Nodes) (string, bool) {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return name, true
	}
	ids := []int32{int32(id)}
	ok := realIDs(ids, n)
	if ids[0] == int32(id) {
		return name, ok
	}
	return strconv.Itoa(int(ids[0])), ok
}

// realResource maps the name of a resource in a request, if it is a broker's.
func realResource(t kmsg.ConfigResourceType, name *string, n Nodes) (ok bool) {
	if !isBroker(t) {
		return true
	}
	*name, ok = realName(*name, n)
	return ok
}

// shownName is the name of a broker resource as clients see it. An id beyond any
// broker's is what a client asked for in vain, and stays.
func shownName(name string, n Nodes) string {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil || id < 0 || id >= 1<<SlotBits {
		return name
	}
	return strconv.Itoa(int(n.Virtual(int32(id))))
}

// showResource maps the name of a broker resource in an answer. Its error text may
// carry ids and addresses ("Unexpected broker id, expected 1 …"), and goes.
func showResource(t kmsg.ConfigResourceType, name *string, message **string, n Nodes) {
	if isBroker(t) {
		*name, *message = shownName(*name, n), nil
	}
	showReplicasText(message, n)
}

// configsCode judges a resource whose configuration is asked for or changed: topics
// and groups by their name, all else (brokers, loggers, client metrics, types to
// come) by the cluster.
func configsCode(j Judge, op Operation, t kmsg.ConfigResourceType, name string) int16 {
	switch t {
	case kmsg.ConfigResourceTypeTopic:
		return codeOf(j, op, Topic, name)
	case kmsg.ConfigResourceTypeGroupConfig:
		return codeOf(j, op, Group, name)
	}
	return codeOf(j, op, Cluster, ClusterName)
}

// splitDescribeConfigs refuses resources without DESCRIBE_CONFIGS.
func splitDescribeConfigs(req *kmsg.DescribeConfigsRequest, j Judge) (*kmsg.DescribeConfigsResponse, bool) {
	rest, refused := refuse(req.Resources,
		func(r *kmsg.DescribeConfigsRequestResource) int16 {
			return configsCode(j, OpDescribeConfigs, r.ResourceType, r.ResourceName)
		},
		func(r *kmsg.DescribeConfigsRequestResource, code int16) kmsg.DescribeConfigsResponseResource {
			return kmsg.DescribeConfigsResponseResource{
				ErrorCode: code, ErrorMessage: errorText(code),
				ResourceType: r.ResourceType, ResourceName: r.ResourceName,
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Resources = rest
	resp := kmsg.NewPtrDescribeConfigsResponse()
	resp.Resources = refused
	return resp, len(rest) > 0
}

func mergeDescribeConfigs(resp, refused *kmsg.DescribeConfigsResponse) {
	resp.Resources = append(resp.Resources, refused.Resources...)
}

func realizeDescribeConfigs(req *kmsg.DescribeConfigsRequest, n Nodes) bool {
	all := true
	for i := range req.Resources {
		r := &req.Resources[i]
		all = realResource(r.ResourceType, &r.ResourceName, n) && all
	}
	return all
}

// virtualizeDescribeConfigs maps broker names and blanks values that give brokers
// away, wherever they occur.
func virtualizeDescribeConfigs(_ *kmsg.DescribeConfigsRequest, resp *kmsg.DescribeConfigsResponse, n Nodes) {
	for i := range resp.Resources {
		r := &resp.Resources[i]
		showResource(r.ResourceType, &r.ResourceName, &r.ErrorMessage, n)
		for k := range r.Configs {
			c := &r.Configs[k]
			c.Value = shownReplicas(c.Name, c.Value, n)
			if givesAddress(c.Name) {
				c.Value = nil
			}
			for s := range c.ConfigSynonyms {
				y := &c.ConfigSynonyms[s]
				y.Value = shownReplicas(y.Name, y.Value, n)
				if givesAddress(c.Name) || givesAddress(y.Name) {
					y.Value = nil
				}
			}
		}
	}
}

// splitAlterConfigs refuses resources without ALTER_CONFIGS.
func splitAlterConfigs(req *kmsg.AlterConfigsRequest, j Judge) (*kmsg.AlterConfigsResponse, bool) {
	rest, refused := refuse(req.Resources,
		func(r *kmsg.AlterConfigsRequestResource) int16 {
			return configsCode(j, OpAlterConfigs, r.ResourceType, r.ResourceName)
		},
		func(r *kmsg.AlterConfigsRequestResource, code int16) kmsg.AlterConfigsResponseResource {
			return kmsg.AlterConfigsResponseResource{
				ErrorCode: code, ErrorMessage: errorText(code),
				ResourceType: r.ResourceType, ResourceName: r.ResourceName,
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Resources = rest
	resp := kmsg.NewPtrAlterConfigsResponse()
	resp.Resources = refused
	return resp, len(rest) > 0
}

func mergeAlterConfigs(resp, refused *kmsg.AlterConfigsResponse) {
	resp.Resources = append(resp.Resources, refused.Resources...)
}

func realizeAlterConfigs(req *kmsg.AlterConfigsRequest, n Nodes) bool {
	all := true
	for i := range req.Resources {
		r := &req.Resources[i]
		ok := realResource(r.ResourceType, &r.ResourceName, n)
		all = all && ok
		for k := range r.Configs {
			c := &r.Configs[k]
			c.Value, ok = realReplicas(c.Name, c.Value, n)
			all = all && ok
		}
	}
	return all
}

func virtualizeAlterConfigs(_ *kmsg.AlterConfigsRequest, resp *kmsg.AlterConfigsResponse, n Nodes) {
	for i := range resp.Resources {
		r := &resp.Resources[i]
		showResource(r.ResourceType, &r.ResourceName, &r.ErrorMessage, n)
	}
}

// splitIncrementalAlterConfigs refuses resources without ALTER_CONFIGS.
func splitIncrementalAlterConfigs(req *kmsg.IncrementalAlterConfigsRequest, j Judge) (*kmsg.IncrementalAlterConfigsResponse, bool) {
	rest, refused := refuse(req.Resources,
		func(r *kmsg.IncrementalAlterConfigsRequestResource) int16 {
			return configsCode(j, OpAlterConfigs, r.ResourceType, r.ResourceName)
		},
		func(r *kmsg.IncrementalAlterConfigsRequestResource, code int16) kmsg.IncrementalAlterConfigsResponseResource {
			return kmsg.IncrementalAlterConfigsResponseResource{
				ErrorCode: code, ErrorMessage: errorText(code),
				ResourceType: r.ResourceType, ResourceName: r.ResourceName,
			}
		})
	if refused == nil {
		return nil, true
	}
	req.Resources = rest
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	resp.Resources = refused
	return resp, len(rest) > 0
}

func mergeIncrementalAlterConfigs(resp, refused *kmsg.IncrementalAlterConfigsResponse) {
	resp.Resources = append(resp.Resources, refused.Resources...)
}

func realizeIncrementalAlterConfigs(req *kmsg.IncrementalAlterConfigsRequest, n Nodes) bool {
	all := true
	for i := range req.Resources {
		r := &req.Resources[i]
		ok := realResource(r.ResourceType, &r.ResourceName, n)
		all = all && ok
		for k := range r.Configs {
			c := &r.Configs[k]
			c.Value, ok = realReplicas(c.Name, c.Value, n)
			all = all && ok
		}
	}
	return all
}

func virtualizeIncrementalAlterConfigs(_ *kmsg.IncrementalAlterConfigsRequest, resp *kmsg.IncrementalAlterConfigsResponse, n Nodes) {
	for i := range resp.Resources {
		r := &resp.Resources[i]
		showResource(r.ResourceType, &r.ResourceName, &r.ErrorMessage, n)
	}
}

func deniedListConfigResources(_ *kmsg.ListConfigResourcesRequest, code int16) *kmsg.ListConfigResourcesResponse {
	resp := kmsg.NewPtrListConfigResourcesResponse()
	resp.ErrorCode = code
	return resp
}

// filterListConfigResources leaves out the topics and groups whose configuration the
// tenant may not describe; Kafka shows them to whom may DESCRIBE_CONFIGS the cluster.
func filterListConfigResources(resp *kmsg.ListConfigResourcesResponse, j Judge) {
	resp.ConfigResources = keep(resp.ConfigResources, func(r *kmsg.ListConfigResourcesResponseConfigResource) bool {
		return configsCode(j, OpDescribeConfigs, kmsg.ConfigResourceType(r.Type), r.Name) == codeNone
	})
}

// virtualizeListConfigResources maps the names of brokers and their loggers (v1+;
// v0 lists client metrics only).
func virtualizeListConfigResources(_ *kmsg.ListConfigResourcesRequest, resp *kmsg.ListConfigResourcesResponse, n Nodes) {
	for i := range resp.ConfigResources {
		if r := &resp.ConfigResources[i]; isBroker(kmsg.ConfigResourceType(r.Type)) {
			r.Name = shownName(r.Name, n)
		}
	}
}
