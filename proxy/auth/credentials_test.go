package auth

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// line is a line of the file, of a user with the password
// "alice-secret".
func line(t testing.TB, name string, m Mechanism) string {
	t.Helper()
	v, err := NewVerifier(m, "alice-secret", MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s", name, m, v.text())
}

func TestCredentialsRoundTrip(t *testing.T) {
	text := "# who\n\n" + line(t, "alice", ScramSHA256) + "\n\t" + line(t, `"with \"space\""`, ScramSHA512) + "  \n" + line(t, `"!unknown"`, ScramSHA512) + "\n"
	c, err := ParseCredentials("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := []User{{"alice", ScramSHA256, 4096}, {`with "space"`, ScramSHA512, 4096}, {"!unknown", ScramSHA512, 4096}}; !reflect.DeepEqual(c.List(), want) {
		t.Errorf("%+v", c.List())
	}
	if string(c.Bytes()) != text {
		t.Errorf("%s\nwant\n%s", c.Bytes(), text)
	}
	for _, name := range []string{"alice", "new one", "#x", "a,b=c"} {
		v, _ := NewVerifier(ScramSHA256, "new", MinIterations)
		if err := c.Add(name, ScramSHA256, v); err != nil {
			t.Fatal(err)
		}
		again, err := ParseCredentials("f", c.Bytes())
		if err != nil || !reflect.DeepEqual(again.List(), c.List()) || !again.users[credentialKey{ScramSHA256, name}].accepts(ScramSHA256, "new") {
			t.Errorf("%q: %v %+v", name, err, c.List())
		}
	}
	if n := len(c.List()); n != 6 {
		t.Errorf("%d users", n)
	}
	if !c.Remove("alice") || c.Remove("alice") || c.Remove("") || len(c.List()) != 5 || !strings.HasPrefix(string(c.Bytes()), "# who\n\n\t") {
		t.Errorf("%s", c.Bytes())
	}
}

func TestCredentialsMistakes(t *testing.T) {
	good := line(t, "alice", ScramSHA256)
	change := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for _, c := range []struct{ text, want string }{
		{"alice", "1:6: error: a line is three words"},
		{"alice SCRAM-SHA-256", "1:7: error: a line is three words"},
		{"  " + good + " more", "1:9: error: a line is three words"},
		{change("SCRAM-SHA-256", "PLAIN"), `1:7: error: "PLAIN" is not SCRAM-SHA-256`},
		{change("iterations=4096", "iterations=4095"), "1:21: error: iterations are 4096"},
		{change("iterations=4096", "iterations=x"), "1:21: error: iterations cannot be read"},
		{change("iterations", "x"), `1:21: error: unknown field "x"`},
		{change("salt=", "salt=*"), "1:21: error: salt cannot be read"},
		{change("stored_key=", "stored_key=AAAA"), "1:21: error: stored_key and server_key of SCRAM-SHA-256 have 32 bytes"},
		{change("SHA-256", "SHA-512"), "1:21: error: stored_key and server_key of SCRAM-SHA-512 have 64 bytes"},
		{good + ",salt=AAAA", "1:21: error: salt is given twice"},
		{good + "\n\n" + good, "3:1: error: alice has SCRAM-SHA-256 twice, first at line 1"},
		{`"alice` + good[5:], "1:1: error: the quotes of the name do not end"},
		{`"al\x"` + good[5:], "1:1: error: the"},
		{"alicé" + good[5:], `1:1: error: the name "alicé" has more than printable ASCII`},
		{strings.Repeat("a", 256) + good[5:], "1:1: error: a name has 1 to 255"},
		{`""` + good[5:], "1:1: error: a name has"},
		{"\n\xff", "2:1: error: not UTF-8"},
		{"!unknown seed AAAA", "1:15: error: !unknown seed needs 32 bytes"},
		{strings.Repeat("x", maxCredentialsLine+1), "1:1: error: a line of more than"},
	} {
		_, err := ParseCredentials("f", []byte(c.text))
		var format *FormatError
		if !errors.As(err, &format) || !strings.HasPrefix(err.Error(), "f:"+c.want) {
			t.Errorf("%.60q: %v, want %s", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "stored_key=") {
			t.Errorf("a verifier in the text: %v", err)
		}
	}
	_, err := ParseCredentials("f", []byte("a\nb\n"+good+"\nc\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all at once: %v", err)
	}
}

func TestVerifierBounds(t *testing.T) {
	for _, c := range []struct {
		m          Mechanism
		password   string
		iterations int
	}{{Plain, "x", 4096}, {ScramSHA256, "", 4096}, {ScramSHA256, "x", 4095}, {ScramSHA256, "x", 1 << 30}, {ScramSHA256, strings.Repeat("x", 1025), 4096}} {
		if _, err := NewVerifier(c.m, c.password, c.iterations); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestChangeCredentials(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	add := func(name string) error {
		v, err := NewVerifier(ScramSHA256, "x", MinIterations)
		if err != nil {
			return err
		}
		return ChangeCredentials(path, func(c *Credentials) error { return c.Add(name, ScramSHA256, v) })
	}
	var wg sync.WaitGroup
	for i := range 8 { // those who write at once lose nothing
		wg.Go(func() {
			if err := add(fmt.Sprintf("u%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c, err := LoadCredentials(path)
	if err != nil || len(c.List()) != 8 || c.seed == nil {
		t.Fatalf("%v, %+v", err, c)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := ChangeCredentials(link, func(c *Credentials) error { c.Remove("u0"); return nil }); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	before, _ := os.ReadFile(path)
	no := errors.New("no")
	if err := ChangeCredentials(path, func(c *Credentials) error { c.Remove("u1"); return no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ChangeCredentials(filepath.Join(dir, "broken"), func(*Credentials) error { return nil }); err == nil {
		t.Error("a broken file is replaced")
	}
	if err := ChangeCredentials(filepath.Join(dir, "none", "x"), func(*Credentials) error { return nil }); err == nil {
		t.Error("a directory that is not there")
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Error("changed in spite of an error")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add([]byte(line(f, "alice", ScramSHA256) + "\n" + line(f, `"b c"`, ScramSHA512)))
	f.Add(NewCredentials().Bytes())
	f.Add([]byte("!unknown seed x\n\"\\\"\" x y"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCredentials("f", data)
		if err != nil {
			return
		}
		again, err := ParseCredentials("f", c.Bytes())
		if err != nil || !reflect.DeepEqual(again.List(), c.List()) {
			t.Errorf("%v: %+v, %+v", err, c.List(), again.List())
		}
		c.lookup(ScramSHA256, "x")
		c.forPlain("x")
	})
}
