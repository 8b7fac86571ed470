// Package sharedfill changes the shared images. It makes a new generation in a fill container, with the
// buildah or podman of an image.
package sharedfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imagepull"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/shared"
)

// Engine is the part of an engine that this package needs.
type Engine interface {
	imagepull.Store
	CreateVolume(ctx context.Context, name string, options, labels map[string]string) error
	CreateContainer(ctx context.Context, c engine.Container) (id string, err error)
	StartContainer(ctx context.Context, id string) error
	ExplainRuntime(ctx context.Context, runtime string, err error) error
}

// Filler changes a store.
type Filler struct {
	Shared *shared.Store
	Engine Engine
	// Inside gives access to the agent in a container, as executor.Backend has it.
	Inside func(id string, first owner.Process, name string) agentclient.Container
	// KillGrace is the time between TERM and KILL when a script has to end.
	KillGrace time.Duration
	// CleanupTimeout limits the removal of the fill container and its folder.
	CleanupTimeout time.Duration
	Log            logrus.FieldLogger
}

// Fill are the settings for filling a store.
type Fill struct {
	Image       image.Request // of the fill container, with buildah or podman
	Runtime     string        // the same as for jobs, so that file owners match
	Drivers     []string      // storage drivers of the jobs; the first has to work
	Users       []int         // users who can read the images; root is the first
	Environment []string      // NAME=value
	Volumes     []string      // in the format of config.ParseVolume
	Network     config.Network
	Credentials image.Sources
	// Out receives the output of buildah and podman.
	Out io.Writer
}

func (f Fill) check() error {
	if f.Image.Reference == "" {
		return errors.New("the configuration names no image with buildah or podman to fill the store with: write one as images.tool_image")
	}
	if err := image.Check(f.Image.Reference); err != nil {
		return fmt.Errorf("images.tool_image %.100q: %w", f.Image.Reference, err)
	}
	return nil
}

// Change describes a change of a store. Pull and Remove contain complete references (image.Whole).
type Change struct {
	// Remove are images that are in the store.
	Pull, Remove []string
	// Refresh also pulls the images that are already in the store.
	Refresh bool
	// Keep continues if an image of Pull cannot be pulled. The store then keeps the version
	// that it has.
	Keep bool
}

// Change makes a new generation from the current one and makes it the current one, completely or not at
// all. Running jobs keep their generation. Only one change is made at a time; the store is read when its
// turn has come. The next change, or gc, removes the remains of an interrupted change. With Keep it may
// complete its work and still return an error.
func (f *Filler) Change(ctx context.Context, how Fill, c Change) error {
	unlock, err := f.Shared.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	current, err := f.Shared.Current()
	if err != nil {
		return err
	}
	if err := c.check(current); err != nil {
		return err
	}
	want := wanted(current, c)
	if c.Refresh && len(want) == 0 {
		f.Log.Info("There is nothing to refresh: the store is empty, and images.references names nothing.")
		return nil
	}
	if len(want) > 0 {
		if err := how.check(); err != nil {
			return err
		}
	}
	if err := f.Shared.RemoveFillContainers(ctx); err != nil {
		return err
	}
	if _, err := f.Shared.DropOld(ctx); err != nil {
		return err
	}
	if len(want) == 0 {
		err = f.Shared.SetCurrent(shared.Generation{})
	} else {
		err = f.replace(ctx, how, c, current, want)
	}
	if ctx.Err() != nil {
		return err
	}
	_, old := f.Shared.DropOld(ctx)
	return errors.Join(err, old)
}

// check refuses to remove an image that is not in the store.
func (c Change) check(current shared.Generation) error {
	for _, r := range c.Remove {
		if !current.Has(r) {
			return fmt.Errorf("image %s is not in the store, which has: %s", r, strings.Join(current.References(), ", "))
		}
	}
	return nil
}

// wanted are the references in the store after a change.
func wanted(current shared.Generation, c Change) []string {
	want := slices.DeleteFunc(append(current.References(), c.Pull...), func(r string) bool { return slices.Contains(c.Remove, r) })
	slices.Sort(want)
	return slices.Compact(want)
}

// replace makes a generation with these references the current one.
func (f *Filler) replace(ctx context.Context, how Fill, c Change, current shared.Generation, want []string) error {
	if c.Refresh {
		c.Pull = want
	}
	if current.Volume != "" {
		if err := f.Shared.Exists(ctx, current.Volume); err != nil {
			f.Log.Warnf("Shared images: %v", err)
			if err := f.Shared.Forget(current.Volume); err != nil {
				return err
			}
			current, c.Pull = shared.Generation{}, want // start from an empty store
		}
	}
	if err := f.Shared.SettleID(current); err != nil {
		return err
	}
	if c.Refresh && current.Volume != "" && time.Since(current.Filled) >= rebuildAfter {
		err := f.fill(ctx, how, Change{Pull: want}, shared.Generation{Number: current.Number}, want)
		if err == nil || ctx.Err() != nil {
			return err
		}
		f.Log.Warnf("The store of shared images could not be filled from nothing, so it is copied and refreshed: %v", err)
	}
	return f.fill(ctx, how, c, current, want)
}

// rebuildAfter is the age at which a refresh fills the store from nothing, so that a change
// of its files outside the tools does not last. All images are then pulled in full.
const rebuildAfter = 7 * 24 * time.Hour

// fill makes the next generation and makes it the current one. If nothing has changed, the current one
// stays. It also stays after an error, except for images that c.Keep allows to fail.
func (f *Filler) fill(ctx context.Context, how Fill, c Change, current shared.Generation, want []string) (err error) {
	img, err := imagepull.Get(ctx, f.Engine, how.Image, f.Log, nil)
	if err != nil {
		return fault.Systemf("images.tool_image: %w", err)
	}
	made, err := f.Shared.Next(ctx, current)
	if err != nil {
		return err
	}
	made.Users, made.Filled = how.Users, current.Filled
	if current.Volume == "" {
		made.Filled = made.Made
	}
	hold, err := f.Shared.State.Hold(made.Volume, true)
	if err != nil {
		return err
	} else if hold == nil {
		return fmt.Errorf("another process holds the new volume %s", made.Volume)
	}
	adopted := false
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.CleanupTimeout)
		defer cancel()
		err = errors.Join(err, f.Shared.RemoveFillContainers(late))
		if !adopted {
			_, gone := f.Shared.Kept.RemoveHeld(late, made.Volume)
			err = errors.Join(err, gone)
		}
		hold.Release()
	}()
	if err := f.Engine.CreateVolume(ctx, made.Volume, nil, map[string]string{job.LabelImages: f.Shared.ID()}); err != nil {
		return err
	}
	t, err := f.start(ctx, how, img, current.Volume, made.Volume)
	if err != nil {
		return err
	}
	failed, err := t.pullAll(ctx, current, c, &made)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		err = fmt.Errorf("not pulled: %s; the store keeps the versions that it has", strings.Join(failed, ", "))
		want = slices.DeleteFunc(want, func(r string) bool { return slices.Contains(failed, r) && !current.Has(r) })
	}
	if len(want) == 0 {
		return err
	}
	if finished := t.finish(ctx, want, &made); finished != nil {
		return errors.Join(err, finished)
	}
	if made.Same(current) {
		f.Log.Infof("Nothing has changed: generation %d stays.", current.Number)
		return err
	}
	if set := f.Shared.SetCurrent(made); set != nil {
		return errors.Join(err, set)
	}
	adopted = true
	f.Log.Infof("Generation %d: %d images.", made.Number, len(made.Images))
	return err
}
