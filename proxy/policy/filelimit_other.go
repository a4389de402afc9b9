//go:build !unix

package policy

// openFileLimit is not known on systems without RLIMIT_NOFILE.
func openFileLimit() (uint64, bool) { return 0, false }
