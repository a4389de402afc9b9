package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// maxFile bounds what a [File] reads, in bytes.
const maxFile = maxCredentialsFile

// File is a file's content that follows the file: a new one that is good takes the
// place of the old one, a bad one does not. Its methods may be called concurrently.
type File[T any] struct {
	path  string
	parse func(name string, data []byte, before *T) (*T, error)

	reloading sync.Mutex
	sum       [sha256.Size]byte
	current   atomic.Pointer[T]
}

// OpenCredentials reads a credentials file.
func OpenCredentials(path string) (*File[Credentials], error) {
	return open(path, func(name string, data []byte, before *Credentials) (*Credentials, error) {
		c, err := ParseCredentials(name, data)
		if err == nil && before != nil && !c.seeded {
			c.seed = before.seed // else users that are not known would get new salts
		}
		return c, err
	})
}

// OpenBasicUsers reads a file of [BasicUsers].
func OpenBasicUsers(path string) (*File[BasicUsers], error) {
	return open(path, func(name string, data []byte, _ *BasicUsers) (*BasicUsers, error) { return ParseBasicUsers(name, data) })
}

func open[T any](path string, parse func(string, []byte, *T) (*T, error)) (*File[T], error) {
	f := &File[T]{path: path, parse: parse}
	_, err := f.Reload()
	return f, err
}

// Current is the last good content. It is shared and must not be changed.
func (f *File[T]) Current() *T { return f.current.Load() }

// Reload looks at the file. If it has changed and is good, it holds from now on; if
// it is not, the error says why.
func (f *File[T]) Reload() (changed bool, err error) {
	f.reloading.Lock()
	defer f.reloading.Unlock()
	data, err := f.read()
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return false, fmt.Errorf("%s: %w", f.path, err)
	}
	sum := sha256.Sum256(data)
	before := f.current.Load()
	if before != nil && sum == f.sum {
		return false, nil
	}
	next, err := f.parse(f.path, data, before)
	if err != nil {
		return false, err
	}
	f.current.Store(next)
	f.sum = sum
	return true, nil
}

func (f *File[T]) read() ([]byte, error) {
	data, err := readFile(f.path)
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, err
}

// readFile reads a file as far as maxFile, and a byte more of one that is larger.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}
