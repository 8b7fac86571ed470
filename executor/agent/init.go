package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// stopGrace is how long the first process waits for the others when it is asked
// to end the container.
const stopGrace = 2 * time.Second

func notifyStop(c chan<- os.Signal) {
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
}

// Init is the container's first process: it makes the folders, runs the image's
// entrypoint with Ready behind it, reaps, and, when asked to, ends everything and
// unmounts what the job has mounted. It returns when the container is to end.
func Init(order string) error {
	var o InitOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return fmt.Errorf("agent init: %w", err)
	}
	stop := make(chan os.Signal, 1)
	notifyStop(stop)
	runtimes := mountIDs()
	d, err := openDesk()
	if err != nil {
		return fmt.Errorf("agent init: %w", err)
	}
	for _, b := range o.Binds {
		if err := b.make(); err != nil {
			fmt.Fprintf(os.Stderr, "agent init: %s stays where it is: %v\n", b.To, err)
		}
	}
	a, err := o.Setup.apply()
	switch {
	case err != nil:
		// Prepare asks for the same set-up, fails, and tells why.
		d.settle(handover{State: EntrypointNone, Fault: err.Error()})
		reap(0)
	case len(o.Entrypoint) == 0:
		d.settle(handover{State: EntrypointNone})
		reap(0)
	default:
		pid, err := startEntrypoint(o, a)
		if err != nil {
			d.settle(handover{State: EntrypointExited, Code: 127, Fault: err.Error()})
		}
		ended := reap(pid)
		go func() { d.settle(handover{State: EntrypointExited, Code: code(<-ended)}) }()
	}
	<-stop
	tree{os.Getpid()}.end(stopGrace)
	// While this mount name space lives: mounts that outlive it stay busy.
	for _, text := range unmountSince(runtimes).Left {
		fmt.Fprintln(os.Stderr, "agent init: unmounting", text)
	}
	return nil
}

func startEntrypoint(o InitOrder, a account) (int, error) {
	// A shell command is what GitLab's Docker executor puts behind an entrypoint,
	// so it is what images for GitLab CI are made to take.
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

// code is an exit status as a shell tells it.
func code(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
