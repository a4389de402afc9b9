package login

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Secret is a text that must not be seen: however it is printed, it is ***.
type Secret struct{ text string }

// hidden is what is seen of a secret.
const hidden = "***"

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal is the text itself, for the wire only.
func (s Secret) Reveal() string { return s.text }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.text == "" }

// Format implements [fmt.Formatter], for all verbs.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String implements [fmt.Stringer].
func (Secret) String() string { return hidden }

// GoString implements [fmt.GoStringer].
func (Secret) GoString() string { return hidden }

// MarshalText implements [encoding.TextMarshaler], which JSON, YAML and zap use.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Source is where a secret is: a file, or a variable of the environment.
type Source struct{ File, Env string }

// maxSecret bounds a secret, in bytes; tokens may be long.
const maxSecret = 64 << 10

// Read reads the secret now. A file's last line break is not part of it.
func (s Source) Read() (Secret, error) {
	if s.Env != "" {
		text := os.Getenv(s.Env)
		if text == "" {
			return Secret{}, fmt.Errorf("the variable %s is not set", s.Env)
		}
		return Secret{text}, nil
	}
	if s.File == "" {
		return Secret{}, errors.New("no secret is named")
	}
	f, err := os.Open(s.File)
	if err != nil {
		return Secret{}, err // with the path, not the content
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return Secret{}, err
	}
	data = bytes.TrimRight(data, "\r\n")
	if len(data) == 0 || len(data) > maxSecret {
		return Secret{}, fmt.Errorf("%s: a secret has 1 to %d bytes", s.File, maxSecret)
	}
	return Secret{string(data)}, nil
}
