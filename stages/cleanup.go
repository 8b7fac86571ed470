package stages

import (
	"context"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/stages/contract"
)

// Cleanup removes the job's resources on this machine.
func Cleanup(ctx context.Context, c *contract.Call, x *executor.Executor) error {
	id, proven, err := c.CleanupIdentity(x.Log)
	if err != nil {
		return err
	}
	if !proven {
		return x.CleanupUnproven(ctx, id)
	}
	return x.Cleanup(ctx, id)
}
