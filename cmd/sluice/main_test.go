package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// asSluice in the environment makes the test binary be the command.
const asSluice = "SLUICE_TEST_BE_SLUICE"

func TestMain(m *testing.M) {
	if os.Getenv(asSluice) != "" {
		main()
	}
	os.Exit(m.Run())
}

// sluice runs a command line in this process.
func sluice(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(args, &out, &err)
	return code, out.String(), err.String()
}

// writeFile puts text into a file of the test's own and returns its path.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// smallPolicy has one slice and one tenant. Its first line is gateway, so that a test
// may set something there.
const smallPolicy = `gateway: {max_connections: 4%s}
client_ids: {pattern: "{team}.{app}"}
slices:
  - {name: orders, slot: 0, bootstrap_servers: ["127.0.0.1:1"]}
listeners:
  - name: edge
    address: 127.0.0.1:19000
    broker_ports: {orders: {nodes: 0-1, ports: 19001-19002}}
tenants:
  - name: payments
    client_ids: {team: payments}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

func TestWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"serve":                 "sluice: unknown command \"serve\"\nRun 'sluice --help' for how to use it.\n",
		"--config x":            "sluice: unknown flag: --config\nRun 'sluice --help' for how to use it.\n",
		"check --strict":        "sluice: unknown flag: --strict\nRun 'sluice check --help' for how to use it.\n",
		"check --config":        "sluice: flag needs an argument: --config\nRun 'sluice check --help' for how to use it.\n",
		"check sluice.yaml":     "sluice: unexpected argument \"sluice.yaml\"\nRun 'sluice check --help' for how to use it.\n",
		"run --config x again":  "sluice: unexpected argument \"again\"\nRun 'sluice run --help' for how to use it.\n",
		"run":                   "sluice: --config is missing: name the policy file, such as --config sluice.yaml\nRun 'sluice run --help' for how to use it.\n",
		"check":                 "sluice: --config is missing: name the policy file, such as --config sluice.yaml\nRun 'sluice check --help' for how to use it.\n",
		"demo now":              "sluice: unexpected argument \"now\"\nRun 'sluice demo --help' for how to use it.\n",
		"demo --for -1s":        "sluice: --for must not be negative\nRun 'sluice demo --help' for how to use it.\n",
		"version please":        "sluice: unexpected argument \"please\"\nRun 'sluice version --help' for how to use it.\n",
		"help serve":            "sluice: unknown command \"serve\": 'sluice help' lists them all\nRun 'sluice help --help' for how to use it.\n",
		"completion nosuch":     "sluice: unknown command \"nosuch\"\nRun 'sluice completion --help' for how to use it.\n",
		"completion bash twice": "sluice: unexpected argument \"twice\"\nRun 'sluice completion bash --help' for how to use it.\n",
	} {
		code, stdout, stderr := sluice(strings.Fields(line)...)
		if code != exitUsage || stdout != "" || stderr != want {
			t.Errorf("sluice %s: exit %d, want %d\nstdout %q\nstderr %q\nwant   %q", line, code, exitUsage, stdout, stderr, want)
		}
	}
	code, stdout, stderr := sluice("demo", "--for", "soon")
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, `"soon" for "--for"`) || !strings.Contains(stderr, "'sluice demo --help'") {
		t.Errorf("demo --for soon: exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// Every command says what it is for, and shows by example how it is used; `help` and
// --help say the same.
func TestHelp(t *testing.T) {
	commands := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		commands++
		path := strings.Fields(cmd.CommandPath())[1:]
		code, stdout, stderr := sluice(append(path, "--help")...)
		if code != 0 || stderr != "" {
			t.Errorf("%s --help: exit %d, stderr %q", cmd.CommandPath(), code, stderr)
		}
		about := cmd.Long
		if about == "" {
			about = cmd.Short
		}
		if about == "" || !strings.Contains(stdout, strings.TrimSpace(about)) {
			t.Errorf("%s --help does not say what it is for:\n%s", cmd.CommandPath(), stdout)
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) || !strings.Contains(stdout, "Examples:\n"+cmd.Example) {
			t.Errorf("%s --help has no example of itself:\n%s", cmd.CommandPath(), stdout)
		}
		if code, again, stderr := sluice(append([]string{"help"}, path...)...); code != 0 || again != stdout || stderr != "" {
			t.Errorf("help %v: exit %d, stderr %q, not what --help says:\n%s", path, code, stderr, again)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
	if commands < 7 {
		t.Errorf("walked %d commands only", commands)
	}
	if code, stdout, stderr := sluice(); code != 0 || stderr != "" || !strings.Contains(stdout, "Available Commands:") {
		t.Errorf("without arguments: exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	defer func(v string) { version = v }(version)
	version = "v1.2.3"
	code, stdout, stderr := sluice("version")
	want := fmt.Sprintf("sluice v1.2.3 %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit %d, stdout %q, want %q, stderr %q", code, stdout, want, stderr)
	}
	version = ""
	if buildVersion() == "" {
		t.Error("no version without the linker's")
	}
}

func TestCheckGood(t *testing.T) {
	path := writeFile(t, fmt.Sprintf(smallPolicy, ""))
	code, stdout, stderr := sluice("check", "--config", path)
	if want := path + ": 1 slices, 1 tenants, no errors\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit %d, stdout %q, want %q, stderr %q", code, stdout, want, stderr)
	}
}

// Every problem comes in one go, each in a form that editors read.
func TestCheckBad(t *testing.T) {
	text := strings.NewReplacer("slot: 0", "slot: 512", "home: orders", "home: nowhere", "everything: true", "everythin: true").
		Replace(fmt.Sprintf(smallPolicy, ", max_throttle: soon"))
	path := writeFile(t, text)
	code, stdout, stderr := sluice("check", "--config", path)
	if code != exitFailed || stderr != "" {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	form := regexp.MustCompile(`^` + regexp.QuoteMeta(path) + `:(\d+:\d+): (error|warning): \S`)
	var at []string
	for line := range strings.Lines(stdout) {
		m := form.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not file:line:column: %q", line)
			continue
		}
		at = append(at, m[1])
	}
	// Where each mistake stands: line of the file, column of the value or the name.
	for _, want := range []string{place(text, "soon"), place(text, "512"), place(text, "nowhere"), place(text, "everythin")} {
		if !strings.Contains(strings.Join(at, " ")+" ", want+" ") {
			t.Errorf("nothing is said of %s:\n%s", want, stdout)
		}
	}
	// run says the same, on standard error, and does not begin.
	runCode, runOut, runErr := sluice("run", "--config", path)
	if runCode != exitFailed || runOut != "" || runErr != stdout {
		t.Errorf("run: exit %d, stdout %q, stderr %q", runCode, runOut, runErr)
	}
}

// place is "line:column" of the first word in text.
func place(text, word string) string {
	before, _, _ := strings.Cut(text, word)
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1, len(before)-strings.LastIndexByte(before, '\n'))
}

func TestCheckWarns(t *testing.T) {
	text := fmt.Sprintf(smallPolicy, ", max_throttle: 20s")
	path := writeFile(t, text)
	code, stdout, stderr := sluice("check", "--config", path)
	warning := path + ":" + place(text, "20s") + ": warning: max_throttle: "
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, warning) || !strings.HasSuffix(stdout, "\n"+path+": 1 slices, 1 tenants, no errors\n") {
		t.Errorf("exit %d, want a line that begins with %q\nstdout %q\nstderr %q", code, warning, stdout, stderr)
	}
}

func TestCheckUnreadable(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file or directory",
		dir:                             "is a directory",
	} {
		want = path + ":1:1: error: cannot be read: " + want + "\n"
		if code, stdout, stderr := sluice("check", "--config", path); code != exitFailed || stdout != want || stderr != "" {
			t.Errorf("check: exit %d, stdout %q, want %q, stderr %q", code, stdout, want, stderr)
		}
		if code, stdout, stderr := sluice("run", "--config", path); code != exitFailed || stdout != "" || stderr != want {
			t.Errorf("run: exit %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
		}
	}
}
