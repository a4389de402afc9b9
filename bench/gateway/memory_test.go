package gateway

import (
	"crypto/rand"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/kafka"
)

// TestMemory shows that the process stays small, with max_buffered: 64MiB, while
// 2,000 connections idle, hundreds send slowly, others send noise, and one produces.
func TestMemory(t *testing.T) {
	const idle, slow, most = 2000, 500, 100 << 20
	k := kafka.Start(t, kafka.Options{})
	k.CreateTopics(t, 6, heldTopics...)
	g := Start(t, "max_buffered: 64MiB, max_frame: 16MiB, first_frame_timeout: 10s", heldTenants, k)
	began := g.RSS()

	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range idle {
		c := dial(t, g.Address)
		conns = append(conns, c)
		// A broker's connection belongs to it too.
		c.send(t, "free.idle", metadataRequest())
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version = 1
		c.receive(t, resp)
		if len(resp.Brokers) == 0 {
			t.Fatal("no brokers")
		}
	}
	t.Logf("%d MiB at the start, %d with %d idle connections (%.1f KiB each)", began>>20, g.RSS()>>20, idle, float64(g.RSS()-began)/1024/idle)

	// Half a Produce of 1 MiB, in many topics: memory is asked for, bytes do not come.
	big := kmsg.NewRequestFormatter(kmsg.FormatterClientID("noisy.slow")).AppendRequest(nil, manyTopics(t, 1<<20), 1)
	for range slow {
		c := dial(t, g.Address)
		conns = append(conns, c)
		go func() {
			for at := 0; at < len(big)/2; at += 4096 {
				if _, err := c.Write(big[at : at+4096]); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
	}
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() { noise(g.Address, i) })
	}
	r := k.Jars.Program(t.Context(), "Produce", "--bootstrap", g.Address, "--client-id", "free.java", "--topics", "noisy.a", "--seconds", "8").Wait()
	if r.Err != nil || len(r.Find("error")) > 0 {
		t.Fatalf("%s", r)
	}
	wg.Wait()
	done, _ := r.Done()
	t.Logf("peak %d MiB, while %d slow senders, 300 senders of noise, and a producer of %d MB went on; now %d MiB",
		g.PeakRSS()>>20, slow, done.Bytes/1e6, g.RSS()>>20)
	if g.PeakRSS() > most {
		t.Errorf("the process grew to %d MiB", g.PeakRSS()>>20)
	}
	if n := g.Metric("sluice_refused_connections_total"); n < 200 {
		t.Errorf("only %v connections were refused", n)
	}
}

// noise is one of the things that come to any open port.
func noise(address string, i int) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(12 * time.Second))
	switch i % 5 {
	case 0:
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	case 1:
		_, _ = c.Write([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3})
	case 2:
		b := make([]byte, 4096)
		_, _ = rand.Read(b)
		_, _ = c.Write(b)
	case 3:
		_, _ = c.Write([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9})
	case 4:
		_, _ = c.Write([]byte{0, 0, 1, 0, 0, 3}) // half a header, then silence
	}
	_, _ = c.Read(make([]byte, 1))
}

func metadataRequest() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 1
	req.Topics = []kmsg.MetadataRequestTopic{}
	return req
}

// manyTopics is a Produce of so many bytes to several topics.
func manyTopics(t *testing.T, size int) *kmsg.ProduceRequest {
	t.Helper()
	batch := recordBatch(t, size/len(heldTopics))
	req := produceRequest(heldTopics[0], 0, batch)
	for _, topic := range heldTopics[1:] {
		req.Topics = append(req.Topics, produceRequest(topic, 0, batch).Topics...)
	}
	return req
}
