package agent

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// reaper waits for every child of this process, including adopted orphans, until the process ends.
// After run the process must not wait for children in any other way.
type reaper struct {
	mu      sync.Mutex // held while a child starts: its end must not be seen before its PID is known
	waiting map[int]chan syscall.WaitStatus
}

// start starts a child, and sends its exit status once.
func (r *reaper) start(child func() (pid int, err error)) (<-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := child()
	if err != nil {
		return nil, err
	}
	if r.waiting == nil {
		r.waiting = map[int]chan syscall.WaitStatus{}
	}
	ended := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = ended
	return ended, nil
}

// run begins to wait for children.
func (r *reaper) run() {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGCHLD)
	go func() {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, 0, nil)
			switch {
			case errors.Is(err, syscall.EINTR):
			case err != nil: // no child; an orphan may arrive later
				<-changed
			default:
				r.ended(pid, status)
			}
		}
	}()
}

func (r *reaper) ended(pid int, status syscall.WaitStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ended := r.waiting[pid]; ended != nil {
		ended <- status
		delete(r.waiting, pid) // the kernel may reuse the PID
	}
}
