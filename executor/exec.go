package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/service"
)

// ask runs one of the agent's faces with an order on its input and reads its
// answer. The input stays open until then: its end tells that nobody waits.
func (x *Executor) ask(ctx context.Context, id string, cmd []string, order, answer any) error {
	e, err := x.Engine.Exec(ctx, id, "0:0", "/", cmd)
	if err != nil {
		return err
	}
	defer e.Close()
	defer context.AfterFunc(ctx, e.Close)()
	if err := json.NewEncoder(e).Encode(order); err != nil {
		return err
	}
	var stdout, stderr bytes.Buffer
	if err := e.Copy(&stdout, &stderr); err != nil {
		return err
	}
	if err := json.Unmarshal(stdout.Bytes(), answer); err != nil {
		return fmt.Errorf("no answer from inside: %s", strings.TrimSpace(stderr.String()+" "+stdout.String()))
	}
	return nil
}

// Script is one stage's script.
type Script struct {
	Stage string
	Text  []byte
	// Helper is for a script that the helper container can run: it is not the
	// job's author's.
	Helper bool
	// Report asks for a line on the storage volume at the script's end.
	Report bool
	// ServiceLogs shows what the services write beside the script's output.
	ServiceLogs bool
}

// ScriptError tells that a script ran and failed.
type ScriptError struct {
	Stage   string
	Code    int    // exit code, or 128 plus the signal
	Signal  string // name of the signal that ended it, if one did
	Stopped bool   // we were asked to end it
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

// Surroundings are what a script has to be fitted to.
type Surroundings struct {
	Enforced map[string]string // variables that it must not change
	TMPDIR   string
	Tools    string // a folder for the end of its PATH; may be empty
	POSIX    bool   // its shell lacks the $'...' quoting
}

// Adapt fits a script to its surroundings.
type Adapt func(text []byte, to Surroundings) []byte

// Run runs a script in the prepared environment and copies its output to out as
// it comes. When ctx ends it ends the script's processes and returns. A failing
// script gives a *ScriptError.
func (x *Executor) Run(ctx context.Context, i Identity, s Script, adapt Adapt, out io.Writer) error {
	j, err := x.journal(i)
	if err != nil {
		return err
	}
	var f facts
	if ok, err := j.Facts(&f); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("job %d has no prepared container on this machine", i.JobID)
	}
	j.Touch()
	defer x.state().Use(i.Name())()
	x.setStage(i.Name(), s.Stage)
	defer x.reportDead(ctx, i, f.Services, service.Died)
	if s.ServiceLogs {
		defer x.showLogs(ctx, i, f.Services)()
	}
	switch {
	case !s.Helper:
		f.Tools = ""
	case f.Helper != nil:
		f = *f.Helper
	}
	s.Text = adapt(s.Text, Surroundings{Enforced: f.Enforced, TMPDIR: f.TMPDIR, Tools: f.Tools, POSIX: !f.ANSIQuoting})
	f.Watch.Measure = s.Report
	usage, err := x.runIn(ctx, f, s, out)
	x.tellUsage(i, usage, s.Report)
	return err
}

func (x *Executor) runIn(ctx context.Context, f facts, s Script, out io.Writer) (*agent.Usage, error) {
	e, err := x.Engine.Exec(context.WithoutCancel(ctx), f.Container, "0:0", "/", agent.Command("exec"))
	if engine.IsNotFound(err) || engine.IsConflict(err) {
		return nil, fmt.Errorf("the job's container is gone: %w", err)
	} else if err != nil {
		return nil, err
	}
	defer e.Close()
	order, err := json.Marshal(agent.ExecOrder{
		Length: len(s.Text), Shell: f.Shell, User: f.User, WorkingDir: f.WorkingDir, Path: f.Tools, TMPDIR: f.TMPDIR, Init: f.Init, NoFile: f.NoFile,
		Grace: x.KillGrace, Watch: f.Watch,
	})
	if err != nil {
		return nil, err
	}
	// Written beside the copying below: a script may be larger than what fits
	// between us and the agent, and the agent may die before it has read it.
	go func() {
		_, _ = e.Write(append(append(order, '\n'), s.Text...))
		<-ctx.Done()
		_, _ = e.Write([]byte{agent.Cancel})
	}()

	// The container may take its time to be stopped, but not for ever.
	stopped := context.AfterFunc(ctx, func() {
		time.AfterFunc(x.KillGrace+10*time.Second, e.Close)
	})
	defer stopped()
	control := outcomeReader{told: func() { time.AfterFunc(drainTime, e.Close) }}
	copyErr := e.Copy(out, &control)
	if control.outcome == nil {
		return nil, x.lost(ctx, e, s, copyErr, string(control.rest))
	}
	o := *control.outcome
	switch {
	case o.Error != "" && o.JobFault:
		return o.Usage, fault.Jobf("%s: %s", s.Stage, o.Error)
	case o.Error != "":
		return o.Usage, fmt.Errorf("%s: %s", s.Stage, o.Error)
	}
	if len(o.Survivors) > 0 {
		x.Log.Warnf("Processes %v of %s could not be killed; they end with the job's container.", o.Survivors, s.Stage)
	}
	if o.Code != 0 || o.Stopped {
		return o.Usage, &ScriptError{Stage: s.Stage, Code: o.Code, Signal: o.Signal, Stopped: o.Stopped}
	}
	return o.Usage, nil
}

// drainTime is how long output may still come once the script has ended. Only a
// process that got away from its stage can hold the output open longer.
const drainTime = 5 * time.Second

// outcomeReader takes the outcome from what the agent says and calls told when it is
// there. The job's GODEBUG makes Go's runtime say things there, too.
type outcomeReader struct {
	told    func()
	outcome *agent.Outcome
	rest    []byte // the end of the rest
}

func (r *outcomeReader) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for line := range bytes.Lines(r.rest) {
		var o agent.Outcome
		if r.outcome == nil && bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &o) == nil {
			r.outcome = &o
			r.told()
		}
	}
	r.rest = r.rest[max(0, len(r.rest)-mostSaid):]
	return len(p), nil
}

// mostSaid is more than an outcome is long, in bytes.
const mostSaid = 64 << 10

// lost finds out what became of a script whose agent did not tell.
func (x *Executor) lost(ctx context.Context, e *engine.Exec, s Script, copyErr error, said string) error {
	if ctx.Err() != nil {
		return &ScriptError{Stage: s.Stage, Code: 137, Signal: "SIGKILL", Stopped: true}
	}
	ended, code, err := e.Ended(ctx)
	switch {
	case engine.IsNotFound(err):
		return fmt.Errorf("%s: the job's container ended while the script ran", s.Stage)
	case err != nil:
		return fmt.Errorf("%s: the connection to the script was lost: %w", s.Stage, err)
	case ended && code > 128: // the script killed all it could reach, us included
		return &ScriptError{Stage: s.Stage, Code: code, Signal: "a signal"}
	case copyErr != nil:
		return fmt.Errorf("%s: the connection to the script was lost: %w", s.Stage, copyErr)
	}
	return fmt.Errorf("%s: the script's parent process ended with exit code %d: %s", s.Stage, code, strings.TrimSpace(said))
}
