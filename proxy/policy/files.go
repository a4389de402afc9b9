package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// FileProblems warns of files and variables that the policy names and that are not
// there, cannot be read, or hold a secret that everyone on the machine can read or
// change. It is apart from [Load] since it depends on where it runs.
func FileProblems(p *Policy) Problems {
	r := &reporter{file: p.File}
	for _, f := range p.files {
		if why := f.problem(); why != "" {
			r.warnf(f.at, "%s: %s", f.what, why)
		}
	}
	return r.problems.tidy()
}

func (f fileRef) problem() string {
	if f.env != "" {
		if os.Getenv(f.env) == "" {
			return fmt.Sprintf("the variable %s is not set here", f.env)
		}
		return ""
	}
	file, err := os.Open(f.path)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return fmt.Sprintf("%s cannot be read here: %v", f.path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return fmt.Sprintf("%s cannot be read here: %v", f.path, err)
	case info.IsDir():
		return f.path + " is a directory"
	case f.secret && info.Mode().Perm()&othersRead != 0:
		return fmt.Sprintf("everyone on this machine can read %s: chmod o-rwx it", f.path)
	case info.Mode().Perm()&othersWrite != 0:
		return fmt.Sprintf("everyone on this machine can change %s: chmod o-w it", f.path)
	}
	return ""
}
