package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sluice/protocol"
	"sluice/proxy"
	"sluice/proxy/policy"
)

// explainFlags are what the command is asked.
type explainFlags struct {
	clientID, principal, address, api, listener string
	topic, group, transactionalID               string
	cluster                                     bool
	output                                      string
}

func explainCommand() *cobra.Command {
	var path string
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain --config sluice.yaml --client-id ID --api API",
		Short: "Say which tenant, slice, rules and limits apply to a request, and why",
		Long: "Says what becomes of a request: by the file, and by the code that the gateway decides with.\n" +
			"The request is of the newest version that Sluice knows; what it names is taken to exist.\n" +
			"Exits with 0 whatever is decided, with 1 if the file has an error, with 2 if the question makes no sense.",
		Example: "  sluice explain --config sluice.yaml --client-id payments.web.prod --api Produce --topic payments.audit\n" +
			"  sluice explain --config sluice.yaml --client-id payments.web.prod --api JoinGroup --group payments.g -o json",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return explain(cmd, path, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.clientID, "client-id", "", "the client's client.`id`")
	flags.StringVar(&f.api, "api", "", "Kafka's `name` of the API, such as Produce")
	flags.StringVar(&f.topic, "topic", "", "the `topic` that the request names")
	flags.StringVar(&f.group, "group", "", "the `group` that it names")
	flags.StringVar(&f.transactionalID, "transactional-id", "", "the transactional `id` that it names")
	flags.BoolVar(&f.cluster, "cluster", false, "it is about the cluster, such as a broker's configuration")
	flags.StringVar(&f.listener, "listener", "", "the `name` of the listener that the client connects to")
	flags.StringVar(&f.principal, "principal", "", "whom the client has proved to be, as User:alice; empty for nobody")
	flags.StringVar(&f.address, "address", "", "the IP `address` that it comes from, where tenants list networks")
	flags.StringVarP(&f.output, "output", "o", "text", "text or json")
	configFlag(cmd, &path)
	return cmd
}

func explain(cmd *cobra.Command, path string, f explainFlags) error {
	given := cmd.Flags().Changed
	switch {
	case !given("client-id"):
		return usageError{errors.New("--client-id is missing: the client.id of the client, such as --client-id payments.web.prod")}
	case f.output != "text" && f.output != "json":
		return usageError{fmt.Errorf("-o must be text or json, not %q", f.output)}
	}
	api, err := lookupAPI(f.api)
	if err != nil {
		return usageError{err}
	}
	var address netip.Addr
	if f.address != "" {
		if address, err = netip.ParseAddr(f.address); err != nil {
			return usageError{fmt.Errorf("--address: %q is not an IP address", f.address)}
		}
	}
	names := protocol.Names{}
	for r, flag := range resourceFlags {
		if !given(flag) {
			continue
		}
		switch r {
		case protocol.Topic:
			names[r] = f.topic
		case protocol.Group:
			names[r] = f.group
		case protocol.TransactionalID:
			names[r] = f.transactionalID
		case protocol.Cluster:
			if f.cluster {
				names[r] = protocol.ClusterName
			}
		}
	}
	if err := checkNames(api, names); err != nil {
		return usageError{err}
	}
	p, problems := policy.Load(path)
	if p == nil {
		for _, problem := range problems {
			fmt.Fprintln(cmd.ErrOrStderr(), problem)
		}
		return errTold
	}
	if f.listener != "" && p.Listener(f.listener) == nil {
		var known []string
		for _, l := range p.Listeners {
			known = append(known, l.Name)
		}
		return usageError{fmt.Errorf("--listener: the file has no listener %q%s", f.listener, policy.Suggest(f.listener, known))}
	}
	q := proxy.Question{ClientID: f.clientID, Principal: f.principal, Address: address, API: api, Names: names, Listener: f.listener}
	e := proxy.Explain(p, q)
	if f.output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(e)
	}
	return writeExplanation(cmd.OutOrStdout(), q, e)
}

