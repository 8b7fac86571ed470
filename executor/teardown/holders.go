package teardown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/proc"
	"gitlab-sysbox-executor/lazyregexp"
)

// Holder is a process that prevents the removal of a resource. Texts from its container are
// quoted and cut.
type Holder struct {
	PID       int    `json:"pid"`
	Command   string `json:"command"`
	Container string `json:"container,omitempty"` // ID
	How       string `json:"how"`
}

func (h Holder) String() string {
	in := ""
	if h.Container != "" {
		in = fmt.Sprintf(" in container %.12s", h.Container)
	}
	return fmt.Sprintf("process %d (%s)%s: %s", h.PID, h.Command, in, h.How)
}

// Names returns the holders as text.
func Names(holders []Holder) []string {
	var names []string
	for _, h := range holders {
		names = append(names, h.String())
	}
	return names
}

// maxHolders bounds the holders in a message: the first one usually explains the problem.
const maxHolders = 5

// Holders finds the processes that use existing paths or files below them, in one pass: by a
// mount, as working folder or root, or as an open file. It returns them by path, and a
// description of what it could not check, which is empty if it checked everything.
func Holders(ctx context.Context, paths []string) (holders map[string][]Holder, gaps string) {
	l := lookFor(ctx, targets(ctx, paths), true)
	holders = map[string][]Holder{}
	for _, s := range l.found {
		holders[s.Path] = s.holders()
	}
	return holders, l.gaps()
}

// holders returns at most maxHolders holders, each process once.
func (s seen) holders() []Holder {
	var all []Holder
	for _, sp := range s.spaces {
		if !sp.copied && len(all) < maxHolders {
			all = append(all, holder(sp.Processes[0].PID, "mount of "+s.Path+" at "+fault.Quote(sp.At)))
		}
	}
	for _, st := range s.stands {
		if len(all) < maxHolders && !slices.ContainsFunc(all, func(h Holder) bool { return h.PID == st.PID }) {
			all = append(all, holder(st.PID, st.How+" in "+s.Path))
		}
	}
	return all
}

// containerID matches the ID of a container in the name of its cgroup.
var containerID = lazyregexp.New(`[0-9a-f]{64}`)

func holder(pid int, how string) Holder {
	h := Holder{PID: pid, How: how, Command: "?"}
	// The command line is not read: it may contain a secret, and a process can block its
	// reader.
	if name := strings.TrimSuffix(start(pid, "comm"), "\n"); name != "" {
		h.Command = fault.Quote(name)
	}
	h.Container = containerID().FindString(start(pid, "cgroup"))
	return h
}

// start returns the beginning of a file below a process's /proc folder; empty if the process has
// ended.
func start(pid int, name string) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	text := make([]byte, 4096)
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return string(text[:n])
}

func processes() []int {
	pids, _ := proc.List() // an incomplete list is useful, too
	return pids
}
