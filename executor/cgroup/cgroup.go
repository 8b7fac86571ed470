// Package cgroup counts what the kernel did to a container's processes because of its limits. It
// reads the host's control group files (cgroups(7), version 1 or 2), which a container cannot
// change.
package cgroup

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"

	"gitlab-sysbox-executor/executor/walk"
)

// Group is the location of a container's control groups on this machine: the folder for each
// controller, empty if unknown.
type Group struct {
	Memory string `json:"memory,omitempty"`
	Pids   string `json:"pids,omitempty"`
}

// Of finds the control groups of a container by its ID, which their paths contain, and by one of
// its processes on this machine.
func Of(pid int, container string) (Group, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return Group{}, err
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "cgroup" && m.FSType != "cgroup2", false
	})
	if err != nil {
		return Group{}, err
	}
	g := Group{Memory: folder(string(text), mounts, "memory", container), Pids: folder(string(text), mounts, "pids", container)}
	for _, f := range []*string{&g.Memory, &g.Pids} {
		if info, err := os.Stat(*f); err != nil || !info.IsDir() {
			*f = ""
		}
	}
	if g == (Group{}) {
		return g, fmt.Errorf("no control group of container %s was found on this machine", container)
	}
	return g, nil
}

// folder returns a container's group for one controller, from /proc/PID/cgroup of one of its
// processes. The process may be in a group below: Sysbox and systemd create some.
func folder(text string, mounts []*mountinfo.Info, controller, container string) string {
	path, version := groupPath(text, controller)
	at := strings.Index(path, container)
	if at < 0 || container == "" {
		return ""
	}
	if end := strings.IndexByte(path[at:], '/'); end >= 0 {
		path = path[:at+end]
	}
	for _, m := range mounts {
		if version == 1 && (m.FSType != "cgroup" || !slices.Contains(strings.Split(m.VFSOptions, ","), controller)) ||
			version == 2 && m.FSType != "cgroup2" {
			continue
		}
		// The root differs if only a part of the tree is mounted, as in a container.
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(m.Root, "/")); ok && filepath.IsLocal(strings.TrimPrefix(below, "/")) {
			return filepath.Join(m.Mountpoint, below)
		}
	}
	return ""
}

// groupPath returns the path of a controller in /proc/PID/cgroup. A controller without a
// version 1 hierarchy is in version 2, on the line with number 0.
func groupPath(text, controller string) (path string, version int) {
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if slices.Contains(strings.Split(fields[1], ","), controller) {
			return fields[2], 1
		}
		if fields[0] == "0" && fields[1] == "" {
			path, version = fields[2], 2
		}
	}
	return path, version
}

// Events count what happened because of limits.
type Events struct {
	OOMKills int64 // processes that were killed because memory ran out
	Refused  int64 // processes that were not started because of the limit on their number
}

// Since returns the events after before.
func (e Events) Since(before Events) Events {
	return Events{max(0, e.OOMKills-before.OOMKills), max(0, e.Refused-before.Refused)}
}

// The limits of reading: a job creates groups below its own.
const (
	mostTime  = 100 * time.Millisecond
	longest   = 4 << 10 // of a file, in bytes
	mostDepth = 30
)

// mostEntries counts files; each group has about 40.
const mostEntries = 20_000

// Events reads the counters. An unreadable counter and one of a removed group count as 0.
func (g Group) Events() Events {
	return Events{
		// memory.oom_control (version 1, Linux 4.13) counts events of one group,
		// memory.events (version 2) also those of the groups below.
		OOMKills: sum(g.Memory, map[string]string{"memory.events": "oom_kill", "memory.oom_control": "oom_kill"}),
		// In version 1, and in version 2 before Linux 6.11, the event counts in the group of
		// the new process (kernel/cgroup/pids.c).
		Refused: sum(g.Pids, map[string]string{"pids.events": "max"}),
	}
}

// sum adds the counters of a group and of all groups below, each by its file and key.
func sum(group string, counters map[string]string) (n int64) {
	if group == "" {
		return 0
	}
	add := func(dir string) {
		for file, key := range counters {
			if text, err := read(filepath.Join(dir, file)); err == nil {
				n += counter(text, key)
			}
		}
	}
	add(group)
	f, err := walk.Open(group)
	if err != nil {
		return n
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), mostTime)
	defer cancel()
	// After an error the sum covers the groups visited so far.
	_ = walk.Tree(ctx, f, walk.Limits{Entries: mostEntries, Depth: mostDepth}, func(e *walk.Entry) error {
		if e.IsDir() {
			add(filepath.Join(group, e.Path()))
		}
		return nil
	})
	return n
}

func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longest))
	return string(text), err
}

// counter returns the value of a key in a file of lines "key value"; 0 if it is missing.
func counter(text, key string) int64 {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != key {
			continue
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			return min(n, mostCount)
		}
	}
	return 0
}

// mostCount is above any real count, and the sum over all groups does not overflow.
const mostCount = 1 << 40
