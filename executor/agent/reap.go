package agent

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// reap waits for every child of this process, including adopted orphans, until the process ends.
// It sends the exit status of pid once. The process must not wait for children in any other
// way.
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
			case err != nil: // no child; an orphan may arrive later
				<-child
			case got == pid:
				ended <- status
				pid = 0 // the kernel may reuse the PID
			}
		}
	}()
	return ended
}
