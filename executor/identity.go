package executor

import (
	"gitlab-sysbox-executor/executor/job"
)

// Identity tells one job from every other on this machine.
type Identity = job.Identity

// mark adds to a resource's labels which state folder it belongs to.
func (x *Executor) mark(labels map[string]string) map[string]string {
	labels[job.LabelState] = x.state().ID()
	return labels
}
