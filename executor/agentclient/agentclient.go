// Package agentclient speaks to the agent in a container.
//
// A job is root in its container: it can put its own program in the agent's place,
// stop the agent, and write to its streams. So no answer is believed. It is bounded
// in bytes and in time, it must repeat the nonce of its question, its numbers are
// cut to what is possible, and its texts are short and on one line. A container that
// does not keep to that fails its job, as the job's own fault.
package agentclient

import (
	"context"
	"io"

	"gitlab-sysbox-executor/executor/agent"
)

// Stream is a process that was started in a container, its standard streams
// attached. Close may be called at any time, from any goroutine, and again.
type Stream interface {
	// Write writes to the process's standard input.
	io.Writer
	// Copy copies the output until both streams end, a writer fails, or Close is
	// called; but for the first it returns an error.
	Copy(stdout, stderr io.Writer) error
	// Ended reports whether the process has ended, and its exit code. Its error is a
	// not-found one of containerd/errdefs where the container is gone.
	Ended(ctx context.Context) (ended bool, code int, err error)
	// Close drops the connection; the process sees the end of its input.
	Close()
}

// Container is one in which an agent can be started.
type Container struct {
	// Name is what messages call it, such as "the job's container".
	Name string
	// Exec starts a command in it, as its root. Its error is a not-found or a
	// conflict one of containerd/errdefs where the container is gone or does not run.
	Exec func(ctx context.Context, command []string) (Stream, error)
}

func (c Container) start(ctx context.Context, subcommand string) (Stream, error) {
	return c.Exec(ctx, agent.Command(subcommand))
}
