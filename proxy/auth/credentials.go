package auth

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Credentials are the users of a credentials file. They are read by any number of
// goroutines; Add and Remove are for whoever rewrites the file.
//
// The file has lines, blank ones and comments (#) aside, of three words:
//
//	alice SCRAM-SHA-512 salt=…,stored_key=…,server_key=…,iterations=4096
//	"with space" SCRAM-SHA-256 salt=…,stored_key=…,server_key=…,iterations=4096
//	!unknown seed …
//
// The third word is as Kafka writes it (ScramCredentialUtils), keys and salt in
// base64. The seed makes the salts that users get who are not known: it is made
// once, so that no change of the file gives away who is not in it.
type Credentials struct {
	lines []credentialLine
	users map[credentialKey]Verifier
	seed  []byte
	// seeded: the file has a seed of its own.
	seeded bool
	// typical are the iterations that most users have, by mechanism.
	typical map[Mechanism]int
}

type credentialKey struct {
	mechanism Mechanism
	name      string
}

// credentialLine is one line as written; a comment has no name.
type credentialLine struct {
	text string
	key  credentialKey
}

// FormatError is a mistake in a credentials file.
type FormatError struct {
	File         string
	Line, Column int // from 1
	Text         string
}

// Error is the form that editors and CI systems read.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s:%d:%d: error: %s", e.File, e.Line, e.Column, e.Text)
}

// Bounds of a credentials file: its size in bytes and that of a line.
const (
	maxCredentialsFile = 16 << 20
	maxCredentialsLine = 4 << 10
	seedWord           = "!unknown"
	seedSize           = 32
)

// NewCredentials has no users and a fresh seed.
func NewCredentials() *Credentials {
	c := &Credentials{users: make(map[credentialKey]Verifier), seed: make([]byte, seedSize), seeded: true}
	_, _ = rand.Read(c.seed) // never fails
	c.lines = []credentialLine{
		{text: "# SCRAM verifiers of Sluice's users, no passwords. `sluice credentials` writes this file."},
		{text: seedWord + " seed " + base64.StdEncoding.EncodeToString(c.seed)},
	}
	c.count()
	return c
}

// ParseCredentials reads the content of a file; name is what mistakes call it. All
// of them are reported at once, each a *[FormatError] within the error.
func ParseCredentials(name string, data []byte) (*Credentials, error) {
	c := &Credentials{users: make(map[credentialKey]Verifier)}
	if len(data) > maxCredentialsFile {
		return nil, &FormatError{name, 1, 1, fmt.Sprintf("the file is larger than %d bytes", maxCredentialsFile)}
	}
	var problems []error
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxCredentialsLine)
	first := make(map[credentialKey]int)
	n := 0
	for scanner.Scan() {
		n++
		line, column, err := c.parseLine(scanner.Text())
		if err == nil && line.key.name != "" {
			if was, twice := first[line.key]; twice {
				err = fmt.Errorf("%s has %s twice, first at line %d", line.key.name, line.key.mechanism, was)
				column = 1
			}
			first[line.key] = n
		}
		if err != nil && len(problems) < 100 {
			problems = append(problems, &FormatError{name, n, column, err.Error()})
		}
		c.lines = append(c.lines, line)
	}
	if scanner.Err() != nil {
		problems = append(problems, &FormatError{name, n + 1, 1, fmt.Sprintf("a line of more than %d bytes", maxCredentialsLine)})
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if c.seed == nil { // written by hand: good for this process
		c.seed = make([]byte, seedSize)
		_, _ = rand.Read(c.seed)
	}
	c.count()
	return c, nil
}

