package agent

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// largestPipe is the most that a pipe has, in bytes: unprivileged processes cannot make it larger
// (fs.pipe-max-size, pipe(7)).
const largestPipe = 1 << 20

// CopyPipe copies the output of processes until the pipe ends or its read deadline is over. What they wrote
// before the deadline is copied however slow the writer is. From is non-blocking.
func CopyPipe(to io.Writer, from *os.File) error {
	_, err := io.Copy(to, from)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	// If the writer was slow, the pipe still has what the processes wrote before the deadline.
	raw, err := from.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		part := make([]byte, 64<<10)
		for sum := 0; sum < largestPipe && failed == nil; {
			n, err := unix.Read(int(fd), part) // does not block
			if n <= 0 || err != nil {
				return
			}
			sum += n
			_, failed = to.Write(part[:n])
		}
	})
	return errors.Join(err, failed)
}
