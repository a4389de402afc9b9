package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/bench/gateway"
	"sluice/bench/kafka"
	"sluice/bench/proc"
)

// rate is the limit that everybody here is held to, in bytes per second.
const rate = 5e6

// tenants are the policy: one held to the rate, one that is quiet and not limited.
const tenants = `tenants:
  - name: noisy
    client_ids: {team: noisy}
    home: orders
    limits: {producer_byte_rate: 5MB, consumer_byte_rate: 5MB}
    rules: [{allow: [READ, WRITE], topics: ["noisy.*"]}, {allow: [READ], groups: ["noisy.*"]}]
  - name: quiet
    client_ids: {team: quiet}
    home: orders
    rules: [{allow: [WRITE], topics: ["quiet.*"]}]
`

// The client IDs. Kafka's quota is set for one of them, which goes to the broker
// directly; Sluice knows the other by its team.
const (
	quotaClient = "quota.client"
	heldClient  = "noisy.client"
	freeClient  = "free.client"
	quietClient = "quiet.client"
	quietTopic  = "quiet.topic"
)

var noisyTopics = []string{"noisy.a", "noisy.b", "noisy.c", "noisy.d", "noisy.e"}

// options are what the command line says.
type options struct {
	rounds int
	length time.Duration
	settle time.Duration // when a client has spent its burst and is warm
	json   string
	svg    string
}

// world is a broker with a quota, and Sluice in front of it.
type world struct {
	options options
	tb      testing.TB
	log     io.Writer
	broker  *kafka.Broker
	gateway *gateway.Gateway
}

// Data is all that was measured.
type Data struct {
	Started     string      `json:"started"`
	LoadAverage []float64   `json:"load_average"`
	Smooth      []Smooth    `json:"smooth"`
	Neighbour   []Neighbour `json:"neighbour"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	var o options
	f := flag.NewFlagSet("quota", flag.ContinueOnError)
	f.SetOutput(log)
	f.IntVar(&o.rounds, "rounds", 3, "how often the quiet client is measured beside each neighbour")
	seconds := f.Float64("seconds", 30, "how long each measurement takes")
	f.DurationVar(&o.settle, "settle", 5*time.Second, "how long a client may take to spend its burst, tenths of a second")
	f.StringVar(&o.json, "json", "", "a file for all that was measured")
	f.StringVar(&o.svg, "svg", "", "a directory for plots")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.rounds < 1 || *seconds < 1 || o.settle < 0 || o.settle%kafka.Bucket != 0 {
		return errors.New("only flags, with at least one round and second, and a time to settle in tenths of a second: see --help")
	}
	o.length = time.Duration(*seconds * float64(time.Second))
	d := &Data{Started: time.Now().UTC().Format(time.RFC3339)}
	err := kafka.Outside(ctx, "bench", log, func(tb testing.TB) {
		w := start(tb, o, log)
		w.smooth(d)
		w.neighbours(d)
	})
	if err != nil {
		return err
	}
	d.table(out)
	return d.write(o)
}

// start starts broker and gateway, and fills the topics that are consumed.
func start(tb testing.TB, o options, log io.Writer) *world {
	k := kafka.Start(tb, kafka.Options{JVM: []string{"-Xmx1g"}})
	k.CreateTopics(tb, 6, noisyTopics...)
	k.CreateTopics(tb, 1, quietTopic)
	w := &world{options: o, tb: tb, log: log, broker: k}
	w.quota(quotaClient)
	w.gateway = gateway.Start(tb, "", tenants, k)
	return w
}

// quota sets Kafka's own quota for a client ID.
func (w *world) quota(clientID string) {
	_, err := w.broker.Admin(w.tb).AlterClientQuotas(w.tb.Context(), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &clientID}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: rate}, {Key: "consumer_byte_rate", Value: rate}},
	}})
	if err != nil {
		w.tb.Fatalf("quota of %s: %v", clientID, err)
	}
}

// note says what goes on and how busy the machine is.
func (w *world) note(d *Data, format string, args ...any) {
	d.LoadAverage = append(d.LoadAverage, proc.LoadAverage())
	fmt.Fprintf(w.log, format+", load average %.2f\n", append(args, proc.LoadAverage())...)
}

// flags are those of a Java program that goes on for so long.
func flags(bootstrap, clientID string, length time.Duration) []string {
	return []string{
		"--bootstrap", bootstrap, "--client-id", clientID, "--topics", strings.Join(noisyTopics, ","),
		"--seconds", fmt.Sprintf("%.0f", length.Seconds()),
	}
}

func (d *Data) write(o options) error {
	if o.svg != "" {
		if err := d.plots(o.svg); err != nil {
			return err
		}
	}
	if o.json == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.json), 0o755); err != nil {
		return err
	}
	f, err := os.Create(o.json)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetIndent("", " ")
	return errors.Join(e.Encode(d), f.Close())
}