func lookupAPI(name string) (*protocol.API, error) {
	if name == "" {
		return nil, errors.New("--api is missing: Kafka's name of an API, such as --api Produce")
	}
	if api := protocol.LookupName(name); api != nil {
		return api, nil
	}
	var known []string
	for _, a := range protocol.APIs() {
		known = append(known, a.Name)
	}
	return nil, fmt.Errorf("--api: Kafka has no API %q%s", name, policy.Suggest(name, known))
}

// resourceFlags are the flags that name a resource.
var resourceFlags = map[protocol.Resource]string{
	protocol.Topic: "topic", protocol.Group: "group", protocol.TransactionalID: "transactional-id", protocol.Cluster: "cluster",
}

// checkNames says which flags are missing, or given for nothing.
func checkNames(api *protocol.API, names protocol.Names) error {
	if api.Access == protocol.Refuse {
		return nil // whatever it names, it is not offered
	}
	var e *protocol.NamesError
	if !errors.As(api.CheckNames(names), &e) {
		return nil
	}
	if len(e.Missing) == 0 {
		if e.Together {
			return fmt.Errorf("%s does not use --%s beside the other flags given: ask one thing at a time", api.Name, resourceFlags[e.Unused])
		}
		var uses []string
		for _, r := range api.Uses() {
			uses = append(uses, "--"+resourceFlags[r])
		}
		if uses == nil {
			uses = []string{"no resource"}
		}
		return fmt.Errorf("%s does not use --%s: its requests are judged by %s", api.Name, resourceFlags[e.Unused], strings.Join(uses, ", "))
	}
	var needs []string
	for _, choice := range e.Missing {
		var flags []string
		for _, r := range choice {
			flags = append(flags, "--"+resourceFlags[r])
		}
		needs = append(needs, strings.Join(flags, " or "))
	}
	return fmt.Errorf("%s needs %s: what the request names", api.Name, strings.Join(needs, " and "))
}

// writeExplanation writes what a person reads: the decision first, then why.
func writeExplanation(out io.Writer, q proxy.Question, e *proxy.Explanation) error {
	what := []string{q.API.Name}
	for _, r := range []protocol.Resource{protocol.TransactionalID, protocol.Group, protocol.Topic} {
		if name, ok := q.Names[r]; ok {
			what = append(what, fmt.Sprintf("%s %q", strings.ReplaceAll(r.String(), "_", " "), name))
		}
	}
	decision := strings.ToUpper(e.Decision)
	if e.Observed != "" {
		decision += " (only observed; enforced it would be " + strings.ToUpper(e.Observed) + ")"
	}
	fmt.Fprintf(out, "%s: %s by client ID %q\n\n", decision, strings.Join(what, ", "), q.ClientID)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	section := ""
	line := func(head, text string) {
		if head == section {
			head = ""
		} else {
			section = head
		}
		fmt.Fprintf(w, "%s\t%s\n", head, text)
	}
	if e.Tenant == "" {
		line("tenant", "none")
	} else {
		line("tenant", e.Tenant)
	}
	for _, r := range e.Reasons {
		head := r.About
		switch head {
		case "slice":
			if section != "slice" {
				line("slice", e.Slice)
			}
		case "tenant", "api":
		default:
			head = "rules"
		}
		line(head, r.Text)
		for _, rule := range r.Rules {
			mark := "  "
			if e.Rule != nil && rule == *e.Rule {
				mark = "=>"
			}
			fmt.Fprintf(w, "\t%s %s: %s %s\n", mark, rule.Place(), rule.Text, rule.Effect)
		}
	}
	for _, l := range e.Limits {
		line("limits", fmt.Sprintf("%s %s of the %s: %s", l.Limit, l.Value, strings.ReplaceAll(l.Level, "_", " "), l.Effect))
	}
	for _, r := range e.Refusal {
		text := fmt.Sprintf("%s (%d) at %s", r.Name, r.Code, r.Place)
		if r.Message != "" {
			text += fmt.Sprintf(": %q", r.Message)
		}
		line("answer", text)
	}
	return w.Flush()
}
