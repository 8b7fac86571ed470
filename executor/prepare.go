package executor

import (
	"context"
	"fmt"
	"slices"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
)

// Prepare makes the job's environment. If it fails or is killed, Cleanup removes what was made. Another
// attempt may follow at once.
func (x *Executor) Prepare(ctx context.Context, p job.Plan) error {
	x.Backend.Ahead(ctx)
	j, err := x.begin(ctx, p.Identity)
	if err != nil {
		return err
	}
	defer x.sweep(ctx)()
	environment, err := x.Backend.Prepare(ctx, p, j)
	if err != nil {
		// So that Cleanup does not wait for requests that were refused.
		_ = j.Flush() // the first error is more important
		return err
	}
	environment.Keeps = true
	if environment.Helper != nil {
		environment.Helper.Keeps = true
	}
	return j.SetFacts(environment)
}

// begin removes what an earlier attempt at the job left, and begins the job's journal. Both happen under
// the same lock, so that gc never sees an intermediate state.
func (x *Executor) begin(ctx context.Context, i job.Identity) (j *journal.Journal, err error) {
	defer observe.Begin(ctx, observe.Clear)()
	e := x.Removal()
	left, err := e.Clear(ctx, i.Name(), func() (err error) {
		if j, err = x.journal(i); err != nil {
			return err
		}
		folder := journal.Resource{Kind: journal.Folder, Name: x.Dir.Job(i.Name()), Answered: true}
		return j.Begin(i, owner.Current(), x.Backend.Host(), folder)
	})
	// This is the job log, so do not name the holder: it may be another project's.
	for _, r := range left {
		x.Log.Warnf("An earlier attempt at the job left %s %s on this machine. An administrator removes it, or finds out who holds it, with `gitlab-sysbox-executor gc`.", r.Kind, r.Name)
	}
	if n := slices.IndexFunc(left, e.Blocks); err == nil && n >= 0 {
		return nil, fmt.Errorf("an earlier attempt at the job left %s %s on this machine", left[n].Kind, left[n].Name)
	}
	return j, err
}
