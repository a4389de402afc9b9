package proxy

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What follows never waits, so that the runtime need not be told that it might: being
// told costs more than the rest of the way into the kernel, and, while the machine is
// busy, a thread that takes over what does not need it.

// receive reads what is there, as read does.
func receive(fd int, b []byte) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// send writes what the peer takes at once, as write does.
func send(fd int, b []byte) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// events takes what an epoll descriptor has to tell, without waiting.
func events(epoll int, into []unix.EpollEvent) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
