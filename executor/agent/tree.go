package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

// tree is all descendants of a process: its children, their children, and the orphans that the
// kernel assigned to it as subreaper or first process.
type tree struct{ root int }

// pids lists the living descendants, without zombies.
func (t tree) pids() []int {
	// A process that ends between the listing and the check may have a child that is not in
	// the list yet.
	for range 50 {
		if members, whole := t.look(); whole || len(members) > 0 {
			return members
		}
	}
	return nil
}

// empty reports whether there are no descendants. A process that forks and exits repeatedly may
// be in no list. For the calling process the kernel has the answer: an orphan becomes a child of
// the subreaper, so that there is always one child.
func (t tree) empty() bool {
	if t.root != os.Getpid() {
		return len(t.pids()) == 0
	}
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == unix.ECHILD
}

// look lists the descendants once; whole means that no process ended meanwhile.
func (t tree) look() (members []int, whole bool) {
	pids, err := proc.List()
	if err != nil {
		return nil, false // out of descriptors or memory
	}
	whole = true
	all := map[int]proc.Stat{}
	for _, pid := range pids {
		p, err := proc.ReadStat(pid)
		if err != nil {
			whole = false
			continue
		}
		all[pid] = p
	}
	for pid, p := range all {
		if pid == t.root || p.Dead() {
			continue
		}
		for up, steps := p.Parent, 0; up != 0 && steps <= len(all); up, steps = all[up].Parent, steps+1 {
			if up == t.root {
				members = append(members, pid)
				break
			}
		}
	}
	return members, whole
}

func (t tree) signal(s syscall.Signal) (members []int) {
	members = t.pids()
	for _, pid := range members {
		_ = syscall.Kill(pid, s) // ended meanwhile, or not permitted; the next listing shows which
	}
	return members
}

// end sends TERM to every descendant, waits up to grace, then repeats KILL until none is left or
// killTime is over. It returns the processes that remain, and whether KILL was needed.
func (t tree) end(grace time.Duration) (left []int, killed bool) {
	if t.empty() {
		return nil, false
	}
	t.signal(syscall.SIGTERM)
	t.signal(syscall.SIGCONT) // a stopped process does not handle TERM
	if t.gone(grace) {
		return nil, false
	}
	// Processes that start during a round are found in the next one.
	for deadline := time.Now().Add(killTime); ; {
		members := t.signal(syscall.SIGKILL)
		for range 100 {
			if t.empty() {
				return nil, true
			}
			t.killChildren()
		}
		if time.Now().After(deadline) {
			return members, true
		}
		time.Sleep(time.Millisecond)
	}
}

// killChildren kills the calling process's children. It takes a fraction of the time that a
// process needs to fork and exit. It does nothing if the kernel has no list of children
// (CONFIG_PROC_CHILDREN).
func (t tree) killChildren() {
	if t.root != os.Getpid() {
		return
	}
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

func (t tree) gone(within time.Duration) bool {
	pause := time.Millisecond
	for deadline := time.Now().Add(within); ; {
		if t.empty() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
}
