package proxy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/protocol"
	"sluice/proxy/policy"
)

// Question is what `sluice explain` is asked: what becomes of a request.
type Question struct {
	ClientID string
	// Principal is whom the client has proved to be, as "User:alice"; empty: nobody.
	Principal string
	// Address is where it comes from; the zero Addr lies in no network.
	Address netip.Addr
	API     *protocol.API
	Names   protocol.Names
	// Listener is the name of the one that the client connects to; empty for any.
	Listener string
}

// Decisions of an Explanation.
const (
	DecisionAllow   = "allow"
	DecisionDeny    = "deny"
	DecisionPartial = "partial" // some of what is named passes
)

// Explanation is what becomes of a request, and why. Its JSON keys are fixed.
type Explanation struct {
	// Tenant is empty for a client that belongs to none.
	Tenant string `json:"tenant"`
	// Slice answers the request: the tenant's home, or the one that owns what is named;
	// the first of several.
	Slice string `json:"slice"`
	// Decision is what the client meets: in observe mode nothing is denied.
	Decision string `json:"decision"`
	// Observed is what would be decided if the tenant were not only observed; empty
	// if it is held to its rules.
	Observed string `json:"observed"`
	// Rule decided; nil if none did.
	Rule *Rule `json:"rule"`
	// Limits are those that charge the request, per limit the innermost first.
	Limits []ChargedLimit `json:"limits"`
	// Reasons are the steps to the decision, in order.
	Reasons []Reason `json:"reasons"`
	// Refusal is what the client sees where something is denied, or would be.
	Refusal []Refusal `json:"refusal"`
}

// Rule is a rule of the file that matched.
type Rule struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
	Deny   bool   `json:"deny"`
	Effect string `json:"effect"`
}

// Place is the rule's position as editors read it.
func (r Rule) Place() string { return fmt.Sprintf("%s:%d:%d", r.File, r.Line, r.Column) }

// ChargedLimit is a limit that a request is charged to.
type ChargedLimit struct {
	Limit string `json:"limit"`
	// Level is client_id, tenant or slice.
	Level string `json:"level"`
	// Value is the rate, such as "20MiB/s".
	Value string `json:"value"`
	// Effect says what happens above it.
	Effect string `json:"effect"`
}

// Reason is one step to the decision.
type Reason struct {
	// About is tenant, slice, api, rules, or a resource type.
	About string `json:"about"`
	Text  string `json:"text"`
	// Rules are those that matched, in the order of the file, where a rule was asked.
	Rules []Rule `json:"rules,omitempty"`
}

// Refusal is an error as the client sees it.
type Refusal struct {
	Code int16  `json:"code"`
	Name string `json:"name"`
	// Place is the field of the answer.
	Place   string `json:"place"`
	Message string `json:"message,omitempty"`
}

// explainer builds an Explanation.
type explainer struct {
	*Explanation
	p       *policy.Policy
	q       Question
	tenant  *policy.Tenant
	refused *policy.Refused // why it has none
	// placement is of a tenant with several slices.
	placement protocol.Placement
}

// Explain says what becomes of a request under a policy, by the same steps as the
// gateway takes and the same code. Of the slice it knows nothing: topics that are
// named exist, and the version is the newest that the table has.
func Explain(p *policy.Policy, q Question) *Explanation {
	e := &explainer{Explanation: &Explanation{Decision: DecisionAllow, Limits: []ChargedLimit{}, Refusal: []Refusal{}}, p: p, q: q}
	e.identify()
	e.place()
	switch {
	case !offers(q.API, q.API.Max):
		e.Decision = DecisionDeny
		e.because("api", "%s is not offered: it belongs to brokers and controllers, or is not supported; the connection ends (%s)", q.API.Name, reasonUnsupported)
	case q.API.Access == protocol.Local:
		e.because("api", "%s is answered by the gateway itself", q.API.Name)
		e.charge()
	case e.tenant == nil:
		e.turnAway()
	default:
		e.judge()
		e.crosses()
		e.charge()
	}
	return e.Explanation
}

