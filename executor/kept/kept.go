// Package kept owns the volumes that outlive their jobs: those with builds, caches and cache
// mounts of image builds, and storage volumes (Disks).
//
// An engine cannot change a volume's labels, so each volume has a file in the state folder
// (statedir.Dir.Kept). A process locks this file before it uses or removes the volume. The
// file's modification time is the volume's last use, and its content is the measured size.
package kept

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
)

// Volumes is the part of an engine that this package needs.
type Volumes interface {
	CreateVolume(ctx context.Context, name string, options, labels map[string]string) error
	FindVolume(ctx context.Context, name string) (engine.Found, error)
	FindVolumes(ctx context.Context, label, value string) ([]engine.Found, error)
	VolumeUsers(ctx context.Context, name string) ([]engine.Found, error)
	VolumeSizes(ctx context.Context) (map[string]int64, error)
	RemoveVolume(ctx context.Context, name string) error
}

// Store manages the kept volumes of one state folder. Its methods are safe for concurrent
// use, also by several processes.
type Store struct {
	State  statedir.Dir
	Engine Volumes
	// Local is true if this process sees the engine's files under the same paths.
	Local  bool
	Disks  Disks
	Limits Limits
	Log    logrus.FieldLogger
}

// Volume is a volume that outlives its jobs.
type Volume struct {
	Name string
	Kind string // builds, cache, cache-mounts or storage
	// Project is the ID of the project whose jobs get it, and Protected means that only those on protected
	// refs do.
	Project   int64
	Protected bool
	// LastUse is the last start or end of a job that used it; zero if unknown.
	LastUse time.Time
	Size    Size // may be unknown

	Path string // on the engine's machine

	Images int // container images in a storage volume, as its last job reported them
}

// takeVolume makes or finds a volume and holds it. It returns nil if the lock of another
// process prevents that or, if exclusive is set, if a container uses the volume. Lost is the
// size for which the volume was removed since its last job, or zero.
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
		_ = os.Truncate(s.State.Kept(volume), 0) // so that only one job reports it
	}
	now := time.Now()
	if err := os.Chtimes(s.State.Kept(volume), now, now); err != nil {
		return hold, lost, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return hold, lost, nil
}

// List lists the volumes with their known sizes.
func (s *Store) List(ctx context.Context) ([]Volume, error) {
	found, err := s.Engine.FindVolumes(ctx, job.LabelKept, "")
	if err != nil {
		return nil, err
	}
	var all []Volume
	for _, f := range found {
		all = append(all, s.volume(f))
	}
	disks, err := s.Disks.list()
	return append(all, disks...), err
}

// unmeasured lists the selected volumes whose size is unknown.
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

// Total is the sum of the known sizes of all volumes, in bytes.
func (s *Store) Total() (total int64) {
	names, err := s.names()
	if err != nil {
		return 0 // gc reports the error
	}
	for _, name := range names {
		if n := s.note(name); !n.Removed {
			total += n.Size.Bytes
		}
	}
	disks, _ := s.Disks.list() // gc reports the error
	for _, v := range disks {
		total += v.Size.Bytes
	}
	return total
}

// names lists the volumes that have a file.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.State.Kept("x")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kept volumes: %w", err)
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), Prefix) { // the folder also has locks of other volumes
			all = append(all, e.Name())
		}
	}
	return all, nil
}

func (s *Store) volume(f engine.Found) Volume {
	v := Volume{Name: f.Name, Kind: f.Labels[job.LabelKept], Protected: f.Labels[job.LabelProtected] == "true"}
	v.Project, _ = strconv.ParseInt(f.Labels[job.LabelProject], 10, 64)
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

// Used records a use by a job for those of the volumes that are kept.
func (s *Store) Used(volumes []string) {
	now := time.Now()
	for _, v := range volumes {
		if err := os.Chtimes(s.State.Kept(v), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Log.Debugf("kept volume %s: %v", v, err)
		}
	}
}

// Remove removes a listed volume and its file. It returns false and changes nothing if a job
// uses the volume, is about to use it, or has used it since it was listed. With dryRun it
// removes nothing.
func (s *Store) Remove(ctx context.Context, v Volume, dryRun bool) (bool, error) {
	if v.Kind == Storage {
		if dryRun {
			return true, nil // it is listed only while no job has it
		}
		return s.Disks.drop(ctx, v)
	}
	hold, err := s.holdUnused(v)
	if hold == nil || err != nil {
		return false, err
	}
	defer hold.Release()
	if !dryRun {
		return s.RemoveHeld(ctx, v.Name)
	}
	hold.Release() // a dry run must not make a job wait
	users, err := s.Engine.VolumeUsers(ctx, v.Name)
	return err == nil && len(users) == 0, err
}

// holdUnused holds a volume exclusively; nil if it is in use or was used since it was listed.
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

// RemoveHeld is Remove for a volume that the caller holds exclusively.
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

// lostTime is how long the record of a volume that was removed because of its size is kept.
const lostTime = 7 * 24 * time.Hour

// forgetGone removes the files of volumes that no longer exist: another program has removed
// them, or no job has come that could report the removal.
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
	// While it is locked, no job makes the volume.
	if _, err := s.Engine.FindVolume(ctx, volume); !engine.IsNotFound(err) {
		return err
	}
	if err := os.Remove(s.State.Kept(volume)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return nil
}

// FinishDisk records that the kept disk of the named job is whole.
func (s *Store) FinishDisk(name string, disk job.Disk) error { return s.Disks.Finish(name, disk) }
