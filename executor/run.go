package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/service"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/storage"
)

// Script is the script of one stage.
type Script struct {
	Stage string
	Text  []byte
	// Helper is true for a script that the helper container can run. It is not written by the job's
	// author.
	Helper bool
	// Last is true for the job's last script. It removes the job's file variables.
	Last bool
	// Report requests a line about the storage volume at the end of the script.
	Report bool
	// ServiceLogs adds the services' output to the script's output.
	ServiceLogs bool
}

// ScriptError means that a script ran and failed.
type ScriptError = agentclient.ScriptError

// StoppedError means that the job container was stopped from outside while a script ran.
type StoppedError struct{ Stage string }

func (e *StoppedError) Error() string {
	return e.Stage + ": the job's container was stopped while the script ran"
}

// Environment returns what prepare made for the job. It fails if there is nothing.
func (x *Executor) Environment(i job.Identity) (e job.Environment, err error) {
	j, err := x.journal(i)
	if err != nil {
		return e, err
	}
	ok, err := j.Facts(&e)
	if err == nil && !ok {
		err = fmt.Errorf("job %d has no prepared container on this machine", i.JobID)
	}
	return e, err
}

// Run runs a script in the job's Environment and copies its output to out at once. When ctx ends, it ends
// the script's processes and returns. A failing script returns a *ScriptError.
func (x *Executor) Run(ctx context.Context, i job.Identity, e job.Environment, s Script, out io.Writer) error {
	journal.Touch(x.Dir.Journals(), i.Name())
	defer x.Dir.Use(i.Name())()
	if x.Alive != nil {
		defer x.Alive(ctx, i)()
	}
	x.Dir.SetStage(i.Name(), s.Stage)
	defer x.Room.Watch(ctx, e.EngineFolder, nil)()
	services := servicelog.Open(x.Dir.Job(i.Name()), x.Backend, x.Log)
	defer services.ReportEnded(ctx, e.Services, service.Died)
	if s.ServiceLogs {
		defer services.Follow(ctx, e.Services)()
	}
	to := e.Of(s.Helper)
	to.Watch.Measure = s.Report
	before := to.Limits.Group.Events()
	inOrder := x.guardDisk(i, e, s.Stage)
	outcome, err := x.runIn(ctx, to, s, out)
	usage := outcome.Usage
	inOrder(outcome)
	failed, ok := errors.AsType[*ScriptError](err)
	ok = ok && !failed.Stopped
	var events cgroup.Events
	if ok { // only a failed script needs an explanation
		events = to.Limits.Group.Events().Since(before)
	}
	if text := to.Limits.Reached(events, usage); text != "" {
		x.Log.Warn(text)
		if ok {
			failed.Explained = true
		}
	}
	x.noteUsage(ctx, i, usage, s.Report)
	if err == nil && s.Last && e.Builds != "" {
		x.Kept.ForgetTemps(e.Builds)
	}
	if s.Last && e.Disk != nil {
		x.keepDisk(ctx, i, e, err)
	}
	return err
}

// runIn runs a script in one of the job's containers.
func (x *Executor) runIn(ctx context.Context, e job.Environment, s Script, out io.Writer) (agent.Outcome, error) {
	reconnect := x.Reconnect
	if !e.Keeps {
		reconnect = 0
	}
	o, err := x.Backend.Inside(e.Container, e.First, "the job's container").Run(ctx, agentclient.Script{
		Stage: s.Stage, Text: s.Text,
		Request: agent.ExecRequest{
			Shell: e.Shell, User: e.User, WorkingDir: e.WorkingDir, Path: e.Tools, TMPDIR: e.TMPDIR, Init: e.Init, NoFile: e.NoFile,
			Grace: x.KillGrace, Watch: e.Watch,
		},
		Reconnect: reconnect, Tell: func(text string) { x.Log.Warn(text) },
	}, out)
	if failed, ok := errors.AsType[*ScriptError](err); ok && failed.Stopped && ctx.Err() == nil && x.Backend.Ends(ctx, e.Container, stopTime) {
		if why := x.Backend.WhyEnded(ctx, e.Container); why != nil {
			err = fmt.Errorf("%s: %w", s.Stage, why)
		} else if x.Backend.EndedByItself(ctx, e.Container) {
			// root in the container may stop it (kill 1): that is no failure of the system
			x.Log.Warnf("A process of the job stopped the job's container while %s ran.", s.Stage)
			failed.Stopped, failed.Explained = false, true
		} else {
			err = &StoppedError{s.Stage}
		}
	}
	if len(o.Survivors) > 0 {
		x.Log.Warnf("Processes %v of %s could not be killed; they end with the job's container.", o.Survivors, s.Stage)
	}
	return o, err
}

// stopTime is how long a container that is being stopped may take. It is longer than the 10 s that `docker stop` waits.
const stopTime = 20 * time.Second

// Versions are those of the container tools in the job's container, by command.
func (x *Executor) Versions(ctx context.Context, e job.Environment) (map[string]string, error) {
	return x.Backend.Inside(e.Container, e.First, "the job's container").Versions(ctx, agent.VersionsRequest{User: e.User, Init: e.Init})
}

// noteUsage records the script's use of the storage volume. If report is set, it also logs what the author of
// the job should know.
func (x *Executor) noteUsage(ctx context.Context, i job.Identity, u *agent.Usage, report bool) {
	if u == nil {
		return
	}
	s, err := storage.NoteUse(x.Dir.Job(i.Name()), u.Used, u.Peak, report)
	if err != nil {
		x.Log.Warnf("Could not record the use of the storage volume: %v", err)
	}
	if s == (storage.State{}) {
		return
	}
	observe.Peak(ctx, s.Peak-s.Base)
	if report {
		x.Log.Info(s.Line(u.Files))
	}
}
