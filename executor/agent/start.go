package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StartSocket is where the first process starts its own program's other subcommands for the driver. Like
// socketName it is an abstract name in the container's network namespace. No process in the
// container can take it away, because the first process has it before any other process runs.
const StartSocket = "@gitlab-sysbox-executor-start"

// LongestStart bounds a StartOrder as JSON, in bytes.
const LongestStart = 4 << 10

// StartOrder asks the first process to start a command. It is one line of JSON, and comes with three
// descriptors (SCM_RIGHTS, unix(7)): the command's standard input, output and error.
type StartOrder struct {
	Command []string `json:"command"`
}

// Started is the response to a StartOrder, one line of JSON. Ended follows when the process has ended.
type Started struct {
	Error string `json:"error,omitempty"` // why the command was not started
}

// Ended is the end of a started process, one line of JSON.
type Ended struct {
	Code int `json:"code"` // exit code, or 128 plus the signal
}

// startTime bounds how long the first process waits for an order on a new connection.
const startTime = 5 * time.Second

// listenStarts makes the socket. Requests wait until serveStarts is called.
func listenStarts() (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: StartSocket, Net: "unix"})
}

// serveStarts starts commands for the driver until the process ends.
func serveStarts(l *net.UnixListener, children *reaper) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		go serveStart(c, children)
	}
}

func serveStart(c *net.UnixConn, children *reaper) {
	defer c.Close()
	// A process without a PID here is in none of this PID namespace's descendants: it is on the
	// host. All others would get root's rights.
	if cred, err := credentials(c); err != nil || cred.Pid != 0 {
		return
	}
	_ = c.SetDeadline(time.Now().Add(startTime))
	ended, err := startFor(c, children)
	answer := json.NewEncoder(c)
	if err != nil {
		_ = answer.Encode(Started{Error: err.Error()}) // the driver sees the end of the connection
		return
	}
	if answer.Encode(Started{}) != nil {
		return // the process sees the end of its input
	}
	status := <-ended
	_ = c.SetDeadline(time.Now().Add(startTime))
	_ = answer.Encode(Ended{Code: code(status)})
}

// startFor reads an order and starts its command.
func startFor(c *net.UnixConn, children *reaper) (<-chan syscall.WaitStatus, error) {
	o, files, err := receiveStart(c)
	defer func() {
		for _, fd := range files {
			_ = unix.Close(fd)
		}
	}()
	if err != nil {
		return nil, err
	}
	if len(files) != 3 || len(o.Command) == 0 {
		return nil, errors.New("the request lacks a command or its streams")
	}
	return children.start(func() (int, error) {
		return syscall.ForkExec(o.Command[0], o.Command, &syscall.ProcAttr{
			Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true},
			Files: []uintptr{uintptr(files[0]), uintptr(files[1]), uintptr(files[2])},
		})
	})
}

// receiveStart reads an order and the descriptors that came with it.
func receiveStart(c *net.UnixConn) (o StartOrder, files []int, err error) {
	text, rights := make([]byte, LongestStart), make([]byte, unix.CmsgSpace(3*4))
	n, rightsLen, _, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		return o, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLen])
	if err != nil {
		return o, nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return o, files, err
		}
		files = append(files, fds...)
	}
	if !bytes.HasSuffix(text[:n], []byte("\n")) {
		return o, files, fmt.Errorf("the request is longer than %d bytes", LongestStart)
	}
	return o, files, json.Unmarshal(text[:n], &o)
}

// credentials are those of the process at the other end, as the kernel reports them (SO_PEERCRED, unix(7)).
func credentials(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, failed)
}
