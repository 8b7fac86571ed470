package executor

import (
	"context"
	"fmt"
	"slices"

	"gitlab-sysbox-executor/executor/docker"
	"gitlab-sysbox-executor/executor/host"
	"gitlab-sysbox-executor/executor/removal"
)

// docker is the backend.
func (x *Executor) docker() *docker.Backend {
	return &docker.Backend{Engine: x.Engine, Dir: x.state(), Used: x.Kept().Used, Log: x.Log}
}

// removal removes jobs. A new kind of resource is registered here.
func (x *Executor) removal() *removal.Engine {
	backend := x.docker()
	return &removal.Engine{
		Dir: x.state(), Backend: backend, Timeout: x.CleanupTimeout, Log: x.Log,
		Kinds: append(backend.Kinds(), host.Held{}, host.Loops{}, host.Folders{Dir: x.state()}),
	}
}

// Cleanup removes everything that the journal or the labels say is the job's. It
// may be called at any time and any number of times, also beside a stage that
// still runs. A leftover is reported in the log, stays in the journal and is taken up
// by gc: that is no error, for the job is over all the same. An error says that
// Cleanup could not do its work.
func (x *Executor) Cleanup(ctx context.Context, i Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	left, err := x.removal().Clear(ctx, i.Name(), nil)
	for _, r := range left { // the Runner's own log is the administrator's
		x.Log.Warnf("Left on this machine: %s %s: %s.", r.Kind, r.Name, r.Left)
	}
	if len(left) > 0 {
		x.Log.Warn("What is left is in the job's journal; `gitlab-sysbox-executor gc` takes it up.")
	}
	if err != nil {
		return err
	}
	x.Kept().After(ctx, i)
	// The job may have been the last that had an older generation of shared images.
	if _, err := x.shared().DropOld(ctx); err != nil {
		x.Log.Debugf("%v", err) // gc takes it up
	}
	return nil
}

// fresh clears what an earlier attempt at the job left, and begins its journal
// under the same lock, so that gc never sees the one without the other.
func (x *Executor) fresh(ctx context.Context, i Identity, begin func() error) error {
	e := x.removal()
	left, err := e.Clear(ctx, i.Name(), begin)
	// This is in the job's log: a holder of the leftover may be another project's.
	for _, r := range left {
		x.Log.Warnf("An earlier attempt at the job left %s %s on this machine. An administrator removes it, or finds out who holds it, with `gitlab-sysbox-executor gc`.", r.Kind, r.Name)
	}
	if n := slices.IndexFunc(left, e.Blocks); err == nil && n >= 0 {
		return fmt.Errorf("an earlier attempt at the job left %s %s on this machine", left[n].Kind, left[n].Name)
	}
	return err
}
