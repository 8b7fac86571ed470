package teardown

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

// shimPatience is how long a removed container's shim may take to end by itself.
const shimPatience = 2 * time.Second

// EndShims ends the processes of a container that the engine has removed: its shim and the
// shim's descendants. An engine that was killed while it started a container does not know
// them after its restart. ID is the container's full ID. Processes on other machines are not
// found.
func EndShims(ctx context.Context, id string) {
	for began := time.Now(); ctx.Err() == nil; {
		pids := shims(ctx, id)
		if len(pids) == 0 || time.Since(began) > 2*shimPatience {
			return
		}
		if time.Since(began) > shimPatience {
			for _, pid := range append(below(pids), pids...) {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by itself
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// shims returns the processes of containerd that serve the container: their command lines
// contain "-id ID". It does not read the command line of a process in another PID namespace,
// which belongs to a container: it may contain any text, and the process can block its
// reader.
func shims(ctx context.Context, id string) []int {
	ours, _ := os.Readlink("/proc/self/ns/pid")
	var found []int
	for _, pid := range processes() {
		if ctx.Err() != nil {
			return nil
		}
		if theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || theirs != ours {
			continue
		}
		args := strings.Split(start(pid, "cmdline"), "\x00")
		if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") {
			continue
		}
		if i := slices.Index(args, "-id"); i > 0 && i+1 < len(args) && args[i+1] == id {
			found = append(found, pid)
		}
	}
	return found
}

// below returns the descendants of the processes.
func below(roots []int) []int {
	children := map[int][]int{}
	for _, pid := range processes() {
		if s, err := proc.ReadStat(pid); err == nil {
			children[s.Parent] = append(children[s.Parent], pid)
		}
	}
	var all []int
	for next := roots; len(next) > 0; {
		var deeper []int
		for _, pid := range next {
			deeper = append(deeper, children[pid]...)
		}
		all = append(all, deeper...)
		next = deeper
	}
	return all
}
