package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// scriptFD is the descriptor of the script in the shell. It stays open in the job's
// processes, so it is higher than the descriptors that scripts use.
const scriptFD = 62

// Exec runs one script: it reads a request and the script from standard input, and then
// watches the input, which ends when the driver is gone. It returns the exit code of the
// process and writes the Outcome to standard error.
func Exec() int {
	in := bufio.NewReader(os.Stdin)
	var request ExecRequest
	err := readRequest(in, &request)
	if err == nil && request.Keep != nil {
		return request.runKept(in)
	}
	return report(request.Nonce, err, func() (Outcome, error) { return request.run(in) })
}

// readRequest reads the line of JSON that precedes everything else.
func readRequest(in *bufio.Reader, request any) error {
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, request)
	}
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	return nil
}

// report runs something unless err is set, and writes its outcome to standard error. It returns the exit code.
func report(nonce string, err error, run func() (Outcome, error)) int {
	var o Outcome
	if err == nil {
		o, err = run()
	}
	o = outcomeOf(nonce, o, err)
	_ = json.NewEncoder(os.Stderr).Encode(o)
	return o.Code
}

// outcomeOf is the outcome with its nonce, or that of an error.
func outcomeOf(nonce string, o Outcome, err error) Outcome {
	if err != nil {
		o = Outcome{Error: err.Error(), Code: 126}
	}
	o.Nonce = nonce
	return o
}

// run runs the script that follows in the agent's input.
func (o ExecRequest) run(in *bufio.Reader) (Outcome, error) {
	script, err := o.read(in)
	if err != nil {
		return Outcome{}, err
	}
	stop := make(chan time.Duration, 2)
	return o.supervise(script, streams{script: os.Stdout, notes: os.Stdout, watch: func() { watchDriver(in, o.Grace, stop) }, stop: stop})
}

// read reads the script into memory: it leaves no file in the container, and works with a read-only or full root
// file system.
func (o ExecRequest) read(in *bufio.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate("script", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating a file in memory for the script: %w", err)
	}
	script := os.NewFile(uintptr(fd), "script")
	if _, err := io.CopyN(script, in, int64(o.Length)); err != nil {
		script.Close()
		return nil, fmt.Errorf("reading the script: %w", err)
	}
	return script, nil
}

// streams connect a script with the driver.
type streams struct {
	script *os.File // the script's output and errors
	notes  io.Writer
	watch  func()               // begins to send to stop
	stop   <-chan time.Duration // asks to end the script: its values are the time between TERM and KILL
}

// supervise runs a script.
func (o ExecRequest) supervise(script *os.File, s streams) (Outcome, error) {
	// Orphans of the script's processes become children of this process, so that it finds all.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return Outcome{}, fmt.Errorf("becoming subreaper: %w", err)
	}
	a, env, err := identity(o.Init, o.User)
	if err != nil {
		return Outcome{Error: err.Error(), JobFault: true, Code: 126}, nil
	}
	// Signals are caught before the script starts: a signal in between would end the agent
	// alone.
	signals := make(chan os.Signal, 1)
	notifyStop(signals)
	a.remake(o.TMPDIR)
	if err := setNoFile(o.NoFile); err != nil {
		return Outcome{}, err
	}
	var children reaper
	ended, err := children.start(func() (int, error) { return o.start(script, s.script, a, env) })
	_ = setNoFile(math.MaxUint64) // for this process only
	if err != nil {
		return Outcome{}, err
	}
	children.run()
	measure := o.Watch.start(s.notes)
	go s.watch()
	out := o.follow(ended, s.stop, signals)
	if o.Watch.Volume != "" && !out.Stopped { // a stopped stage does not wait for the result
		out.Usage = measure()
	}
	return out, nil
}

// identity returns the account and environment of the job's processes: those that the entrypoint
// passed on, otherwise the container's own. Init means that the agent is the first process.
func identity(init bool, user string) (account, []string, error) {
	if init {
		h, err := askHandover(0)
		if err != nil {
			return account{}, nil, err
		}
		if h.State == EntrypointReady {
			return *h.Account, h.Env, nil
		}
	}
	a, err := lookup(user)
	return a, os.Environ(), err
}

func (o ExecRequest) start(script, output *os.File, a account, env []string) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := make([]uintptr, scriptFD+1)
	for i := range files {
		files[i] = ^uintptr(0) // closed
	}
	files[0], files[1], files[2] = null.Fd(), output.Fd(), output.Fd()
	files[scriptFD] = script.Fd()
	argv := []string{o.Shell, "/proc/self/fd/" + strconv.Itoa(scriptFD)}
	return a.start(o.Shell, argv, o.WorkingDir, withPath(a.environ(env), o.Path), files)
}

// withPath appends a folder to the PATH in env, so that it hides no program of the image.
func withPath(env []string, dir string) []string {
	if dir == "" {
		return env
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" // the engine's default
	var others []string
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		} else {
			others = append(others, kv)
		}
	}
	return append(others, "PATH="+path+":"+dir)
}

// follow waits for the script to end, and stops it if the driver asks for it or is gone. It
// then stops the processes that the script left running: no process of a stage outlives the
// stage, as with GitLab's Docker executor.
func (o ExecRequest) follow(ended <-chan syscall.WaitStatus, stop <-chan time.Duration, signals <-chan os.Signal) Outcome {
	below := tree{os.Getpid()}
	var out Outcome
	select {
	case status := <-ended:
		out.set(status)
		if out.Code != 0 && signaled(signals) {
			out.Stopped = true
			out.Survivors, out.Killed = below.end(hasteGrace)
			return out
		}
	case grace := <-stop:
		out.Stopped = true
		out.Survivors, out.Killed = endHastily(below, grace, stop)
	case <-signals:
		out.Stopped = true
		out.Survivors, out.Killed = below.end(hasteGrace)
	}
	if out.Stopped {
		select {
		case status := <-ended:
			out.set(status)
		case <-time.After(time.Second):
			out.Code = 128 + int(syscall.SIGKILL)
		}
		return out
	}
	out.Survivors, out.Killed = endHastily(below, o.Grace, stop)
	return out
}

// signaled reports whether this process got a signal to end, at about the same time as the script. The
// container's first process sends it to both.
func signaled(signals <-chan os.Signal) bool {
	select {
	case <-signals:
		return true
	case <-time.After(signalTime):
		return false
	}
}

// signalTime is longer than Go's runtime takes to pass on a signal.
const signalTime = 50 * time.Millisecond

// endHastily ends the tree within grace. If the driver goes meanwhile, the shorter grace period
// applies.
func endHastily(t tree, grace time.Duration, stop <-chan time.Duration) (left []int, killed bool) {
	type result struct {
		left   []int
		killed bool
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.left, r.killed = t.end(grace)
		done <- r
	}()
	for {
		select {
		case r := <-done:
			return r.left, r.killed
		case g := <-stop:
			if g >= grace {
				continue
			}
			select {
			case r := <-done:
				return r.left, r.killed
			case <-time.After(g):
				return t.end(0)
			}
		}
	}
}

// watchDriver sends the grace period when the driver asks to stop the script, and a shorter one
// when the driver is gone.
func watchDriver(in *bufio.Reader, grace time.Duration, stop chan<- time.Duration) {
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			stop <- min(grace, hasteGrace)
			return
		case b == Cancel:
			stop <- grace
		}
	}
}

func (o *Outcome) set(s syscall.WaitStatus) {
	o.Code = code(s)
	if s.Signaled() {
		o.Signal = unix.SignalName(s.Signal())
	}
}