// parseLine reads one line. The column is that of the word which is wrong.
func (c *Credentials) parseLine(text string) (line credentialLine, column int, err error) {
	line.text = text
	rest := strings.TrimLeft(text, " \t")
	at := func() int { return 1 + utf8.RuneCountInString(text[:len(text)-len(rest)]) }
	if !utf8.ValidString(text) {
		return line, 1, errors.New("not UTF-8 text")
	}
	if rest == "" || rest[0] == '#' {
		return line, 0, nil
	}
	nameAt, seed := at(), strings.HasPrefix(rest, seedWord+" ")
	name, rest, err := cutName(rest)
	if err != nil {
		return line, nameAt, err
	}
	words := strings.Fields(rest)
	rest = strings.TrimLeft(rest, " \t")
	mechanismAt := at()
	if len(words) != 2 {
		return line, mechanismAt, errors.New("a line is three words: name, mechanism and verifier")
	}
	rest = strings.TrimLeft(rest[len(words[0]):], " \t")
	if seed {
		return line, at(), c.parseSeed(words)
	}
	line.key = credentialKey{Mechanism(words[0]), name}
	if !line.key.mechanism.scram() {
		return line, mechanismAt, fmt.Errorf("%q is not %s or %s", words[0], ScramSHA256, ScramSHA512)
	}
	verifier, err := parseVerifier(line.key.mechanism, words[1])
	if err != nil {
		return line, at(), err
	}
	if err := CheckName(name); err != nil {
		return line, nameAt, err
	}
	if _, twice := c.users[line.key]; !twice {
		c.users[line.key] = verifier
	}
	return line, 0, nil
}

func (c *Credentials) parseSeed(words []string) error {
	seed, err := base64.StdEncoding.DecodeString(words[1])
	switch {
	case words[0] != "seed" || err != nil || len(seed) < seedSize:
		return fmt.Errorf("%s seed needs %d bytes in base64", seedWord, seedSize)
	case c.seed != nil:
		return errors.New("a second seed")
	}
	c.seed, c.seeded = seed, true
	return nil
}

// cutName cuts the first word off, which is quoted where it is not plain.
func cutName(s string) (name, rest string, err error) {
	if s[0] != '"' {
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", errors.New("the quotes of the name do not end")
	}
	if name, err = strconv.Unquote(quoted); err != nil {
		return "", "", errors.New("the name cannot be unquoted")
	}
	return name, s[len(quoted):], nil
}

// CheckName reports why a user cannot have a name: Kafka's SCRAM clients and brokers
// know ASCII only.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a name has 1 to %d characters", MaxName)
	}
	for i := range len(name) {
		if name[i] < 0x20 || name[i] > 0x7e {
			return fmt.Errorf("the name %q has more than printable ASCII, which Kafka's clients cannot send", name)
		}
	}
	return nil
}

// parseVerifier reads Kafka's own form of a SCRAM credential.
func parseVerifier(m Mechanism, s string) (Verifier, error) {
	var v Verifier
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(part, "=")
		if seen[key] {
			return v, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		var err error
		switch key {
		case "salt":
			v.Salt, err = base64.StdEncoding.DecodeString(value)
		case "stored_key":
			v.StoredKey, err = base64.StdEncoding.DecodeString(value)
		case "server_key":
			v.ServerKey, err = base64.StdEncoding.DecodeString(value)
		case "iterations":
			v.Iterations, err = strconv.Atoi(value)
		default:
			return v, fmt.Errorf("unknown field %q: a verifier is salt, stored_key, server_key and iterations", key)
		}
		if err != nil {
			return v, fmt.Errorf("%s cannot be read", key)
		}
	}
	size := m.hash()().Size()
	switch {
	case len(v.Salt) < 8 || len(v.Salt) > 128:
		return v, errors.New("salt needs 8 to 128 bytes")
	case len(v.StoredKey) != size || len(v.ServerKey) != size:
		return v, fmt.Errorf("stored_key and server_key of %s have %d bytes", m, size)
	case v.Iterations < MinIterations || v.Iterations > maxIterations:
		return v, fmt.Errorf("iterations are %d to %d", MinIterations, maxIterations)
	}
	return v, nil
}

