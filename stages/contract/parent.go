package contract

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// Parent is the calling process: the Runner. It runs this process in a process group of its
// own, so its death causes no signal here, and no other effect while our output is not read.
type Parent struct{ pid int }

// CallingProcess returns the current parent of this process.
func CallingProcess() Parent { return Parent{os.Getppid()} }

// Gone reports whether the caller has ended: this process then has another parent.
func (p Parent) Gone() bool { return os.Getppid() != p.pid }

// Watch returns a context that ends with ctx or when the caller ends. It needs
// pidfd_open(2), Linux 5.3; Sysbox itself needs 5.12.
func (p Parent) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil || p.Gone() {
		if p.Gone() {
			cancel()
		}
		return ctx, cancel
	}
	go func() {
		defer unix.Close(fd)
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for ctx.Err() == nil {
			// Poll returns every second, so that the goroutine ends with ctx.
			if n, err := unix.Poll(poll, 1000); err != nil && err != unix.EINTR {
				return
			} else if n > 0 {
				cancel()
			}
		}
	}()
	return ctx, cancel
}
