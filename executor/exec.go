package executor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/service"
)

// inside is a container of the job's as its agent is spoken to; name is what
// messages call it.
func (x *Executor) inside(id, name string) agentclient.Container {
	return agentclient.Container{Name: name, Exec: func(ctx context.Context, command []string) (agentclient.Stream, error) {
		e, err := x.Engine.Exec(ctx, id, "0:0", "/", command)
		if err != nil {
			return nil, err // not a nil *engine.Exec in an interface
		}
		return e, nil
	}}
}

// jobContainer is what messages call the container of the job's own scripts.
const jobContainer = "the job's container"

// Script is one stage's script.
type Script struct {
	Stage string
	Text  []byte
	// Helper is for a script that the helper container can run: it is not the
	// job's author's.
	Helper bool
	// RemovesSecrets tells that the script removes the job's file variables.
	RemovesSecrets bool
	// Report asks for a line on the storage volume at the script's end.
	Report bool
	// ServiceLogs shows what the services write beside the script's output.
	ServiceLogs bool
}

// ScriptError tells that a script ran and failed.
type ScriptError = agentclient.ScriptError

// Environment returns what prepare made for the job. It fails when there is
// nothing.
func (x *Executor) Environment(i Identity) (e job.Environment, err error) {
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

// Run runs a script in the job's Environment and copies its output to out as it
// comes. When ctx ends it ends the script's processes and returns. A failing
// script gives a *ScriptError.
func (x *Executor) Run(ctx context.Context, i Identity, e job.Environment, s Script, out io.Writer) error {
	j, err := x.journal(i)
	if err != nil {
		return err
	}
	j.Touch()
	defer x.state().Use(i.Name())()
	x.setStage(i.Name(), s.Stage)
	defer x.room().Watch(ctx, e.EngineFolder, nil)()
	defer x.reportDead(ctx, i, e.Services, service.Died)
	if s.ServiceLogs {
		defer x.showLogs(ctx, i, e.Services)()
	}
	f := e.Of(s.Helper)
	f.Watch.Measure = s.Report
	before := f.Limits.Group.Events()
	usage, err := x.runIn(ctx, f, s, out)
	failed, ok := errors.AsType[*ScriptError](err)
	ok = ok && !failed.Stopped
	var events cgroup.Events
	if ok { // a process that was killed is no matter otherwise
		events = f.Limits.Group.Events().Since(before)
	}
	if text := reached(f.Limits, events, usage); text != "" {
		x.Log.Warn(text)
		if ok {
			failed.Explained = true
		}
	}
	x.tellUsage(i, usage, s.Report)
	if err == nil && s.RemovesSecrets && e.Builds != "" {
		x.Kept().ForgetTemps(e.Builds)
	}
	return err
}

// runIn runs a script in one of the job's containers.
func (x *Executor) runIn(ctx context.Context, f job.Environment, s Script, out io.Writer) (*agent.Usage, error) {
	o, err := x.inside(f.Container, jobContainer).Run(ctx, agentclient.Script{
		Stage: s.Stage, Text: s.Text,
		Order: agent.ExecOrder{
			Shell: f.Shell, User: f.User, WorkingDir: f.WorkingDir, Path: f.Tools, TMPDIR: f.TMPDIR, Init: f.Init, NoFile: f.NoFile,
			Grace: x.KillGrace, Watch: f.Watch,
		},
	}, out)
	if len(o.Survivors) > 0 {
		x.Log.Warnf("Processes %v of %s could not be killed; they end with the job's container.", o.Survivors, s.Stage)
	}
	return o.Usage, err
}
