package protocol

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// namesOf reads "topic=x group=g cluster".
func namesOf(t testing.TB, s string) Names {
	t.Helper()
	names := Names{}
	for word := range strings.FieldsSeq(s) {
		what, name, _ := strings.Cut(word, "=")
		switch what {
		case "topic":
			names[Topic] = name
		case "group":
			names[Group] = name
		case "txn":
			names[TransactionalID] = name
		case "cluster":
			names[Cluster] = ClusterName
		default:
			t.Fatalf("%q", word)
		}
	}
	return names
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		api, names, grants string // grants with commas
		questions          string
		result             string
	}{
		{"Produce", "topic=a", "", "WRITE topic a", "denied Topics[].Partitions[].ErrorCode 29"},
		{"Produce", "topic=a", "WRITE topic a", "WRITE topic a", "allowed"},
		{"Produce", "topic=a txn=x", "WRITE topic a", "WRITE transactional_id x", "denied Topics[].Partitions[].ErrorCode 53"},
		{"Produce", "topic=a txn=x", "WRITE topic a,WRITE transactional_id x", "WRITE transactional_id x, WRITE topic a", "allowed"},
		{"Fetch", "topic=a", "DESCRIBE topic a", "READ topic a", "denied Topics[].Partitions[].ErrorCode 29"},
		{"Metadata", "topic=a", "", "DESCRIBE topic a", "denied Topics[].ErrorCode 29"},
		{"Metadata", "", "", "", "allowed"},
		{"JoinGroup", "group=g", "", "READ group g", "denied ErrorCode 30"},
		{"OffsetCommit", "group=g topic=a", "READ group g", "READ group g, READ topic a", "denied Topics[].Partitions[].ErrorCode 29"},
		{"OffsetFetch", "group=g topic=a", "DESCRIBE group g", "DESCRIBE group g, DESCRIBE topic a", "denied Groups[].Topics[].Partitions[].ErrorCode 29"},
		{"OffsetFetch", "group=g", "DESCRIBE group g", "DESCRIBE group g", "allowed"},
		{"FindCoordinator", "txn=x", "", "DESCRIBE transactional_id x", "denied Coordinators[].ErrorCode 53"},
		{"FindCoordinator", "group=x", "DESCRIBE group x", "DESCRIBE group x", "allowed"},
		{"InitProducerId", "", "", "WRITE some topic, IDEMPOTENT_WRITE cluster kafka-cluster", "denied ErrorCode 31"},
		{"InitProducerId", "", "WRITE topic any", "WRITE some topic", "allowed"},
		{"InitProducerId", "txn=x", "WRITE topic any", "WRITE transactional_id x", "denied ErrorCode 53"},
		{"AddPartitionsToTxn", "txn=x topic=a", "WRITE transactional_id x", "WRITE transactional_id x, WRITE topic a", "denied Topics[].Partitions[].ErrorCode 29"},
		{"DescribeConfigs", "topic=a group=g", "DESCRIBE_CONFIGS topic a", "DESCRIBE_CONFIGS topic a, DESCRIBE_CONFIGS group g", "partly Resources[].ErrorCode 30"},
		{"DescribeConfigs", "cluster", "", "DESCRIBE_CONFIGS cluster kafka-cluster", "denied Resources[].ErrorCode 31"},
		{"ShareFetch", "group=g topic=a", "READ group g", "READ group g, READ topic a", "denied Topics[].Partitions[].ErrorCode 29 Topics[].Partitions[].AcknowledgeErrorCode 29"},
		{"ConsumerGroupHeartbeat", "group=g topic=a", "READ group g", "READ group g, DESCRIBE topic a", "denied ErrorCode 29"},
		{"StreamsGroupHeartbeat", "group=g topic=a", "READ group g", "READ group g, DESCRIBE topic a", "denied ErrorCode 29"},
		{"DescribeGroups", "group=g", "DESCRIBE group g", "DESCRIBE group g", "allowed"},
		{"DescribeCluster", "", "", "", "allowed"},
		{"ListGroups", "", "", "", "allowed"},
		{"ListGroups", "group=g", "DESCRIBE group g", "+DESCRIBE group g", "allowed"},
		{"ListGroups", "group=g", "", "+DESCRIBE group g", "left out"},
		{"ConsumerGroupDescribe", "group=g topic=a", "DESCRIBE group g", "+DESCRIBE topic a", "denied Groups[].ErrorCode 29"},
	} {
		t.Run(c.api+" "+c.names, func(t *testing.T) {
			a, names := LookupName(c.api), namesOf(t, c.names)
			v := a.Verdict(names, judge(nil, strings.Split(c.grants, ",")...))
			var asked []string
			for _, q := range v.Questions {
				s := fmt.Sprintf("%s %s %s", q.Operation, q.Resource, q.Name)
				if q.Any {
					s = fmt.Sprintf("%s some %s", q.Operation, q.Resource)
				}
				asked = append(asked, s)
			}
			if one, more := strings.CutPrefix(c.questions, "+"); more && !slices.Contains(asked, one) || !more && strings.Join(asked, ", ") != c.questions {
				t.Errorf("asked %q, want %q", asked, c.questions)
			}
			result := "allowed"
			switch {
			case v.LeftOut:
				result = "left out"
			case v.Partly:
				result = "partly"
			case v.Denied:
				result = "denied"
			}
			for _, e := range v.Errors {
				result += fmt.Sprintf(" %s %d", e.Place, e.Code)
			}
			if result != c.result {
				t.Errorf("%q, want %q", result, c.result)
			}
			if err := a.CheckNames(names); err != nil {
				t.Errorf("names: %v", err)
			}
		})
	}
}

