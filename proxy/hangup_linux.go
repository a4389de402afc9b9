package proxy

import "golang.org/x/sys/unix"

// pollHangUp asks the kernel whether the peer of a socket has sent its FIN or a reset.
func pollHangUp(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
