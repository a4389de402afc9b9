package auth

import (
	"strings"
	"testing"
)

// The cases of Kafka's own tests and documentation.
func TestNameRules(t *testing.T) {
	rules := strings.Join([]string{
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L",
		"RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L",
		"RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U",
		"RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U",
		"DEFAULT",
	}, ", ")
	for name, want := range map[string]string{
		"CN=Duke,OU=ServiceUsers,O=Org,C=US":                             "duke",
		"CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US":                      "duke@sme",
		"cn=duke,ou=sme,dc=mycp,dc=com":                                  "DUKE@SME",
		"cN=duke,OU=JavaSoft,O=Sun Microsystems":                         "DUKE",
		"OU=JavaSoft,O=Sun Microsystems,C=US":                            "OU=JavaSoft,O=Sun Microsystems,C=US",
		"CN=serviceuser,OU=ServiceUsers,O=Unknown,L=a,C=b":               "serviceuser",
		"CN=adminUser,OU=Admin,O=Unknown,L=Unknown,ST=Unknown,C=Unknown": "adminuser@admin",
	} {
		checkName(t, rules, name, want)
	}
	checkName(t, `RULE:^CN=((\\, *|\w)+)(,.*|$)/$1/,DEFAULT`, `CN=Tkac\, Adam,OU=ITZ,DC=geodis,DC=cz`, `Tkac\, Adam`)
	checkName(t, `RULE:^CN=([^,]+).*$/$1@$9/`, "CN=a,O=b", "a@$9")
	checkName(t, `RULE:^CN=(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)$/$10$1$11/`, "CN=abcdefghij", "jaa1")
	checkName(t, `RULE:^CN=([^,]+).*$/\$1-\\$1/`, "CN=a,O=b", `$1-\a`)
	checkName(t, `RULE:.*/x/`, "CN=a", "xx") // as Java's replaceAll has it
	checkName(t, `RULE:^.*/x/`, "CN=a", "x")
	checkName(t, `RULE:CN=a\/b/c\/d/`, "CN=a/b", "c/d")
	checkName(t, `RULE:(a|ab)/<$1>/`, "ab", "<a>b") // the whole matches, the first match is shorter
	checkName(t, ` , RULE:no/x/, ,DEFAULT,,`, "CN=a", "CN=a")
}

func checkName(t *testing.T, rules, name, want string) {
	t.Helper()
	parsed, err := ParseNameRules(rules)
	if err != nil {
		t.Errorf("%s: %v", rules, err)
		return
	}
	if got, err := parsed.Name(name); got != want || err != nil {
		t.Errorf("%s: %s is %q, %v; want %q", rules, name, got, err, want)
	}
}

func TestNameRulesSplit(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, ",   , , ,      , , ,   ": 0, "DEFAULT": 1, "RULE://": 1, "RULE:/.*/L": 1, "  RULE:// ,  DEFAULT  ": 2,
		"  RULE:([A-Z]*)/$1/U   ,RULE:([a-z]+)/$1/,   DEFAULT  ": 3,
		`RULE:\/\\\(\)\n\t/\/\//`:                                1, `RULE:,RULE:,/,RULE:,\//U,RULE:,/RULE:,/,RULE:,RULE:,/L,RULE:,/L,RULE:, DEFAULT, /DEFAULT/,DEFAULT`: 5,
		"RULE:^CN=([^,ADEFLTU,]+)(,.*|$)/$1/": 1, "RULE:^CN=([^,DEFAULT,]+)(,.*|$)/$1/": 1,
	} {
		rules, err := ParseNameRules(text)
		if err != nil || len(rules.rules) != want {
			t.Errorf("%q: %+v, %v; want %d", text, rules, err, want)
		}
	}
}

func TestBadNameRules(t *testing.T) {
	for _, text := range []string{
		"default", "DEFAUL", "DEFAULT/L", "DEFAULT/U", "RULE:CN=(.*?),OU=ServiceUsers.*/$1",
		"rule:^CN=(.*?),OU=ServiceUsers.*$/$1/", "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L/U",
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/L", "RULE:^CN=(.*?),OU=ServiceUsers.*$/LU",
		"RULE:(?=x)/y/", "RULE:(/x/", "RULE:x/$/", "RULE:x/$1/", "RULE:x/${a}/", strings.Repeat("DEFAULT,", 3000),
	} {
		if _, err := ParseNameRules(text); err == nil {
			t.Errorf("%.60q is taken", text)
		}
	}
}

func FuzzNameRules(f *testing.F) {
	f.Add("RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, DEFAULT", "CN=a,OU=ServiceUsers")
	f.Add(`RULE:.*/\$1$1/U`, "x")
	f.Fuzz(func(t *testing.T, text, name string) {
		if rules, err := ParseNameRules(text); err == nil && len(name) < 1000 {
			_, _ = rules.Name(name)
		}
	})
}
