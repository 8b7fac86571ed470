package leftovers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

// process is a line of the process table.
type process struct {
	pid, parent int
	started     uint64 // in clock ticks since boot: with the pid it is unique
	command     string
	program     string
}

// processes finds the drivers that run and, through the shims that the
// engine's containerd starts, everything in containers.
func (s Scope) processes(ctx context.Context, found Snapshot) error {
	table, err := readProcesses()
	if err != nil {
		return err
	}
	containers, err := s.ownContainers(ctx)
	if err != nil {
		return err
	}
	for _, p := range table {
		// The kernel marks a binary that was removed.
		driver := s.Driver != "" && strings.TrimSuffix(p.program, " (deleted)") == s.Driver
		if driver && s.Owns != nil {
			driver = strings.Contains(p.command, s.Owns.Dir+"/")
		}
		if driver || s.inContainer(table, p, containers) {
			found[fmt.Sprintf("process %d started at %d (%s)", p.pid, p.started, p.command)] = true
		}
	}
	return nil
}

// ownContainers are the IDs of the owner's containers.
func (s Scope) ownContainers(ctx context.Context) (ids []string, err error) {
	if !s.shared() {
		return nil, nil
	}
	all, err := s.Engine.Containers(ctx)
	for _, o := range all {
		if s.owns(o) {
			ids = append(ids, o.ID)
		}
	}
	return ids, err
}

func (s Scope) inContainer(table map[int]process, p process, containers []string) bool {
	for seen := 0; seen < 100; seen++ { // the table was read while it changed: no chain without end
		if strings.Contains(p.command, "containerd-shim") && strings.Contains(p.command, s.EngineDir+"/") {
			return !s.shared() || slices.ContainsFunc(containers, func(id string) bool { return strings.Contains(p.command, id) })
		}
		parent, ok := table[p.parent]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

func readProcesses() (map[int]process, error) {
	pids, err := proc.List()
	if err != nil {
		return nil, err
	}
	table := map[int]process{}
	for _, pid := range pids {
		stat, err := proc.ReadStat(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		} else if err != nil {
			return nil, err
		}
		dir := fmt.Sprintf("/proc/%d", pid)
		name, _ := os.ReadFile(dir + "/comm")
		p := process{pid: pid, parent: stat.Parent, started: stat.Started, command: strings.TrimSpace(string(name))}
		if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
			p.command = string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte(" ")))
		}
		p.program, _ = os.Readlink(dir + "/exe") // a kernel thread has none
		table[p.pid] = p
	}
	return table, nil
}
