package policy

import (
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/bench/kafka"
	"sluice/proxy/auth"
)

func TestSecureFile(t *testing.T) {
	p, problems := Load("testdata/good-secure.yaml")
	if len(problems) > 0 || p == nil {
		t.Fatalf("problems:\n%v", problems)
	}
	l := p.Listener("edge")
	if tls := l.TLS; tls.Certificate != "testdata/tls.crt" || tls.Key != "/etc/sluice/tls.key" || tls.ClientCA != "testdata/clients.crt" || tls.ClientAuth != "requested" || tls.MinVersion != "TLSv1.3" {
		t.Errorf("%+v", tls)
	}
	if name, err := l.TLS.NameRules.Name("CN=Duke,O=x"); name != "duke" || err != nil {
		t.Errorf("%q %v", name, err)
	}
	want := SASLServer{
		Mechanisms: []auth.Mechanism{auth.ScramSHA512, auth.Plain, auth.OAuthBearer}, Credentials: "testdata/users", MaxReauth: time.Hour,
		OAuth: OAuthServer{
			JWKS: "/etc/sluice/jwks.json", Issuer: "https://idp", Audience: []string{"kafka"}, PrincipalClaim: "azp", ClockSkew: 5 * time.Second, Refresh: 10 * time.Minute,
		},
		at: l.SASL.at,
	}
	if !reflect.DeepEqual(*l.SASL, want) {
		t.Errorf("%+v", l.SASL)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}; !reflect.DeepEqual(l.ProxyProtocol, want) {
		t.Errorf("%v", l.ProxyProtocol)
	}
	if want := (TLSClient{"testdata/ca.pem", "testdata/gw.crt", "testdata/gw.key", "kafka.internal"}); *p.Slice("orders").TLS != want {
		t.Errorf("%+v", p.Slice("orders").TLS)
	}
	for name, want := range map[string]SASLClient{
		"orders": {Mechanism: auth.ScramSHA512, Username: "sluice", Password: SecretSource{File: "testdata/orders.password"}},
		"clicks": {Mechanism: auth.OAuthBearer, TokenEndpoint: "https://idp/token", ClientID: "sluice", ClientSecret: SecretSource{Env: "CLICKS_SECRET"}, Scope: "kafka"},
		"logs":   {Mechanism: auth.OAuthBearer, Token: SecretSource{File: "/run/token"}},
	} {
		if *p.Slice(name).SASL != want {
			t.Errorf("%s: %+v", name, p.Slice(name).SASL)
		}
	}
	if *p.Slice("clicks").TLS != (TLSClient{}) {
		t.Errorf("%+v", p.Slice("clicks").TLS)
	}
	if a := p.Admin; a.TLS == nil || a.BasicAuth != "/etc/sluice/admin.htpasswd" || a.Insecure || p.IdentifyBy != ByBoth {
		t.Errorf("%+v %v", a, p.IdentifyBy)
	}
}

func TestSecurityReloadsAndIsCompared(t *testing.T) {
	data, err := os.ReadFile("testdata/good-secure.yaml")
	if err != nil {
		t.Fatal(err)
	}
	old := mustParse(t, string(data))
	for _, c := range []struct{ from, to, changes, reload string }{
		{"certificate: tls.crt", "certificate: new.crt", "listener edge: TLS with certificate new.crt", ""},
		{"client_auth: requested", "client_auth: required", "client_auth required by clients.crt", ""},
		{"[SCRAM-SHA-512, PLAIN, OAUTHBEARER]", "[SCRAM-SHA-512, OAUTHBEARER]", "listener edge: SASL terminate with SCRAM-SHA-512, OAUTHBEARER (jwks", ""},
		{"[kafka]", "[other]", `audience ["other"]`, ""},
		{"networks: [10.0.0.0/8, ", "networks: [11.0.0.0/8, ", "listener edge: proxy_protocol is taken from 11.0.0.0/8, 2001:db8::1/128, before: 10.0.0.0/8, 2001:db8::1/128", ""},
		{".kafka.example.com\"", ".k.example.com\"", "listener edge: broker_hosts are {slice}-{node}.k.example.com", ""},
		{"username: sluice", "username: other", "slice orders: SASL SCRAM-SHA-512 as other, password from file orders.password", ""},
		{"scope: kafka", "scope: k", `client_secret from variable CLICKS_SECRET, scope "k"`, ""},
		{"server_name: kafka.internal", "server_name: k.internal", "server_name k.internal", ""},
		{`"User:pay-*", "User:root"`, `"User:pay-*"`, `tenant payments: principals are "User:pay-*", before: "User:pay-*", "User:root"`, ""},
		{"    networks: [10.1.0.0/16]\n", "", "tenant payments: networks are not asked for, before: 10.1.0.0/16", ""},
		{"identify_by: both", "identify_by: client_id", "client IDs: tenants are found by client_id, before by both", ""},
		{"key: a.key", "key: b.key", "", "admin is TLS with certificate a.crt, key b.key, from TLSv1.2, with basic_auth, was"},
	} {
		if strings.Count(string(data), c.from) != 1 {
			t.Fatalf("%q occurs %d times", c.from, strings.Count(string(data), c.from))
		}
		p := mustParse(t, strings.Replace(string(data), c.from, c.to, 1))
		changes := strings.Join(p.Changes(old), "\n")
		if !strings.Contains(changes, c.changes) || (changes == "") != (c.changes == "") {
			t.Errorf("%s: changes %q", c.to, changes)
		}
		reload := p.CheckReload(old)
		if (len(reload) > 0) != (c.reload != "") || len(reload) > 0 && !strings.HasPrefix(reload[0].Text, c.reload) {
			t.Errorf("%s: reload %v", c.to, reload)
		}
	}
}

