package stages

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/contract"
)

// account records in the job's account how a stage begins, what it does and how it ends. Gone reports
// whether the Runner has ended. A call without an identity has no account: do returns the reason.
func account(ctx context.Context, a *app.App, c *contract.Call, x *executor.Executor, stage string, gone func() bool, do func(context.Context) error) error {
	id, err := c.Identity()
	if err != nil {
		return do(ctx)
	}
	a.Identify(id, stage)
	ignored := accounting.Ignored(stage) || stage == "after_script" && !fails(c, stage)
	call := x.Accounts.Begin(id, stage, ignored)
	ctx, seen := observe.With(ctx, sections(c, a))
	err = do(ctx)
	call.End(outcome(ctx, err, gone(), seen.LastStep()), seen.Seen())
	return err
}

// sections returns what puts the steps of prepare that have many lines into sections of the job log; nil if
// GitLab shows none. Around prepare and each script the Runner itself has a section.
func sections(c *contract.Call, a *app.App) func(observe.Step) func() {
	if c.Job == nil || !c.Job.Features.TraceSections {
		return nil
	}
	headers := map[observe.Step]string{observe.Images: "Getting the images", observe.Services: "Waiting for the services", observe.Helper: "Starting the helper container"}
	return func(s observe.Step) func() {
		header, ok := headers[s]
		if !ok {
			return func() {}
		}
		return app.Section(a.Log, "gsx_"+string(s), header)
	}
}

// outcome is how a stage ended, from its error. Step is the last step of prepare that began.
func outcome(ctx context.Context, err error, gone bool, step observe.Step) accounting.Outcome {
	failed, isScript := errors.AsType[*executor.ScriptError](err)
	switch {
	case err == nil:
		return accounting.Outcome{Result: accounting.Success}
	case isScript && !failed.Stopped:
		return accounting.Outcome{Result: accounting.ScriptFailure}
	case gone:
		return accounting.Outcome{Result: accounting.SystemFailure, Class: accounting.RunnerGone}
	case ctx.Err() != nil, isScript:
		return accounting.Outcome{Result: accounting.Canceled}
	case fault.ClassOf(err) == fault.Job:
		return accounting.Outcome{Result: accounting.JobFault}
	}
	return accounting.Outcome{Result: accounting.SystemFailure, Class: class(err, step)}
}

// class is what a failure of the system is about.
func class(err error, step observe.Step) accounting.Class {
	_, full := errors.AsType[*storage.NoRoom](err)
	_, stopped := errors.AsType[*executor.StoppedError](err)
	switch {
	case full:
		return accounting.Disk
	case engine.IsUnreachable(err), errdefs.IsUnavailable(err): // the second is a cluster's
		return accounting.Engine
	case stopped:
		return accounting.ContainerStopped
	case step != "":
		return accounting.Prepare(step)
	}
	return accounting.Other
}

// finish counts the job, which is over.
func finish(ctx context.Context, a *app.App, x *executor.Executor, i job.Identity, by accounting.By) {
	x.Accounts.Finish(context.WithoutCancel(ctx), i.Name(), by)
	a.WarnOfLostLines()
}