func (e *explainer) because(about, format string, args ...any) {
	e.Reasons = append(e.Reasons, Reason{About: about, Text: fmt.Sprintf(format, args...)})
}

// identify says which tenant has the client ID.
func (e *explainer) identify() {
	e.tenant, e.refused = admit(e.p, policy.Client{ID: e.q.ClientID, Principal: e.q.Principal, Address: e.q.Address})
	who := e.p.WhoIs(e.q.ClientID)
	id := quote(e.q.ClientID)
	if e.tenant != nil {
		e.Tenant = e.tenant.Name
	}
	switch {
	case e.q.ClientID == internalClientID:
		e.because("tenant", "%s opens internal topics on brokers and belongs to nobody", id)
	case e.tenant == nil && (e.refused.Reason != policy.RefusedUnmatched || e.p.IdentifyBy == policy.ByPrincipal):
		e.because("tenant", "refused (%s): %s", e.refused.Reason, e.refused.Text)
	case e.p.IdentifyBy == policy.ByPrincipal:
		e.because("tenant", "principal %s belongs to it", quote(e.q.Principal))
		return
	case e.tenant == nil:
		e.because("tenant", "no tenant's client_ids match %s; unmatched: refuse", id)
	case who.Matched == "":
		e.because("tenant", "no tenant's client_ids match %s; unmatched: %s takes it", id, e.Tenant)
	default:
		text := fmt.Sprintf("client_ids %s match %s: tenant %d of %d, at %s:%d:%d", who.Matched, id, who.Place, len(e.p.Tenants), e.p.File, who.Line, who.Column)
		if len(who.Later) > 0 {
			text += fmt.Sprintf("; it is the first, %s would match too", strings.Join(firstFew(who.Later), ", "))
		}
		e.because("tenant", "%s", text)
	}
	if pattern := e.p.PatternText(); pattern != "" && e.q.ClientID != internalClientID && who.Matched == "" {
		if who.FollowsPattern {
			e.because("tenant", "it follows the pattern %s: %s", pattern, strings.Join(who.Parts, ", "))
		} else {
			e.because("tenant", "it does not follow the pattern %s", pattern)
		}
	}
}

// firstFew keeps a list readable.
func firstFew(names []string) []string {
	const few = 5
	if len(names) > few {
		return append(names[:few:few], fmt.Sprintf("%d more", len(names)-few))
	}
	return names
}

// judge asks the rules what the gateway asks them.
func (e *explainer) judge() {
	if e.tenant.Everything() {
		e.because("rules", "tenant %s may do everything: nothing is judged", e.Tenant)
	}
	v := e.q.API.Verdict(e.q.Names, e.tenant)
	// What was asked last decides: the cluster may be asked first, and a denial there
	// only leads to the next question.
	passes := !v.Denied && !v.Partly
	var decided *protocol.Question
	for i := range v.Questions {
		q := &v.Questions[i]
		e.asked(q)
		if q.Allowed == passes {
			decided = q
		}
	}
	switch {
	case decided != nil:
		e.Rule = e.deciding(decided)
	case len(v.Questions) == 0:
		e.because("rules", "%s asks for no rule when it names nothing", e.q.API.Name)
	}
	switch {
	case v.Denied:
		e.Decision = DecisionDeny
	case v.Partly:
		e.Decision = DecisionPartial
	}
	e.refusals(v.Errors)
	switch {
	case v.LeftOut:
		e.because("api", "%s lists only what may be described: it is left out, without an error", e.q.API.Name)
	case v.Denied && e.q.API.Key == protocol.KeyProduce:
		e.because("api", "with acks=0 no answer can say so: the connection is held, then closed (%s)", reasonDeniedAcks0)
	}
	if e.tenant.Observe && e.Decision != DecisionAllow {
		e.Observed, e.Decision = e.Decision, DecisionAllow
		e.because("rules", "enforcement: observe lets it pass, counts it and logs a sample")
	}
}

