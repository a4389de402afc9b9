package main

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/proxy/auth"
)

// withInput runs a command line with this standard input.
func withInput(t *testing.T, input string, args ...string) (out string, code int) {
	t.Helper()
	root := rootCommand()
	var b bytes.Buffer
	root.SetIn(strings.NewReader(input))
	root.SetOut(&b)
	root.SetErr(&b)
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		return b.String() + err.Error(), exitFailed
	}
	return b.String(), 0
}

// wholeCommandLine runs `sluice` with these words as main does.
func wholeCommandLine(args ...string) (out string, code int) {
	var b bytes.Buffer
	code = execute(args, &b, &b)
	return b.String(), code
}

// letsIn reports whether a server with the file lets a client in.
func letsIn(t *testing.T, path string, m sasl.Mechanism) bool {
	t.Helper()
	c, err := auth.LoadCredentials(path)
	if err != nil {
		t.Fatal(err)
	}
	server, err := auth.NewServer(auth.Options{
		Mechanisms: auth.Mechanisms[:2], Credentials: func() *auth.Credentials { return c }, Guard: auth.NewGuard(auth.GuardOptions{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := auth.NewSession(netip.Addr{})
	s.Handshake(server, m.Name())
	client, token, err := m.Authenticate(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o := s.Authenticate(t.Context(), token)
		if o.Failure != nil || o.Done {
			return o.Done
		}
		if _, token, err = client.Challenge(o.Reply); err != nil {
			return false
		}
	}
	return false
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	path, password := filepath.Join(dir, "users"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("from file\nmore"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := func(user, pass string) scram.Auth { return scram.Auth{User: user, Pass: pass} }
	if out, code := withInput(t, "hunter2\n", "credentials", "add", "--file", path, "alice"); code != 0 || out != "" {
		t.Fatalf("%d %s", code, out)
	}
	if !letsIn(t, path, client("alice", "hunter2").AsSha256Mechanism()) || !letsIn(t, path, client("alice", "hunter2").AsSha512Mechanism()) || letsIn(t, path, client("alice", "x").AsSha256Mechanism()) {
		t.Error("not the password")
	}
	if out, code := withInput(t, "", "credentials", "add", "--file", path, "--password-file", password, "--mechanism", "SCRAM-SHA-256", "--iterations", "8192", "bob b"); code != 0 {
		t.Fatal(out)
	}
	if !letsIn(t, path, client("bob b", "from file").AsSha256Mechanism()) {
		t.Error("not the file's first line")
	}
	if out, code := withInput(t, "new", "credentials", "add", "--file", path, "--mechanism", "SCRAM-SHA-512", "alice"); code != 0 {
		t.Fatal(out)
	}
	if letsIn(t, path, client("alice", "hunter2").AsSha256Mechanism()) || !letsIn(t, path, client("alice", "new").AsSha512Mechanism()) {
		t.Error("the old password is still good")
	}
	out, code := wholeCommandLine("credentials", "list", "--file", path)
	if want := "NAME   MECHANISM      ITERATIONS\nbob b  SCRAM-SHA-256  8192\nalice  SCRAM-SHA-512  4096\n"; code != 0 || out != want {
		t.Errorf("%d\n%s", code, out)
	}
	if out, code := wholeCommandLine("credentials", "remove", "--file", path, "alice"); code != 0 || letsIn(t, path, client("alice", "new").AsSha512Mechanism()) {
		t.Errorf("%d %s", code, out)
	}
	data, _ := os.ReadFile(path)
	for _, secret := range []string{"hunter2", "from file", "new"} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%q is in the file", secret)
		}
	}
}

func TestCredentialsMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if out, code := withInput(t, "x", "credentials", "add", "--file", path, "alice"); code != 0 {
		t.Fatal(out)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"credentials add alice", exitUsage, "--file is missing"},
		{"credentials add --file " + path, exitUsage, "name one user"},
		{"credentials add --file " + path + " alice secret", exitUsage, "a password is never one"},
		{"credentials add --file " + path + " --password secret alice", exitUsage, "unknown flag: --password"},
		{"credentials add --file " + path + " álice", exitUsage, "printable ASCII"},
		{"credentials add --file " + path + " --mechanism PLAIN alice", exitUsage, "--mechanism is SCRAM-SHA-256 or SCRAM-SHA-512"},
		{"credentials add --file " + path + " --password-file /none/x alice", exitFailed, "no such file"},
		{"credentials add --file " + path + " --password-file " + path + " --iterations 1 alice", exitFailed, "1 iterations: use 4096"},
		{"credentials remove --file " + path + " bob", exitFailed, `has no user "bob"`},
		{"credentials remove --file " + path + "x alice", exitFailed, "no such file"},
		{"credentials list --file " + path + "x", exitFailed, "no such file"},
		{"credentials list --file " + path + " x", exitUsage, "unexpected argument"},
		{"credentials frob", exitUsage, `unknown command "frob"`},
	} {
		if out, code := wholeCommandLine(strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s", c.args, code, out)
		}
	}
	if out, code := withInput(t, "\n", "credentials", "add", "--file", path, "bob"); code == 0 || !strings.Contains(out, "the password is empty") {
		t.Errorf("%d %s", code, out)
	}
	if _, err := os.Stat(path + "x"); err == nil {
		t.Error("a file is made")
	}
}

func TestAskPassword(t *testing.T) {
	answers := func(all ...string) func() ([]byte, error) {
		return func() ([]byte, error) {
			if len(all) == 0 {
				return nil, errors.New("no terminal")
			}
			a := all[0]
			all = all[1:]
			return []byte(a), nil
		}
	}
	var shown bytes.Buffer
	if password, err := askPassword(&shown, answers("x", "x")); password != "x" || err != nil || shown.String() != "Password: \nAgain: \n" {
		t.Errorf("%q %v %q", password, err, shown.String())
	}
	if _, err := askPassword(&shown, answers("x", "y")); err == nil || !strings.Contains(err.Error(), "not the same") {
		t.Error(err)
	}
	if _, err := askPassword(&shown, answers("x")); err == nil {
		t.Error("half an answer")
	}
}