// text is the verifier as it stands in the file.
func (v Verifier) text() string {
	b := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("salt=%s,stored_key=%s,server_key=%s,iterations=%d", b(v.Salt), b(v.StoredKey), b(v.ServerKey), v.Iterations)
}

// Add gives a user a verifier, in place of the one it may have for the mechanism.
func (c *Credentials) Add(name string, m Mechanism, v Verifier) error {
	if err := CheckName(name); err != nil {
		return err
	}
	word := name
	if strings.ContainsAny(name, " \"#!") {
		word = strconv.Quote(name)
	}
	line := credentialLine{fmt.Sprintf("%s %s %s", word, m, v.text()), credentialKey{m, name}}
	if _, err := parseVerifier(m, v.text()); err != nil {
		return err
	}
	if i := slices.IndexFunc(c.lines, func(l credentialLine) bool { return l.key == line.key }); i >= 0 {
		c.lines[i] = line
	} else {
		c.lines = append(c.lines, line)
	}
	c.users[line.key] = v
	c.count()
	return nil
}

// Remove takes a user out, with all its mechanisms; false if there is none.
func (c *Credentials) Remove(name string) bool {
	before := len(c.lines)
	c.lines = slices.DeleteFunc(c.lines, func(l credentialLine) bool { return l.key.name == name && name != "" })
	for key := range c.users {
		if key.name == name {
			delete(c.users, key)
		}
	}
	c.count()
	return len(c.lines) < before
}

// User is one line of a listing.
type User struct {
	Name       string
	Mechanism  Mechanism
	Iterations int
}

// List are the users in the file's order.
func (c *Credentials) List() []User {
	var users []User
	for _, l := range c.lines {
		if l.key.name != "" {
			users = append(users, User{l.key.name, l.key.mechanism, c.users[l.key].Iterations})
		}
	}
	return users
}

// Bytes is the content of the file.
func (c *Credentials) Bytes() []byte {
	var b bytes.Buffer
	for _, l := range c.lines {
		b.WriteString(l.text + "\n")
	}
	return b.Bytes()
}

// count finds out which iterations are typical.
func (c *Credentials) count() {
	c.typical = make(map[Mechanism]int)
	votes := make(map[credentialKey]int)
	for key, v := range c.users {
		vote := credentialKey{key.mechanism, strconv.Itoa(v.Iterations)}
		votes[vote]++
		best := credentialKey{key.mechanism, strconv.Itoa(c.typical[key.mechanism])}
		if n := votes[vote]; n > votes[best] || n == votes[best] && v.Iterations > c.typical[key.mechanism] {
			c.typical[key.mechanism] = v.Iterations
		}
	}
}

// lookup finds a user's verifier. One who is not known gets one that nothing
// proves, always the same, so that whoever asks cannot tell.
func (c *Credentials) lookup(m Mechanism, name string) (Verifier, bool) {
	v, known := c.users[credentialKey{m, name}]
	invented := c.invent(m, name) // in both cases, for the time it takes
	if known {
		return v, true
	}
	return invented, false
}

// forPlain finds a verifier of either kind.
func (c *Credentials) forPlain(name string) (Mechanism, Verifier, bool) {
	invented := c.invent(ScramSHA256, name)
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		if v, known := c.users[credentialKey{m, name}]; known {
			return m, v, true
		}
	}
	if c.typical[ScramSHA256] == 0 && c.typical[ScramSHA512] != 0 {
		return ScramSHA512, c.invent(ScramSHA512, name), false
	}
	return ScramSHA256, invented, false
}

func (c *Credentials) invent(m Mechanism, name string) Verifier {
	mac := hmac.New(sha256.New, c.seed)
	mac.Write([]byte(string(m) + "\x00" + name))
	salt := mac.Sum(nil)[:saltSize]
	iterations := c.typical[m]
	if iterations == 0 {
		iterations = DefaultIterations
	}
	size := m.hash()().Size()
	return Verifier{Iterations: iterations, Salt: salt, StoredKey: make([]byte, size), ServerKey: make([]byte, size)}
}
