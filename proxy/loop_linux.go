package proxy

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxEvents is how many sockets one look at a loop's epoll brings at most.
const maxEvents = 128

// loop runs the halves of some connections as their sockets become readable. Its
// epoll descriptor is itself watched by the runtime's poller, so that an idle loop
// holds no thread.
type loop struct {
	running *sync.WaitGroup // of its gateway
	file    *os.File        // the epoll descriptor
	raw     syscall.RawConn

	// What follows belongs to whoever is the loop's goroutine.
	events  [maxEvents]unix.EpollEvent
	n, next int // events[next:n] have not been handled
	queue   []*half
	at      int     // queue[at:] has not been handled
	again   []*half // those who have not read all that there is, and let others go first
	look    func(fd uintptr) bool

	goOn func() // serve, for another goroutine; kept, so that handing over allocates nothing

	mu     sync.Mutex
	halves []*half // by id; nil: free
	free   []int32
}

// startLoops starts a loop for each processor, until ctx ends.
func startLoops(ctx context.Context, running *sync.WaitGroup) ([]*loop, error) {
	var all []*loop
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop(running)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
		context.AfterFunc(ctx, func() { _ = l.file.Close() })
		running.Go(l.serve)
	}
	return all, nil
}

func newLoop(running *sync.WaitGroup) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &loop{running: running, file: os.NewFile(uintptr(fd), "epoll")}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, err
	}
	l.look = l.lookOnce
	l.goOn = func() {
		defer running.Done()
		l.serve()
	}
	return l, nil
}

// add has the loop run h whenever the socket becomes readable. After an error h is as
// before, and may have a goroutine instead.
func (l *loop) add(raw syscall.RawConn, h *half) error {
	h.loop = l // before anybody can find it: events of who had its id before may still come
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		h.id, l.free = l.free[n-1], l.free[:n-1]
		l.halves[h.id] = h
	} else {
		h.id = int32(len(l.halves))
		l.halves = append(l.halves, h)
	}
	l.mu.Unlock()
	var failed error
	err := l.raw.Control(func(epoll uintptr) {
		err := raw.Control(func(fd uintptr) {
			// Edge-triggered: a half reads until nothing is left, and is told of what comes later.
			event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: h.id}
			failed = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, int(fd), &event))
		})
		failed = errors.Join(failed, err)
	})
	if err = errors.Join(err, failed); err != nil {
		l.remove(h)
		h.loop = nil
		return err
	}
	if !h.state.CompareAndSwap(halfRunning, halfParked) { // woken meanwhile
		h.state.Store(halfRunning)
		l.running.Go(func() { h.turn(false) })
	}
	return nil
}

// remove forgets a half. Its socket leaves the loop when it is closed.
func (l *loop) remove(h *half) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.halves[h.id] == h {
		l.halves[h.id] = nil
		l.free = append(l.free, h.id)
	}
}

// serve is the loop, for as long as the goroutine is its own.
func (l *loop) serve() {
	for {
		var h *half
		switch {
		case l.next < l.n:
			h = l.woken(&l.events[l.next])
			l.next++
		case l.at < len(l.queue):
			h = l.queue[l.at]
			l.at++
		default:
			l.n, l.next = 0, 0
			clear(l.queue)
			l.queue, l.again, l.at = l.again, l.queue[:0], 0
			if l.raw.Read(l.look) != nil {
				l.end()
				return
			}
		}
		if h != nil && !h.turn(true) {
			return // it was handed over
		}
	}
}

// end gives each half that was to run again a goroutine: nobody else would run it, and
// its connection would never end.
func (l *loop) end() {
	for _, h := range l.queue {
		l.running.Go(func() { h.turn(false) })
	}
	l.queue = nil
}

// woken is the half that an event makes run, nil if it runs already.
func (l *loop) woken(e *unix.EpollEvent) *half {
	l.mu.Lock()
	h := l.halves[e.Fd] // another one, if that of the event was removed just now: it will look for nothing
	l.mu.Unlock()
	if h == nil {
		return nil
	}
	if e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		h.hup.Store(true)
	}
	if !h.begin() {
		return nil
	}
	return h
}

// lookOnce takes what is readable; false makes the runtime wait for more.
func (l *loop) lookOnce(fd uintptr) bool {
	n, err := events(int(fd), l.events[:])
	l.n = n
	return l.n > 0 || len(l.queue) > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// later has h run again once others had their turn.
func (l *loop) later(h *half) { l.again = append(l.again, h) }

// handOver has another goroutine go on with the loop.
func (l *loop) handOver() {
	l.running.Add(1)
	go l.goOn()
}