func TestAdmit(t *testing.T) {
	text := func(by string) string {
		return `client_ids: {pattern: "{team}.{app}", identify_by: ` + by + `}
slices: [{name: a, slot: 0, bootstrap_servers: ["h:1"]}]
listeners: [{name: l, address: "127.0.0.1:9092", broker_ports: {a: {nodes: 0-1, ports: 9100-9101}}, sasl: {mode: terminate, mechanisms: [SCRAM-SHA-256], credentials: x}}]
tenants:
  - {name: pay, client_ids: {team: pay}, principals: ["User:pay-*", "User:root"], networks: [10.1.0.0/16, "2001:db8::/32"], home: a, rules: [{allow: [ALL], everything: true}]}
  - {name: web, client_ids: {team: web}, principals: ["User:web", "User:root"], home: a, rules: [{allow: [ALL], everything: true}]}
`
	}
	near, far := netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("10.2.0.1")
	for _, c := range []struct {
		by   string
		who  Client
		want string // tenant and reason
	}{
		{"client_id", Client{"pay.x", "User:pay-1", near}, "pay"},
		{"client_id", Client{"pay.x", "User:pay-1", netip.MustParseAddr("2001:db8::1")}, "pay"},
		{"client_id", Client{"pay.x", "User:pay-1", far}, "pay network"},
		{"client_id", Client{"pay.x", "User:pay-1", netip.Addr{}}, "pay network"},
		{"client_id", Client{"pay.x", "User:web", near}, "pay principal"},
		{"client_id", Client{"pay.x", "", near}, "pay no_principal"},
		{"client_id", Client{"web.x", "User:root", far}, "web"},
		{"client_id", Client{"other", "User:root", near}, " unmatched"},
		{"both", Client{"pay.x", "User:pay-1", near}, "pay"},
		{"both", Client{"web.x", "User:pay-1", near}, "web principal"},
		{"principal", Client{"pay.x", "User:pay-1", near}, "pay"},
		{"principal", Client{"web.x", "User:pay-1", near}, " unmatched"},
		{"principal", Client{"web.x", "User:root", near}, "web"},
		{"principal", Client{"pay.x", "User:root", far}, "pay network"},
		{"principal", Client{"pay.x", "", near}, " no_principal"},
		{"principal", Client{"pay.x", "User:nobody", near}, " principal"},
	} {
		tenant, refused := mustParse(t, text(c.by)).Admit(c.who)
		got := ""
		if tenant != nil {
			got = tenant.Name
		}
		if refused != nil {
			got += " " + refused.Reason
			if refused.Text == "" || strings.Contains(refused.Text, "User:pay-*") || strings.Contains(refused.Text, "10.1") {
				t.Errorf("%+v is told %q", c.who, refused.Text)
			}
		}
		if got != c.want {
			t.Errorf("%s %+v: %q, want %q", c.by, c.who, got, c.want)
		}
	}
	open := mustParse(t, strings.Replace(strings.Replace(text("principal"), "identify_by: principal", "identify_by: principal, unmatched: all", 1),
		"tenants:\n", "tenants:\n  - {name: all, home: a, rules: [{allow: [ALL], everything: true}]}\n  - {name: solo, principals: [\"User:solo\"], home: a, rules: [{allow: [ALL], everything: true}]}\n", 1))
	for who, want := range map[Client]string{{ID: "x"}: "all", {ID: "x", Principal: "User:y"}: "all", {ID: "anything", Principal: "User:solo"}: "solo"} {
		if tenant, refused := open.Admit(who); tenant == nil || tenant.Name != want || refused != nil {
			t.Errorf("%+v: %v %v", who, tenant, refused)
		}
	}
	if !open.Tenant("solo").AsksForPrincipal() || open.Tenant("all").AsksForPrincipal() {
		t.Error("who asks for a principal")
	}
}

