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

// tree is all processes below one: those it started, those they started, and the
// orphans that the kernel gave it because it is their subreaper or the first
// process.
type tree struct{ root int }

// pids lists the living members, without the root and without zombies.
func (t tree) pids() []int {
	// A process that ends between being listed and being looked at may have had a
	// child that the list does not have yet.
	for range 50 {
		if members, whole := t.look(); whole || len(members) > 0 {
			return members
		}
	}
	return nil
}

// empty tells whether there are no members. Of the calling process's own, one that
// goes on as its own child, over and over, may be in no list: the kernel knows.
// Whose parent ends becomes the subreaper's child, so that there is always one.
func (t tree) empty() bool {
	if t.root != os.Getpid() {
		return len(t.pids()) == 0
	}
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == unix.ECHILD
}

// look goes through the processes once; whole tells that none ended meanwhile.
func (t tree) look() (members []int, whole bool) {
	pids, err := proc.List()
	if err != nil {
		return nil, false // for want of a descriptor or of memory
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
		_ = syscall.Kill(pid, s) // ended meanwhile, or not ours to signal: the next look tells
	}
	return members
}

// end asks every member to end, waits up to grace, then kills until none is
// left. It returns those that could not be killed in a bounded time.
func (t tree) end(grace time.Duration) []int {
	if t.empty() {
		return nil
	}
	t.signal(syscall.SIGTERM)
	t.signal(syscall.SIGCONT) // a stopped process cannot act on its TERM
	if t.gone(grace) {
		return nil
	}
	// Processes that are started while we look are found in the next round.
	for deadline := time.Now().Add(killTime); ; {
		members := t.signal(syscall.SIGKILL)
		for range 100 {
			if t.empty() {
				return nil
			}
			t.killChildren()
		}
		if time.Now().After(deadline) {
			return members
		}
		time.Sleep(time.Millisecond)
	}
}

// killChildren kills the calling process's children. That takes a fraction of the
// time in which a process can become its own child. Where the kernel has no list
// of them (CONFIG_PROC_CHILDREN) it does nothing.
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
