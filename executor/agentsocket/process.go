package agentsocket

import (
	"bufio"
	"context"
	"errors"
	"io"
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
	// endTime is how long to wait for the exit code of a process whose output has ended.
	endTime = 5 * time.Second
)

// streams are pipes to a process: this process's ends, and the others.
type streams struct {
	stdin, stdout, stderr *os.File
	responses             *os.File // of the first process
	theirs                []int    // in the order of agent.StartRequest
}

// makeStreams makes the pipes. Their files belong to the container's root: otherwise no process in
// the container could open /dev/stdout.
func makeStreams(root *unix.Ucred) (*streams, error) {
	s := &streams{}
	if err := s.make(root); err != nil {
		s.closeTheirs()
		s.closeOurs()
		return nil, err
	}
	return s, nil
}

func (s *streams) make(root *unix.Ucred) error {
	for n, ours := range []**os.File{&s.stdin, &s.stdout, &s.stderr, &s.responses} {
		var ends [2]int
		// Not os.Pipe, which makes both ends non-blocking: few programs expect that of their output.
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			return os.NewSyscallError("pipe2", err)
		}
		our, their := ends[0], ends[1]
		if n == 0 {
			our, their = their, our
		}
		s.theirs = append(s.theirs, their)
		err := errors.Join(unix.SetNonblock(our, true), unix.Fchown(their, int(root.Uid), int(root.Gid)))
		*ours = os.NewFile(uintptr(our), "a pipe to the container")
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *streams) closeTheirs() {
	for _, fd := range s.theirs {
		_ = unix.Close(fd)
	}
	s.theirs = nil
}

func (s *streams) closeOurs() {
	for _, f := range []*os.File{s.stdin, s.stdout, s.stderr, s.responses} {
		f.Close() // it may be nil
	}
}

// Process is a process in a container. Its methods may be called concurrently.
type Process struct {
	*streams
	ended chan struct{} // closed when code and err are set
	code  int
	err   error
}

// await waits for the end of the process, and then limits the time for the rest of its output.
func (p *Process) await(responses *bufio.Reader) {
	_ = p.responses.SetReadDeadline(time.Time{}) // on failure it is closed, and reading fails
	var e agent.Ended
	if p.err = read(responses, &e); p.err == nil {
		p.code = e.Code & 0xff
	}
	close(p.ended)
	p.Finish()
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
			if failed[n] = agent.CopyPipe(s.to, s.from); failed[n] != nil {
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

// Finish limits the time for the rest of the output.
func (p *Process) Finish() {
	end := time.Now().Add(drainTime)
	for _, f := range []*os.File{p.stdout, p.stderr} {
		_ = f.SetReadDeadline(end) // on failure it is closed
	}
}

// Ended reports whether the process has ended, and its exit code. If the container's first process has
// ended, the error is a not-found error of containerd/errdefs.
func (p *Process) Ended(ctx context.Context) (bool, int, error) {
	select {
	case <-p.ended:
		if p.err != nil {
			return false, 0, errdefs.ErrNotFound.WithMessage("the container's first process has closed its pipe")
		}
		return true, p.code, nil
	case <-time.After(endTime):
		return false, 0, nil
	case <-ctx.Done():
		return false, 0, ctx.Err()
	}
}

// Close closes the streams; the process reads the end of its input.
func (p *Process) Close() { p.closeOurs() }
