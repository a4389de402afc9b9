package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	brokerHeap      = "512m"
	startTimeout    = 2 * time.Minute // 4 s on an idle machine
	brokerStopGrace = 15 * time.Second
	startAttempts   = 3 // another process may take a free port before the broker does
)

// Options say what kind of broker [Start] starts.
type Options struct {
	// Version of Kafka; "" is [Version].
	Version string
	// NodeID is the broker's node id; 0 is 1. Brokers of different clusters may
	// have the same.
	NodeID int32
	// Properties are added to server.properties, or replace what stands there.
	Properties map[string]string
	// Users give the broker a second listener, [Broker.SASLAddress], on which these
	// users log in with SASL PLAIN, each with its own name for a password, and an
	// authorizer (org.apache.kafka.metadata.authorizer.StandardAuthorizer) that
	// denies them what no ACL allows. Who comes in at Address is a super user.
	Users []string
	// Proxies are addresses of TCP proxies that rewrite nothing: for each the broker has
	// a listener of its own, [Broker.Behind], whose clients are told the proxy's address.
	Proxies []string
	// Secure gives the broker listeners with TLS and SASL.
	Secure *Secure
	// JVM are further options of the Java virtual machine; the last one wins, so
	// -Xmx1g replaces the 512 MiB.
	JVM []string
}

// Broker is one running Apache Kafka broker: a KRaft cluster of its own, with
// broker and controller in one process, on the loopback interface.
type Broker struct {
	// Address is where clients reach it: host and port.
	Address string
	// Host and Port are the two parts of Address.
	Host string
	Port int
	// SASLAddress is where its users reach it; empty without [Options.Users].
	SASLAddress string
	// Behind are where the proxies of [Options.Proxies] reach it.
	Behind []string
	// SASLSSLAddress and SSLAddress are those of [Options.Secure]; empty without.
	SASLSSLAddress, SSLAddress string
	// NodeID is its node id.
	NodeID int32
	// ClusterID is the cluster's id.
	ClusterID string
	// Jars are those that it runs from.
	Jars *Jars

	dir     string
	options Options
	pair    Pair // its certificate, with Secure
	command *exec.Cmd
	exited  chan struct{} // closed when command has ended
}

// Start starts a broker and stops it when the test ends. Topics are created
// when first used, with one replica and partition; internal topics are small.
// Where there is no Kafka to start the test is skipped, see [Resolve]; a broker
// that does not come up fails it, with the end of the broker's log.
func Start(tb testing.TB, o Options) *Broker {
	tb.Helper()
	if o.NodeID == 0 {
		o.NodeID = 1
	}
	b := &Broker{Host: "127.0.0.1", NodeID: o.NodeID, Jars: Resolve(tb, o.Version), dir: tb.TempDir(), options: o}
	tb.Cleanup(func() {
		b.Stop()
		if tb.Failed() {
			tb.Logf("the end of the log of the broker at %s:\n%s", b.Address, tail(b.Log(), 40))
		}
	})
	if o.Secure != nil {
		b.certify(tb)
	}
	for attempt := 1; ; attempt++ {
		err := b.format()
		if err == nil {
			err = b.Run()
		}
		if err == nil {
			if o.Secure != nil {
				b.addPasswords(tb)
			}
			return b
		}
		if attempt == startAttempts || !strings.Contains(b.Log(), "Address already in use") {
			tb.Fatalf("%v\n%s", err, tail(b.Log(), 60))
		}
	}
}

// format chooses free ports and an id, and writes server.properties and the
// storage that belongs to them.
func (b *Broker) format() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	controller, err := freePort()
	if err != nil {
		return err
	}
	if len(b.options.Users) > 0 {
		sasl, err := freePort()
		if err != nil {
			return err
		}
		b.SASLAddress = net.JoinHostPort(b.Host, strconv.Itoa(sasl))
	}
	b.Behind = nil
	for range b.options.Proxies {
		behind, err := freePort()
		if err != nil {
			return err
		}
		b.Behind = append(b.Behind, net.JoinHostPort(b.Host, strconv.Itoa(behind)))
	}
	if b.options.Secure != nil {
		if err := b.secureAddresses(); err != nil {
			return err
		}
	}
	b.Port = port
	b.Address = net.JoinHostPort(b.Host, strconv.Itoa(port))
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // no id begins with a hyphen, which a command line would take for a flag
	b.ClusterID = base64.RawURLEncoding.EncodeToString(id[:])
	logs, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	properties := b.properties(logs, controller)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", name, properties[name])
	}
	if err := os.WriteFile(b.file(), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if r := b.Jars.Tool(ctx, "kafka.tools.StorageTool", "format", "-t", b.ClusterID, "-c", b.file()); r.Err != nil {
		return fmt.Errorf("kafka: format: %w\n%s", r.Err, r)
	}
	return nil
}

func (b *Broker) file() string { return filepath.Join(b.dir, "server.properties") }

