package kafka

import "syscall"

// ownGroup gives a child its own process group, so that it can be stopped with
// all that it starts, and has the kernel kill it when this process dies without
// having stopped it (as after a test's time-out).
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
