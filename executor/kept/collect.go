package kept

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
)

// bounds converts the limits. A share relates to the disk with these volumes. Its size is
// only known on the engine's machine.
func (s *Store) bounds(volumes []Volume, olderThan time.Duration) bounds {
	var disk int64
	folder := s.Disks.Folder
	if len(volumes) > 0 {
		folder = filepath.Dir(volumes[0].Path)
	}
	if s.Local && folder != "" {
		if pool, err := storage.DiskPool(folder); err == nil {
			disk = pool.Size
		}
	}
	return bounds{keep: s.Limits.Keep, total: s.Limits.Total.Of(disk), each: s.Limits.Each.Of(disk), olderThan: olderThan}
}

// Collect removes volumes that are too old or too large.
func (s *Store) Collect(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	volumes, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	b := s.bounds(volumes, o.OlderThan)
	if b.total > 0 || b.each > 0 {
		if err := s.Measure(ctx, volumes, o.DryRun); err != nil {
			return nil, err
		}
	}
	var all []removal.Collected
	due(volumes, time.Now(), b, func(v Volume, reason string) bool {
		if ctx.Err() != nil {
			return false
		}
		c := s.collect(ctx, v, reason, o.DryRun)
		all = append(all, c)
		return c.Action == removal.Removed || c.Action == removal.WouldRemove
	})
	if !o.DryRun {
		err = errors.Join(s.forgetGone(ctx), s.Disks.tidy(ctx))
	}
	return all, errors.Join(err, context.Cause(ctx))
}

// collect removes one of the volumes, unless a job uses it.
func (s *Store) collect(ctx context.Context, v Volume, reason string, dryRun bool) removal.Collected {
	c := removal.Collected{Name: v.Name, Action: removal.Removed, Reason: reason}
	removed, err := s.Remove(ctx, v, dryRun)
	switch {
	case err != nil:
		c.Action, c.Reason = removal.LeftOver, err.Error()
	case !removed:
		c.Action, c.Reason = removal.Kept, "a job uses it, or has just used it"
	case dryRun:
		c.Action = removal.WouldRemove
	}
	return c
}

// Unused returns removers of the volumes that no job uses, least recently used first, except
// those used within o.OlderThan. The reason is reported with each removed volume.
func (s *Store) Unused(ctx context.Context, o removal.Options, reason string) ([]removal.Remover, error) {
	volumes, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return a.LastUse.Compare(b.LastUse) })
	var all []removal.Remover
	for _, v := range volumes {
		if v.LastUse.IsZero() || time.Since(v.LastUse) < o.OlderThan {
			continue // a zero LastUse means another state folder
		}
		all = append(all, func(ctx context.Context) (removal.Collected, int64) {
			return s.collect(ctx, v, reason, o.DryRun), v.Size.Bytes
		})
	}
	return all, nil
}

// After keeps the volumes of a job's project within their limits after the job. gc does what
// is not finished in time.
func (s *Store) After(ctx context.Context, i job.Identity) {
	s.trimAfter(ctx, i)
	s.measureAfter(ctx, i)
}

// measureTime limits how long a job's cleanup measures its project's volumes.
const measureTime = 5 * time.Second

// measureAfter measures the project's volumes, and removes those that are too large.
func (s *Store) measureAfter(ctx context.Context, i job.Identity) {
	if !s.Limits.sized() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	volumes, err := s.unmeasured(ctx, func(name string) bool { return ofProject(name, i) })
	if err == nil {
		err = s.Measure(ctx, volumes, false)
	}
	if err != nil {
		s.Log.Debugf("kept volumes: %v", err)
		return
	}
	b := s.bounds(volumes, 0)
	for _, v := range volumes {
		large := v.tooLarge(b.each)
		if large == "" {
			continue
		}
		switch gone, err := s.removeTooLarge(ctx, v); {
		case err != nil:
			s.Log.Warnf("The volume %s with the project's %s has %s (gc.volume_size), and could not be removed: %v", v.Name, v.Kind, large, err)
		case gone:
			s.Log.Warnf("The volume %s with the project's %s was removed and not kept: it had %s (gc.volume_size).", v.Name, v.Kind, large)
		} // otherwise a parallel job uses it, and its cleanup checks it again
	}
	if b.total > 0 && s.Total() > b.total {
		if _, err := s.Collect(ctx, removal.Options{}); err != nil {
			s.Log.Debugf("kept volumes: %v", err) // gc tries again
		}
	}
}
