// Package sysbox is what Sysbox wants of a container and what it refuses, as
// plain values: nothing here speaks to an engine.
package sysbox

import (
	"path"
	"slices"
	"strings"
)

// Init is the one first argument by which Sysbox knows that a container runs
// systemd (sysbox-runc, libsysbox/syscont/spec.go, systemdInit).
const Init = "/sbin/init"

// StopSignal asks systemd to power off (systemd(1), SIGRTMIN+3).
const StopSignal = "SIGRTMIN+3"

// initPaths are the names under which images start systemd.
var initPaths = []string{
	Init, "/usr/sbin/init", "/bin/init", "/usr/bin/init",
	"/bin/systemd", "/usr/bin/systemd", "/lib/systemd/systemd", "/usr/lib/systemd/systemd",
}

// Command is what the first process of a container would be.
type Command struct {
	// Systemd tells that the command starts systemd.
	Systemd bool
	// Args are systemd's own arguments.
	Args []string
	// Corrected tells that Sysbox would not have seen it.
	Corrected bool
	// Behind is the entrypoint that is to start systemd in the end; empty without
	// one. Systemd is false then: only the entrypoint itself knows.
	Behind string
}

// Recognise tells whether a container whose image or job gives entrypoint and
// command would start systemd: directly, or in a shell that does nothing else.
func Recognise(entrypoint, command []string) Command {
	argv := slices.Concat(entrypoint, command)
	if c, ok := starts(argv); ok {
		return c
	}
	if len(entrypoint) > 0 {
		if _, ok := starts(command); ok {
			return Command{Behind: entrypoint[0]}
		}
	}
	return Command{}
}

func starts(argv []string) (Command, bool) {
	if len(argv) == 0 {
		return Command{}, false
	}
	if slices.Contains(initPaths, argv[0]) {
		return Command{Systemd: true, Args: argv[1:], Corrected: argv[0] != Init}, true
	}
	if len(argv) < 3 || !slices.Contains([]string{"sh", "bash", "dash", "ash"}, path.Base(argv[0])) ||
		!slices.Contains([]string{"-c", "-ec", "-lc"}, argv[1]) {
		return Command{}, false
	}
	words, ok := plainWords(argv[2])
	if !ok {
		return Command{}, false
	}
	if len(words) > 0 && words[0] == "exec" {
		words = words[1:]
	}
	c, ok := starts(words)
	c.Corrected = true
	return c, ok
}

// plainWords splits a shell text in which nothing has a meaning to the shell.
func plainWords(text string) ([]string, bool) {
	for _, r := range text {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" \t\n/._-+=:,@%", r)) {
			return nil, false
		}
	}
	if strings.Contains(strings.TrimSpace(text), "\n") {
		return nil, false // two commands
	}
	return strings.Fields(text), true
}
