// Package proc reads what the kernel says of processes (proc(5)).
package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Stat is what /proc/PID/stat says of a process.
type Stat struct {
	State   byte   // "R", "S", "D", "T", "Z", "X" and others (proc_pid_stat(5))
	Parent  int    // 0 where it has none in this PID name space
	Started uint64 // clock ticks since boot
}

// Dead reports whether the process has ended and is only waited for.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' }

// ReadStat reads /proc/PID/stat. A process that is gone is fs.ErrNotExist or ESRCH.
func ReadStat(pid int) (Stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, err
	}
	return parseStat(string(text))
}

func parseStat(text string) (s Stat, err error) {
	// The second field is the command in brackets and may hold anything, blanks and
	// brackets included.
	end := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	if end < 0 || len(fields) < 20 || len(fields[0]) != 1 {
		return s, fmt.Errorf("not the text of a process's stat file: %q", text)
	}
	s.State = fields[0][0]
	if s.Parent, err = strconv.Atoi(fields[1]); err != nil {
		return Stat{}, err
	}
	if s.Started, err = strconv.ParseUint(fields[19], 10, 64); err != nil {
		return Stat{}, err
	}
	return s, nil
}

// Parent is the PID of a process's parent, 0 where that is not known.
func Parent(pid int) int {
	s, err := ReadStat(pid)
	if err != nil {
		return 0
	}
	return s.Parent
}

// Started is when a process was started, in clock ticks since boot; 0 when it is gone.
func Started(pid int) uint64 {
	s, err := ReadStat(pid)
	if err != nil {
		return 0
	}
	return s.Started
}

// listPortion is how many names of /proc are read at a time.
const listPortion = 1024

// List lists the PIDs of all processes in this PID name space, ascending. One that
// is started while the list is made may be missing. With an error it is what was
// read so far.
func List() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var pids []int
	for {
		names, err := dir.Readdirnames(listPortion)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				pids = append(pids, pid)
			}
		}
		if errors.Is(err, io.EOF) {
			return pids, nil
		} else if err != nil {
			return pids, err
		}
	}
}
