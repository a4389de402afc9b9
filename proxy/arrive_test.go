package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// tlsLines are a listener's tls with a certificate of its own.
func tlsLines(t testing.TB, a *kafka.Authority, more string, hosts ...string) string {
	t.Helper()
	p := a.Issue(t, "gateway", pkix.Name{CommonName: "gateway"}, hosts...)
	return fmt.Sprintf("    tls: {certificate: %s, key: %s%s}\n", p.Certificate, p.Key, more)
}

// over is a raw client over TLS.
func (c *raw) over(config *tls.Config) *raw {
	c.t.Helper()
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = "localhost"
	}
	over := tls.Client(c.Conn, config)
	if err := over.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.Conn = over
	return c
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: tlsLines(t, a, "")}, "", openTenant, fakeCluster(t, "payments.a"))
	c := r.client("payments.app", kgo.DialTLSConfig(a.TLS(t, kafka.Pair{})), kgo.DefaultProduceTopic("payments.a"), kgo.ConsumeTopics("payments.a"))
	big := strings.Repeat("x", 300_000)
	if err := c.ProduceSync(t.Context(), kgo.StringRecord("small"), kgo.StringRecord(big)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for got := 0; got < 2; {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		got += f.NumRecords()
	}
}

// Who speaks the other way is told so in the log, and held.
func TestTLSAndPlain(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: tlsLines(t, a, "")}, "", openTenant, fakeCluster(t, "payments.a"))
	plain := r.raw("payments.app", "")
	plain.send(apiVersionsReq(3))
	_ = plain.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := plain.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("it was not held: %v", err)
	}
	told := map[string]string{"reason": reasonTLS, "why": "speaks Kafka without TLS on a TLS port"}
	eventually(t, 5*time.Second, "it is told", func() bool { return r.lines("noise on the port", told) == 1 })

	open := newRig(t, "", openTenant, fakeCluster(t, "payments.a"))
	config := a.TLS(t, kafka.Pair{})
	config.ServerName = "localhost"
	over := tls.Client(open.raw("", "").Conn, config)
	go func() { _ = over.Handshake() }()
	told = map[string]string{"reason": "tls", "why": "speaks TLS on a port without it"}
	eventually(t, 5*time.Second, "the reverse too", func() bool { return open.lines("noise on the port", told) == 1 })
}

// Silence before and within a handshake ends like any other.
func TestSilentHandshake(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: tlsLines(t, a, "") + "    proxy_protocol: {networks: [127.0.0.1]}\n"}, "first_frame_timeout: 1s", openTenant, fakeCluster(t, "payments.a"))
	for _, sent := range []string{"", "PROXY TCP", "PROXY TCP4 10.1.2.3 10.0.0.1 7 9\r\n", "PROXY TCP4 10.1.2.3 10.0.0.1 7 9\r\n\x16\x03\x01"} {
		c := r.raw("", "")
		c.write([]byte(sent))
		if took := c.ended(6 * time.Second); took < 500*time.Millisecond {
			t.Errorf("%q: ended after %v", sent, took)
		}
	}
	eventually(t, 5*time.Second, "each is counted", func() bool { return r.metric("refused_connections_total", "reason", reasonFirstFrame) == 4 })
	eventually(t, 5*time.Second, "nothing is left", func() bool { return len(r.connections()) == 0 })
}

// One port serves bootstrap and all brokers, told apart by the host that is asked for.
func TestBrokerHosts(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	cluster, tapped := tappedCluster(t, "payments.a")
	hosts := []string{"orders-0.kafka.test", "orders-1.kafka.test"}
	r := newRigAt(t, door{lines: tlsLines(t, a, "", append(hosts, "kafka.test")...), hosts: "{slice}-{node}.kafka.test"}, "", openTenant, cluster)
	c := r.raw("payments.app", "").over(a.TLS(t, kafka.Pair{}))
	meta := c.ask(kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse)
	for _, b := range meta.Brokers {
		if want := fmt.Sprintf("orders-%d.kafka.test", b.NodeID); b.Host != want || int(b.Port) != r.base {
			t.Errorf("broker %d at %s:%d", b.NodeID, b.Host, b.Port)
		}
	}
	if len(meta.Brokers) != 2 {
		t.Fatalf("%d brokers", len(meta.Brokers))
	}
	for i, host := range hosts {
		config := a.TLS(t, kafka.Pair{})
		config.ServerName = host
		id := fmt.Sprintf("payments.%d", i)
		r.raw(id, "").over(config).ask(kmsg.NewPtrMetadataRequest())
		if at := tapped.brokersOf(id); len(at) != 1 || at[0] != cluster.ListenAddrs()[i] {
			t.Errorf("%s leads to %v", host, at)
		}
	}
}

