package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConfigsWithAddresses: values that say where brokers are do not reach clients,
// whatever they belong to; their names and all other values do.
func TestConfigsWithAddresses(t *testing.T) {
	for name, hidden := range map[string]bool{
		"advertised.listeners": true, "controller.quorum.bootstrap.servers": true, "advertised.host.name": true,
		"rlmm.config.remote.log.metadata.common.client.bootstrap.servers": true,
		"transport": false, "log.retention.ms": false, "listener.security.protocol.map": false,
	} {
		resp := kmsg.NewPtrDescribeConfigsResponse()
		resp.Version = 4
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value = name, kmsg.StringPtr("10.0.0.1:9092")
		y := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		y.Name, y.Value = name, kmsg.StringPtr("10.0.0.1:9092")
		c.ConfigSynonyms = append(c.ConfigSynonyms, y)
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		r.Configs = append(r.Configs, c)
		resp.Resources = append(resp.Resources, r)
		Lookup(32).Virtualize(nil, resp, Nodes{Slot: 1})
		got := resp.Resources[0].Configs[0]
		if got.Name != name || (got.Value == nil) != hidden || (got.ConfigSynonyms[0].Value == nil) != hidden {
			t.Errorf("%s: hidden %v, in the synonym %v, want %v", name, got.Value == nil, got.ConfigSynonyms[0].Value == nil, hidden)
		}
	}
}
