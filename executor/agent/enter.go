package agent

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// EnterRequest is the line that precedes the frames on the standard input of enter, which runs a shell or a command
// for a person. Its output and errors share standard output; standard error has only the Outcome.
type EnterRequest struct {
	Nonce string `json:"nonce"` // as in ExecRequest
	Shell string `json:"shell"`
	// Command is run by the shell; empty for the shell itself.
	Command    []string `json:"command,omitempty"`
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"` // where the job has no project folder
	TMPDIR     string   `json:"tmpdir,omitempty"`      // as in ExecRequest
	Init       bool     `json:"init"`
	NoFile     uint64   `json:"nofile,omitempty"` // as in ExecRequest
	// Window is the size of the person's terminal; nil if there is none.
	Window *Window `json:"window,omitempty"`
	Term   string  `json:"term,omitempty"` // type of the terminal (term(7))
}

// Window is the size of a terminal in characters.
type Window struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

// The kinds of frames on the standard input of enter. A frame is its kind, two bytes with the length of its data, and
// the data. The end of the frames without EndOfInput means that the driver is gone.
const (
	InputData   = 'd' // for the program's standard input
	WindowSize  = 'w' // rows and columns, two bytes each
	EndOfInput  = 'e' // the program's standard input ends
	longestData = 1<<16 - 1
)

// MostData is the most data of a frame, in bytes.
const MostData = 32 << 10

// AppendFrame appends a frame to b. Data has at most MostData bytes.
func AppendFrame(b []byte, kind byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, kind), uint16(len(data))), data...)
}

// Frame encodes a new size of the terminal.
func (w Window) Frame() []byte {
	size := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, w.Rows), w.Columns)
	return AppendFrame(nil, WindowSize, size)
}

// readFrame reads a frame into buffer, which has longestData bytes.
func readFrame(in *bufio.Reader, buffer []byte) (kind byte, data []byte, err error) {
	var head [3]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	data = buffer[:binary.BigEndian.Uint16(head[1:])]
	_, err = io.ReadFull(in, data)
	return head[0], data, err
}

// Enter runs a shell or a command for a person. It returns the exit code of the process.
func Enter() int {
	in := bufio.NewReader(os.Stdin)
	var request EnterRequest
	err := readRequest(in, &request)
	return report(request.Nonce, err, func() (Outcome, error) { return request.run(in) })
}

// person is this process's end of the program's streams.
type person struct {
	input   io.WriteCloser
	resize  func(Window)
	hangUp  func()        // tells the program that its terminal is gone
	drained chan struct{} // closed when all output has been copied
	files   []*os.File    // the program's ends
}

func (o EnterRequest) run(in *bufio.Reader) (Outcome, error) {
	// Orphans of the program become children of this process, so that it finds all.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return Outcome{}, fmt.Errorf("becoming subreaper: %w", err)
	}
	a, env, err := identity(o.Init, o.User)
	if err != nil {
		return Outcome{Error: err.Error(), JobFault: true, Code: 126}, nil
	}
	signals := make(chan os.Signal, 1)
	notifyStop(signals)
	a.remake(o.TMPDIR)
	p, attr := &person{}, a.attributes()
	if o.Window != nil {
		attr.Setctty, attr.Ctty = true, 0
		p, err = o.terminal(a)
	} else {
		p, err = withoutTerminal()
	}
	if err != nil {
		return Outcome{}, err
	}
	if err := setNoFile(o.NoFile); err != nil {
		return Outcome{}, err
	}
	var children reaper
	ended, err := children.start(func() (int, error) {
		var files []uintptr
		for _, f := range p.files {
			files = append(files, f.Fd())
		}
		env := a.environ(env)
		return a.startWith(attr, o.Shell, o.argv(), o.folder(env), o.withTerm(env), files)
	})
	for _, f := range slices.Compact(p.files) {
		if f != os.Stdout {
			f.Close()
		}
	}
	if err != nil {
		return Outcome{}, err
	}
	children.run()
	return p.follow(in, ended, signals), nil
}

