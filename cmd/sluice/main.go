// Command sluice is the gateway's command line: it runs the gateway, checks its
// file, and shows what it does on a demo. What the gateway does is in package proxy.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit codes of the command.
const (
	exitFailed = 1 // the policy is invalid or the run failed
	exitUsage  = 2 // wrong usage
)

// version is set by the linker (-X main.version=…); without it, it is the module's.
var version = ""

// errTold ends a command whose failure has been told already.
var errTold = errors.New("told")

// usageError is wrong usage of a command.
type usageError struct{ error }

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs one command line and returns its exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "sluice: %v\nRun '%s --help' for how to use it.\n", err, cmd.CommandPath())
		return exitUsage
	case !errors.Is(err, errTold):
		fmt.Fprintln(stderr, "sluice:", err)
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "A gateway in front of Apache Kafka that holds each application to its limits and rules",
		Long: "Sluice stands in front of Apache Kafka brokers and speaks the Kafka protocol on both sides.\n" +
			"Clients only change bootstrap.servers. It knows every client by its client ID, holds each tenant\n" +
			"to its limits and rules, and sends it to the cluster that serves it.",
		SilenceErrors: true, SilenceUsage: true,
		Example: "  sluice demo                          # see it work, with nothing else needed\n" +
			"  sluice check --config sluice.yaml\n  sluice run --config sluice.yaml",
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(), checkCommand(), explainCommand(), credentialsCommand(), demoCommand(), versionCommand())
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	root.InitDefaultCompletionCmd()
	completion, _, _ := root.Find([]string{"completion"})
	completion.Args = noCommand
	completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	completion.Example = "  source <(sluice completion bash)"
	for _, shell := range completion.Commands() {
		shell.Args = noArgs
		shell.Example = fmt.Sprintf("  sluice completion %[1]s > sluice.%[1]s", shell.Name())
	}
	return root
}

// helpCommand does what cobra's does, but an unknown command is wrong usage.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "Help about any command", Example: "  sluice help run",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, unknown, err := cmd.Root().Find(args)
			if err == nil {
				err = noCommand(about, unknown)
			}
			if err != nil {
				return usageError{fmt.Errorf("%w: 'sluice help' lists them all", err)}
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// noCommand refuses what stands where a command should, as wrong usage.
func noCommand(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return nil
}

// noArgs refuses arguments that are no flags, as wrong usage.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// configFlag adds --config, without which a command is used wrongly.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "the policy `file`, such as sluice.yaml")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *path == "" {
			return usageError{errors.New("--config is missing: name the policy file, such as --config sluice.yaml")}
		}
		return run(cmd, args)
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Example: "  sluice version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "sluice %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
