package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/bench/report"
	"sluice/bench/target"
)

// options are what the command line says.
type options struct {
	quick    bool
	tls      bool
	rounds   int
	length   time.Duration
	only     *regexp.Regexp
	targets  []string // names, in order, without those that run already
	builds   map[string]build
	external []*target.Target
	sink     string
	json     string
	svg      string
	profile  string
	records  int
}

// build is a sluice binary and the policy that it runs with.
type build struct {
	path string
	full bool
}

func main() {
	if beChild() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args, log)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := o.build(ctx, dir); err != nil {
		return err
	}
	all := possible(workloads(o.quick, o.only), log)
	if len(all) == 0 {
		return errors.New("no workload has such a name")
	}
	b := &bench{options: o, dir: dir, log: log, data: &report.Data{
		Machine: fmt.Sprintf("%d processors, %s, %s/%s", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
		Started: time.Now().UTC().Format(time.RFC3339),
	}}
	defer b.stop()
	if o.tls {
		b.data.Machine += ", clients speak TLS"
		if b.certificate, err = target.NewCertificate(dir); err != nil {
			return err
		}
	}
	if err := b.run(ctx, all); err != nil {
		return err
	}
	if err := b.data.Table(out); err != nil {
		return err
	}
	return o.write(b.data)
}

// parse reads the flags.
func parse(args []string, log io.Writer) (options, error) {
	o := options{builds: map[string]build{}}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(log)
	f.BoolVar(&o.quick, "quick", false, "fewer workloads, three rounds")
	f.BoolVar(&o.tls, "tls", false, "clients speak TLS to the proxies; without the targets that have none")
	f.IntVar(&o.rounds, "rounds", 0, "how often each target does each workload (default 6, quick 3)")
	seconds := f.Float64("seconds", 0, "how long each measurement takes (default 1.5, quick 0.8)")
	only := f.String("only", "", "a regular expression: the workloads to run")
	names := f.String("targets", "", "names, with commas: the targets to compare (default all)")
	f.StringVar(&o.sink, "sink", anyPort, "where the sink listens, for those of --target to lead to")
	f.IntVar(&o.records, "records", 1_000_000, "how many records of 1,000 bytes Kafka's perf tools send and read")
	f.StringVar(&o.profile, "profile", "", "a directory for CPU profiles of Sluice in the last round; while one is taken, a little more time is used")
	f.StringVar(&o.svg, "svg", "", "a directory for plots")
	f.StringVar(&o.json, "json", "", "a file for all that was measured")
	var sluices []string
	f.Func("sluice", "a sluice binary, or name=binary; may be repeated to compare builds (default: built from here)", func(s string) error {
		sluices = append(sluices, s)
		return nil
	})
	f.Func("target", "name=host:port,pid: a proxy that runs already in front of --sink; may be repeated", func(s string) error {
		t, err := target.Parse(s)
		o.external = append(o.external, t)
		return err
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q: only flags, see --help", f.Arg(0))
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("--only: %w", err)
	}
	o.defaults(*seconds)
	return o, o.choose(sluices, *names)
}

func (o *options) defaults(seconds float64) {
	if o.length = time.Duration(seconds * float64(time.Second)); o.length <= 0 {
		o.length = defaultLength
		if o.quick {
			o.length = defaultLength / 2
		}
	}
	if o.rounds <= 0 {
		o.rounds = 6
		if o.quick {
			o.rounds = 3
		}
	}
}

// choose says which targets take part. A binary is two of them: with everything
// open, and with everything on.
func (o *options) choose(sluices []string, names string) error {
	if len(sluices) == 0 {
		sluices = []string{""}
	}
	all := []string{direct, report.Baseline, splicing}
	if o.tls { // what is encrypted cannot be spliced
		all = []string{report.Baseline}
	}
	for _, s := range sluices {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			name, path = "sluice", s
		}
		for _, kind := range []struct {
			name string
			full bool
		}{{name + "-open", false}, {name, true}} {
			if _, taken := o.builds[kind.name]; taken || slices.Contains(all, kind.name) {
				return fmt.Errorf("--sluice: two targets are called %s", kind.name)
			}
			o.builds[kind.name] = build{path, kind.full}
			all = append(all, kind.name)
		}
	}
	if o.tls && len(o.external) > 0 {
		return errors.New("--target: not with --tls, whose certificate it does not have")
	}
	for _, t := range o.external {
		if slices.Contains(all, t.Name) {
			return fmt.Errorf("--target: two targets are called %s", t.Name)
		}
	}
	o.targets = all
	if names == "" {
		if o.quick {
			o.targets = slices.DeleteFunc(all, func(name string) bool { return name == splicing })
		}
		return nil
	}
	o.targets = nil
	for name := range strings.SplitSeq(names, ",") {
		if slices.ContainsFunc(o.external, func(t *target.Target) bool { return t.Name == name }) {
			continue
		}
		if !slices.Contains(all, name) {
			return fmt.Errorf("--targets: no target is called %s; there are %s", name, strings.Join(all, ", "))
		}
		o.targets = append(o.targets, name)
	}
	return nil
}

// build builds sluice if no binary was given.
func (o *options) build(ctx context.Context, dir string) error {
	built := ""
	for _, name := range o.targets {
		b, ok := o.builds[name]
		if !ok || b.path != "" {
			continue
		}
		if built == "" {
			var err error
			if built, err = target.Build(ctx, dir); err != nil {
				return err
			}
		}
		b.path = built
		o.builds[name] = b
	}
	return nil
}

func (o *options) write(d *report.Data) error {
	if o.svg != "" {
		if err := d.Plots(o.svg); err != nil {
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
	return errors.Join(d.WriteJSON(f), f.Close())
}
