package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// stopGrace bounds how long the first process waits for the others after a request to stop
// the container.
const stopGrace = 2 * time.Second

func notifyStop(c chan<- os.Signal) {
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
}

// Init is the container's first process. It creates the folders, runs the image's entrypoint
// with Ready as its command, and reaps children. On a signal it ends every process and
// unmounts what the job mounted, then it returns.
func Init(request string) error {
	var o InitRequest
	if err := json.Unmarshal([]byte(request), &o); err != nil {
		return fmt.Errorf("agent init: %w", err)
	}
	stop := make(chan os.Signal, 1)
	notifyStop(stop)
	runtimes := mountIDs()
	d := newServer()
	if !o.Unasked {
		if err := d.listen(); err != nil {
			return fmt.Errorf("agent init: %w", err)
		}
	}
	var children reaper
	if !o.Pod {
		starts, err := listenStarts()
		if err != nil {
			return fmt.Errorf("agent init: %w", err)
		}
		// Now, because the inspection takes time to start. It waits for what is settled below.
		go serveStarts(starts, &children)
	}
	// Prepare's questions wait from here on.
	if err := o.readFacts(stop); err != nil {
		return fmt.Errorf("agent init: the image's user: %w", err)
	}
	for _, b := range o.Binds {
		if err := b.make(); err != nil {
			fmt.Fprintf(os.Stderr, "agent init: could not mount a folder at %s: %v\n", b.To, err)
		}
	}
	if err := fitIDs(o.IDs); err != nil {
		fmt.Fprintf(os.Stderr, "agent init: %v\n", err)
	}
	a, err := o.Setup.apply()
	switch {
	case err != nil:
		// Prepare asks for the same setup, gets the same error, and reports it.
		d.settle(handover{State: EntrypointNone, Fault: err.Error()})
	case len(o.Entrypoint) == 0:
		d.settle(handover{State: EntrypointNone})
	default:
		ended, err := children.start(func() (int, error) { return startEntrypoint(o, a) })
		if err != nil {
			d.settle(handover{State: EntrypointExited, Code: 127, Fault: err.Error()})
			break
		}
		go func() { d.settle(handover{State: EntrypointExited, Code: code(<-ended)}) }()
	}
	children.run()
	<-stop
	_, killed := tree{os.Getpid()}.end(stopGrace)
	// This must happen while the mount namespace exists: mounts that outlive it stay busy.
	for _, text := range unmountSince(runtimes).Left {
		fmt.Fprintln(os.Stderr, "agent init: unmounting", text)
	}
	switch {
	case killed:
		return errKilled
	case o.Pod:
		return errStopped
	}
	return nil
}

// errStopped means that the first process was asked to end, and did in order.
var errStopped = errors.New("stopped")

// errKilled means that processes had to be killed. The container's exit code is then that of KILL: the driver
// does not keep a storage volume that was in use.
var errKilled = errors.New("processes did not end on TERM and were killed")

func startEntrypoint(o InitRequest, a account) (int, error) {
	// GitLab's Docker executor appends a shell command to an entrypoint, so images for
	// GitLab CI expect one.
	argv := append(o.Entrypoint[:len(o.Entrypoint):len(o.Entrypoint)], "sh", "-c", "exec "+Path+" agent ready")
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, fmt.Errorf("entrypoint %q: %w", argv[0], err)
	}
	pid, err := a.start(path, argv, o.WorkingDir, a.environ(os.Environ()), []uintptr{0, 1, 2})
	if err != nil {
		return 0, fmt.Errorf("entrypoint %q: %w", argv[0], err)
	}
	return pid, nil
}

// code returns an exit status in the form that shells use.
func code(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
