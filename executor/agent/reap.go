package agent

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// reap waits for every child of this process, orphans it was given included, and
// tells how pid ended, once. The process must not wait for children in any other
// way. It goes on until the process ends.
func reap(pid int) <-chan syscall.WaitStatus {
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	ended := make(chan syscall.WaitStatus, 1)
	go func() {
		for {
			var status syscall.WaitStatus
			got, err := syscall.Wait4(-1, &status, 0, nil)
			switch {
			case errors.Is(err, syscall.EINTR):
			case err != nil: // no child at all: one may come yet, as an orphan
				<-child
			case got == pid:
				ended <- status
				pid = 0 // its number may be given again
			}
		}
	}()
	return ended
}