func TestBrokerHosts(t *testing.T) {
	for _, c := range []struct{ template, slice, host string }{
		{"{slice}-{node}.kafka.example.com", "Orders-1", "orders-1-17.kafka.example.com"},
		{"b{node}-{slice}.Kafka.example.com.", "Orders-1", "b17-orders-1.kafka.example.com"},
		{"{node}.{slice}.kafka.example.com", "Orders-1", "17.orders-1.kafka.example.com"},
		{"x-{slice}.{node}", "Orders-1", "x-orders-1.17"},
	} {
		h, err := parseBrokerHosts(c.template)
		if err != nil {
			t.Fatal(err)
		}
		h.slices[strings.ToLower(c.slice)] = c.slice
		if got := h.Host(c.slice, 17); got != c.host {
			t.Errorf("%s: %s", c.template, got)
		}
		for _, host := range []string{c.host, strings.ToUpper(c.host), c.host + "."} {
			if slice, node, ok := h.Broker(host); slice != c.slice || node != 17 || !ok {
				t.Errorf("%s: %q is %q %d %t", c.template, host, slice, node, ok)
			}
		}
		unknown := strings.Replace(c.host, "orders", "others", 1)
		if slice, _, ok := h.Broker(unknown); slice != "" || !ok {
			t.Errorf("%s: %q %t", unknown, slice, ok)
		}
		for _, host := range []string{
			"", "kafka.example.com", strings.Replace(c.host, "17", "017", 1), strings.Replace(c.host, "17", "-17", 1), strings.Replace(c.host, "17", "", 1),
			strings.Replace(c.host, "17", "1048576", 1), strings.Replace(c.host, "17", "99999999999999999999", 1), strings.Replace(c.host, "orders-1", "", 1), "x" + c.host + "x",
		} {
			if slice, node, ok := h.Broker(host); ok && slice != "" {
				t.Errorf("%s: %q is %q %d", c.template, host, slice, node)
			}
		}
	}
	h, _ := parseBrokerHosts("{slice}-{node}.x")
	h.slices["a"] = "a"
	for node := int32(0); node < 2000; node++ {
		if slice, got, ok := h.Broker(h.Host("a", node)); slice != "a" || got != node || !ok {
			t.Fatalf("node %d: %q %d %t", node, slice, got, ok)
		}
	}
}

