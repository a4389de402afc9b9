package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/proxy"
	"sluice/proxy/policy"
)

// demoPolicy is the file that the demo runs on, and that its visitors may edit.
var demoPolicy = template.Must(template.New("policy").Parse(`# The demo's policy. Change it and send SIGHUP: kill -HUP {{.PID}}
admin:
  address: {{.Admin}}

client_ids:
  pattern: "{team}.{app}"
  unmatched: refuse

slices:
  - name: orders
    slot: 0
    bootstrap_servers: [{{.Orders}}]
  - name: clicks
    slot: 1
    bootstrap_servers: [{{.Clicks}}]

listeners:
  - name: demo
    address: {{.Bootstrap}}
    advertised_host: 127.0.0.1
    broker_ports:
      orders: {nodes: 0-1, ports: {{.OrdersPorts}}}
      clicks: {nodes: 0-1, ports: {{.ClicksPorts}}}

tenants:
  - name: payments          # polite: stays far below its limit
    client_ids: {team: payments}
    home: orders
    limits: {producer_byte_rate: 5MB, consumer_byte_rate: 10MB}
    rules:
      - {allow: [READ, WRITE, CREATE], topics: ["payments.*"]}
      - {allow: [READ], groups: ["payments.*"]}

  - name: tracking          # noisy: wants all there is
    client_ids: {team: tracking}
    home: clicks
    limits: {producer_byte_rate: 2MB, consumer_byte_rate: 3MB}
    rules:
      - {allow: [READ, WRITE, CREATE], topics: ["clicks", "clicks.*"]}
      - {allow: [READ], groups: ["tracking.*"]}

  - name: insight           # has topics in both slices, and sees one cluster
    client_ids: {team: insight}
    home: orders
    reach: [clicks]
    limits: {producer_byte_rate: 5MB, consumer_byte_rate: 10MB}
    rules:
      - {allow: [READ, WRITE], topics: ["insight.*", clicks.raw]}
      - {allow: [READ], groups: ["insight.*"]}

routes:
  - {topics: [clicks, "clicks.*"], slice: clicks}
`))

func demoCommand() *cobra.Command {
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Embedded brokers, two slices, a few tenants, live traffic, and the gateway in between",
		Long: "Starts two embedded clusters, the gateway in front of them, a polite tenant, a noisy one that is held\n" +
			"to its limit, one with topics in both clusters and a client that belongs to nobody, and prints who uses what each second. Nothing else\n" +
			"is needed, and nothing is left behind. It ends at Ctrl-C.",
		Example: "  sluice demo\n  sluice demo --for 20s",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if duration < 0 {
				return usageError{errors.New("--for must not be negative")}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			return demo(ctx, cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&duration, "for", 0, "end after this `time`; 0 is never")
	return cmd
}

// demo runs until ctx ends.
func demo(ctx context.Context, out io.Writer) error {
	var clusters []*kfake.Cluster
	for _, topics := range [][]string{{"payments.orders", "payments.audit", "insight.daily"}, {"clicks", "clicks.raw"}} {
		c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(4, topics...), kfake.DefaultNumPartitions(4))
		if err != nil {
			return fmt.Errorf("embedded cluster: %w", err)
		}
		defer c.Close()
		clusters = append(clusters, c)
	}
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "sluice.yaml")
	bootstrap, err := writeDemoPolicy(path, clusters)
	if err != nil {
		return err
	}
	p, problems := load(path)
	if p == nil {
		return problems
	}
	registry := prometheus.NewRegistry()
	gateway, err := proxy.Start(p, proxy.Options{Path: path, Version: buildVersion(), Registry: registry})
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	defer gateway.Drain(canceled())
	stopAdmin, err := serveAdmin(p.Admin.Address, gateway, zap.NewNop())
	if err != nil {
		return fmt.Errorf("admin.address: %w", err)
	}
	defer stopAdmin()
	explainDemo(out, path, bootstrap, p.Admin.Address)

	var traffic sync.WaitGroup
	defer traffic.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var table usageTable
	table.print(out, time.Now(), registry, p) // nothing yet: what the first second is compared with
	demoTraffic(ctx, &traffic, bootstrap)
	watchDemo(ctx, out, gateway, registry, path, &table)
	return nil
}

