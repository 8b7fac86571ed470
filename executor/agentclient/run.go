package agentclient

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// Script is a script for an agent to run.
type Script struct {
	Stage   string // name for messages
	Text    []byte
	Request agent.ExecRequest // without Nonce, Length and Keep
	// Reconnect is how long the script goes on without a connection, and how long Run tries to get back to it. 0 means
	// that the script ends with the connection. It applies to containers that are Remote.
	Reconnect time.Duration
	// Tell gets lines about a broken connection; nil for nobody.
	Tell func(text string)
}

// ScriptError means that a script ran and failed.
type ScriptError struct {
	Stage   string
	Code    int    // exit code, or 128 plus the signal
	Signal  string // name of the signal that ended it, if any
	Stopped bool   // stopped by the driver
	// Explained means that the job log already has the reason.
	Explained bool
}

func (e *ScriptError) Error() string {
	switch {
	case e.Stopped:
		return fmt.Sprintf("%s was stopped", e.Stage)
	case e.Signal != "":
		return fmt.Sprintf("%s was ended by %s (exit code %d)", e.Stage, e.Signal, e.Code)
	}
	return fmt.Sprintf("%s: exit code %d", e.Stage, e.Code)
}

// stopTime is how long a script may take to stop after its grace period.
const stopTime = 10 * time.Second

// Run runs a script and copies its output to out. When ctx ends, it stops the script's
// processes and returns. If the script fails, the error is a *ScriptError. The outcome is empty
// if the agent reported none.
func (c Container) Run(ctx context.Context, s Script, out io.Writer) (agent.Outcome, error) {
	s.Request.Nonce, s.Request.Length = rand.Text(), len(s.Text)
	if c.Remote && s.Reconnect > 0 {
		return c.runKept(ctx, s, out)
	}
	e, err := c.start(context.WithoutCancel(ctx), "exec")
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return agent.Outcome{}, fmt.Errorf("%s is gone: %w", c.Name, err)
	} else if err != nil {
		return agent.Outcome{}, err
	}
	defer e.Close()
	request, err := s.request()
	if err != nil {
		return agent.Outcome{}, err
	}
	over := make(chan struct{})
	defer close(over)
	// This runs in parallel with the copying below: a script may be larger than the buffers
	// on the way to the agent, and the agent may die before it has read it.
	go func() {
		_, _ = e.Write(request)
		select {
		case <-ctx.Done():
			_, _ = e.Write([]byte{agent.Cancel})
		case <-over:
		}
	}()

	// Stopping takes time in the container, but it is bounded.
	stopped := context.AfterFunc(ctx, func() { time.AfterFunc(s.Request.Grace+stopTime, e.Close) })
	defer stopped()
	control := outcomeReader{nonce: s.Request.Nonce, found: e.Finish}
	copyErr := e.Copy(out, &control)
	if control.outcome == nil {
		return agent.Outcome{}, c.lost(ctx, e, s.Stage, copyErr, control.said)
	}
	o := *control.outcome
	checkOutcome(s.Request, &o)
	return o, failure(s.Stage, o)
}

// request is the request and the script as the agent reads them.
func (s Script) request() ([]byte, error) {
	line, err := json.Marshal(s.Request)
	return append(append(line, '\n'), s.Text[:s.Request.Length]...), err
}

// failure is the error that an outcome is; nil if it is none.
func failure(stage string, o agent.Outcome) error {
	switch {
	case o.Error != "" && o.JobFault:
		return fault.Jobf("%s: %s", stage, o.Error)
	case o.Error != "":
		return fmt.Errorf("%s: %s", stage, o.Error)
	case o.Code != 0 || o.Stopped:
		return &ScriptError{Stage: stage, Code: o.Code, Signal: o.Signal, Stopped: o.Stopped}
	}
	return nil
}

// lost returns the error of a script for which the agent reported no outcome.
func (c Container) lost(ctx context.Context, e Stream, stage string, copyErr error, said []byte) error {
	if ctx.Err() != nil {
		return &ScriptError{Stage: stage, Code: 137, Signal: "SIGKILL", Stopped: true}
	}
	ended, code, err := e.Ended(ctx)
	return c.lostAs(stage, ended, code, err, copyErr, said)
}

// lostAs is lost with what is known of the end of the process.
func (c Container) lostAs(stage string, ended bool, code int, err, copyErr error, said []byte) error {
	why, known := errors.AsType[*EndedError](err)
	switch {
	case known:
		return fmt.Errorf("%s: %s ended while the script ran: %w", stage, c.Name, why.Err)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %s ended while the script ran", stage, c.Name)
	case err != nil:
		return fmt.Errorf("%s: the connection to the script was lost: %w", stage, err)
	case ended && code > 128: // the script killed all processes that it could, including the agent
		return &ScriptError{Stage: stage, Code: code, Signal: "a signal"}
	case copyErr != nil:
		return fmt.Errorf("%s: the connection to the script was lost: %w", stage, copyErr)
	}
	return fmt.Errorf("%s: the script's parent process ended with exit code %d: %s", stage, code, fault.Brief(strings.TrimSpace(string(said))))
}
