package gateway

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/bench/kafka"
)

// TestBalancer has clients come through a balancer that says who they are: the tenant
// takes those of one network.
func TestBalancer(t *testing.T) {
	k := kafka.Start(t, kafka.Options{})
	k.CreateTopics(t, 3, "payments.a")
	g := StartWith(t, Options{
		Tenants: secureTenants + "    networks: [203.0.113.0/24]\n", Listener: "proxy_protocol: {networks: [127.0.0.1]}\n",
	}, k)
	for version, header := range map[int]func(net.IP) []byte{1: proxyHeader1, 2: proxyHeader2} {
		for source, welcome := range map[string]bool{"203.0.113.7": true, "198.51.100.7": false} {
			t.Run(fmt.Sprintf("version %d from %s", version, source), func(t *testing.T) {
				before := g.Metric("sluice_refused_connections_total", "reason", "network")
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
				defer cancel()
				err := produceAs(ctx, g, kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := (&net.Dialer{}).DialContext(ctx, network, address)
					if err == nil {
						_, err = c.Write(header(net.ParseIP(source)))
					}
					return c, err
				}))
				if (err == nil) != welcome {
					t.Error(err)
				}
				if refused := g.Metric("sluice_refused_connections_total", "reason", "network") > before; refused == welcome {
					t.Errorf("refused: %v", refused)
				}
			})
		}
	}
}

func proxyHeader1(source net.IP) []byte {
	return fmt.Appendf(nil, "PROXY TCP4 %s 127.0.0.1 40000 9092\r\n", source)
}

func proxyHeader2(source net.IP) []byte {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	b = append(b, source.To4()...)
	b = append(b, 127, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, 40000)
	return binary.BigEndian.AppendUint16(b, 9092)
}
