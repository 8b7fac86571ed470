package docker

import (
	"context"

	"gitlab-sysbox-executor/executor/cgroup"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
)

// local is what this machine knows of a running container; zero if its processes run elsewhere.
type local struct {
	group cgroup.Group
	first owner.Process // its first process
}

// localOf finds a container's processes on this machine.
func (b *Backend) localOf(ctx context.Context, id string) (l local) {
	state, err := b.Engine.State(ctx, id)
	if err == nil {
		l.first = owner.Describe(state.PID)
		// The path of its control group has the container's ID: the PID is not that of another machine's process.
		l.group, err = cgroup.Of(state.PID, id)
	}
	if err != nil {
		b.Log.Debugf("The processes of container %s were not found on this machine, so limits that the job reaches are not counted, and the engine starts each stage: %v", id, err)
		return local{}
	}
	return l
}

// limits are the limits of such a container.
func (l local) limits(m *made) job.Limits {
	return job.Limits{Memory: int64(m.Resources.Memory), Pids: m.Resources.PidsLimit, Volume: m.Volume.Size, Group: l.group}
}
