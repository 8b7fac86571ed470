package executor

import (
	"context"
	"fmt"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
)

// CleanupUnproven is Cleanup for a job that only its variables name, which its author
// can set. It refuses a job that another process than one of our own ancestors drives,
// or may drive: a Runner cleans up after its own jobs.
func (x *Executor) CleanupUnproven(ctx context.Context, i Identity) error {
	drivers, ours, err := x.drivers(ctx, i.Name())
	if err != nil {
		return err
	}
	for _, d := range drivers {
		switch state := d.State(ours); {
		case state == owner.Unknown:
			return fmt.Errorf("job %d of project %d may be another process's: without the job's payload its things are left to that process, and to gc", i.JobID, i.ProjectID)
		case state == owner.Alive && !d.IsAncestor():
			return fmt.Errorf("job %d of project %d is driven by process %d, which did not start this cleanup: without the job's payload its things are left to that process, and to gc", i.JobID, i.ProjectID, d.PID)
		}
	}
	return x.Cleanup(ctx, i)
}

// drivers are the processes that drive the named job, by its journal and by the labels
// of what it has on the engine. The zero Process is one of which nothing is known. Ours
// tells that our own state folder knows of the job.
func (x *Executor) drivers(ctx context.Context, name string) (all []owner.Process, ours bool, err error) {
	content, there, err := journal.Read(x.state().Journals(), name)
	if err != nil && !there {
		return nil, false, err
	}
	if there { // one that makes no sense has no owner
		all = append(all, content.Owner)
	}
	found, err := x.removal().All(ctx, name)
	if err != nil {
		return nil, false, err
	}
	for _, f := range found[name] {
		all = append(all, owner.Parse(f.Labels[job.LabelOwner]))
	}
	return all, there || exists(x.state().Job(name)), nil
}
