// Package proc reads the kernel's information on processes (proc(5)).
package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Stat is the content of /proc/PID/stat.
type Stat struct {
	State   byte   // "R", "S", "D", "T", "Z", "X" and others (proc_pid_stat(5))
	Parent  int    // 0 if it has none in this PID namespace
	Started uint64 // clock ticks since boot
}

// Dead reports whether the process has ended and its parent has not waited for it yet.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' }

// ReadStat reads /proc/PID/stat. For a missing process the error is fs.ErrNotExist or ESRCH.
func ReadStat(pid int) (Stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, err
	}
	return parseStat(string(text))
}

func parseStat(text string) (s Stat, err error) {
	// The second field is the command in brackets and may contain any character, including
	// spaces and brackets.
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

// Parent returns the PID of a process's parent; 0 if unknown.
func Parent(pid int) int {
	s, err := ReadStat(pid)
	if err != nil {
		return 0
	}
	return s.Parent
}

// Started returns the start time of a process in clock ticks since boot; 0 if it is gone.
func Started(pid int) uint64 {
	s, err := ReadStat(pid)
	if err != nil {
		return 0
	}
	return s.Started
}

// listPortion is the number of names of /proc that are read at a time.
const listPortion = 1024

// List returns the PIDs of all processes in this PID namespace, ascending. A process that starts
// meanwhile may be missing. With an error it returns the PIDs read so far.
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
