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

// Collect is the part of gc for shared images: it removes the remains of a killed `images` command, and old generations.
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

const oldReason = "shared images that are not the current ones, and no job uses them"

// old returns the result of a dry run. While a generation is being filled, it is the last one.
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

// DropOld removes the generations that no job needs, and returns their names.
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

// drop removes a generation. It returns false if the generation is the current one, is being
// filled, or is used or about to be used by a job.
func (s *Store) drop(ctx context.Context, volume string) (bool, error) {
	hold, err := s.State.Hold(volume, true)
	if hold == nil || err != nil {
		return false, err
	}
	defer hold.Release()
	// Check under the lock: it may just have been filled and become the current one.
	if g, err := s.Current(); err != nil || g.Volume == volume {
		return false, err
	}
	return s.Kept.RemoveHeld(ctx, volume)
}

// RemoveAll empties the store: it removes every generation that no job has. In a dry run it only returns
// what it would remove.
func (s *Store) RemoveAll(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	if !s.used() {
		return nil, nil
	}
	unlock, err := s.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []removal.Collected
	if o.DryRun {
		listed, err := s.List(ctx)
		for _, g := range listed.Generations {
			all = append(all, removal.Collected{Name: g.Volume, Action: removal.WouldRemove, Reason: "shared images"})
		}
		return all, err
	}
	if err := s.RemoveFillContainers(ctx); err != nil {
		return nil, err
	}
	if err := s.SetCurrent(Generation{}); err != nil {
		return nil, err
	}
	dropped, err := s.DropOld(ctx)
	for _, v := range dropped {
		all = append(all, removal.Collected{Name: v, Action: removal.Removed, Reason: "shared images"})
	}
	return all, err
}

// Forget removes the lock file of a generation that the engine does not have.
func (s *Store) Forget(volume string) error {
	hold, err := s.State.Hold(volume, true)
	if hold == nil || err != nil {
		return err
	}
	defer hold.Release()
	return os.Remove(s.State.Kept(volume))
}

// FillFolder is the host folder that a fill container sees.
func (s *Store) FillFolder() string { return filepath.Join(s.State.Images(), "tool") }

// RemoveFillContainers removes a fill container and its folder. The caller has the lock of the
// store, so the process that made them is dead or is the caller.
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

// fills reports whether a container with our label is a fill container. A job's container, and any
// other container, has the label if its image has it.
func (s *Store) fills(c engine.Found) bool {
	return c.Labels[job.LabelName] == "" && s.number(c.Name) != 0
}
