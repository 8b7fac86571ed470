// Package sharedfill changes the images that all jobs share: it makes a new generation
// with the tools of an image, in a fill container.
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
	"gitlab-sysbox-executor/executor/shared"
)

// Engine is what is needed of an engine.
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
	// Inside is a container as its agent is spoken to; name is what messages call it.
	Inside func(id, name string) agentclient.Container
	// KillGrace is the time between TERM and KILL when a script of ours is to end.
	KillGrace time.Duration
	// CleanupTimeout bounds the removal of what a change made beside the generation.
	CleanupTimeout time.Duration
	Log            logrus.FieldLogger
}

// Fill is how a store is filled.
type Fill struct {
	Image       image.Request // of the fill container, with buildah or podman
	Runtime     string        // jobs', so that owners fit theirs
	Drivers     []string      // storage drivers that jobs use: the first has to work
	Users       []int         // for whom the images are readable; root is the first
	Environment []string      // NAME=value
	Volumes     []string      // as config.ParseVolume takes them
	Network     config.Network
	Credentials image.Sources
	// Out is where the tools' output goes.
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

// Change is what becomes of a store: Pull and Remove hold whole references
// (image.Whole).
type Change struct {
	// Remove holds images that are in the store.
	Pull, Remove []string
	// Refresh pulls what is in the store, too.
	Refresh bool
	// Keep goes on without an image of Pull that cannot be pulled: the store keeps
	// the one that it has.
	Keep bool
}

// Change makes a new generation from the current one and makes it the current one, all
// or nothing. Jobs that run keep the one that they have. One change is made at a time:
// what is in the store is read when this one's turn has come. What an interrupted
// change leaves is removed by the next, or by gc. With Keep it may have done its work
// and return an error all the same.
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

// check refuses to remove what is not there.
func (c Change) check(current shared.Generation) error {
	for _, r := range c.Remove {
		if !current.Has(r) {
			return fmt.Errorf("image %s is not in the store, which has: %s", r, strings.Join(current.References(), ", "))
		}
	}
	return nil
}

// wanted are the references that there are to be after a change.
func wanted(current shared.Generation, c Change) []string {
	want := slices.DeleteFunc(append(current.References(), c.Pull...), func(r string) bool { return slices.Contains(c.Remove, r) })
	slices.Sort(want)
	return slices.Compact(want)
}

// replace makes the current generation of these references.
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
			current, c.Pull = shared.Generation{}, want // all over again
		}
	}
	if err := f.Shared.SettleID(current); err != nil {
		return err
	}
	return f.fill(ctx, how, c, current, want)
}

// fill makes the next generation and the current one of it. Where nothing has
// changed it leaves things as they are, and with an error, too, except for images
// that c.Keep goes on without.
func (f *Filler) fill(ctx context.Context, how Fill, c Change, current shared.Generation, want []string) (err error) {
	img, err := imagepull.Get(ctx, f.Engine, how.Image, f.Log)
	if err != nil {
		return fault.Systemf("images.tool_image: %w", err)
	}
	made, err := f.Shared.Next(ctx, current)
	if err != nil {
		return err
	}
	made.Users = how.Users
	hold, err := f.Shared.State.Hold(made.Volume, true)
	if err != nil {
		return err
	} else if hold == nil {
		return fmt.Errorf("somebody else holds the new volume %s", made.Volume)
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
		err = fmt.Errorf("not pulled: %s; the store keeps what it had of them", strings.Join(failed, ", "))
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
