// Package shared owns the images that all jobs share: it holds generations for jobs, lists them,
// and removes those that no job needs. Package sharedfill makes them.
//
// The images are on a volume of the engine that no job can write to. The volume never changes
// once jobs see it. A change makes another volume, the next generation. The old one is removed
// after the last job that uses it.
//
// A file in the state folder names the current generation. Each generation has a lock file, as a
// kept volume has. The process that fills a generation holds the lock exclusively. A prepare holds
// a shared lock until the engine lists the job's containers as users of the volume. A process that
// gets the exclusive lock removes the generation, unless it is the current one or a container uses
// it. So no crash leaves a wrong record.
package shared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
)

// Engine is the part of an engine that this package needs.
type Engine interface {
	FindVolumes(ctx context.Context, label, value string) ([]engine.Found, error)
	VolumeUsers(ctx context.Context, name string) ([]engine.Found, error)
	FindContainers(ctx context.Context, label, value string) ([]engine.Found, error)
	RemoveContainer(ctx context.Context, id string) error
}

// Kept removes the volume of a generation, with its lock file.
type Kept interface {
	// RemoveHeld removes a volume that the caller holds exclusively; false if a container uses
	// it.
	RemoveHeld(ctx context.Context, volume string) (bool, error)
}

// Store is the shared images of one state folder. Its methods are safe for concurrent use, also by
// several processes.
type Store struct {
	State  statedir.Dir
	Engine Engine
	Host   string // the engine's address, for messages
	Kept   Kept
	Log    logrus.FieldLogger
}

func (s *Store) file() string { return filepath.Join(s.State.Images(), "current.json") }

// used reports whether there has ever been a store.
func (s *Store) used() bool {
	_, err := os.Lstat(s.State.Images())
	return err == nil
}

// Current is the current generation; zero if there is none.
func (s *Store) Current() (g Generation, err error) {
	text, err := os.ReadFile(s.file())
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	} else if err != nil {
		return g, fmt.Errorf("shared images: %w", err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return Generation{}, fmt.Errorf("shared images: %s: %w", s.file(), err)
	}
	if s.number(g.Volume) == 0 && numberOf(g.Volume, s.pathID()) == 0 {
		return Generation{}, fmt.Errorf("shared images: %s names the volume %q, which does not belong to this state folder; remove the file and fill the store again", s.file(), g.Volume)
	}
	return g, nil
}

// SetCurrent makes g the current generation, or none if it has no images. The caller has the lock
// of the store.
func (s *Store) SetCurrent(g Generation) error {
	if len(g.Images) == 0 {
		if err := os.Remove(s.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("shared images: %w", err)
		}
		return nil
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(s.file(), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	return nil
}

// Lock waits for the lock of the store.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	for reported := false; ; reported = true {
		unlock, ok, err := s.State.TryLockImages()
		if err != nil {
			return nil, fmt.Errorf("shared images: %w", err)
		} else if ok {
			return unlock, nil
		}
		if !reported {
			s.Log.Info("Another `images` command is running; waiting for it to end.")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another `images` command: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// takeTime limits the wait in Take.
var takeTime = time.Minute

// Take is Hold for a prepare. Its wait is limited, and a job runs without the shared images after an
// error.
func (s *Store) Take(ctx context.Context) (g Generation, release func()) {
	ctx, cancel := context.WithTimeoutCause(ctx, takeTime, fmt.Errorf("another process has held them for %s", takeTime))
	defer cancel()
	g, release, err := s.Hold(ctx)
	if err != nil {
		s.Log.Warnf("The job has no access to the shared images: %v", err)
		return Generation{}, func() {}
	}
	return g, release
}

// Hold holds the current generation; zero if there is none. No process removes it before release is
// called. By then the engine has to list a container as user of its volume.
func (s *Store) Hold(ctx context.Context) (g Generation, release func(), err error) {
	for {
		g, err := s.Current()
		if err != nil || g.Volume == "" {
			return Generation{}, func() {}, err
		}
		hold, err := s.State.Hold(g.Volume, false)
		if err != nil {
			return Generation{}, func() {}, err
		}
		now, err := s.Current()
		if hold != nil && err == nil && now.Volume == g.Volume {
			if err := s.Exists(ctx, g.Volume); err != nil {
				hold.Release()
				return Generation{}, func() {}, err
			}
			return now, hold.Release, nil
		}
		if hold != nil { // it was replaced in the meantime
			hold.Release()
			if _, err := s.drop(ctx, g.Volume); err != nil {
				s.Log.Debugf("%v", err) // gc tries again
			}
		}
		if err != nil {
			return Generation{}, func() {}, err
		}
		select {
		case <-ctx.Done():
			return Generation{}, func() {}, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Exists returns an error if the engine does not have a generation's volume. Without this check the
// engine would make an empty volume with that name for a container.
func (s *Store) Exists(ctx context.Context, volume string) error {
	found, err := s.Engine.FindVolumes(ctx, job.LabelImages, s.ID())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(f engine.Found) bool { return f.Name == volume }) {
		return fmt.Errorf("the engine at %s has no volume %s: run `images refresh` to make it again", s.Host, volume)
	}
	return nil
}
