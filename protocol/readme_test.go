package protocol

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "write the table of APIs into README.md")

const (
	readmePath  = "../README.md"
	readmeBegin = "<!-- apis: begin, written by make readme -->\n"
	readmeEnd   = "<!-- apis: end -->\n"
)

// TestReadmeTable holds README's table of APIs to what the rows of the table ask and
// answer; with -update it writes it.
func TestReadmeTable(t *testing.T) {
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), readmeBegin)
	have, after, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		t.Fatalf("README.md has no section between %q and %q", readmeBegin, readmeEnd)
	}
	want := readmeTable(t)
	if have == want {
		return
	}
	if !*update {
		t.Fatalf("README's table of APIs is not what the code says; run make readme. It should be:\n%s", want)
	}
	if err := os.WriteFile(readmePath, []byte(before+readmeBegin+want+readmeEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readmeTable(t *testing.T) string {
	var b strings.Builder
	var never []string
	b.WriteString("| API | versions | needs → what its denial answers |\n|---|---|---|\n")
	for _, a := range APIs() {
		if a.Access == Refuse {
			never = append(never, a.Name)
			continue
		}
		versions := fmt.Sprintf("%d–%d", a.Min, a.Max)
		if a.Min == a.Max {
			versions = strconv.Itoa(int(a.Min))
		}
		needs := "nothing"
		if a.Access == Login {
			needs = "nothing; offered at listeners with sasl"
		} else if a.Access == Local {
			needs = "nothing; Sluice answers it"
		} else if guards := guardsOf(t, a); len(guards) > 0 {
			needs = strings.Join(guards, "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.Name, versions, needs)
	}
	fmt.Fprintf(&b, "\nNever offered: %s.\n", strings.Join(never, ", "))
	return b.String()
}

// ask is an operation on a type of resource: the kind of a [Question].
type ask struct {
	op  Operation
	r   Resource
	any bool
}

// where is the resource in words.
func (k ask) where() string {
	if k.any {
		return "any " + k.r.String()
	}
	return "the " + strings.ReplaceAll(k.r.String(), "_", " ")
}

// asksText is "CREATE on the cluster or the topic".
func asksText(asks []ask) string {
	var text string
	for i, k := range asks {
		switch {
		case i == 0:
			text = k.op.String() + " on " + k.where()
		case k.op == asks[i-1].op:
			text += " or " + k.where()
		case k.r == asks[i-1].r && k.any == asks[i-1].any:
			text = strings.TrimSuffix(text, " on "+k.where()) + " or " + k.op.String() + " on " + k.where()
		default:
			text += ", or " + k.op.String() + " on " + k.where()
		}
	}
	return text
}

// denying allows all but what it holds, and notes what it is asked.
type denying struct {
	denied map[ask]bool
	asked  *[]ask
}

func (d denying) may(k ask) bool {
	if !slices.Contains(*d.asked, k) {
		*d.asked = append(*d.asked, k)
	}
	return !d.denied[k]
}

func (d denying) Allowed(op Operation, r Resource, _ string) bool { return d.may(ask{op, r, false}) }
func (d denying) AllowedSome(op Operation, r Resource) bool       { return d.may(ask{op, r, true}) }

// guard is a set of asks of which one must be allowed, and what happens else.
type guard struct {
	asks    []ask
	effects []string
}

// withoutError says what it means for a client when an API's answer or request
// changes by a denial, and neither an error nor an element of a list says so.
var withoutError = map[string]string{
	"Metadata": "no topic is created",
}

// guardsOf finds out what guards an API, in all its versions: by judging samples that
// name all that they can, and samples that lack a group or a transactional id.
func guardsOf(t *testing.T, a *API) []string {
	all := Names{Topic: "sample", Group: "sample", TransactionalID: "sample", Cluster: ClusterName}
	var guards []guard
	var texts []string
	for _, lacking := range []Resource{0, Group, TransactionalID} {
		names := maps.Clone(all)
		delete(names, lacking)
		named := len(guards)
		for v := a.Max; v >= a.Min; v-- {
			b := *a
			b.Max = v
			guards = addGuards(guards, requestJudging(&b, names))
			guards = addGuards(guards, responseJudging(&b, names))
		}
		for _, g := range guards[named:] {
			text := ""
			if lacking != 0 && !slices.ContainsFunc(g.asks, func(k ask) bool { return !k.any && k.r != Cluster }) {
				text = "else "
			}
			texts = append(texts, text)
		}
	}
	for i, g := range guards {
		for k, effect := range g.effects {
			if effect == "" {
				if g.effects[k] = withoutError[a.Name]; g.effects[k] == "" {
					t.Errorf("%s without %s changes something; withoutError has no words for it", a.Name, asksText(g.asks))
				}
			}
		}
		texts[i] += asksText(g.asks) + " → " + strings.Join(g.effects, " or ")
	}
	return texts
}

// judging judges one sample. It returns what the denials do: nothing, or effects such
// as a code; the empty effect is a change that is neither an error nor less of a list.
type judging func(d denying) []string

// addGuards adds what guards a sample: the smallest sets of asks that must be denied
// together for something to happen, in the order of asking.
func addGuards(guards []guard, judged judging) []guard {
	var asked []ask
	judged(denying{nil, &asked})
	for set := 0; set < 1<<len(asked); set++ { // a denial may lead to another question
		judged(denying{denials(asked, set), &asked})
	}
	var smallest []int
	for size := 1; size <= len(asked); size++ {
		for set := range 1 << len(asked) {
			has := func(small int) bool { return set&small == small }
			if bits.OnesCount(uint(set)) != size || slices.ContainsFunc(smallest, has) {
				continue
			}
			denied := denials(asked, set)
			effects := judged(denying{denied, &asked})
			if effects == nil {
				continue
			}
			smallest = append(smallest, set)
			var g guard
			for _, k := range asked {
				if denied[k] {
					g.asks = append(g.asks, k)
				}
			}
			i := slices.IndexFunc(guards, func(have guard) bool { return sameAsks(have.asks, g.asks) })
			if i < 0 {
				i = len(guards)
				guards = append(guards, g)
			}
			for _, effect := range effects {
				if !slices.Contains(guards[i].effects, effect) {
					guards[i].effects = append(guards[i].effects, effect)
				}
			}
		}
	}
	return guards
}

func denials(asked []ask, set int) map[ask]bool {
	denied := map[ask]bool{}
	for i, k := range asked {
		if set&(1<<i) != 0 {
			denied[k] = true
		}
	}
	return denied
}

func sameAsks(a, b []ask) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(k ask) bool { return !slices.Contains(b, k) })
}

// withoutTopics is the judge in a slice that has no topic but by its id, so that it
// matters who may create one.
type withoutTopics struct{ recorder }

func (*withoutTopics) TopicNames() []string  { return nil }
func (*withoutTopics) Partitions(string) int { return 0 }

// requestJudging judges requests of the API's newest version.
func requestJudging(a *API, names Names) judging {
	split := func(d denying) (kmsg.Request, kmsg.Response) {
		req, _ := a.sample(names)
		for i := range reflect.ValueOf(req).Elem().NumField() {
			if f := reflect.ValueOf(req).Elem().Field(i); f.Kind() == reflect.Bool {
				f.SetBool(true) // such as whether topics may be created
			}
		}
		if find, ok := req.(*kmsg.FindCoordinatorRequest); ok && names[TransactionalID] == "" {
			find.CoordinatorType = 2 // of a share group's state
		}
		if a.Split == nil {
			return req, nil
		}
		refused, _ := a.Split(req, &withoutTopics{recorder{Decider: d, names: names}})
		return req, refused
	}
	passed, _ := split(denying{nil, new([]ask)})
	return func(d denying) []string {
		req, refused := split(d)
		switch {
		case refused != nil:
			return effectsIn(refused)
		case !bytes.Equal(req.AppendTo(nil), passed.AppendTo(nil)):
			return []string{""}
		}
		return nil
	}
}

// responseJudging judges responses, which list what requests need not name.
func responseJudging(a *API, names Names) judging {
	filter := func(d denying) kmsg.Response {
		resp := kmsg.ResponseForKey(a.Key)
		s := &sampler{names: names, ids: true}
		s.fill(reflect.ValueOf(resp).Elem())
		resp.SetVersion(a.Max)
		if list, ok := resp.(*kmsg.ListConfigResourcesResponse); ok {
			list.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{
				{Type: int8(kmsg.ConfigResourceTypeTopic), Name: names[Topic]},
				{Type: int8(kmsg.ConfigResourceTypeGroupConfig), Name: names[Group]},
			}
		}
		if a.Filter != nil {
			a.Filter(resp, &withoutTopics{recorder{Decider: d, names: names}})
		}
		return resp
	}
	passed := filter(denying{nil, new([]ask)}).AppendTo(nil)
	return func(d denying) []string {
		resp := filter(d)
		switch {
		case bytes.Equal(resp.AppendTo(nil), passed):
			return nil
		case len(ErrorsIn(resp)) > 0:
			return effectsIn(resp)
		}
		return []string{"left out"}
	}
}

// effectsIn are the codes of an answer, as a client reads it: there are versions
// without a place for one.
func effectsIn(resp kmsg.Response) []string {
	read := kmsg.ResponseForKey(resp.Key())
	read.SetVersion(resp.GetVersion())
	if err := read.ReadFrom(resp.AppendTo(nil)); err != nil {
		return []string{err.Error()}
	}
	var codes []string
	for _, e := range ErrorsIn(read) {
		code := strconv.Itoa(int(e.Code))
		if strings.HasSuffix(e.Place, ".ConfigErrorCode") {
			code += " for its configuration"
		}
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	if codes == nil {
		return []string{"empty answer"}
	}
	return codes
}
