//go:build unix

package policy

import "syscall"

// openFileLimit is how many files the process may open. Go has raised the soft
// limit to the hard one when the process began.
func openFileLimit() (uint64, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return uint64(limit.Cur), true
}
