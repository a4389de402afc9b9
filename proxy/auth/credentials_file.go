package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LoadCredentials reads a credentials file.
func LoadCredentials(path string) (*Credentials, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return ParseCredentials(path, data)
}

// ChangeCredentials lets change edit the users of a file, which is made if it is
// not there, and replaces it as a whole: whoever reads it sees the old one or the
// new one. Two that change at once wait for each other. An error of change leaves
// the file as it is.
//
// A new file has mode 0600. One that was there keeps its owner, where that is
// allowed, and its mode but for what it allows to others.
func ChangeCredentials(path string, change func(*Credentials) error) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the file is replaced, not the link to it
	}
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	defer unlock()
	c, err := LoadCredentials(path)
	if errors.Is(err, fs.ErrNotExist) {
		c, err = NewCredentials(), nil
	}
	if err == nil {
		err = change(c)
	}
	if err != nil {
		return err
	}
	if err := replaceFile(path, c.Bytes()); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}

// replaceFile writes a file beside path, to the disk, and renames it.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if old, statErr := os.Stat(path); statErr == nil {
		if err := f.Chmod(old.Mode().Perm() & 0o660); err != nil {
			return err
		}
		keepOwner(f, old)
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename last.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
