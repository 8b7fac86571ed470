package executor

import (
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// Identity tells one job from every other on this machine.
type Identity = job.Identity

// mark adds to a resource's labels which state folder it belongs to.
func (x *Executor) mark(labels map[string]string) map[string]string {
	labels[job.LabelState] = x.state().ID()
	return labels
}

// belongs tells whether what the engine found is the named job's.
func belongs(f engine.Found, name string) bool { return job.Owns(name, f.Name, f.Labels) }
