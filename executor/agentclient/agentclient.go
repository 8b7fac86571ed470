// Package agentclient talks to the agent in a container.
//
// A job is root in its container: it can replace the agent, stop it, and write to its
// streams. So every response is checked. It is bounded in bytes and time and must repeat the
// nonce of its request. Impossible numbers are corrected, and texts are cut to one short line.
// A container that breaks these rules fails its job, as the job's own fault.
package agentclient

import (
	"context"
	"io"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
)

// Stream is a process in a container with its standard streams attached. Close may be called
// at any time, from any goroutine, and repeatedly.
type Stream interface {
	// Write writes to the process's standard input.
	io.Writer
	// Copy copies the output until both streams end, a writer fails, or Close is called. It
	// returns an error in the last two cases.
	Copy(stdout, stderr io.Writer) error
	// Finish limits the time for the rest of the output. It is called when the process has reported its result: only
	// processes that it left behind still have the output open.
	Finish()
	// Ended reports whether the process has ended, and its exit code. If the container is
	// gone, its error is a not-found error of containerd/errdefs.
	Ended(ctx context.Context) (ended bool, code int, err error)
	// Close drops the connection; the process sees the end of its input.
	Close()
}

// EndedError is an error of Stream.Ended or Container.Exec: the container has ended for a reason that the backend knows. It
// is a not-found error of containerd/errdefs, too.
type EndedError struct{ Err error }

func (e *EndedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason and the class.
func (e *EndedError) Unwrap() []error { return []error{e.Err, errdefs.ErrNotFound} }

// Container is a container in which an agent can be started.
type Container struct {
	// Name is the name for messages, such as "the job's container".
	Name string
	// Exec starts a command in it as root. If the container is gone or not running, its
	// error is a not-found or conflict error of containerd/errdefs.
	Exec func(ctx context.Context, command []string) (Stream, error)
	// Remote means that the connection to a process in it may break while the process goes on.
	Remote bool
}

func (c Container) start(ctx context.Context, subcommand string) (Stream, error) {
	return c.Exec(ctx, agent.Command(subcommand))
}