// brokersOf are the brokers that the client ID's requests came to.
func (t *tap) brokersOf(clientID string) (all []string) {
	for _, c := range t.connections(clientID) {
		all = append(all, c.broker)
	}
	return all
}

const networkTenant = openTenant + "    networks: [10.1.0.0/16]\n"

// A balancer that is listed says where clients are; nobody else does.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	for name, d := range map[string]door{"plain": {}, "tls": {lines: tlsLines(t, a, "")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d.lines += "    proxy_protocol: {networks: [127.0.0.1]}\n"
			r := newRigAt(t, d, "", networkTenant, fakeCluster(t, "payments.a"))
			come := func(header string) *raw {
				c := r.raw("payments.app", "")
				c.write([]byte(header))
				if name == "tls" {
					c.over(a.TLS(t, kafka.Pair{}))
				}
				return c
			}
			near := come("PROXY TCP4 10.1.2.3 10.0.0.1 4711 9092\r\n")
			near.ask(apiVersionsReq(3))
			if got := near.ask(produceReq(8, 1, 10, "payments.a")).(*kmsg.ProduceResponse); got.Topics[0].Partitions[0].ErrorCode == 44 {
				t.Errorf("near: %v", got)
			}
			far := come("PROXY TCP4 10.2.2.3 10.0.0.1 4711 9092\r\n")
			far.ask(apiVersionsReq(3))
			p := far.ask(produceReq(8, 1, 10, "payments.a")).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
			if p.ErrorCode != 44 || !strings.Contains(*p.ErrorMessage, "not served at this address") {
				t.Errorf("far: %v", p)
			}
			if n := r.lines("client refused", map[string]string{"reason": "network", "remote": "10.2.2.3:4711"}); n != 1 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

// Without its header a balancer's connection ends at once, and the log says why.
func TestNoProxyHeader(t *testing.T) {
	t.Parallel()
	r := newRigAt(t, door{lines: "    proxy_protocol: {networks: [127.0.0.1]}\n"}, "", openTenant, fakeCluster(t, "payments.a"))
	c := r.raw("payments.app", "")
	c.send(apiVersionsReq(3))
	c.ended(2 * time.Second)
	told := map[string]string{"reason": reasonProxyHeader, "why": "the balancer must send it on every connection"}
	eventually(t, 5*time.Second, "it is told", func() bool { return r.lines("noise on the port", told) == 1 })
}

// serial is that of the gateway's certificate.
func (c *raw) serial() string {
	return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func serialIn(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate.SerialNumber.String()
}

// Certificates change under load, and nobody notices.
func TestRotation(t *testing.T) {
	t.Parallel()
	a := kafka.NewAuthority(t)
	r := newRigAt(t, door{lines: tlsLines(t, a, "")}, "", openTenant, fakeCluster(t, "payments.a"))
	config := a.TLS(t, kafka.Pair{})
	steady := r.client("payments.steady", kgo.DialTLSConfig(config), kgo.DefaultProduceTopic("payments.a"))
	ctx, cancel := context.WithCancel(t.Context())
	var produced, dialled atomic.Int64
	failed := make(chan error, 2)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			err = steady.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr()
			produced.Add(1)
		}
		failed <- err
	}()
	serials := map[string]bool{}
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			var c *tls.Conn
			dialer := tls.Dialer{Config: config}
			var opened net.Conn
			if opened, err = dialer.DialContext(t.Context(), "tcp", r.bootstrap); err == nil {
				c = opened.(*tls.Conn)
				serials[c.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
				_ = c.Close()
				dialled.Add(1)
			}
		}
		failed <- err
	}()
	for n := range 50 {
		dir := filepath.Dir(a.Issue(t, "gateway", pkix.Name{CommonName: "gateway"}).Certificate)
		if n%2 == 0 {
			if p := r.Reload(); p.Failed() && !strings.Contains(fmt.Sprint(p), "private key does not match") {
				t.Error(p)
			}
			continue
		}
		want := serialIn(t, dir+"/gateway.crt")
		eventually(t, 5*time.Second, "the change is followed", func() bool { return r.raw("", "").over(config).serial() == want })
	}
	eventually(t, 30*time.Second, "there was a load all the while", func() bool { return produced.Load() >= 50 })
	cancel()
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d records, %d handshakes, %d certificates", produced.Load(), dialled.Load(), len(serials))
	if len(serials) < 10 {
		t.Errorf("%d certificates seen", len(serials))
	}
}
