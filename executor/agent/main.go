package agent

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// Main runs a subcommand of the agent and returns the exit code.
func Main(args []string) int {
	// The reader of the output may be gone while there is still work to do. The signal is not ignored,
	// because a script would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if len(args) == 1 && args[0] == "exec" {
		return Exec()
	}
	if len(args) == 1 && args[0] == "enter" {
		return Enter()
	}
	if err := run(args); errors.Is(err, errStopped) {
		return 128 + int(syscall.SIGTERM)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		if errors.Is(err, errKilled) {
			return 128 + int(syscall.SIGKILL)
		}
		return 1
	}
	return 0
}

func run(args []string) error {
	var name string
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch {
	case name == "init" && len(args) == 1:
		return Init(args[0])
	case name == "shift" && len(args) == 2:
		user, err := strconv.ParseUint(args[1], 10, 16)
		if err != nil {
			return fmt.Errorf("shift: %w", err)
		}
		return Shift(args[0], uint32(user))
	case name == "install" && len(args) == 2:
		return InstallAndStay(args[0], args[1])
	case name == "installed" && len(args) == 1:
		return Installed(args[0])
	case name == "image" && len(args) == 1:
		return Image(args[0])
	case name == "print" && len(args) == 1:
		_, err := fmt.Println(args[0])
		return err
	case name == "unpack" && len(args) == 1:
		return Unpack(os.Stdin, args[0])
	case len(args) > 0:
	case name == "ready":
		return Ready()
	case name == "inspect":
		return Inspect(os.Stdin, os.Stdout)
	case name == "look":
		return Look(os.Stdin, os.Stdout)
	case name == "versions":
		return Versions(os.Stdin, os.Stdout)
	case name == "unmount":
		return UnmountNested(os.Stdin, os.Stdout)
	case name == "await":
		return Await(os.Stdin, os.Stdout)
	case name == "tidy":
		return Tidy(os.Stdin, os.Stdout)
	}
	return fmt.Errorf("%q with %d arguments is no subcommand: these are init ORDER, ready, exec, enter, inspect, look, versions, unmount, shift DIR USER, unpack DIR, install DIR ORDER, installed DIR, image FILE, print TEXT, await and tidy", name, len(args))
}
