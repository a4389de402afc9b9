package auth

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestBasicUsers(t *testing.T) {
	hash := string(must(bcrypt.GenerateFromPassword([]byte("secret"), minBcryptCost)))
	users, err := ParseBasicUsers("f", []byte("# who\n\nadmin:"+hash+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	clock, guard := newClock(), NewGuard(GuardOptions{FailureBurst: 3})
	accepts := func(name, password string) bool {
		return users.Accepts(t.Context(), guard, peer, clock.now, name, password)
	}
	if !accepts("admin", "secret") || accepts("admin", "x") || accepts("nobody", "no password") || accepts("", "") {
		t.Error("not as the file says")
	}
	if accepts("admin", "secret") {
		t.Error("an address that failed too often passes")
	}
	for _, c := range []struct{ text, want string }{
		{"admin", "f:1:1: error: a line is name:hash"},
		{"\nadmin:secret", "f:2:1: error: a line is"},
		{":" + hash, "f:1:1: error: a line is"},
		{"admin:" + string(must(bcrypt.GenerateFromPassword([]byte("x"), 4))), "f:1:1: error: bcrypt's cost is 4"},
		{"a:" + hash + "\na:" + hash, `f:2:1: error: user "a" is there twice`},
		{"", "f:1:1: error: there is no user"},
		{strings.Repeat("x", 1<<17), "bufio.Scanner: token too long"},
	} {
		if _, err := ParseBasicUsers("f", []byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.40q: %v", c.text, err)
		}
	}
}

func FuzzBasicUsers(f *testing.F) {
	f.Add([]byte("admin:$2y$10$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if users, err := ParseBasicUsers("f", data); err == nil && len(users.hashes) == 0 {
			t.Error("no users and no error")
		}
	})
}
