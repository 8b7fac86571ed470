package docker

import (
	"context"

	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/job"
)

// limitsOf are the limits of a running container. How often the job reaches them can
// only be counted if the container's processes run on this machine.
func (b *Backend) limitsOf(ctx context.Context, id string, m *made) job.Limits {
	l := job.Limits{Memory: int64(m.Resources.Memory), Pids: m.Resources.PidsLimit, Volume: m.Volume.Size}
	state, err := b.Engine.State(ctx, id)
	if err == nil {
		l.Group, err = cgroup.Of(state.PID, id)
	}
	if err != nil {
		b.Log.Debugf("Cannot count how often the job reaches its limits: %v", err)
	}
	return l
}
