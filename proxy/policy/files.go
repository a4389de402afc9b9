package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/proxy/auth"
	"sluice/proxy/edge"
)

// fileRef is a file, or a variable of the environment, that a policy names.
type fileRef struct {
	what, path string
	env        string
	secret     bool
	at         pos
}

// othersRead and othersWrite are the rights of everyone on the machine.
const othersRead, othersWrite = 0o004, 0o002

// fileContent is what files that belong together are to hold.
type fileContent struct {
	what  string
	paths []string
	at    pos
	// look returns an error where run would fail, and a warning where it would not.
	look func() (warning string, err error)
}

// FileProblems looks at the files and variables that the policy names. It warns of those
// that are not there or cannot be read, of secrets that everyone on the machine can
// read or change, and of certificates that have ended; what is there and is not what it
// must be is an error. It is apart from [Load] since it depends on where it runs.
func FileProblems(p *Policy) Problems {
	r := &reporter{file: p.File}
	absent := map[string]bool{}
	for _, f := range p.files {
		why, ok := f.problem()
		if why != "" {
			r.warnf(f.at, "%s: %s", f.what, why)
		}
		if !ok {
			absent[f.path] = true
		}
	}
	for _, c := range p.contents {
		if slices.ContainsFunc(c.paths, func(path string) bool { return absent[path] }) {
			continue
		}
		switch warning, err := c.look(); {
		case err != nil:
			r.errorf(c.at, "%s: %s", c.what, strings.ReplaceAll(err.Error(), "\n", "; "))
		case warning != "":
			r.warnf(c.at, "%s: %s", c.what, warning)
		}
	}
	return r.problems.tidy()
}

// content notes what the file at a key holds, with others that belong to it, for
// [FileProblems]. A path that is empty was not given, or has been reported.
func (c *compiler) content(o *object, key string, look func() (string, error), paths ...string) {
	if slices.Contains(paths, "") {
		return
	}
	c.policy.contents = append(c.policy.contents, fileContent{what: key, paths: paths, at: o.get(key).at, look: look})
}

// pairContent: a certificate, and the key that fits.
func pairContent(certificate, key string) func() (string, error) {
	return func() (string, error) {
		leaf, err := edge.Certificate(certificate, key)
		if err != nil {
			return "", err
		}
		now, day := time.Now(), func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
		switch {
		case now.After(leaf.NotAfter):
			return certificate + " has ended on " + day(leaf.NotAfter), nil
		case now.Before(leaf.NotBefore):
			return certificate + " does not hold before " + day(leaf.NotBefore), nil
		case leaf.NotAfter.Sub(now) < soon:
			return certificate + " ends on " + day(leaf.NotAfter), nil
		}
		return "", nil
	}
}

// soon is when it is time to renew a certificate.
const soon = 7 * 24 * time.Hour

// opens: what an opener finds good.
func opens[T any](open func(path string) (T, error), path string) func() (string, error) {
	return func() (string, error) {
		_, err := open(path)
		return "", err
	}
}

// openKeys reads a JWKS that is a file.
func openKeys(path string) (*auth.Keys, error) {
	k := auth.NewKeys(auth.KeysOptions{Source: path})
	return k, k.Fetch(context.Background())
}

// problem says what is wrong, and whether there is something to read all the same.
func (f fileRef) problem() (why string, ok bool) {
	if f.env != "" {
		if os.Getenv(f.env) == "" {
			return fmt.Sprintf("the variable %s is not set here", f.env), true
		}
		return "", true
	}
	file, err := os.Open(f.path)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return fmt.Sprintf("%s cannot be read here: %v", f.path, err), false
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return fmt.Sprintf("%s cannot be read here: %v", f.path, err), false
	case info.IsDir():
		return f.path + " is a directory", false
	case f.secret && info.Size() == 0:
		return f.path + " is empty", true
	case f.secret && info.Mode().Perm()&othersRead != 0:
		return fmt.Sprintf("everyone on this machine can read %s: chmod o-rwx it", f.path), true
	case info.Mode().Perm()&othersWrite != 0:
		return fmt.Sprintf("everyone on this machine can change %s: chmod o-w it", f.path), true
	}
	return "", true
}
