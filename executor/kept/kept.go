// Package kept owns the volumes that outlive their jobs: those with builds, caches
// and cache mounts of image builds.
//
// An engine cannot change a volume's labels, so each volume has a file below the
// state folder (statedir.Dir.Kept). Its lock is held by whoever is about to use or to
// remove the volume, its time of modification is that of the last use, and it holds
// what was measured of the volume.
package kept

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
)

// Volumes is what is needed of an engine.
type Volumes interface {
	CreateVolume(ctx context.Context, name string, options, labels map[string]string) error
	FindVolume(ctx context.Context, name string) (engine.Found, error)
	FindVolumes(ctx context.Context, label, value string) ([]engine.Found, error)
	VolumeUsers(ctx context.Context, name string) ([]engine.Found, error)
	VolumeSizes(ctx context.Context) (map[string]int64, error)
	RemoveVolume(ctx context.Context, name string) error
}

// Store is the kept volumes of one state folder. Its methods may be called
// concurrently, also by several processes.
type Store struct {
	State  statedir.Dir
	Engine Volumes
	// Local says that the engine's files are seen here under the engine's own paths.
	Local  bool
	Limits Limits
	Log    logrus.FieldLogger
}

// Volume is a volume that outlives its jobs.
type Volume struct {
	Name string
	Kind string // builds, cache or cache-mounts
	// LastUse is when a job last took it or was at its end; zero when that is not known.
	LastUse time.Time
	Size    Size // what is known of it

	Path string // on the engine's machine
}

// takeVolume makes or finds a volume and holds it. It returns nil when another process
// holds it in a way that excludes this one or, where exclusive, when a container has
// it. Lost is the size for which it was removed since its last job, zero where it was
// not.
func (s *Store) takeVolume(ctx context.Context, volume string, labels map[string]string, exclusive bool) (hold *statedir.Hold, lost Size, err error) {
	hold, err = s.State.Hold(volume, exclusive)
	if hold == nil || err != nil {
		return nil, lost, err
	}
	defer func() {
		if err != nil {
			hold.Release()
			hold = nil
		}
	}()
	if exclusive {
		users, err := s.Engine.VolumeUsers(ctx, volume)
		if err != nil {
			return hold, lost, err
		} else if len(users) > 0 {
			hold.Release()
			return nil, lost, nil
		}
	}
	if err := s.Engine.CreateVolume(ctx, volume, nil, labels); err != nil {
		return hold, lost, err
	}
	if n := s.note(volume); n.Removed {
		lost = n.Size
		_ = os.Truncate(s.State.Kept(volume), 0) // else the next job is told, too
	}
	now := time.Now()
	if err := os.Chtimes(s.State.Kept(volume), now, now); err != nil {
		return hold, lost, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return hold, lost, nil
}

// List lists the volumes, with what is known of their sizes.
func (s *Store) List(ctx context.Context) ([]Volume, error) {
	found, err := s.Engine.FindVolumes(ctx, job.LabelKept, "")
	if err != nil {
		return nil, err
	}
	var all []Volume
	for _, f := range found {
		all = append(all, s.volume(f))
	}
	return all, nil
}

// unmeasured finds those of the volumes, by their names, whose sizes are not known.
func (s *Store) unmeasured(ctx context.Context, which func(name string) bool) ([]Volume, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var all []Volume
	for _, name := range names {
		if !which(name) {
			continue
		}
		last, err := statedir.LastUse(s.State.Kept(name))
		if err != nil || s.note(name).Use.Equal(last) {
			continue
		}
		found, err := s.Engine.FindVolume(ctx, name)
		if engine.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, s.volume(found))
	}
	return all, nil
}

// Total is how many bytes all volumes have together, as far as that is noted.
func (s *Store) Total() (total int64) {
	names, err := s.names()
	if err != nil {
		return 0 // gc says so
	}
	for _, name := range names {
		if n := s.note(name); !n.Removed {
			total += n.Size.Bytes
		}
	}
	return total
}

