//go:build unix && !linux

package kafka

import "syscall"

// ownGroup gives a child its own process group, so that it can be stopped with
// all that it starts.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
