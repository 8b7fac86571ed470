package agentsocket

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/agent"
)

const (
	// drainTime is how long the output is read after the end of the process: only processes that it
	// left behind still have it open. The Docker Engine waits as long.
	drainTime = 2 * time.Second
	// leftTime bounds the reading of what a pipe has.
	leftTime = 100 * time.Millisecond
	// endTime is how long to wait for the exit code of a process whose output has ended.
	endTime = 5 * time.Second
)

// pipeSize is the kernel's size of a pipe, in bytes (pipe(7)).
const pipeSize = 64 << 10

// pipes are the standard streams of a process: this process's ends, and the others.
type pipes struct {
	stdin, stdout, stderr *os.File
	theirs                []int
}

// makePipes makes the streams of a process. Their files belong to the container's root: otherwise no process in
// the container could open /dev/stdout.
func makePipes(root *unix.Ucred) (p pipes, err error) {
	defer func() {
		if err != nil {
			p.closeTheirs()
			p.closeOurs()
		}
	}()
	for n, ours := range []**os.File{&p.stdin, &p.stdout, &p.stderr} {
		var ends [2]int
		// Not os.Pipe, which makes both ends non-blocking: few programs expect that of their output.
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			return p, os.NewSyscallError("pipe2", err)
		}
		our, their := ends[0], ends[1]
		if n == 0 {
			our, their = their, our
		}
		p.theirs = append(p.theirs, their)
		err := errors.Join(unix.SetNonblock(our, true), unix.Fchown(their, int(root.Uid), int(root.Gid)))
		*ours = os.NewFile(uintptr(our), "a pipe to the container")
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *pipes) closeTheirs() {
	for _, fd := range p.theirs {
		_ = unix.Close(fd)
	}
	p.theirs = nil
}

func (p *pipes) closeOurs() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		f.Close() // it may be nil
	}
}

// Process is a process in a container. Its methods may be called concurrently.
type Process struct {
	pipes
	conn  *net.UnixConn
	ended chan struct{} // closed when code and err are set
	code  int
	err   error
}

// await waits for the end of the process, and then limits the time for the rest of its output.
func (p *Process) await(answers *bufio.Reader) {
	_ = p.conn.SetDeadline(time.Time{}) // on failure the connection is closed, and reading fails
	var e agent.Ended
	if p.err = read(answers, &e); p.err == nil {
		p.code = e.Code & 0xff
	}
	close(p.ended)
	end := time.Now().Add(drainTime)
	for _, f := range []*os.File{p.stdout, p.stderr} {
		_ = f.SetReadDeadline(end) // on failure it is closed
	}
}

// Write writes to the process's standard input.
func (p *Process) Write(b []byte) (int, error) { return p.stdin.Write(b) }

// Copy copies the output until both streams end, a writer fails, or Close is called. It returns an
// error in the last two cases.
func (p *Process) Copy(stdout, stderr io.Writer) error {
	var copying sync.WaitGroup
	var failed [2]error
	for n, s := range []struct {
		to   io.Writer
		from *os.File
	}{{stdout, p.stdout}, {stderr, p.stderr}} {
		copying.Go(func() {
			if failed[n] = copyOutput(s.to, s.from); failed[n] != nil {
				p.closeOurs() // ends the other copy
			}
		})
	}
	copying.Wait()
	if failed[0] == nil || errors.Is(failed[0], os.ErrClosed) && failed[1] != nil {
		return failed[1]
	}
	return failed[0]
}

// copyOutput copies until from ends or its deadline, which await sets, is over.
func copyOutput(to io.Writer, from *os.File) error {
	_, err := io.Copy(to, from)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	// The reader may have been slow: the pipe still has what the process wrote before its end.
	if err := from.SetReadDeadline(time.Now().Add(leftTime)); err != nil {
		return err
	}
	left := make([]byte, pipeSize)
	n, err := io.ReadFull(from, left)
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	_, err = to.Write(left[:n])
	return err
}

// Finish does nothing: the end of the process limits the time for the rest of its output.
func (p *Process) Finish() {}

// Ended reports whether the process has ended, and its exit code. If the container's first process has
// ended, the error is a not-found error of containerd/errdefs.
func (p *Process) Ended(ctx context.Context) (bool, int, error) {
	select {
	case <-p.ended:
		if p.err != nil {
			return false, 0, errdefs.ErrNotFound.WithMessage("the container's first process closed the connection")
		}
		return true, p.code, nil
	case <-time.After(endTime):
		return false, 0, nil
	case <-ctx.Done():
		return false, 0, ctx.Err()
	}
}

// Close drops the connection; the process reads the end of its input.
func (p *Process) Close() {
	p.closeOurs()
	p.conn.Close()
}