// writeDemoPolicy writes the file with ports that are free now.
func writeDemoPolicy(path string, clusters []*kfake.Cluster) (bootstrap string, err error) {
	base, err := consecutivePorts(6)
	if err != nil {
		return "", err
	}
	bootstrap = fmt.Sprintf("127.0.0.1:%d", base)
	var text bytes.Buffer
	err = demoPolicy.Execute(&text, map[string]any{
		"PID": os.Getpid(), "Bootstrap": bootstrap, "Admin": fmt.Sprintf("127.0.0.1:%d", base+5),
		"Orders": strings.Join(clusters[0].ListenAddrs(), ", "), "Clicks": strings.Join(clusters[1].ListenAddrs(), ", "),
		"OrdersPorts": fmt.Sprintf("%d-%d", base+1, base+2), "ClicksPorts": fmt.Sprintf("%d-%d", base+3, base+4),
	})
	if err != nil {
		return "", err
	}
	return bootstrap, os.WriteFile(path, text.Bytes(), 0o600)
}

// consecutivePorts finds n free ports in a row.
func consecutivePorts(n int) (first int, err error) {
search:
	for first = 19092; first+n < 60000; first += n {
		for i := range n {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i)) //nolint:noctx // it opens at once or fails
			if err != nil {
				continue search
			}
			_ = ln.Close()
		}
		return first, nil
	}
	return 0, errors.New("no free ports")
}

func explainDemo(out io.Writer, path, bootstrap, admin string) {
	fmt.Fprintf(out, `Two embedded clusters (slices "orders" and "clicks") stand behind the gateway at %[1]s.
  payments   polite: produces and consumes far below its limits
  tracking   noisy: wants all it can get, and is held to 2 MB/s in and 3 MB/s out, once its burst is spent
  insight    has topics in both slices: one producer writes to both, one group reads both, and knows of one cluster
  stranger   belongs to no tenant, and is told so

Try it by hand in another terminal:
  curl -s http://%[2]s/metrics | grep sluice_      curl -s http://%[2]s/readyz
  kcat -b %[1]s -X client.id=payments.me -L                     # its own topics, the gateway's addresses
  kcat -b %[1]s -X client.id=insight.me -L                      # topics of two clusters, brokers of both
  kcat -b %[1]s -X client.id=nobody -P -t payments.orders       # refused, by name
  edit %[3]s and: kill -HUP %[4]d
Ctrl-C ends it.

`, bootstrap, admin, path, os.Getpid())
}

// demoTraffic starts the tenants' clients. It makes one after the other: they share
// options, in which kgo.NewClient puts the list of codecs in order.
func demoTraffic(ctx context.Context, wg *sync.WaitGroup, bootstrap string) {
	client := func(id string, opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.ClientID(id)}, opts...)...)
		if err != nil {
			panic(err) // the options are constants
		}
		return cl
	}
	produce := func(id string, topics []string, size int, every time.Duration, opts ...kgo.Opt) {
		cl := client(id, opts...)
		wg.Go(func() {
			defer cl.Close()
			value := bytes.Repeat([]byte("x"), size)
			for i := 0; ctx.Err() == nil; i++ {
				cl.Produce(ctx, &kgo.Record{Topic: topics[i%len(topics)], Value: value}, nil)
				if every > 0 {
					time.Sleep(every)
				}
			}
		})
	}
	consume := func(id, group string, topics ...string) {
		cl := client(id, kgo.ConsumeTopics(topics...), kgo.ConsumerGroup(group))
		wg.Go(func() {
			defer cl.CloseAllowingRebalance()
			for ctx.Err() == nil {
				cl.PollFetches(ctx)
			}
		})
	}
	batches := []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(500), kgo.ProducerBatchMaxBytes(256 << 10)}
	orders := []string{"payments.orders"}
	both := []string{"insight.daily", "clicks.raw"}
	produce("payments.checkout", orders, 2_000, 4*time.Millisecond, batches...)
	produce("tracking.web", []string{"clicks"}, 10_000, 0, batches...)
	produce("insight.feed", both, 1_000, 5*time.Millisecond, batches...)
	consume("payments.ledger", "payments.ledger", orders...)
	consume("tracking.etl", "tracking.etl", "clicks")
	consume("insight.report", "insight.report", both...)
	produce("stranger", orders, 100, 200*time.Millisecond, append(batches, kgo.RecordDeliveryTimeout(5*time.Second))...)
}

// watchDemo prints the table each second and reloads at SIGHUP.
func watchDemo(ctx context.Context, out io.Writer, gateway *proxy.Gateway, registry prometheus.Gatherer, path string, table *usageTable) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			for _, problem := range gateway.Reload() {
				fmt.Fprintln(out, problem)
			}
		case now := <-tick.C:
			p, _ := policy.Load(path)
			table.print(out, now, registry, p)
		}
	}
}
