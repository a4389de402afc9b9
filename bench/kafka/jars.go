package kafka

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The Kafka versions that tests run against.
const (
	Version    = "4.3.1" // the one meant when none is named; the Java programs are compiled with its clients
	Version3   = "3.9.1" // the last 3.x
	javaHeapMB = 512     // of one client program or tool
)

// Kafka's own tools, as classes of [Version], for [Jars.Tool].
const (
	Topics              = "org.apache.kafka.tools.TopicCommand"
	Configs             = "kafka.admin.ConfigCommand"
	ACLs                = "org.apache.kafka.tools.AclCommand"
	APIVersions         = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	ConsumerGroups      = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	ShareGroups         = "org.apache.kafka.tools.consumer.group.ShareGroupCommand"
	Groups              = "org.apache.kafka.tools.GroupsCommand"
	GetOffsets          = "org.apache.kafka.tools.GetOffsetShell"
	Transactions        = "org.apache.kafka.tools.TransactionsCommand"
	MetadataQuorum      = "org.apache.kafka.tools.MetadataQuorumCommand"
	Features            = "org.apache.kafka.tools.FeatureCommand"
	LogDirs             = "org.apache.kafka.tools.LogDirsCommand"
	DeleteRecords       = "org.apache.kafka.tools.DeleteRecordsCommand"
	ReassignPartitions  = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
	LeaderElection      = "org.apache.kafka.tools.LeaderElectionCommand"
	ConsoleProducer     = "org.apache.kafka.tools.ConsoleProducer"
	ConsoleConsumer     = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	ConsoleShare        = "org.apache.kafka.tools.consumer.ConsoleShareConsumer"
	ProducerPerformance = "org.apache.kafka.tools.ProducerPerformance"
	ConsumerPerformance = "org.apache.kafka.tools.ConsumerPerformance"
	SharePerformance    = "org.apache.kafka.tools.ShareConsumerPerformance"
	EndToEndLatency     = "org.apache.kafka.tools.EndToEndLatency"
	VerifiableProducer  = "org.apache.kafka.tools.VerifiableProducer"
	VerifiableConsumer  = "org.apache.kafka.tools.VerifiableConsumer"
)

//go:embed pom.xml
var pom []byte

//go:embed java/*.java
var javaSources embed.FS

// downloadTimeout is how long Maven or pip may take for everything.
const downloadTimeout = 10 * time.Minute

// Jars is one version of Kafka: broker, tools and clients.
type Jars struct {
	// Version is Kafka's.
	Version string
	// Dir holds the jars.
	Dir string
	// JVM are the options of the Java virtual machine for tools and programs.
	// The default starts fast and takes little; benches that measure a client
	// may want the optimising compiler back.
	JVM []string
}

// Resolve finds the jars of this version of Kafka ("" is [Version]), with Maven
// if they are not in the cache yet. Where java or mvn is missing, or Maven can
// fetch nothing, the test is skipped loudly, or fails under CI.
func Resolve(tb testing.TB, version string) *Jars {
	tb.Helper()
	if version == "" {
		version = Version
	}
	for _, program := range []string{"java", "javac"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(tb, program+" is not on the path (install a JDK of at least 17)")
		}
	}
	dir, err := cached("kafka-"+version, func(dir string) error { return download(dir, version) })
	if err != nil {
		missing(tb, err.Error())
	}
	return &Jars{Version: version, Dir: dir, JVM: []string{
		fmt.Sprintf("-Xmx%dm", javaHeapMB), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
	}}
}

func download(dir, version string) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("mvn is not on the path (install Maven): %w", err)
	}
	work, err := os.MkdirTemp("", "sluice-pom-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return err
	}
	return runQuietly("", "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies",
		"-Dkafka.version="+version, "-DexcludeArtifactIds=slf4j-reload4j", "-DoutputDirectory="+dir)
}

// runQuietly runs a program of the set-up; its output is the error's text.
func runQuietly(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, tail(string(out), 30))
	}
	return nil
}

// Tool starts one of Kafka's tools, by its class, and waits for its end or the
// context's. Its log, from WARN up, is on its standard error.
func (j *Jars) Tool(ctx context.Context, class string, args ...string) Result {
	return j.ToolStart(ctx, class, args...).Wait()
}

// ToolStart is [Jars.Tool] without waiting; what is written to standard input
// of a console producer comes from [Jars.ToolInput] instead.
func (j *Jars) ToolStart(ctx context.Context, class string, args ...string) *Process {
	return start(ctx, "", "java", j.java(filepath.Join(j.Dir, "*"), j.class(class), args)...)
}

// ToolInput is [Jars.Tool] with a standard input.
func (j *Jars) ToolInput(ctx context.Context, input, class string, args ...string) Result {
	return start(ctx, input, "java", j.java(filepath.Join(j.Dir, "*"), j.class(class), args)...).Wait()
}

// Program starts one of the Java client programs, by its class: Produce,
// Consume, Share, Txn, Across, Admin or Refused. They are compiled with the jars
// of [Version] on first use, so only that version has programs; they talk to
// brokers of all versions. A program that cannot be compiled is a Result with an
// error.
func (j *Jars) Program(ctx context.Context, class string, args ...string) *Process {
	classes, err := j.compile()
	if err != nil {
		return failed(err)
	}
	return start(ctx, "", "java", j.java(classes+string(os.PathListSeparator)+filepath.Join(j.Dir, "*"), class, args)...)
}

func (j *Jars) java(path, class string, args []string) []string {
	all := append(slices.Clone(j.JVM), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path, class)
	return append(all, args...)
}

// class names a tool in the jars of 3.x, where some had not moved yet.
func (j *Jars) class(class string) string {
	if j.Version[0] != '3' {
		return class
	}
	switch class {
	case APIVersions:
		return "kafka.admin.BrokerApiVersionsCommand"
	case ACLs:
		return "kafka.admin.AclCommand"
	case ConsoleProducer:
		return "kafka.tools.ConsoleProducer"
	}
	return class
}

// compile compiles the client programs and returns the directory of the classes.
func (j *Jars) compile() (string, error) {
	sum, names, err := digest(javaSources)
	if err != nil {
		return "", err
	}
	return cached("java-"+j.Version+"-"+sum, func(dir string) error {
		if err := os.CopyFS(filepath.Join(dir, "src"), javaSources); err != nil {
			return err
		}
		args := []string{"-cp", filepath.Join(j.Dir, "*"), "-d", dir}
		for _, name := range names {
			args = append(args, filepath.Join(dir, "src", name))
		}
		return runQuietly(dir, "javac", args...)
	})
}

// digest names a set of sources by their contents, and lists them.
func digest(sources fs.FS) (sum string, names []string, err error) {
	hash := sha256.New()
	err = fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(sources, path)
		if err != nil {
			return err
		}
		names = append(names, path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		return nil
	})
	if err != nil {
		return "", nil, fmt.Errorf("kafka: sources: %w", err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:6]), names, nil
}
