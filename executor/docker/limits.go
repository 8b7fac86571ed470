package docker

import (
	"context"

	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/job"
)

// limitsOf are the limits of a container of the plan's that runs. What it reaches
// is not counted where its processes are on another machine.
func (b *Backend) limitsOf(ctx context.Context, id string, m *made) job.Limits {
	l := job.Limits{Memory: int64(m.Resources.Memory), Pids: m.Resources.PidsLimit, Volume: m.Volume.Size}
	state, err := b.Engine.State(ctx, id)
	if err == nil {
		l.Group, err = cgroup.Of(state.PID, id)
	}
	if err != nil {
		b.Log.Debugf("Limits that the job reaches are not counted: %v", err)
	}
	return l
}