func TestCheckNames(t *testing.T) {
	for _, c := range []struct{ api, names, want string }{
		{"Produce", "", "Produce needs [[topic]]"},
		{"Produce", "txn=x", "Produce needs [[topic]]"},
		{"Produce", "topic=a group=g", "Produce does not use the group"},
		{"Produce", "topic=a cluster", "Produce does not use the cluster"},
		{"TxnOffsetCommit", "", "TxnOffsetCommit needs [[transactional_id] [group] [topic]]"},
		{"OffsetFetch", "topic=a", "OffsetFetch needs [[group]]"},
		{"DescribeConfigs", "", "DescribeConfigs needs [[topic group cluster]]"},
		{"FindCoordinator", "", "FindCoordinator needs [[group transactional_id]]"},
		{"FindCoordinator", "group=g txn=x", "FindCoordinator does not use the transactional_id"},
		{"JoinGroup", "group=g topic=a", "JoinGroup does not use the topic"},
		{"ApiVersions", "topic=a", "ApiVersions does not use the topic"},
		{"ApiVersions", "", ""},
		{"ShareFetch", "group=g", "ShareFetch needs [[topic]]"},
	} {
		got := ""
		var e *NamesError
		if err := LookupName(c.api).CheckNames(namesOf(t, c.names)); errors.As(err, &e) {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.api, c.names, got, c.want)
		}
	}
}

// Every API that the table offers can be sampled with all that it uses: then it is
// denied by who denies all, in a place that the client sees, and allowed by who allows
// all; and a version is never one that the table does not know.
func TestVerdictOfEveryAPI(t *testing.T) {
	judged := 0
	for _, a := range APIs() {
		if a.Access == Refuse {
			continue
		}
		for _, r := range a.Uses() {
			names := Names{r: "sluice"}
			if r == Cluster {
				names[r] = ClusterName
			}
			for range 3 { // what is missing beside it
				var e *NamesError
				if !errors.As(a.CheckNames(names), &e) {
					break
				}
				for _, choice := range e.Missing {
					names[choice[0]] = "sluice"
				}
			}
			var e *NamesError
			if errors.As(a.CheckNames(names), &e) {
				if !e.Together {
					t.Errorf("%s: %v", a.Name, e)
				}
				continue
			}
			judged++
			if v := a.Verdict(names, judgeAll()); v.Denied || v.Partly || v.Errors != nil || len(v.Questions) == 0 {
				t.Errorf("%s %v allowed all: %+v", a.Name, names, v)
			}
			v := a.Verdict(names, judgeNone())
			if reflect.DeepEqual(names, Names{Cluster: ClusterName}) && a.Split == nil {
				continue // a listing, of which nothing is named
			}
			if !v.Denied || !v.LeftOut && len(v.Errors) == 0 || !a.Knows(v.Version) {
				t.Errorf("%s %v denied all: %+v", a.Name, names, v)
			}
		}
	}
	if judged < 35 {
		t.Errorf("only %d", judged)
	}
}

func TestLookupName(t *testing.T) {
	if a := LookupName("initproducerid"); a == nil || a.Key != 22 {
		t.Errorf("%+v", a)
	}
	if LookupName("Nothing") != nil || LookupName("") != nil {
		t.Error("found")
	}
}
