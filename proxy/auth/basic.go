package auth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// BasicUsers are the users of a file with a "name:hash" a line, the hash bcrypt's,
// as `htpasswd -B` writes it. They never change.
type BasicUsers struct {
	hashes map[string][]byte
	dummy  []byte // of no password, as costly as the others
}

// Costs of bcrypt that a file may have: 10 takes some 50 ms, 14 a second.
const minBcryptCost, maxBcryptCost = 10, 14

// ParseBasicUsers reads the content of a file; name is what mistakes call it.
func ParseBasicUsers(name string, data []byte) (*BasicUsers, error) {
	users := &BasicUsers{hashes: make(map[string][]byte)}
	var problems []error
	scanner := bufio.NewScanner(bytes.NewReader(data))
	cost := minBcryptCost
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, _ := strings.Cut(line, ":")
		has, err := bcrypt.Cost([]byte(hash))
		switch {
		case user == "" || err != nil:
			problems = append(problems, &FormatError{name, n, 1, "a line is name:hash, with bcrypt's hash, as htpasswd -B writes it"})
		case has < minBcryptCost || has > maxBcryptCost:
			problems = append(problems, &FormatError{name, n, 1, fmt.Sprintf("bcrypt's cost is %d; use %d to %d (htpasswd -B -C %d)", has, minBcryptCost, maxBcryptCost, minBcryptCost)})
		case users.hashes[user] != nil:
			problems = append(problems, &FormatError{name, n, 1, fmt.Sprintf("user %q is there twice", user)})
		default:
			users.hashes[user] = []byte(hash)
			cost = max(cost, has)
		}
	}
	if scanner.Err() != nil {
		problems = append(problems, scanner.Err())
	}
	if len(problems) == 0 && len(users.hashes) == 0 {
		problems = append(problems, &FormatError{name, 1, 1, "there is no user"})
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	var err error
	users.dummy, err = bcrypt.GenerateFromPassword([]byte("no password"), cost)
	return users, err
}

// Accepts reports whether a name and a password are those of a user. It waits for a
// place among the guard's derivations, takes the same time whether there is the user
// or not, and refuses addresses that have failed too often.
func (u *BasicUsers) Accepts(ctx context.Context, guard *Guard, address netip.Addr, now time.Time, name, password string) bool {
	if guard.blocked(address, now) || guard.acquire(ctx) != nil {
		return false
	}
	defer guard.release()
	if guard.blocked(address, now) { // others of the address have failed meanwhile
		return false
	}
	hash, known := u.hashes[name]
	if !known {
		hash = u.dummy
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !known {
		guard.failed(address, now)
		return false
	}
	return true
}
