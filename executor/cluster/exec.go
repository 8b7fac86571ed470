package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

// Exec is an additional process in a container, with its standard streams attached. It implements agentclient.Stream.
type Exec struct {
	in     *io.PipeWriter
	out    *io.PipeReader
	err    *io.PipeReader
	cancel context.CancelFunc
	done   chan struct{} // closed when result is final
	result error
}

// Exec starts a command in a container, as the container's user. It has no time limit; ctx bounds only its start. The
// connection is a WebSocket, or SPDY if something between here and the API server does not know those.
func (c *Client) Exec(ctx context.Context, pod, container string, command []string) (*Exec, error) {
	doing := "starting a process in container " + container + " of pod " + pod
	request := c.execRequest(pod, container, command).URL()
	socket, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, request.String())
	if err != nil {
		return nil, c.wrap(doing, err)
	}
	spdy, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, request)
	if err != nil {
		return nil, c.wrap(doing, err)
	}
	either, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return nil, c.wrap(doing, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	x := &Exec{cancel: cancel, done: make(chan struct{})}
	var in *io.PipeReader
	var out, errOut *io.PipeWriter
	in, x.in = io.Pipe()
	x.out, out = io.Pipe()
	x.err, errOut = io.Pipe()
	input := &first{Reader: in, begun: make(chan struct{})}
	go func() {
		x.result = c.wrap(doing, either.StreamWithContext(running, remotecommand.StreamOptions{Stdin: input, Stdout: out, Stderr: errOut}))
		close(x.done)
		lost := x.result
		if _, ended := errors.AsType[utilexec.ExitError](lost); ended {
			lost = nil
		}
		out.CloseWithError(lost) // nil is the end of the output
		errOut.CloseWithError(lost)
		in.CloseWithError(io.ErrClosedPipe)
	}()
	select {
	case <-input.begun: // the library reads the input once it has all streams
	case <-x.done:
		if x.result != nil {
			x.Close()
			return nil, x.result
		}
	case <-ctx.Done():
		x.Close()
		return nil, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	return x, nil
}

// first is a reader that reports its first Read.
type first struct {
	io.Reader
	once  sync.Once
	begun chan struct{}
}

func (r *first) Read(p []byte) (int, error) {
	r.once.Do(func() { close(r.begun) })
	return r.Reader.Read(p)
}

// Write writes to the process's standard input.
func (x *Exec) Write(p []byte) (int, error) { return x.in.Write(p) }

// Copy copies the process's output until both streams end or Close is called.
func (x *Exec) Copy(stdout, stderr io.Writer) error {
	copied := make(chan error, 2)
	copy := func(to io.Writer, from *io.PipeReader) {
		_, err := io.Copy(to, from)
		copied <- err
		if err != nil {
			x.Close() // the other stream does not matter any more
		}
	}
	go copy(stdout, x.out)
	go copy(stderr, x.err)
	first, second := <-copied, <-copied
	if first != nil {
		return first
	}
	return second
}

// finishTime is how long the output is read after Finish.
const finishTime = 5 * time.Second

// Finish limits the time for the rest of the output.
func (x *Exec) Finish() { time.AfterFunc(finishTime, x.Close) }

// Close closes the connection; the process reads the end of its input.
func (x *Exec) Close() {
	x.cancel()
	_ = x.in.CloseWithError(io.ErrClosedPipe)
	_ = x.out.CloseWithError(io.ErrClosedPipe)
	_ = x.err.CloseWithError(io.ErrClosedPipe)
}

// Ended reports whether the process has ended, and its exit code. An error means that the connection was lost: whether
// the process runs is then not known.
func (x *Exec) Ended(ctx context.Context) (bool, int, error) {
	select {
	case <-x.done:
	case <-ctx.Done():
		return false, 0, context.Cause(ctx)
	case <-time.After(finishTime):
		return false, 0, nil
	}
	if x.result == nil {
		return true, 0, nil
	}
	if exit, ok := errors.AsType[utilexec.ExitError](x.result); ok && exit.Exited() {
		return true, exit.ExitStatus(), nil
	}
	return false, 0, x.result
}
