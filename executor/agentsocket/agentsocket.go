// Package agentsocket starts commands in a container without the engine: it asks the agent that
// is the container's first process, on this machine.
//
// A job is root in its container: it may do to its first process what it wants. So nothing is sent
// before the kernel has confirmed that the listener is that process, the pipes are this process's own,
// and no answer is waited for without a deadline.
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
	// listenTime is how long a first process may take until it listens: it was started a moment ago.
	listenTime = time.Second
	// startTime is how long it may take to start a command, including its own setup.
	startTime = 5 * time.Second
	// retryPause is the pause between two attempts to connect.
	retryPause = 2 * time.Millisecond
)

// longestAnswer bounds a line of the first process, in bytes.
const longestAnswer = 4 << 10

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
	p, answers, err := start(ctx, c, peer, command)
	if err != nil {
		c.Close()
		return nil, err
	}
	go p.await(answers)
	return p, nil
}

// connect connects to the first process, and returns its credentials.
func connect(ctx context.Context, first owner.Process) (*net.UnixConn, *unix.Ucred, error) {
	for deadline := time.Now().Add(listenTime); ; {
		c, err := dial(first)
		// EAGAIN: more connections wait than the listener allows.
		if retry := errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EAGAIN); retry && time.Now().Before(deadline) {
			select {
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			case <-time.After(retryPause):
				continue
			}
		} else if err != nil {
			return nil, nil, err
		}
		peer, err := credentials(c)
		switch {
		case err != nil:
		case int(peer.Pid) != first.PID:
			err = fmt.Errorf("process %d listens in place of the container's first process %d", peer.Pid, first.PID)
		case first.State(true) != owner.Alive: // the kernel may have given its PID to another process
			err = fmt.Errorf("the container's first process %d has ended", first.PID)
		}
		if err != nil {
			c.Close()
			return nil, nil, err
		}
		return c, peer, nil
	}
}

// dial connects to the socket in the network namespace of the first process.
func dial(first owner.Process) (*net.UnixConn, error) {
	fd, err := socketIn(fmt.Sprintf("/proc/%d/ns/net", first.PID))
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), agent.StartSocket)
	defer file.Close() // FileConn duplicates it
	// It does not block: fd is non-blocking.
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: agent.StartSocket}); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// socketIn makes a socket in a network namespace, on a thread of its own that ends afterwards.
func socketIn(namespace string) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
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
	}()
	<-done
	return fd, err
}

// credentials are those of the process that listens at the other end (SO_PEERCRED, unix(7)).
func credentials(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, failed)
}

// start sends the request over the connection, with the ends of three new pipes.
func start(ctx context.Context, c *net.UnixConn, peer *unix.Ucred, command []string) (p *Process, answers *bufio.Reader, err error) {
	request, err := json.Marshal(agent.StartOrder{Command: command})
	if err != nil {
		return nil, nil, err
	}
	ends, err := makePipes(peer)
	if err != nil {
		return nil, nil, err
	}
	p = &Process{pipes: ends, conn: c, ended: make(chan struct{})}
	defer func() {
		ends.closeTheirs()
		if err != nil {
			ends.closeOurs()
		}
	}()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })()
	var started agent.Started
	answers = bufio.NewReaderSize(c, longestAnswer)
	if _, _, err = c.WriteMsgUnix(append(request, '\n'), unix.UnixRights(ends.theirs...), nil); err == nil {
		err = read(answers, &started)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the container's first process does not answer: %w", err)
	}
	if started.Error != "" {
		return nil, nil, fmt.Errorf("the container's first process: %.300q", started.Error)
	}
	return p, answers, nil
}

// read reads a line of JSON.
func read(r *bufio.Reader, value any) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, value)
}
