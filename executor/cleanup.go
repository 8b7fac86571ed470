package executor

import (
	"context"
	"fmt"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
)

// Cleanup removes everything that the journal or the labels say is the job's. It
// may be called at any time and any number of times, also beside a stage that
// still runs. A leftover is reported in the log, stays in the journal and is taken up
// by gc: that is no error, for the job is over all the same. An error says that
// Cleanup could not do its work.
func (x *Executor) Cleanup(ctx context.Context, i job.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	left, err := x.Removal().Clear(ctx, i.Name(), nil)
	for _, r := range left { // the Runner's own log is the administrator's
		x.Log.Warnf("Left on this machine: %s %s: %s.", r.Kind, r.Name, r.Left)
	}
	if len(left) > 0 {
		x.Log.Warn("What is left is in the job's journal; `gitlab-sysbox-executor gc` takes it up.")
	}
	if err != nil {
		return err
	}
	x.Kept.After(ctx, i)
	// The job may have been the last that had an older generation of shared images.
	if _, err := x.DropImages(ctx); err != nil {
		x.Log.Debugf("%v", err) // gc takes it up
	}
	return nil
}

// CleanupUnproven is Cleanup for a job that only its variables name, which its author
// can set. It refuses a job that another process than one of our own ancestors drives,
// or may drive: a Runner cleans up after its own jobs.
func (x *Executor) CleanupUnproven(ctx context.Context, i job.Identity) error {
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
// of what it has on the backend. The zero Process is one of which nothing is known. Ours
// tells that our own state folder knows of the job.
func (x *Executor) drivers(ctx context.Context, name string) (all []owner.Process, ours bool, err error) {
	content, there, err := journal.Read(x.Dir.Journals(), name)
	if err != nil && !there {
		return nil, false, err
	}
	if there { // one that makes no sense has no owner
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
