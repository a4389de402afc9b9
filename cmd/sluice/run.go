package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/proxy"
	"sluice/proxy/policy"
)

func runCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "run --config sluice.yaml",
		Short: "Serve; SIGHUP reloads the file, SIGTERM drains",
		Long: "Serves until SIGTERM or SIGINT, which let what is in flight be answered and then end the process;\n" +
			"a second one ends it at once. SIGHUP reads the file again and applies all of it or nothing.\n" +
			"Logs are JSON lines on standard error.",
		Example: "  sluice run --config sluice.yaml\n  kill -HUP $(pidof sluice)   # after a change of the file",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), path, cmd.ErrOrStderr()) },
	}
	configFlag(cmd, &path)
	return cmd
}

func checkCommand() *cobra.Command {
	var path, old string
	cmd := &cobra.Command{
		Use:   "check --config sluice.yaml",
		Short: "Validate the file: every problem at once",
		Long: "Reads the file as run and SIGHUP do, and prints every error and warning as file:line:column.\n" +
			"Exits with 1 if there is an error, with 0 if there are only warnings or nothing.\n" +
			"With --diff it also says what changes over another file, and for whom.",
		Example: "  sluice check --config sluice.yaml && kill -HUP $(pidof sluice)\n" +
			"  git show HEAD:sluice.yaml > old.yaml && sluice check --config sluice.yaml --diff old.yaml",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, problems := load(path)
			for _, problem := range problems {
				fmt.Fprintln(cmd.OutOrStdout(), problem)
			}
			if p == nil {
				return errTold
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d slices, %d tenants, no errors\n", path, len(p.Slices), len(p.Tenants))
			if !cmd.Flags().Changed("diff") {
				return nil
			}
			return diff(cmd.OutOrStdout(), p, old)
		},
	}
	cmd.Flags().StringVar(&old, "diff", "", "say what changes over this `file`")
	configFlag(cmd, &path)
	return cmd
}

// diff says what p changes over the file old, and what of it a reload cannot apply.
func diff(out io.Writer, p *policy.Policy, old string) error {
	was, problems := policy.Load(old)
	if was == nil {
		fmt.Fprintln(out, problems.Error())
		return errTold
	}
	changes, refused := p.Changes(was), p.CheckReload(was)
	for _, line := range changes {
		fmt.Fprintln(out, line)
	}
	for _, problem := range refused {
		fmt.Fprintf(out, "SIGHUP refuses the file: %s:%d:%d: %s\n", problem.File, problem.Line, problem.Column, problem.Text)
	}
	if len(changes)+len(refused) == 0 {
		fmt.Fprintln(out, "no changes")
	}
	return nil
}

// load reads the file and adds what only this process knows: its limit on open files.
func load(path string) (*policy.Policy, policy.Problems) {
	p, problems := policy.Load(path)
	if p != nil {
		problems = append(problems, policy.FileLimitProblems(p)...)
		problems = append(problems, policy.FileProblems(p)...)
	}
	return p, problems
}

// gcPercent makes the collector come at half as much garbage as by default: most of
// the heap is connections that idle, so it costs little and saves a third of the memory.
// GOGC in the environment goes before it.
const gcPercent = 50

// run serves until it is told to stop. Problems of the file go to stderr; the log
// goes to the standard error of the process.
func run(ctx context.Context, path string, stderr io.Writer) error {
	hup, stop, done := listenSignals()
	defer done()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	p, problems := load(path)
	for _, problem := range problems {
		fmt.Fprintln(stderr, problem)
	}
	if p == nil {
		return errTold
	}
	config := zap.NewProductionConfig()
	config.Sampling = nil // each connection that ends for a reason has its line
	config.DisableCaller, config.DisableStacktrace = true, true
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	log, err := config.Build()
	if err != nil {
		return fmt.Errorf("cannot log: %w", err)
	}
	defer func() { _ = log.Sync() }()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	gateway, err := proxy.Start(p, proxy.Options{Path: path, Version: buildVersion(), Log: log, Registry: registry})
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	stopAdmin, err := serveAdmin(p.Admin.Address, gateway, log)
	if err != nil {
		gateway.Drain(canceled())
		return fmt.Errorf("admin.address: %w", err)
	}
	defer stopAdmin()
	log.Info("serving", zap.String("version", buildVersion()), zap.String("admin", p.Admin.Address), zap.Int("tenants", len(p.Tenants)))
	for {
		select {
		case <-hup:
			_ = gateway.Reload() // it has told of its problems
		case <-stop:
			return drain(gateway, stop, log)
		case <-ctx.Done():
			return drain(gateway, stop, log)
		}
	}
}

// listenSignals hands SIGHUP to hup, and SIGTERM and SIGINT to stop, until done is
// called. They have a channel each, so that no number of SIGHUPs that wait behind a
// slow reload can crowd a SIGTERM out. One SIGHUP that waits stands for all of them,
// for the reload after it reads the newest file. Of the others two count: to
// drain, and to end at once.
func listenSignals() (hup, stop <-chan os.Signal, done func()) {
	h, s := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(h, syscall.SIGHUP)
	signal.Notify(s, syscall.SIGTERM, syscall.SIGINT)
	return h, s, func() { signal.Stop(h); signal.Stop(s) }
}

// drain ends the gateway; another signal to stop ends it at once.
func drain(gateway *proxy.Gateway, stop <-chan os.Signal, log *zap.Logger) error {
	log.Info("draining")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	cut := gateway.Drain(ctx)
	log.Info("stopped", zap.Int("connections_cut", cut))
	return nil
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// serveAdmin serves metrics and health until the returned function is called.
func serveAdmin(address string, gateway *proxy.Gateway, log *zap.Logger) (stop func(), err error) {
	ln, err := net.Listen("tcp", address) //nolint:noctx // it opens at once or fails
	if err != nil {
		return nil, err
	}
	quiet, err := zap.NewStdLogAt(log, zap.DebugLevel) // of handshakes and the like: noise
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	if config := gateway.AdminTLS(); config != nil {
		ln = tls.NewListener(ln, config)
	}
	server := &http.Server{Handler: gateway.Admin(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: quiet}
	go func() {
		if err := server.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin server", zap.Error(err))
		}
	}()
	return func() { _ = server.Close() }, nil
}
