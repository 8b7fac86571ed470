package stages

import (
	"context"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/contract"
)

// Cleanup removes the job's resources on this machine, and counts the job. By is who found that it is over.
func Cleanup(ctx context.Context, a *app.App, c *contract.Call, x *executor.Executor, by accounting.By) error {
	id, proven, err := c.CleanupIdentity(x.Log)
	if err != nil {
		return err
	}
	if !proven {
		if err := x.CleanupUnproven(ctx, id); err != nil {
			return err // it may be another job: gc counts it
		}
	} else {
		never := func() bool { return false }
		err = account(ctx, a, c, x, accounting.StageCleanup, never, func(ctx context.Context) error { return x.Cleanup(ctx, id) })
	}
	finish(ctx, a, x, id, by) // the job is over, even if something of it is left
	return err
}
