package teardown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/proc"
)

// Holder is a process that keeps something from being removed. What its container
// chose is in quotes and cut.
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

// Names are the holders as text.
func Names(holders []Holder) []string {
	var names []string
	for _, h := range holders {
		names = append(names, h.String())
	}
	return names
}

// maxHolders is how many are named: the first one found usually says it all.
const maxHolders = 5

// Holders finds, in one look, processes that use the paths, which are there, or
// something below them: by a mount, as working folder or root, or as an open file.
// It returns them by path, and what was not looked at, which is empty where all was.
func Holders(ctx context.Context, paths []string) (holders map[string][]Holder, gaps string) {
	l := lookFor(ctx, targets(ctx, paths), true)
	holders = map[string][]Holder{}
	for _, s := range l.found {
		holders[s.Path] = s.holders()
	}
	return holders, l.gaps()
}

// holders are at most maxHolders, each process once.
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

// containerID is how engines name a container's cgroup.
var containerID = regexp.MustCompile(`[0-9a-f]{64}`)

func holder(pid int, how string) Holder {
	h := Holder{PID: pid, How: how, Command: "?"}
	// Not the command line: it may hold a secret, and a process can keep whoever reads
	// it waiting.
	if name := strings.TrimSuffix(start(pid, "comm"), "\n"); name != "" {
		h.Command = fault.Quote(name)
	}
	h.Container = containerID.FindString(start(pid, "cgroup"))
	return h
}

// start is the beginning of a file below a process's /proc folder; empty where the
// process has ended.
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
	pids, _ := proc.List() // what was read before an error is as good
	return pids
}
