// Package sysbox has the requirements and restrictions of Sysbox for a container, as plain
// values. It does not talk to an engine.
package sysbox

import (
	"path"
	"slices"
	"strings"
)

// Init is the only first argument by which Sysbox recognises a container that runs systemd
// (sysbox-runc, libsysbox/syscont/spec.go, systemdInit).
const Init = "/sbin/init"

// StopSignal asks systemd to power off (systemd(1), SIGRTMIN+3).
const StopSignal = "SIGRTMIN+3"

// StopNumber is that signal's number with the GNU C library, with which systemd is built.
const StopNumber = "37"

// initPaths are the paths under which images start systemd.
var initPaths = []string{
	Init, "/usr/sbin/init", "/bin/init", "/usr/bin/init",
	"/bin/systemd", "/usr/bin/systemd", "/lib/systemd/systemd", "/usr/lib/systemd/systemd",
}

// Command describes the first process of a container.
type Command struct {
	// Systemd means that the command starts systemd.
	Systemd bool
	// Args are systemd's own arguments.
	Args []string
	// Corrected means that Sysbox would not have recognised systemd.
	Corrected bool
	// Behind is an entrypoint that may start systemd as its command; otherwise empty. Systemd
	// is false then, because only the entrypoint determines it.
	Behind string
}

// Recognise reports whether a container with this entrypoint and command would start systemd:
// directly, or in a shell that does nothing else.
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

// plainWords splits a shell text that contains no special characters.
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
