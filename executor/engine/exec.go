package engine

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Exec is an additional process in a container, with its standard streams attached.
type Exec struct {
	engine *Engine
	id     string
	conn   net.Conn
	close  func()
	output io.Reader
}

// Exec starts cmd as user (empty: the container's user) in the working folder dir. It has
// no time limit; closing its input ends it. IsNotFound means that the container is gone.
func (e *Engine) Exec(ctx context.Context, id, user, dir string, cmd []string) (*Exec, error) {
	short, cancel := e.bounded(ctx)
	defer cancel()
	made, err := e.client.ContainerExecCreate(short, id, container.ExecOptions{
		User: user, WorkingDir: dir, Cmd: cmd,
		AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, e.wrap("preparing a process in container "+id, err)
	}
	h, err := e.client.ContainerExecAttach(short, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return nil, e.wrap("starting a process in container "+id, err)
	}
	return &Exec{engine: e, id: made.ID, conn: h.Conn, close: h.Close, output: h.Reader}, nil
}

// Write writes to the process's standard input.
func (x *Exec) Write(p []byte) (int, error) { return x.conn.Write(p) }

// Copy copies the process's output until both streams end or Close is called.
func (x *Exec) Copy(stdout, stderr io.Writer) error {
	_, err := stdcopy.StdCopy(stdout, stderr, x.output)
	return err
}

// Close closes the connection; the process reads the end of its input.
func (x *Exec) Close() { x.close() }

// finishTime is how long the output is read after Finish.
const finishTime = 5 * time.Second

// Finish limits the time for the rest of the output.
func (x *Exec) Finish() { time.AfterFunc(finishTime, x.close) }

// Ended reports whether the process has ended, and its exit code.
func (x *Exec) Ended(ctx context.Context) (bool, int, error) {
	ctx, cancel := x.engine.bounded(ctx)
	defer cancel()
	i, err := x.engine.client.ContainerExecInspect(ctx, x.id)
	if err != nil {
		return false, 0, x.engine.wrap("inspecting a process", err)
	}
	return !i.Running, i.ExitCode, nil
}
