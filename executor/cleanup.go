package executor

import (
	"context"
	"fmt"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
)

// Cleanup removes all resources of the job, which it finds by the journal and the labels. It may be
// called at any time and repeatedly, even while a stage runs. Leftovers are logged and stay in the
// journal for gc. They are no error, because the job is over. An error means that Cleanup could not
// work.
func (x *Executor) Cleanup(ctx context.Context, i job.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	left, err := x.Removal().Clear(ctx, i.Name(), nil)
	return x.cleared(ctx, i, left, err)
}

// cleared ends the removal of a job.
func (x *Executor) cleared(ctx context.Context, i job.Identity, left []journal.Resource, err error) error {
	for _, r := range left { // administrators read the Runner's log
		observe.Left(ctx, string(r.Kind))
		x.Log.Warnf("Left on this machine: %s %s: %s.", r.Kind, r.Name, r.Left)
	}
	if len(left) > 0 {
		x.Log.Warn("The leftovers stay in the job's journal; `gitlab-sysbox-executor gc` tries to remove them again.")
	}
	if err != nil {
		return err
	}
	x.Kept.After(ctx, i)
	// The job may have been the last user of an older generation of shared images.
	if _, err := x.DropImages(ctx); err != nil {
		x.Log.Debugf("%v", err) // gc tries again
	}
	return nil
}

// Remove is Cleanup for a person: it refuses a job that runs.
func (x *Executor) Remove(ctx context.Context, i job.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	left, err := x.Removal().Remove(ctx, i.Name())
	return x.cleared(ctx, i, left, err)
}

// CleanupUnproven is Cleanup for a job that is identified only by variables, which the author of the job
// can set. A Runner cleans up only its own jobs. So it refuses a job if its owner process is, or may be,
// another process than an ancestor of this one.
func (x *Executor) CleanupUnproven(ctx context.Context, i job.Identity) error {
	drivers, ours, err := x.drivers(ctx, i.Name())
	if err != nil {
		return err
	}
	for _, d := range drivers {
		switch state := d.State(ours); {
		case state == owner.Unknown:
			return fmt.Errorf("job %d of project %d may be another process's: without the job's payload its resources are left to that process and to gc", i.JobID, i.ProjectID)
		case state == owner.Alive && !d.IsAncestor():
			return fmt.Errorf("job %d of project %d is driven by process %d, which did not start this cleanup: without the job's payload its resources are left to that process and to gc", i.JobID, i.ProjectID, d.PID)
		}
	}
	return x.Cleanup(ctx, i)
}

// drivers are the owner processes of the named job, according to its journal and the labels of its
// resources. The zero Process means that the process is unknown. Ours reports whether this state folder
// knows the job.
func (x *Executor) drivers(ctx context.Context, name string) (all []owner.Process, ours bool, err error) {
	content, there, err := journal.Read(x.Dir.Journals(), name)
	if err != nil && !there {
		return nil, false, err
	}
	if there { // an invalid journal has no owner
		all = append(all, content.Owner)
	}
	found, err := x.Removal().All(ctx, name)
	if err != nil {
		return nil, false, err
	}
	for _, f := range found[name] {
		all = append(all, owner.Parse(f.Labels[job.LabelOwner]))
	}
	return all, there || x.Dir.HasJob(name), nil
}
