package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spliceMin is the least that is spliced. Below it two copies through a read
	// buffer cost less than the pipe's two calls for each piece of what is there.
	spliceMin = 64 << 10
	// pipeSize is how much one splice takes at most. The kernel gives non-root users
	// less once they have many pipes; splicing then only takes more calls.
	pipeSize = 1 << 20
	// maxIdlePipes bounds the pipes that are kept for the next who splices.
	maxIdlePipes = 64
)

// pipe is where the kernel keeps what it moves from one socket to another, without a
// copy into this process.
type pipe struct {
	r, w int // its two ends
	n    int // bytes in it
	want int // bytes to be moved in
	err  error

	fill, drain func(fd uintptr) bool // kept, so that splicing allocates nothing
}

var idlePipes = make(chan *pipe, maxIdlePipes)

func takePipe() (*pipe, error) {
	select {
	case p := <-idlePipes:
		return p, nil
	default:
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	p := &pipe{r: fds[0], w: fds[1]}
	p.fill = func(fd uintptr) bool {
		p.n, p.err = splice(int(fd), p.w, min(p.want, pipeSize))
		return !errors.Is(p.err, unix.EAGAIN)
	}
	p.drain = func(fd uintptr) bool {
		var moved int
		moved, p.err = splice(p.r, int(fd), p.n)
		p.n -= moved
		return !errors.Is(p.err, unix.EAGAIN)
	}
	return p, nil
}

// give lets go of a pipe; one with something in it is of no use to anybody else.
func (p *pipe) give() {
	if p.n == 0 {
		select {
		case idlePipes <- p:
			return
		default:
		}
	}
	_, _ = unix.Close(p.r), unix.Close(p.w)
}

// splices reports whether the next n bytes are better spliced than read.
func (b *wire) splices(n int) bool {
	return n >= spliceMin && b.raw != nil && b.out.raw != nil
}

// splice passes the next n bytes on, none of which are buffered, without reading
// them. The results are those of relay.
func (b *wire) splice(n int) (left int, err error) {
	if err := b.flush(); err != nil {
		return n, err
	}
	b.block()
	b.dry = false
	b.shrink()
	p, err := takePipe()
	if err != nil { // out of descriptors
		return b.copyOn(n)
	}
	defer p.give()
	for n > 0 {
		p.want = n
		if err := b.fillPipe(p); err != nil {
			return n, err
		}
		b.at = time.Now()
		n -= p.n
		if err := b.out.drainPipe(p); err != nil {
			return n, &unwritten{p.n, err}
		}
	}
	return 0, nil
}

// fillPipe waits for some of the bytes that are wanted and moves them into an empty
// pipe.
func (b *wire) fillPipe(p *pipe) error {
	err := b.raw.Read(p.fill)
	switch {
	case err != nil:
		p.n = 0
		return err
	case p.err != nil:
		p.n = 0
		return os.NewSyscallError("splice", p.err)
	case p.n == 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}

// drainPipe writes all that is in a pipe.
func (o *outlet) drainPipe(p *pipe) error {
	began := o.begin(p.n)
	defer o.end(began)
	for p.n > 0 {
		if err := o.raw.Write(p.drain); err != nil {
			return err
		}
		if p.err != nil {
			return os.NewSyscallError("splice", p.err)
		}
	}
	return nil
}

// splice moves up to n bytes; it returns 0 bytes with every error.
func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == nil {
			return int(moved), nil
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, err
		}
	}
}
