package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/storage"
)

// Disk is how much of the engine's disk may outlive jobs. Times that are not positive
// and the zero Amount set no limit.
type Disk struct {
	KeepVolumes time.Duration // after the last use
	MostVolumes config.Amount // of all kept volumes
	VolumeSize  config.Amount // of each
	KeepImages  time.Duration // those that jobs pulled, after the last use
	MinFree     int64         // bytes: when less is free, what was unused longest goes
}

// Kept is the volumes with builds and caches that outlive their jobs.
func (x *Executor) Kept() *kept.Store {
	return &kept.Store{State: x.state(), Engine: x.Engine, Local: x.local(), Log: x.Log}
}

// local tells whether the engine may run on this machine.
func (x *Executor) local() bool { return strings.HasPrefix(x.Engine.Host(), "unix://") }

// keptLimits are those of these volumes. A share is of the disk that they are on, which
// is known on the engine's machine only.
func (x *Executor) keptLimits(volumes []kept.Volume, o GCOptions) kept.Limits {
	var disk int64
	if x.local() && len(volumes) > 0 {
		if pool, err := storage.DiskPool(filepath.Dir(volumes[0].Path)); err == nil {
			disk = pool.Size
		}
	}
	return kept.Limits{
		Keep: x.Disk.KeepVolumes, Total: x.Disk.MostVolumes.Of(disk), Each: x.Disk.VolumeSize.Of(disk), OlderThan: o.OlderThan,
	}
}

// collectKept removes volumes with builds and caches that are too old or too large.
func (x *Executor) collectKept(ctx context.Context, o GCOptions) ([]Collected, error) {
	store := x.Kept()
	volumes, err := store.List(ctx)
	if err != nil {
		return nil, err
	}
	l := x.keptLimits(volumes, o)
	if l.Total > 0 || l.Each > 0 {
		if err := store.Measure(ctx, volumes, o.DryRun); err != nil {
			return nil, err
		}
	}
	var all []Collected
	kept.Due(volumes, time.Now(), l, func(v kept.Volume, reason string) bool {
		if ctx.Err() != nil {
			return false
		}
		c := x.removeKept(ctx, store, v, reason, o.DryRun)
		all = append(all, c)
		return c.Action == Removed || c.Action == WouldRemove
	})
	if !o.DryRun {
		err = store.Forget(ctx)
	}
	return all, errors.Join(err, context.Cause(ctx))
}

// removeKept removes one of the volumes, unless a job has it.
func (x *Executor) removeKept(ctx context.Context, store *kept.Store, v kept.Volume, reason string, dryRun bool) Collected {
	c := Collected{Name: v.Name, Action: Removed, Reason: reason}
	removed, err := store.Remove(ctx, v, dryRun)
	switch {
	case err != nil:
		c.Action, c.Reason = LeftOver, err.Error()
	case !removed:
		c.Action, c.Reason = Kept, "a job has it, or has just had it"
	case dryRun:
		c.Action = WouldRemove
	}
	return c
}

// measureTime bounds how long a job's cleanup measures what its project keeps.
const measureTime = 5 * time.Second

// measureAfter measures, when a job is over, what its project keeps, and removes a
// volume that is too large. What it does not get done in time is done by gc.
func (x *Executor) measureAfter(ctx context.Context, i Identity) {
	if x.Disk.VolumeSize == (config.Amount{}) && x.Disk.MostVolumes == (config.Amount{}) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	store := x.Kept()
	volumes, err := store.Unmeasured(ctx, func(name string) bool { return keptByProject(name, i) })
	if err == nil {
		err = store.Measure(ctx, volumes, false)
	}
	if err != nil {
		x.Log.Debugf("kept volumes: %v", err)
		return
	}
	l := x.keptLimits(volumes, GCOptions{})
	for _, v := range volumes {
		large := v.TooLarge(l.Each)
		if large == "" {
			continue
		}
		switch gone, err := store.RemoveTooLarge(ctx, v); {
		case err != nil:
			x.Log.Warnf("The volume %s with the project's %s has %s (gc.volume_size), and could not be removed: %v", v.Name, v.Kind, large, err)
		case gone:
			x.Log.Warnf("The volume %s with the project's %s was removed and not kept: it had %s (gc.volume_size).", v.Name, v.Kind, large)
		} // else a parallel job has it, whose end it is looked at again
	}
	if l.Total > 0 && store.Total() > l.Total {
		if _, err := x.collectKept(ctx, GCOptions{}); err != nil {
			x.Log.Debugf("kept volumes: %v", err) // gc takes it up
		}
	}
}

// exists tells whether there is something at the path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
