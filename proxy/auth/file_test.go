package auth

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestCredentialsFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenCredentials(path); err == nil || err.Error() != path+": no such file or directory" {
		t.Error(err)
	}
	alice := line(t, "alice", ScramSHA256)
	put(alice) // by hand, without a seed
	f, err := OpenCredentials(path)
	if err != nil || len(f.Current().List()) != 1 {
		t.Fatal(err)
	}
	fake, _ := f.Current().lookup(ScramSHA256, "nobody")
	if changed, err := f.Reload(); changed || err != nil {
		t.Errorf("the same: %t %v", changed, err)
	}
	put("broken")
	for range 2 {
		if changed, err := f.Reload(); changed || err == nil || len(f.Current().List()) != 1 {
			t.Errorf("a broken file: %t %v", changed, err)
		}
	}
	put(alice + "\n" + line(t, "bob", ScramSHA512))
	if changed, err := f.Reload(); !changed || err != nil || len(f.Current().List()) != 2 {
		t.Errorf("a new file: %t %v", changed, err)
	}
	if again, _ := f.Current().lookup(ScramSHA256, "nobody"); !bytes.Equal(again.Salt, fake.Salt) {
		t.Error("the salt of one who is not known changes with the file")
	}
	put(string(NewCredentials().Bytes()))
	if _, err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	if again, _ := f.Current().lookup(ScramSHA256, "nobody"); bytes.Equal(again.Salt, fake.Salt) {
		t.Error("the file's own seed does not hold")
	}
	put(strings.Repeat("#\n", maxFile))
	if _, err := f.Reload(); err == nil {
		t.Error("a file without end")
	}
}

func TestBasicUsersFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	hash := must(bcrypt.GenerateFromPassword([]byte("secret"), minBcryptCost))
	if err := os.WriteFile(path, append([]byte("a:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenBasicUsers(path)
	if err != nil || !f.Current().Accepts(t.Context(), NewGuard(GuardOptions{}), peer, newClock().now, "a", "secret") {
		t.Error(err)
	}
}
