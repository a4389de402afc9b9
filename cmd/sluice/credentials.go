package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sluice/proxy/auth"
)

func credentialsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "credentials",
		Short: "Add, remove and list the users of a credentials file",
		Long: "A listener with sasl and mode: terminate lets in the users of its credentials file. It holds\n" +
			"SCRAM verifiers, which prove a password and do not give it away. The file is replaced as a\n" +
			"whole, and a running gateway reads it again by itself.",
		Example: "  sluice credentials add --file users alice\n  sluice credentials list --file users\n  sluice credentials remove --file users alice",
		Args:    noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(credentialsAdd(), credentialsRemove(), credentialsList())
	return cmd
}

// fileFlag adds --file, without which a command is used wrongly.
func fileFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "file", "", "the credentials `file`, as the listener's sasl names it")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *path == "" {
			return usageError{errors.New("--file is missing: name the credentials file")}
		}
		return run(cmd, args)
	}
}

// oneUser wants one argument, the user's name.
func oneUser(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("name one user; there are %d arguments (a password is never one)", len(args))}
	}
	if err := auth.CheckName(args[0]); err != nil {
		return usageError{err}
	}
	return nil
}

func credentialsAdd() *cobra.Command {
	var path, passwordFile string
	var mechanisms []string
	var iterations int
	cmd := &cobra.Command{
		Use: "add --file FILE NAME", Short: "Add a user, or give one another password",
		Long: "Add a user, or give one another password. The password is asked for; if standard input is no\n" +
			"terminal, its first line is the password.",
		Example: "  sluice credentials add --file users alice\n" +
			"  sluice credentials add --file users --password-file alice.password alice\n" +
			"  openssl rand -base64 24 | tee alice.password | sluice credentials add --file users alice",
		Args: oneUser,
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds, err := scramMechanisms(mechanisms)
			if err != nil {
				return usageError{err}
			}
			password, err := readPassword(cmd, passwordFile)
			if err != nil {
				return err
			}
			made := make([]auth.Verifier, len(kinds))
			for i, m := range kinds {
				if made[i], err = auth.NewVerifier(m, password, iterations); err != nil {
					return err
				}
			}
			return auth.ChangeCredentials(path, func(c *auth.Credentials) error {
				c.Remove(args[0]) // no other mechanism keeps the old password
				for i, m := range kinds {
					if err := c.Add(args[0], m, made[i]); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "a `file` whose first line is the password")
	cmd.Flags().StringSliceVar(&mechanisms, "mechanism", []string{string(auth.ScramSHA512), string(auth.ScramSHA256)}, "which verifiers to make; PLAIN takes either")
	cmd.Flags().IntVar(&iterations, "iterations", auth.DefaultIterations, "how much work a guess at the password costs; clients do it at each login")
	fileFlag(cmd, &path)
	return cmd
}

func scramMechanisms(names []string) ([]auth.Mechanism, error) {
	var kinds []auth.Mechanism
	for _, name := range names {
		m := auth.Mechanism(name)
		if m != auth.ScramSHA256 && m != auth.ScramSHA512 {
			return nil, fmt.Errorf("--mechanism is %s or %s, not %q", auth.ScramSHA256, auth.ScramSHA512, name)
		}
		kinds = append(kinds, m)
	}
	if len(kinds) == 0 {
		return nil, errors.New("--mechanism names none")
	}
	return kinds, nil
}

// readPassword reads the password from a file, the terminal or standard input.
func readPassword(cmd *cobra.Command, path string) (string, error) {
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		defer f.Close()
		return firstLine(f)
	}
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askPassword(cmd.ErrOrStderr(), func() ([]byte, error) { return term.ReadPassword(int(f.Fd())) })
	}
	return firstLine(in)
}

// askPassword asks twice.
func askPassword(w io.Writer, read func() ([]byte, error)) (string, error) {
	var answers [2]string
	for i, question := range []string{"Password: ", "Again: "} {
		fmt.Fprint(w, question)
		answer, err := read()
		fmt.Fprintln(w)
		if err != nil {
			return "", fmt.Errorf("password: %w", err)
		}
		answers[i] = string(answer)
	}
	if answers[0] != answers[1] {
		return "", errors.New("the two passwords are not the same: nothing is changed")
	}
	return answers[0], nil
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, auth.MaxPassword+3)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func credentialsRemove() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "remove --file FILE NAME", Short: "Remove a user",
		Long:    "Remove a user. Connections that it has go on until they must authenticate again (max_reauth).",
		Example: "  sluice credentials remove --file users alice",
		Args:    oneUser,
		RunE: func(_ *cobra.Command, args []string) error {
			if _, err := os.Stat(path); err != nil { // else it would be made
				return fmt.Errorf("credentials: %w", err)
			}
			return auth.ChangeCredentials(path, func(c *auth.Credentials) error {
				if !c.Remove(args[0]) {
					return fmt.Errorf("%s has no user %q", path, args[0])
				}
				return nil
			})
		},
	}
	fileFlag(cmd, &path)
	return cmd
}

func credentialsList() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "list --file FILE", Short: "List the users and their mechanisms",
		Example: "  sluice credentials list --file users",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := auth.LoadCredentials(path)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tMECHANISM\tITERATIONS")
			for _, u := range c.List() {
				fmt.Fprintf(w, "%s\t%s\t%d\n", u.Name, u.Mechanism, u.Iterations)
			}
			return w.Flush()
		},
	}
	fileFlag(cmd, &path)
	return cmd
}
