// Package agentsocket starts commands in a container without the engine: it asks the agent that
// is the container's first process, on this machine.
//
// A job is root in its container: it may do to its first process what it wants. So nothing is sent
// before the kernel has confirmed that the listener is that process. The responses come through a pipe of
// this process, because a socket could carry descriptors, whose closing may block. None is
// waited for without a deadline.
package agentsocket

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/owner"
)

const (
	// listenTime is how long a first process may take until it listens: it was started a moment ago. On a
	// busy machine that takes seconds.
	listenTime = 3 * time.Second
	// startTime is how long it may take to start a command, including its own setup.
	startTime = 5 * time.Second
)

// longestResponse bounds a line of the first process, in bytes.
const longestResponse = 4 << 10

// Start starts a command as root in the container with this first process. After an error nothing was
// started, or it ends by itself because its input has ended: the caller may start the command in another
// way.
func Start(ctx context.Context, first owner.Process, command []string) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	c, peer, err := connect(ctx, first)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s, err := makeStreams(peer)
	if err != nil {
		return nil, err
	}
	responses, err := s.request(ctx, c, command)
	s.closeTheirs()
	if err != nil {
		s.closeOurs()
		return nil, err
	}
	p := &Process{streams: s, ended: make(chan struct{})}
	go p.await(responses)
	return p, nil
}

// connect connects to the first process, and returns its credentials.
func connect(ctx context.Context, first owner.Process) (*net.UnixConn, *unix.Ucred, error) {
	c, err := dial(ctx, first)
	if err != nil {
		return nil, nil, err
	}
	peer, err := agent.PeerOf(c)
	switch {
	case err != nil:
	case int(peer.Pid) != first.PID:
		err = fmt.Errorf("process %d listens in place of the container's first process %d", peer.Pid, first.PID)
	case first.State(true) != owner.Alive: // the kernel may have given its PID to another process
		err = fmt.Errorf("the container's first process %d has ended, or is in another PID namespace", first.PID)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, peer, nil
}

// dial connects to the socket in the network namespace of the first process.
func dial(ctx context.Context, first owner.Process) (*net.UnixConn, error) {
	fd, err := socketIn(fmt.Sprintf("/proc/%d/ns/net", first.PID))
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), agent.StartSocket)
	defer file.Close() // FileConn duplicates it
	// Before connecting: from then on the kernel accepts nothing for this socket.
	if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
		return nil, os.NewSyscallError("shutdown", err)
	}
	deadline, pause := time.Now().Add(listenTime), time.Millisecond
	for {
		// It does not block: fd is non-blocking. EAGAIN means that more connections wait than the listener allows.
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: agent.StartSocket})
		retry := errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EAGAIN)
		if err != nil && (!retry || time.Now().After(deadline)) {
			return nil, os.NewSyscallError("connect", err)
		} else if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
			pause = min(pause+time.Millisecond, 50*time.Millisecond)
		}
	}
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// socketIn makes a socket in a network namespace.
func socketIn(namespace string) (fd int, err error) {
	onThread(func() {
		var ns int
		if ns, err = unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer unix.Close(ns)
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			err = os.NewSyscallError("setns", err)
			return
		}
		fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	})
	return fd, err
}

// onThread calls do on a thread that ends afterwards. The process's first thread does not: Go keeps it.
func onThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		onThread(do) // on another one, because this one is locked
		runtime.UnlockOSThread()
	}()
	<-done
}

// request sends the request over the connection, with the other ends of the streams, and waits until the command
// is started.
func (s *streams) request(ctx context.Context, c *net.UnixConn, command []string) (responses *bufio.Reader, err error) {
	text, err := json.Marshal(agent.StartRequest{Command: command})
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := errors.Join(c.SetDeadline(deadline), s.responses.SetReadDeadline(deadline)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.responses.SetReadDeadline(time.Now()) })
	var started agent.Started
	responses = bufio.NewReaderSize(s.responses, longestResponse)
	if _, _, err = c.WriteMsgUnix(append(text, '\n'), unix.UnixRights(s.theirs...), nil); err == nil {
		s.closeTheirs() // otherwise the pipes would not end with the first process
		err = read(responses, &started)
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the container's first process does not answer: %w", err)
	}
	if started.Error != "" {
		return nil, fmt.Errorf("the container's first process: %.300q", started.Error)
	}
	return responses, nil
}

// read reads a line of JSON.
func read(r *bufio.Reader, value any) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, value)
}
