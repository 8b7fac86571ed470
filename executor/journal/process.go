package journal

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process tells one process from every other that this machine ever runs: a
// number alone is given again.
type Process struct {
	PID     int    `json:"pid,omitempty"`
	Started uint64 `json:"started,omitempty"` // clock ticks since boot (proc_pid_stat(5))
	Command string `json:"command,omitempty"`
	Boot    string `json:"boot,omitempty"`          // /proc/sys/kernel/random/boot_id
	Space   string `json:"pid_namespace,omitempty"` // where PID counts
}

// State is what can be said of a process.
type State int

// The states of a process.
const (
	Unknown State = iota // its number counts in a name space that is not ours
	Alive
	Ended
)

// Owner is the process that drives the caller's job: GitLab Runner, which is
// this process's parent or, where a script calls us, further up.
func Owner() Process {
	parent := describe(os.Getppid())
	for p, steps := parent, 0; p.PID > 1 && steps < 8; steps++ {
		if strings.Contains(p.Command, "gitlab-runner") {
			return p
		}
		_, up, err := stat(p.PID)
		if err != nil {
			break
		}
		p = describe(up)
	}
	return parent
}

func describe(pid int) Process {
	p := Process{PID: pid, Boot: boot(), Space: space()}
	p.Started, _, _ = stat(pid)
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err == nil {
		p.Command = strings.TrimSpace(string(name))
	}
	return p
}

// State tells whether the process still lives. The clock plays no part in it.
func (p Process) State() State {
	switch {
	case p.PID == 0:
		return Unknown
	case p.Boot != boot():
		return Ended // with the machine's last run
	case p.Space != space():
		return Unknown
	}
	started, _, err := stat(p.PID)
	if err != nil || started != p.Started {
		return Ended
	}
	return Alive
}

func boot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

func space() string {
	link, _ := os.Readlink("/proc/self/ns/pid")
	return link
}

// stat reads when a process was started and who its parent is. A zombie is no
// process any more.
func stat(pid int) (started uint64, parent int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is the command in brackets and may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, 0, os.ErrProcessDone
	}
	if parent, err = strconv.Atoi(fields[1]); err != nil {
		return 0, 0, err
	}
	started, err = strconv.ParseUint(fields[19], 10, 64)
	return started, parent, err
}
