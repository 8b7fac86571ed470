package stages

import (
	"context"

	"gitlab-sysbox-executor/executor"
)

// Cleanup removes whatever the job has on this machine.
func Cleanup(ctx context.Context, c *Call, x *executor.Executor) error {
	id, proven, err := c.cleanupIdentity(x.Log)
	if err != nil {
		return err
	}
	if !proven {
		return x.CleanupUnproven(ctx, id)
	}
	return x.Cleanup(ctx, id)
}
