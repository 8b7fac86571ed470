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

// StartSocket is where the first process starts commands for the driver. Like socketName it is an
// abstract name in the container's network namespace. No process in the container can take the
// name, because the first process has it before any other process runs.
const StartSocket = "@gitlab-sysbox-executor-start"

// longestStart bounds a StartRequest as JSON, in bytes.
const longestStart = 4 << 10

// StartRequest is the request to start a command, as one line of JSON. With it come four descriptors
// (SCM_RIGHTS, unix(7)): the command's standard input, output and error, and a pipe for the
// responses. Nothing is sent over the socket: it could carry descriptors to the driver.
type StartRequest struct {
	Command []string `json:"command"`
}

// startFiles is the number of descriptors.
const startFiles = 4

// Started is the first response, one line of JSON. Ended follows when the process has ended.
type Started struct {
	Error string `json:"error,omitempty"` // why the command was not started
}

// Ended is the end of a started process, one line of JSON.
type Ended struct {
	Code int `json:"code"` // exit code, or 128 plus the signal
}

// requestTime bounds how long the first process waits for the request of a new connection.
const requestTime = 5 * time.Second

// listenStarts makes the socket. Requests wait for serveStarts.
func listenStarts() (*net.UnixListener, error) {
	return listenAt(StartSocket)
}

// backlog is how many connections may wait, if the kernel allows so many (net.core.somaxconn).
const backlog = 4096

// listenAt makes a socket. net.ListenUnix would read net.core.somaxconn, which takes 10 ms under Sysbox: it is the
// first file that sysbox-fs serves to the container.
func listenAt(name string) (*net.UnixListener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close() // FileListener duplicates it
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// serveStarts starts commands for the driver until the process ends.
func serveStarts(l *net.UnixListener, children *reaper) {
	acceptEach(l, func(c *net.UnixConn) { serveStart(c, children) })
}

// acceptEach serves each connection in a goroutine of its own, until the listener is closed.
func acceptEach(l *net.UnixListener, serve func(*net.UnixConn)) {
	for {
		c, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, unix.EINVAL): // shut down
			return
		case err != nil: // out of descriptors or memory
			time.Sleep(100 * time.Millisecond)
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(requestTime)) // the connection has just been made
		go serve(c)
	}
}

func serveStart(c *net.UnixConn, children *reaper) {
	defer c.Close()
	// A process without a PID in this namespace is in none of the container's. All others would get
	// root's rights.
	if peer, err := PeerOf(c); err != nil || peer.Pid != 0 {
		return
	}
	var o StartRequest
	files, err := receive(c, &o, longestStart, startFiles)
	defer func() { closeAll(files) }()
	if len(files) != startFiles {
		return // there is nobody to respond to
	}
	responses := json.NewEncoder(files[startFiles-1])
	var ended <-chan syscall.WaitStatus
	if err == nil {
		ended, err = o.start(files[:startFiles-1], children)
	}
	closeAll(files[:startFiles-1]) // the process has them
	if err != nil {
		_ = responses.Encode(Started{Error: err.Error()}) // otherwise the driver sees the end of the pipe
		return
	}
	if responses.Encode(Started{}) == nil {
		_ = responses.Encode(Ended{Code: code(<-ended)})
	} // otherwise the driver is gone, and the process sees the end of its input
}

func (o StartRequest) start(files []*os.File, children *reaper) (<-chan syscall.WaitStatus, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("the request has no command")
	}
	attr := syscall.ProcAttr{Dir: "/", Env: os.Environ(), Sys: &syscall.SysProcAttr{Setsid: true}}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	return children.start(func() (int, error) { return syscall.ForkExec(o.Command[0], o.Command, &attr) })
}

// receive reads a request, which is one line of JSON of at most longest bytes, and up to most descriptors that came with it.
// The caller closes them, also after an error.
func receive(c *net.UnixConn, request any, longest, most int) (files []*os.File, err error) {
	text, rights := make([]byte, longest), make([]byte, unix.CmsgSpace(4*most))
	n, rightsLen, _, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rightsLen])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "a stream of the driver"))
		}
	}
	if !bytes.HasSuffix(text[:n], []byte("\n")) {
		return files, fmt.Errorf("the request is longer than %d bytes", longest)
	}
	return files, json.Unmarshal(text[:n], request)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// PeerOf returns the process at the other end as the kernel reports it (SO_PEERCRED, unix(7)): the one that
// connected, or the one that listens.
func PeerOf(c *net.UnixConn) (peer *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return peer, errors.Join(err, failed)
}
