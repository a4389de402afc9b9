package auth

import (
	"crypto/x509"
	"encoding/hex"
	"testing"
)

// What Java 17 writes for these names (X500Principal.getName). A name that is not
// UTF-8 is an error here; Java replaces what it cannot read.
func TestSubjectNameIsJavas(t *testing.T) {
	for _, c := range []struct{ der, want string }{
		{"3041310b3009060355040613025553310c300a060355040a13034f726731153013060355040b0c0c536572766963655573657273310d300b06035504030c0444756b65", "CN=Duke,OU=ServiceUsers,O=Org,C=US"},
		{"3065310b3009060355040613024445310f300d06035504080c0642617965726e3111300f06035504070c084dc3bc6e6368656e3114301206035504090c0b48617570747374722e2031311c301a06035504030c13612c623d632b643c653e6623673b6822695c6a", "CN=a\\,b\\=c\\+d\\<e\\>f\\#g\\;h\\\"i\\\\j,STREET=Hauptstr. 1,L=München,ST=Bayern,C=DE"},
		{"305f31133011060a0992268993f22c6401191603636f6d31173015060a0992268993f22c64011916076578616d706c6531123010060a0992268993f22c6401010c027531311b301906035504030c1220206c65616420616e6420747261696c2020", "CN=\\ \\ lead and trail\\ \\ ,UID=u1,DC=example,DC=com"},
		{"30313114301206092a864886f70d01090116056140622e63310c300a06035504051303313233310b300906035504030c022378", "CN=\\#x,2.5.4.5=#1303313233,1.2.840.113549.1.9.1=#16056140622e63"},
		{"30163114300806035504030c01793008060355040b0c0178", "CN=y+OU=x"},
		{"300f310d300b06035504031e04004100e9", "error"},
		{"300f310d300b06035504031404636166e9", "error"},
		{"3011310f300d06035504030c066e756c00696e", "CN=nul\\00in"},
		{"300b3109300706035504030c00", "CN="},
		{"30143112301006035504030c096e65770a6c696e650d", "CN=new\nline\\\r"},
		{"3011310f300d06035504030c06e697a5e69cac", "CN=日本"},
		{"300c310a30080603550403020105", "CN=#020105"},
		{"300f310d300b06035504031c0400000041", "CN=#1c0400000041"},
		{"300f310d300b06035504030c04626164ff", "error"},
		{"3000", ""},
		{"300f310d300b06035504031b04636166e9", "error"},
	} {
		der, err := hex.DecodeString(c.der)
		if err != nil {
			t.Fatal(err)
		}
		got, err := subjectName(der)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestCertificatePrincipal(t *testing.T) {
	der, _ := hex.DecodeString("3041310b3009060355040613025553310c300a060355040a13034f726731153013060355040b0c0c536572766963655573657273310d300b06035504030c0444756b65")
	for rules, want := range map[string]string{
		"DEFAULT":                                   "User:CN=Duke,OU=ServiceUsers,O=Org,C=US",
		"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L":    "User:duke",
		"RULE:^CN=(.*?),OU=Others.*$/$1/L":          "",
		"RULE:^CN=(.*?),OU=Others.*$/$1/L, DEFAULT": "User:CN=Duke,OU=ServiceUsers,O=Org,C=US",
		"RULE:^.*$//":                               "",
	} {
		parsed, err := ParseNameRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		got, err := CertificatePrincipal(&x509.Certificate{RawSubject: der}, parsed)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", rules, got, err, want)
		}
	}
}

func FuzzSubjectName(f *testing.F) {
	f.Add([]byte{0x30, 0})
	der, _ := hex.DecodeString("30163114300806035504030c01793008060355040b0c0178")
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		if name, err := subjectName(der); err == nil && len(name) > 8*len(der)+64 {
			t.Errorf("%d bytes give a name of %d", len(der), len(name))
		}
	})
}
