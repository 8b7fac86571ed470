// Package owner identifies the process that drives a job and the first process of its container, so that later
// processes recognise them, and finds out whether they still live.
package owner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

// Process identifies one process among all processes that ever run on this machine. A PID alone does not,
// because the kernel reuses it.
type Process struct {
	PID     int    `json:"pid,omitempty"`
	Started uint64 `json:"started,omitempty"` // clock ticks since boot (proc_pid_stat(5))
	Command string `json:"command,omitempty"`
	Boot    string `json:"boot,omitempty"`          // /proc/sys/kernel/random/boot_id
	Space   string `json:"pid_namespace,omitempty"` // namespace of PID
	Machine string `json:"machine,omitempty"`       // machine-id(5), or the host name
	// At is the time of writing, in seconds since boot, because this clock is never set.
	At int64 `json:"at,omitempty"`
}

// String formats p for Parse. The text is valid as a label.
func (p Process) String() string {
	return fmt.Sprintf("%d/%d/%s/%s/%s/%d", p.PID, p.Started, p.Boot, p.Space, p.Machine, p.At)
}

// Parse reads the text of String; zero if it is not valid.
func Parse(text string) Process {
	fields := strings.Split(text, "/")
	if len(fields) != 6 {
		return Process{}
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil {
		return Process{}
	}
	started, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Process{}
	}
	at, err := strconv.ParseInt(fields[5], 10, 64)
	if err != nil {
		return Process{}
	}
	return Process{PID: pid, Started: started, Boot: fields[2], Space: fields[3], Machine: fields[4], At: at}
}

// State is the state of a process.
type State int

// The states.
const (
	Unknown State = iota // its PID belongs to another machine or PID namespace
	Alive
	Ended
)

// shells are programs that run scripts which call this program. A script may end before the job.
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox", "env", "sudo", "nice"}

// Current is the owner process of the caller's job: GitLab Runner. It is this process's parent or, if there are
// scripts in between, a more distant ancestor. It may be the first process of a container. If several ancestors
// match, the topmost is taken: it outlives the others.
func Current() Process { return Describe(choose(ancestors(), program)) }

// Label is Current as the value of a label. It is determined only once.
var Label = sync.OnceValue(func() string { return Current().String() })

// ancestors are this process's ancestors, the nearest first.
func ancestors() []int {
	var chain []int
	for pid := os.Getppid(); pid > 0 && len(chain) < 64; {
		chain = append(chain, pid)
		s, err := proc.ReadStat(pid)
		if err != nil || s.Dead() {
			break
		}
		pid = s.Parent
	}
	return chain
}

// IsAncestor reports whether p lives and is one of this process's ancestors.
func (p Process) IsAncestor() bool {
	return p.State(false) == Alive && slices.Contains(ancestors(), p.PID)
}

// choose selects the ancestor that is GitLab Runner or, if there is none, the nearest that is not a shell. The
// ancestors are ordered from the nearest.
func choose(ancestors []int, program func(pid int) string) int {
	for _, pid := range slices.Backward(ancestors) {
		if strings.Contains(program(pid), "gitlab-runner") {
			return pid
		}
	}
	for _, pid := range ancestors {
		if !slices.Contains(shells, program(pid)) {
			return pid
		}
	}
	return os.Getppid()
}

// program is the name of the executable of a process. For a script this is the interpreter, while the kernel's
// process name (comm) is the name of the script.
func program(pid int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil { // a process of another user
		return command(pid)
	}
	return strings.TrimSuffix(filepath.Base(path), " (deleted)")
}

// Describe identifies a process by its PID.
func Describe(pid int) Process {
	p := Process{PID: pid, Boot: Boot(), Space: space(), Machine: machine(), At: int64(sinceBoot() / time.Second)}
	p.Started = proc.Started(pid)
	p.Command = command(pid)
	return p
}

func command(pid int) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(name))
}

// State reports whether the process still lives. It does not depend on the wall clock. Ours means that p is from
// this machine's state folder: then a process of another boot has ended with that boot. Otherwise the process may
// live on a copy of this machine, which has the same machine ID.
func (p Process) State(ours bool) State {
	switch {
	case p.PID == 0, p.Machine != machine():
		return Unknown
	case p.Boot != Boot() && ours:
		return Ended
	case p.Boot != Boot():
		return Unknown
	case p.Space != space():
		return Unknown
	}
	if s, err := proc.ReadStat(p.PID); err != nil || s.Dead() || s.Started != p.Started {
		return Ended
	}
	return Alive
}

// Age is the time since p was written; false if that was on another machine or before this machine started.
func (p Process) Age() (time.Duration, bool) {
	if p.Machine != machine() || p.Boot != Boot() {
		return 0, false
	}
	return sinceBoot() - time.Duration(p.At)*time.Second, true
}

// sinceBoot is the time since the machine started, including suspended time.
func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // every kernel since 2.6.39 has this clock
	return time.Duration(t.Nano())
}

// Boot identifies the present boot of this machine.
func Boot() string { return bootID() }

var bootID = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
})

func space() string {
	link, _ := os.Readlink("/proc/self/ns/pid") // pid:[4026531836]
	return strings.Trim(link, "pid:[]")
}

var machine = sync.OnceValue(func() string {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) > 1 {
		return strings.TrimSpace(string(id))
	}
	name, _ := os.Hostname()
	return name
})
