package agent

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"gitlab-sysbox-executor/executor/proc"
)

// The names that a process which runs a script gives itself (proc_pid_comm(5)), so that later ones recognise it.
const (
	withDriver    = "stage"
	withoutDriver = "stage-alone"
)

// setName sets the name of this process. Without it a later stage does not end this one, which then ends by itself.
func setName(name string) { _ = os.WriteFile("/proc/self/comm", []byte(name), 0) }

// nameOf is the name of a process.
func nameOf(pid int) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(name))
}

// noticeTime is how long a stage may take to notice that its driver is gone.
const noticeTime = 200 * time.Millisecond

// endAbandoned ends scripts of earlier stages that wait for a driver: a new stage means that none comes back. It waits
// until their processes have ended.
func endAbandoned() {
	mine, err := os.ReadFile("/proc/self/cmdline")
	self, selfErr := os.Stat("/proc/self/exe")
	if err != nil || selfErr != nil {
		return
	}
	pids, _ := proc.List() // on failure these are as many as it could read
	var others []int
	for _, pid := range pids {
		if pid == os.Getpid() || !strings.HasPrefix(nameOf(pid), withDriver) {
			continue
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		exe, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && bytes.Equal(command, mine) && os.SameFile(exe, self) && syscall.Kill(pid, superseded) == nil {
			others = append(others, pid)
		}
	}
	begun := time.Now()
	for len(others) > 0 && time.Since(begun) < hasteGrace+killTime+signalledTime {
		time.Sleep(5 * time.Millisecond)
		others = slices.DeleteFunc(others, func(pid int) bool {
			p, err := proc.ReadStat(pid)
			return err != nil || p.Dead() || time.Since(begun) > noticeTime && nameOf(pid) != withoutDriver
		})
	}
}