// asked adds a question to the reasons, with the rules that matched.
func (e *explainer) asked(q *protocol.Question) {
	matches := e.matching(q)
	verdict := "denied"
	switch {
	case q.Allowed:
		verdict = "allowed"
	case len(matches) == 0:
		verdict = "denied: no rule matches"
	}
	what := fmt.Sprintf("%s on %s %s", q.Operation, q.Resource, quote(q.Name))
	switch {
	case q.Any:
		what = fmt.Sprintf("%s on any %s", q.Operation, q.Resource)
	case q.Resource == protocol.Cluster:
		what = fmt.Sprintf("%s on the cluster", q.Operation)
	}
	r := Reason{About: q.Resource.String(), Text: what + ": " + verdict}
	for _, m := range matches {
		r.Rules = append(r.Rules, e.rule(m))
	}
	if len(matches) == 0 && strings.HasPrefix(q.Name, "__") {
		r.Text += `; wildcards do not reach names that begin with "__"`
	}
	e.Reasons = append(e.Reasons, r)
}

func (e *explainer) matching(q *protocol.Question) []policy.RuleMatch {
	if q.Any {
		return e.tenant.MatchingSome(q.Operation, q.Resource)
	}
	return e.tenant.Matching(q.Operation, q.Resource, q.Name)
}

func (e *explainer) rule(m policy.RuleMatch) Rule {
	return Rule{File: e.p.File, Line: m.Line, Column: m.Column, Text: m.Text, Deny: m.Deny, Effect: m.Effect}
}

// deciding is the rule that decided a question: the first that denies, since a deny
// wins, else the first that allows.
func (e *explainer) deciding(q *protocol.Question) *Rule {
	for _, m := range e.matching(q) {
		if m.Deny != q.Allowed {
			r := e.rule(m)
			return &r
		}
	}
	return nil
}

// turnAway says what the refusal broker answers to a client of no tenant.
func (e *explainer) turnAway() {
	e.Decision = DecisionDeny
	refusal := protocol.Refusal{Text: refusalText(e.refused)}
	errors := e.q.API.TurnedAway(e.q.Names, refusal)
	e.refusals(errors)
	if len(errors) == 0 {
		e.because("api", "the refusal broker answers %s without an error, so that the client goes on to a request whose answer carries the reason; no broker of a slice hears of it", e.q.API.Name)
		return
	}
	e.because("api", "the refusal broker answers; no broker of a slice hears of it")
}

func (e *explainer) refusals(places []protocol.ErrorPlace) {
	for _, at := range places {
		e.Refusal = append(e.Refusal, Refusal{Code: at.Code, Name: errorName(at.Code), Place: at.Place, Message: at.Message})
	}
}

// errorName is Kafka's name of an error code.
func errorName(code int16) string {
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return "UNKNOWN"
}

// charge lists the limits that the request is charged to.
func (e *explainer) charge() {
	if e.tenant == nil {
		return
	}
	limits := []policy.Limit{policy.RequestRate}
	if own := policy.Limit(ownLimit(e.q.API.Key)); own != policy.RequestRate {
		limits = append(limits, own)
	}
	for _, l := range limits {
		for _, level := range []struct {
			name   string
			limits policy.Limits
		}{{"client_id", e.tenant.LimitsPerClientID}, {"tenant", e.tenant.Limits}, {"slice", limitsOf(e.tenant, e.Slice)}} {
			if rate := level.limits.Rates[l]; rate > 0 {
				e.Limits = append(e.Limits, ChargedLimit{Limit: l.String(), Level: level.name, Value: l.Format(rate), Effect: e.held(l)})
			}
		}
	}
}

// held says what a request above a limit meets.
func (e *explainer) held(l policy.Limit) string {
	api := e.q.API
	longest := maxFetchWait
	if api.Key == protocol.KeyProduce {
		longest = e.p.Gateway.MaxThrottle
	}
	switch {
	case e.tenant.Observe:
		return "counted only (observe)"
	case api.Exempt:
		return "counted, never held"
	case l == policy.ControllerMutationRate && protocol.Mutates(api.Key):
		return kerr.ThrottlingQuotaExceeded.Message + " for each topic above it"
	case l == policy.ControllerMutationRate:
		return "topics above it are not created"
	}
	return fmt.Sprintf("held for its turn, at most %s", longest)
}