// argv is the shell, or the shell with a command whose words it does not interpret.
func (o EnterRequest) argv() []string {
	if len(o.Command) == 0 {
		return []string{o.Shell}
	}
	return append([]string{o.Shell, "-c", `exec "$@"`, o.Shell}, o.Command...)
}

// folder is the job's project folder, if it exists.
func (o EnterRequest) folder(env []string) string {
	for _, kv := range env {
		if dir, ok := strings.CutPrefix(kv, "CI_PROJECT_DIR="); ok {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				return dir
			}
		}
	}
	return o.WorkingDir
}

func (o EnterRequest) withTerm(env []string) []string {
	if o.Window == nil || o.Term == "" {
		return env
	}
	return append(slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "TERM=") }), "TERM="+o.Term)
}

// terminal makes a pseudoterminal of a's (pty(7)).
func (o EnterRequest) terminal(a account) (*person, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("making a terminal in the container: %w", err)
	}
	_ = slave.Chown(a.UID, -1) // on failure the owner is unchanged
	p := &person{input: master, drained: make(chan struct{}), files: []*os.File{slave, slave, slave}}
	p.resize = func(w Window) { _ = pty.Setsize(master, &pty.Winsize{Rows: w.Rows, Cols: w.Columns}) }
	p.hangUp = func() { master.Close() }
	p.resize(*o.Window)
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(os.Stdout, master) // it ends with EIO when no process has the terminal
	}()
	return p, nil
}

// withoutTerminal makes a pipe for the input. The program has this process's standard output.
func withoutTerminal() (*person, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &person{input: w, resize: func(Window) {}, hangUp: func() { w.Close() }, drained: make(chan struct{}), files: []*os.File{r, os.Stdout, os.Stdout}}
	close(p.drained)
	return p, nil
}

// leaveGrace is the time between TERM and KILL for what a person left running.
const leaveGrace = 2 * time.Second

// drainGrace bounds the wait for the rest of the output.
const drainGrace = 2 * time.Second

// follow passes the frames on until the program ends, or ends it when the driver is gone. No process that the person
// started stays.
func (p *person) follow(in *bufio.Reader, ended <-chan syscall.WaitStatus, signals <-chan os.Signal) (out Outcome) {
	gone := make(chan struct{}, 2)
	go func() { awaitHangUp(os.Stdin); gone <- struct{}{} }() // also while the program does not read its input
	go func() { p.pass(in); gone <- struct{}{} }()
	below := tree{os.Getpid()}
	var status syscall.WaitStatus
	select {
	case status = <-ended:
		out.set(status)
	case <-gone:
		out.Stopped = true
	case <-signals:
		out.Stopped = true
	}
	if out.Stopped {
		p.hangUp()
		out.Survivors, out.Killed = below.end(hasteGrace)
		out.Code = 128 + int(syscall.SIGHUP)
		return out
	}
	out.Survivors, out.Killed = below.end(leaveGrace)
	select {
	case <-p.drained:
	case <-time.After(drainGrace): // a process that could not be killed has the terminal
	}
	return out
}

// pass passes frames on until they end.
func (p *person) pass(in *bufio.Reader) {
	buffer := make([]byte, longestData)
	for {
		kind, data, err := readFrame(in, buffer)
		switch {
		case err != nil:
			return
		case kind == InputData:
			_, _ = p.input.Write(data) // the program may have closed its input
		case kind == WindowSize && len(data) == 4:
			p.resize(Window{Rows: binary.BigEndian.Uint16(data), Columns: binary.BigEndian.Uint16(data[2:])})
		case kind == EndOfInput:
			p.input.Close()
		}
	}
}

// awaitHangUp returns when no process has the other end of a pipe (POLLHUP, poll(2)).
func awaitHangUp(f *os.File) {
	for {
		fds := []unix.PollFd{{Fd: int32(f.Fd())}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || fds[0].Revents != 0 {
			return
		}
	}
}
