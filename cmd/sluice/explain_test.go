package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const exampleFile = "../../deploy/sluice.yaml"

// runCommandLine runs `sluice` with these words, and returns what it wrote and its
// exit code.
func runCommandLine(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	cmd := map[string]func() *cobra.Command{"explain": explainCommand, "check": checkCommand}[args[0]]()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&b)
	cmd.SetErr(&b)
	cmd.SetArgs(args[1:])
	err := cmd.Execute()
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return b.String() + err.Error(), exitUsage
	case err != nil:
		return b.String(), exitFailed
	}
	return b.String(), 0
}

func TestExplainCommand(t *testing.T) {
	out, code := runCommandLine(t, "explain", "--config", exampleFile, "--client-id", "payments.web.prod", "--api", "produce", "--topic", "payments.audit")
	want := `DENY: Produce, topic "payments.audit" by client ID "payments.web.prod"

tenant  payments
        client_ids {team: payments} match "payments.web.prod": tenant 1 of 3, at ../../deploy/sluice.yaml:98:11
slice   orders
        orders is the home of tenant payments
rules   WRITE on topic "payments.audit": denied
           ../../deploy/sluice.yaml:118:9: {allow: [READ, WRITE, CREATE], topics: ["payments.*"]} allows WRITE
        => ../../deploy/sluice.yaml:121:9: {deny: [WRITE], topics: ["payments.audit"]} denies WRITE
api     with acks=0 no answer can say so: the connection is held, then closed (denied_acks_0)
limits  request_rate 2000/s of the tenant: held for its turn, at most 8s
        producer_byte_rate 10MiB/s of the client id: held for its turn, at most 8s
        producer_byte_rate 20MiB/s of the tenant: held for its turn, at most 8s
        producer_byte_rate 200MiB/s of the slice: held for its turn, at most 8s
answer  TOPIC_AUTHORIZATION_FAILED (29) at Topics[].Partitions[].ErrorCode
`
	if out != want || code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	out, code = runCommandLine(t, "explain", "--config", exampleFile, "--client-id", "", "--api", "Metadata", "-o", "json")
	var e struct{ Tenant, Decision *string }
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != 0 || e.Tenant == nil || *e.Decision != "deny" {
		t.Errorf("exit %d, %v:\n%s", code, err, out)
	}
}

func TestExplainUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--client-id x":                                                      "--api is missing",
		"--api Produce":                                                      "--client-id is missing",
		"--client-id x --api Prodce":                                         `no API "Prodce": did you mean "Produce"?`,
		"--client-id x --api Produce":                                        "Produce needs --topic",
		"--client-id x --api Produce --topic t --group g":                    "Produce does not use --group: its requests are judged by --topic, --transactional-id",
		"--client-id x --api TxnOffsetCommit":                                "needs --transactional-id and --group and --topic",
		"--client-id x --api DescribeConfigs":                                "needs --topic or --group or --cluster",
		"--client-id x --api FindCoordinator --group g --transactional-id y": "ask one thing at a time",
		"--client-id x --api ApiVersions --topic t":                          "judged by no resource",
		"--client-id x --api Fetch --topic t --address 10.0.0":               "--address: \"10.0.0\" is not an IP address",
		"--client-id x --api Fetch --topic t -o yaml":                        "-o must be text or json",
		"--client-id x --api Fetch --topic t --listener egde":                `no listener "egde": did you mean "edge"?`,
	} {
		out, code := runCommandLine(t, append([]string{"explain", "--config", exampleFile}, strings.Fields(args)...)...)
		if !strings.Contains(out, want) || code != exitUsage {
			t.Errorf("%s: exit %d, %s", args, code, out)
		}
	}
	if out, code := runCommandLine(t, "explain", "--config", "../../proxy/policy/testdata/empty.bad.yaml", "--client-id", "x", "--api", "Fetch", "--topic", "t"); code != exitFailed || !strings.Contains(out, ": error: ") {
		t.Errorf("exit %d: %s", code, out)
	}
}
