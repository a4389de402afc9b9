package auth

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// CertificatePrincipal is whom a verified client certificate names, as "User:name":
// its subject as Java writes it, through the rules.
func CertificatePrincipal(certificate *x509.Certificate, rules *NameRules) (string, error) {
	subject, err := subjectName(certificate.RawSubject)
	if err != nil {
		return "", fmt.Errorf("the subject of the client's certificate: %w", err)
	}
	name, err := rules.Name(subject)
	if err != nil {
		return "", err
	}
	if name == "" || len(name) > maxSubject {
		return "", fmt.Errorf("the subject %q gives a name of %d bytes", subject, len(name))
	}
	return principalType + name, nil
}

// maxSubject bounds a name of a certificate, in bytes.
const maxSubject = 4 << 10

// attribute is an AttributeTypeAndValue of X.501 with its value as it came.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// attributes are one relative name.
type attributes []attribute

// keywords are the types that have a name in RFC 2253; others are written as
// numbers, with the value in hexadecimal.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

// subjectName writes a distinguished name as javax.security.auth.x500.X500Principal
// does, which Kafka's rules are made for: RFC 2253, the last part first, no spaces.
func subjectName(der []byte) (string, error) {
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || len(der) > maxSubject {
		return "", errors.New("not a name")
	}
	var names []string
	for left := outer.Bytes; len(left) > 0; {
		var set attributes
		rest, err := asn1.UnmarshalWithParams(left, &set, "set")
		if err != nil {
			return "", errors.New("not a name")
		}
		left = rest
		var parts []string
		for _, a := range set {
			if text, isText := derText(a.Value); isText && !utf8.ValidString(text) {
				return "", errors.New("not UTF-8, so others may read it otherwise")
			}
			parts = append(parts, a.text())
		}
		names = append(names, strings.Join(parts, "+"))
	}
	slices.Reverse(names)
	return strings.Join(names, ","), nil
}

func (a attribute) text() string {
	keyword, known := keywords[a.Type.String()]
	value, isText := derText(a.Value)
	if !known {
		return a.Type.String() + "=#" + hex.EncodeToString(a.Value.FullBytes)
	}
	if !isText {
		return keyword + "=#" + hex.EncodeToString(a.Value.FullBytes)
	}
	return keyword + "=" + escapeValue(value)
}

// derText is the text of a string of DER, whose bytes Java takes for UTF-8 whatever
// the type.
func derText(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagGeneralString, asn1.TagBMPString:
		return string(v.Bytes), true
	}
	return "", false
}

// escapeValue escapes what has a meaning in a name, and spaces at its ends.
func escapeValue(s string) string {
	var b strings.Builder
	runes := []rune(s)
	first, last := 0, len(runes)
	for first < last && (runes[first] == ' ' || runes[first] == '\r') {
		first++
	}
	for last > first && (runes[last-1] == ' ' || runes[last-1] == '\r') {
		last--
	}
	for i, r := range runes {
		switch {
		case i < first || i >= last || strings.ContainsRune(`,=+<>#;"\`, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == 0:
			b.WriteString(`\00`)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