func TestFileProblems(t *testing.T) {
	dir := t.TempDir()
	a := kafka.NewAuthority(t)
	own := a.Issue(t, "own", pkix.Name{CommonName: "own"})
	put := func(name, of string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(of)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	put("crt", own.Certificate, 0o644)
	put("key", own.Key, 0o644)
	put("users", os.DevNull, 0o600)
	put("ca", a.CAFile, 0o666)
	t.Setenv("SLUICE_TEST_SET", "x")
	text := `client_ids: {pattern: "{team}.{app}"}
slices:
  - {name: a, slot: 0, bootstrap_servers: ["h:1"], tls: {ca: ca}, sasl: {mechanism: PLAIN, username: u, password: {env: SLUICE_TEST_UNSET}}}
  - {name: b, slot: 1, bootstrap_servers: ["h:2"], tls: {ca: "."}, sasl: {mechanism: PLAIN, username: u, password: {env: SLUICE_TEST_SET}}}
listeners: [{name: l, address: "127.0.0.1:9092", broker_ports: {a: {nodes: 0-1, ports: 9100-9101}}, tls: {certificate: crt, key: key}, sasl: {mode: terminate, mechanisms: [PLAIN], credentials: users}}]
admin: {basic_auth: none}
tenants: [{name: pay, client_ids: {team: pay}, home: a, rules: [{allow: [ALL], everything: true}]}]
`
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, problems := Load(file)
	if p == nil {
		t.Fatal(problems)
	}
	got := FileProblems(p)
	want := []string{
		":3:62: warning: ca: everyone on this machine can change ", ":3:121: warning: password: the variable SLUICE_TEST_UNSET is not set here",
		":4:62: warning: ca: " + dir + " is a directory", ":5:", ":5:", ":5:", ":6:21: warning: basic_auth: " + dir + "/none cannot be read here: no such file or directory",
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i, p := range got {
		if !strings.HasPrefix(p.String(), file+want[i]) {
			t.Errorf("%v, want %s", p, want[i])
		}
	}
	if all := fmt.Sprint(got); !strings.Contains(all, "key: everyone on this machine can read") || !strings.Contains(all, "users is empty") {
		t.Error(all)
	}
}

// What files hold is looked at where they are there.
func TestFileContents(t *testing.T) {
	dir, a := t.TempDir(), kafka.NewAuthority(t)
	one, other := a.Issue(t, "one", pkix.Name{CommonName: "one"}), a.Issue(t, "other", pkix.Name{CommonName: "other"})
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("nothing good\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const text = `client_ids: {pattern: "{team}.{app}"}
slices:
  - {name: a, slot: 0, bootstrap_servers: ["h:1"], tls: {ca: CA}, sasl: {mechanism: OAUTHBEARER, token_endpoint_url: "https://idp/token", token_endpoint_ca: CA, client_id: c, client_secret: {env: SLUICE_TEST_SET}}}
listeners:
  - {name: l, address: "127.0.0.1:9092", broker_ports: {a: {nodes: 0-1, ports: 9100-9101}},
     tls: {certificate: CRT, key: KEY, client_ca: CA, client_auth: required},
     sasl: {mode: terminate, mechanisms: [SCRAM-SHA-256, OAUTHBEARER], credentials: USERS, oauthbearer: {jwks_endpoint_url: JWKS, expected_audience: [kafka]}}}
admin: {basic_auth: BASIC}
tenants: [{name: pay, client_ids: {team: pay}, home: a, rules: [{allow: [ALL], everything: true}]}]
`
	t.Setenv("SLUICE_TEST_SET", "x")
	look := func(ca, crt, key, users, jwks, basic string) Problems {
		t.Helper()
		file := filepath.Join(dir, "sluice.yaml")
		filled := strings.NewReplacer("CA}", ca+"}", "CA,", ca+",", "CRT", crt, "KEY", key, "USERS", users, "JWKS", jwks, "BASIC", basic).Replace(text)
		if err := os.WriteFile(file, []byte(filled), 0o600); err != nil {
			t.Fatal(err)
		}
		p, problems := Load(file)
		if problems.Failed() {
			t.Fatal(problems)
		}
		return FileProblems(p)
	}
	users, basic := filepath.Join(dir, "users"), filepath.Join(dir, "basic")
	if err := auth.ChangeCredentials(users, func(*auth.Credentials) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(basic, []byte("u:$2y$10$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(a.CAFile, one.Certificate, one.Key, users, a.JWKSFile, basic); len(got) != 1 || !got[0].Warning || !strings.Contains(got[0].Text, "certificate: "+one.Certificate+" ends on ") {
		t.Errorf("good files: %v", got)
	}
	got := look(broken, one.Certificate, other.Key, broken, broken, broken)
	want := []string{
		":3:62: error: ca: authorities in " + broken + ": no PEM certificate in it", ":3:", ":6:25: error: certificate: certificate " + one.Certificate + " and key " + other.Key + ": ",
		":6:", ":7:", ":7:", ":8:21: error: basic_auth: ",
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i, p := range got {
		if p.Warning || !strings.Contains(p.String(), want[i]) {
			t.Errorf("%v, want %s", p, want[i])
		}
	}
}

func FuzzBrokerHosts(f *testing.F) {
	f.Add("{slice}-{node}.kafka.example.com", "orders", int32(7))
	f.Add("b{node}.{slice}", "a-1", int32(0))
	f.Fuzz(func(t *testing.T, template, slice string, node int32) {
		h, err := parseBrokerHosts(template)
		if _, nameErr := parseName(slice); err != nil || nameErr != nil || hostOf(h, slice) != nil || node < 0 || node > maxNode {
			return
		}
		h.slices[strings.ToLower(slice)] = slice
		if got, n, ok := h.Broker(h.Host(slice, node)); got != slice || n != node || !ok {
			t.Errorf("%q: %q is %q %d %t", template, h.Host(slice, node), got, n, ok)
		}
	})
}