// names are those of the volumes that have files.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.State.Kept("x")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kept volumes: %w", err)
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), Prefix) { // other volumes' locks are there, too
			all = append(all, e.Name())
		}
	}
	return all, nil
}

func (s *Store) volume(f engine.Found) Volume {
	v := Volume{Name: f.Name, Kind: f.Labels[job.LabelKept]}
	if len(f.Paths) > 0 {
		v.Path = f.Paths[0]
	}
	if last, err := statedir.LastUse(s.State.Kept(f.Name)); err == nil {
		v.LastUse = last
	}
	if n := s.note(f.Name); !n.Removed && n.Use.Equal(v.LastUse) {
		v.Size = n.Size
	}
	return v
}

// Used notes that a job has had those of the volumes that are kept up to now.
func (s *Store) Used(volumes []string) {
	now := time.Now()
	for _, v := range volumes {
		if err := os.Chtimes(s.State.Kept(v), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Debugf("kept volume %s: %v", v, err)
		}
	}
}

// Remove removes a volume, as it was listed, and what is noted of it. It returns
// false and leaves everything when a job has it, is about to get it or has used it
// since. With dryRun it removes nothing.
func (s *Store) Remove(ctx context.Context, v Volume, dryRun bool) (bool, error) {
	hold, err := s.holdUnused(v)
	if hold == nil || err != nil {
		return false, err
	}
	defer hold.Release()
	if !dryRun {
		return s.RemoveHeld(ctx, v.Name)
	}
	hold.Release() // what only looks keeps nobody waiting
	users, err := s.Engine.VolumeUsers(ctx, v.Name)
	return err == nil && len(users) == 0, err
}

// holdUnused holds a volume alone; nil when it is in use or was since it was listed.
func (s *Store) holdUnused(v Volume) (*statedir.Hold, error) {
	hold, err := s.State.Hold(v.Name, true)
	if hold == nil || err != nil {
		return nil, err
	}
	if last, err := statedir.LastUse(s.State.Kept(v.Name)); err != nil || last.After(v.LastUse) {
		hold.Release()
		return nil, err
	}
	return hold, nil
}

// RemoveHeld is Remove for a volume that the caller holds alone.
func (s *Store) RemoveHeld(ctx context.Context, volume string) (bool, error) {
	gone, err := s.removeVolume(ctx, volume)
	if !gone || err != nil {
		return gone, err
	}
	if err := os.Remove(s.State.Kept(volume)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return true, nil
}

func (s *Store) removeVolume(ctx context.Context, volume string) (bool, error) {
	users, err := s.Engine.VolumeUsers(ctx, volume)
	if err != nil || len(users) > 0 {
		return false, err
	}
	if err := s.Engine.RemoveVolume(ctx, volume); err != nil && !engine.IsNotFound(err) {
		return false, err
	}
	return true, nil
}

// lostTime is how long it is remembered of a volume that is gone that it was too
// large.
const lostTime = 7 * 24 * time.Hour

// forgetGone removes the files of volumes that are gone: somebody else has removed them,
// or no job has come that was to be told of it.
func (s *Store) forgetGone(ctx context.Context) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.forget(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forget(ctx context.Context, volume string) error {
	if _, err := s.Engine.FindVolume(ctx, volume); !engine.IsNotFound(err) {
		return err
	}
	hold, err := s.State.Hold(volume, true)
	if hold == nil || err != nil {
		return err
	}
	defer hold.Release()
	last, err := statedir.LastUse(s.State.Kept(volume))
	if err != nil || s.note(volume).Removed && time.Since(last) < lostTime {
		return err
	}
	// Under the lock nobody makes it.
	if _, err := s.Engine.FindVolume(ctx, volume); !engine.IsNotFound(err) {
		return err
	}
	if err := os.Remove(s.State.Kept(volume)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return nil
}
