package shared

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/removal"
)

// Collect is gc's part: it removes what a killed `images` left, and old generations.
func (s *Store) Collect(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	if !s.used() {
		return nil, nil
	}
	unlock, idle, err := s.State.TryLockImages()
	if err != nil {
		return nil, fmt.Errorf("shared images: %w", err)
	}
	if idle {
		defer unlock()
	}
	if o.DryRun {
		return s.old(ctx, !idle)
	}
	if idle {
		if err := s.RemoveFillContainers(ctx); err != nil {
			return nil, err
		}
	}
	dropped, err := s.DropOld(ctx)
	var all []removal.Collected
	for _, v := range dropped {
		all = append(all, removal.Collected{Name: v, Action: removal.Removed, Reason: oldReason})
	}
	return all, err
}

const oldReason = "shared images that are not the current ones, and no job has them"

// old is what a dry run reports. While somebody fills a generation, that is the last one.
func (s *Store) old(ctx context.Context, filling bool) ([]removal.Collected, error) {
	listed, err := s.List(ctx)
	var all []removal.Collected
	for n, g := range listed.Generations {
		if !g.Current && len(g.Jobs) == 0 && !(filling && n == len(listed.Generations)-1) {
			all = append(all, removal.Collected{Name: g.Volume, Action: removal.WouldRemove, Reason: oldReason})
		}
	}
	return all, err
}

// DropOld removes the generations that no job needs, and names them.
func (s *Store) DropOld(ctx context.Context) (dropped []string, err error) {
	if !s.used() {
		return nil, nil
	}
	current, err := s.Current()
	if err != nil {
		return nil, err
	}
	all, err := s.volumes(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, v := range all {
		if v == current.Volume {
			continue
		}
		gone, err := s.drop(ctx, v)
		if gone {
			dropped = append(dropped, v)
		}
		errs = append(errs, err)
	}
	return dropped, errors.Join(errs...)
}

// drop removes a generation. It returns false where it is the current one, somebody
// fills it, or a job has it or is about to get it.
func (s *Store) drop(ctx context.Context, volume string) (bool, error) {
	hold, err := s.State.Hold(volume, true)
	if hold == nil || err != nil {
		return false, err
	}
	defer hold.Release()
	// Under the lock: whoever filled it may just have made it the current one.
	if g, err := s.Current(); err != nil || g.Volume == volume {
		return false, err
	}
	return s.Kept.RemoveHeld(ctx, volume)
}

// Forget removes the lock file of a generation that the engine lacks.
func (s *Store) Forget(volume string) error {
	hold, err := s.State.Hold(volume, true)
	if hold == nil || err != nil {
		return err
	}
	defer hold.Release()
	return os.Remove(s.State.Kept(volume))
}

// FillFolder is what a fill container sees of the host.
func (s *Store) FillFolder() string { return filepath.Join(s.State.Images(), "tool") }

// RemoveFillContainers removes a container that fills a generation, and its folder. The
// caller has the lock of the store, so whoever made them is dead or is the caller.
func (s *Store) RemoveFillContainers(ctx context.Context) error {
	found, err := s.Engine.FindContainers(ctx, job.LabelImages, s.ID())
	if err != nil {
		return err
	}
	for _, c := range found {
		if !s.fills(c) {
			continue
		}
		if err := s.Engine.RemoveContainer(ctx, c.ID); err != nil && !engine.IsNotFound(err) && !engine.IsBusy(err) {
			return err
		}
	}
	if err := os.RemoveAll(s.FillFolder()); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	return nil
}

// fills says whether a container with our label fills a generation. A job's container
// and anybody else's have the label where their image has it.
func (s *Store) fills(c engine.Found) bool {
	return c.Labels[job.LabelName] == "" && s.number(c.Name) != 0
}
