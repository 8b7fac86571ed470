package agentclient

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"sync"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// Visit is a shell or a command that a person runs in a container.
type Visit struct {
	Request agent.EnterRequest // without Nonce
	In      io.Reader          // the person's input; what was read when the program ends is lost
	Out     io.Writer          // the program's output and errors, as they are
	// Resized sends each new size of the person's terminal; nil without one.
	Resized <-chan agent.Window
}

// Enter runs a shell or a command until it ends. When ctx ends, so do its processes. A program that fails returns a
// *ScriptError with its exit code.
func (c Container) Enter(ctx context.Context, v Visit) error {
	const subcommand = "enter"
	e, err := c.start(context.WithoutCancel(ctx), subcommand)
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return fault.Systemf("%s does not run any more: %w", c.Name, err)
	} else if err != nil {
		return err
	}
	defer e.Close()
	defer context.AfterFunc(ctx, e.Close)() // the agent reads the end of its input
	v.Request.Nonce = rand.Text()
	request, err := json.Marshal(v.Request)
	if err != nil {
		return err
	}
	go v.send(e, append(request, '\n'))
	control := outcomeReader{nonce: v.Request.Nonce, found: e.Finish}
	copyErr := e.Copy(v.Out, &control)
	if control.outcome == nil {
		return c.lost(ctx, e, subcommand, copyErr, control.said)
	}
	o := *control.outcome
	checkOutcome(agent.ExecRequest{}, &o)
	return failure(subcommand, o)
}

// send sends the request, and then what the person types.
func (v Visit) send(e io.Writer, request []byte) {
	var mu sync.Mutex
	write := func(b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := e.Write(b)
		return err
	}
	if write(request) != nil {
		return
	}
	go func() {
		for size := range v.Resized {
			if write(size.Frame()) != nil {
				return
			}
		}
	}()
	data, frame := make([]byte, agent.MostData), []byte(nil)
	for {
		n, err := v.In.Read(data)
		if n > 0 {
			if frame = agent.AppendFrame(frame[:0], agent.InputData, data[:n]); write(frame) != nil {
				return
			}
		}
		if err != nil {
			_ = write(agent.AppendFrame(nil, agent.EndOfInput, nil)) // on failure the program has ended
			return
		}
	}
}