// properties are the whole of server.properties.
func (b *Broker) properties(logs string, controllerPort int) map[string]string {
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(int(b.NodeID)),
		"controller.quorum.voters":                         fmt.Sprintf("%d@%s:%d", b.NodeID, b.Host, controllerPort),
		"listeners":                                        fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://%s:%d", b.Address, b.Host, controllerPort),
		"advertised.listeners":                             "PLAINTEXT://" + b.Address,
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"controller.listener.names":                        "CONTROLLER",
		"log.dirs":                                         logs,
		"num.partitions":                                   "1",
		"default.replication.factor":                       "1",
		"auto.create.topics.enable":                        "true",
		"group.initial.rebalance.delay.ms":                 "0",
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "2",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "2",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"share.coordinator.state.topic.num.partitions":     "2",
	}
	if b.SASLAddress != "" {
		b.authorize(p)
	}
	for i, proxy := range b.options.Proxies {
		name := fmt.Sprintf("PROXY%d", i)
		p["listeners"] += "," + name + "://" + b.Behind[i]
		p["advertised.listeners"] += "," + name + "://" + proxy
		p["listener.security.protocol.map"] += "," + name + ":PLAINTEXT"
	}
	if b.options.Secure != nil {
		b.secure(p)
	}
	maps.Copy(p, b.options.Properties)
	return p
}

// authorize adds the listener of the users, and the authorizer, to the properties.
func (b *Broker) authorize(p map[string]string) {
	p["listeners"] += ",SASL_PLAINTEXT://" + b.SASLAddress
	p["advertised.listeners"] += ",SASL_PLAINTEXT://" + b.SASLAddress
	p["listener.security.protocol.map"] += ",SASL_PLAINTEXT:SASL_PLAINTEXT"
	p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
	p["super.users"] = "User:ANONYMOUS"
	p["sasl.enabled.mechanisms"] = "PLAIN"
	var jaas strings.Builder
	jaas.WriteString("org.apache.kafka.common.security.plain.PlainLoginModule required")
	for _, user := range b.options.Users {
		fmt.Fprintf(&jaas, " user_%s=%q", user, user)
	}
	p["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = jaas.String() + ";"
}

// Run starts a broker that was stopped, with its old address and data, and
// waits until it answers.
func (b *Broker) Run() error {
	out, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	args := append([]string{"-Xmx" + brokerHeap, "-XX:+UseSerialGC"}, b.options.JVM...)
	if s := b.options.Secure; s != nil {
		args = append(args, allowedURLs+"file:"+s.Authority.JWKSFile)
	}
	args = append(args, "-cp", filepath.Join(b.Jars.Dir, "*"), "kafka.Kafka", b.file())
	b.command = exec.CommandContext(context.Background(), "java", args...)
	b.command.Dir = b.dir
	b.command.Stdout, b.command.Stderr = out, out
	b.command.SysProcAttr = ownGroup()
	if err := b.command.Start(); err != nil {
		b.command = nil
		return fmt.Errorf("kafka: broker: %w", err)
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // how it ended stands in its log
		close(exited)
	}(b.command, b.exited)
	if err := b.answers(); err != nil {
		b.Stop()
		return err
	}
	return nil
}

func (b *Broker) logFile() string { return filepath.Join(b.dir, "broker.log") }

// Log is what the broker has written to its log so far.
func (b *Broker) Log() string {
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// PID is the broker's process id, 0 when it is stopped.
func (b *Broker) PID() int {
	if b.command == nil {
		return 0
	}
	return b.command.Process.Pid
}

// answers waits until the broker lists itself in its metadata: it accepts
// connections before that.
func (b *Broker) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		if b.listed(ctx) {
			return nil
		}
		select {
		case <-b.exited:
			return fmt.Errorf("kafka: the broker at %s ended while starting", b.Address)
		case <-ctx.Done():
			return fmt.Errorf("kafka: the broker at %s does not answer after %v", b.Address, startTimeout)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *Broker) listed(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", b.Address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.RequestRetries(0))
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	metadata, err := kadm.NewClient(client).BrokerMetadata(ctx)
	return err == nil && len(metadata.Brokers) > 0
}

// Stop stops the broker: SIGTERM, and after 15 seconds SIGKILL for its process
// group. Its data stay until the test ends; [Broker.Run] starts it again.
func (b *Broker) Stop() {
	if b.command == nil {
		return
	}
	_ = b.command.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-b.exited:
		b.command = nil
	case <-time.After(brokerStopGrace):
		b.Kill()
	}
}

// Admin is a client of the broker for what a test sets up or looks up beside
// the gateway. It is closed when the test ends.
func (b *Broker) Admin(tb testing.TB) *kadm.Client {
	tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address))
	if err != nil {
		tb.Fatalf("kafka: admin: %v", err)
	}
	tb.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// CreateTopics creates topics of so many partitions.
func (b *Broker) CreateTopics(tb testing.TB, partitions int32, topics ...string) {
	tb.Helper()
	created, err := b.Admin(tb).CreateTopics(tb.Context(), partitions, 1, nil, topics...)
	if err = errors.Join(err, created.Error()); err != nil {
		tb.Fatalf("kafka: create topics %v: %v", topics, err)
	}
}

// Kill ends the broker at once, as a crash does.
func (b *Broker) Kill() {
	if b.command == nil {
		return
	}
	_ = syscall.Kill(-b.command.Process.Pid, syscall.SIGKILL)
	<-b.exited
	b.command = nil
}

// freePort is a port of the loopback interface that nobody uses now.
func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("kafka: free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
