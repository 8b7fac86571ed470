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

// shimPatience is how long a removed container's shim has to end by itself.
const shimPatience = 2 * time.Second

// EndShims ends what runs on of a container that the engine has removed: its shim
// and what lives below it. An engine that was killed in the middle of a start
// knows nothing of them when it is back. Id is the container's whole ID; what is
// not on this machine is not seen.
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

// shims are the processes of containerd's that serve the container: their
// command lines say "-id ID". A process in another PID name space is a container's. It
// may call itself what it likes, and can keep whoever reads its command line waiting
// for as long as it likes, so that is not read.
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

// below are the descendants of the processes.
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
