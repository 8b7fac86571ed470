package agentclient

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// Script is a script that an agent is to run.
type Script struct {
	Stage string // what messages call it
	Text  []byte
	Order agent.ExecOrder // but for Nonce and Length
}

// ScriptError says that a script ran and failed.
type ScriptError struct {
	Stage   string
	Code    int    // exit code, or 128 plus the signal
	Signal  string // name of the signal that ended it, if one did
	Stopped bool   // we were asked to end it
	// Explained says that the job log already has the reason.
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

// drainTime is how long output may still come once the script has ended. Only a
// process that got away from its stage can hold the output open longer.
const drainTime = 5 * time.Second

// stopTime is how long the end of a script may take beyond its grace.
const stopTime = 10 * time.Second

// Run runs a script and copies its output to out as it comes. When ctx ends it ends
// the script's processes and returns. A script that fails gives a *ScriptError. The
// outcome is empty where none was reported.
func (c Container) Run(ctx context.Context, s Script, out io.Writer) (agent.Outcome, error) {
	e, err := c.start(context.WithoutCancel(ctx), "exec")
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return agent.Outcome{}, fmt.Errorf("%s is gone: %w", c.Name, err)
	} else if err != nil {
		return agent.Outcome{}, err
	}
	defer e.Close()
	s.Order.Nonce, s.Order.Length = rand.Text(), len(s.Text)
	order, err := json.Marshal(s.Order)
	if err != nil {
		return agent.Outcome{}, err
	}
	over := make(chan struct{})
	defer close(over)
	// Written beside the copying below: a script may be larger than what fits
	// between us and the agent, and the agent may die before it has read it.
	go func() {
		_, _ = e.Write(append(append(order, '\n'), s.Text...))
		select {
		case <-ctx.Done():
			_, _ = e.Write([]byte{agent.Cancel})
		case <-over:
		}
	}()

	// The container may take its time to be stopped, but not for ever.
	stopped := context.AfterFunc(ctx, func() { time.AfterFunc(s.Order.Grace+stopTime, e.Close) })
	defer stopped()
	control := outcomeReader{nonce: s.Order.Nonce, found: func() { time.AfterFunc(drainTime, e.Close) }}
	copyErr := e.Copy(out, &control)
	if control.outcome == nil {
		return agent.Outcome{}, c.lost(ctx, e, s.Stage, copyErr, control.said)
	}
	o := *control.outcome
	checkOutcome(s.Order, &o)
	switch {
	case o.Error != "" && o.JobFault:
		return o, fault.Jobf("%s: %s", s.Stage, o.Error)
	case o.Error != "":
		return o, fmt.Errorf("%s: %s", s.Stage, o.Error)
	case o.Code != 0 || o.Stopped:
		return o, &ScriptError{Stage: s.Stage, Code: o.Code, Signal: o.Signal, Stopped: o.Stopped}
	}
	return o, nil
}

// lost finds out what became of a script whose agent reported no outcome.
func (c Container) lost(ctx context.Context, e Stream, stage string, copyErr error, said []byte) error {
	if ctx.Err() != nil {
		return &ScriptError{Stage: stage, Code: 137, Signal: "SIGKILL", Stopped: true}
	}
	ended, code, err := e.Ended(ctx)
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %s ended while the script ran", stage, c.Name)
	case err != nil:
		return fmt.Errorf("%s: the connection to the script was lost: %w", stage, err)
	case ended && code > 128: // the script killed all it could reach, us included
		return &ScriptError{Stage: stage, Code: code, Signal: "a signal"}
	case copyErr != nil:
		return fmt.Errorf("%s: the connection to the script was lost: %w", stage, copyErr)
	}
	return fmt.Errorf("%s: the script's parent process ended with exit code %d: %s", stage, code, fault.Brief(strings.TrimSpace(string(said))))
}
