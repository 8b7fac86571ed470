package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imagepull"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/shared"
)

// ImageFill is how the store of shared images is filled.
type ImageFill struct {
	Tool        image.Request // image of the container with buildah or podman
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

// ImageChange is what becomes of the store: Pull and Remove hold whole references
// (image.Whole).
type ImageChange struct {
	Pull, Remove []string
	// Refresh pulls what is in the store, too, when it is this change's turn.
	Refresh bool
	// Keep goes on without an image of Pull that cannot be pulled: the store keeps
	// the one that it has.
	Keep bool
}

// ChangeImages makes a new generation from the current one and makes it the
// current one, all or nothing. Jobs that run keep the one that they have. One
// change is made at a time. What an interrupted one leaves is removed by the next,
// or by GC. With Keep it may have done its work and return an error all the same.
func (x *Executor) ChangeImages(ctx context.Context, f ImageFill, c ImageChange) error {
	unlock, err := x.Shared().Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := x.Shared().RemoveFillContainers(ctx); err != nil {
		return err
	}
	if _, err := x.Shared().DropOld(ctx); err != nil {
		return err
	}
	current, err := x.Shared().Current()
	if err != nil {
		return err
	}
	want := wantedImages(current, c)
	if c.Refresh {
		c.Pull = want
	}
	if len(want) == 0 {
		if err := x.Shared().SetCurrent(shared.Generation{}); err != nil {
			return err
		}
		_, err := x.Shared().DropOld(ctx)
		return err
	}
	if current.Volume != "" {
		if err := x.Shared().Exists(ctx, current.Volume); err != nil {
			x.Log.Warnf("Shared images: %v", err)
			if err := x.Shared().Forget(current.Volume); err != nil {
				return err
			}
			current, c.Pull = shared.Generation{}, want // all over again
		}
	}
	if err := x.Shared().SettleID(current); err != nil {
		return err
	}
	if err = x.fill(ctx, f, c, current, want); ctx.Err() != nil {
		return err
	}
	_, old := x.Shared().DropOld(ctx)
	return errors.Join(err, old)
}

// wantedImages are the references that there are to be after a change.
func wantedImages(current shared.Generation, c ImageChange) []string {
	var want []string
	for _, i := range current.Images {
		want = append(want, i.Reference)
	}
	want = slices.DeleteFunc(append(want, c.Pull...), func(r string) bool { return slices.Contains(c.Remove, r) })
	slices.Sort(want)
	return slices.Compact(want)
}

// makeToolFolder makes it anew; RemoveFillContainers has removed the last one.
func (x *Executor) makeToolFolder() error {
	dir, err := containerdir.Make(x.Shared().FillFolder())
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.CopyProgram(containerdir.Self, agentFile)
}

// fill makes the next generation and the current one of it. Where nothing has
// changed it leaves things as they are, and with an error, too, except for images
// that c.Keep goes on without.
func (x *Executor) fill(ctx context.Context, f ImageFill, c ImageChange, current shared.Generation, want []string) (err error) {
	img, err := imagepull.Get(ctx, x.Engine, f.Tool, x.Log)
	if err != nil {
		return fault.Systemf("images.tool_image: %w", err)
	}
	made, err := x.Shared().Next(ctx, current)
	if err != nil {
		return err
	}
	made.Users = f.Users
	use, err := x.state().Hold(made.Volume, true)
	if err != nil {
		return err
	} else if use == nil {
		return fmt.Errorf("somebody else holds the new volume %s", made.Volume)
	}
	adopted := false
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.CleanupTimeout)
		defer cancel()
		err = errors.Join(err, x.Shared().RemoveFillContainers(late))
		if !adopted {
			_, gone := x.Kept().RemoveHeld(late, made.Volume)
			err = errors.Join(err, gone)
		}
		use.Release()
	}()
	if err := x.Engine.CreateVolume(ctx, made.Volume, nil, map[string]string{job.LabelImages: x.Shared().ID()}); err != nil {
		return err
	}
	t, err := x.startTool(ctx, f, img, current.Volume, made.Volume)
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
		x.Log.Infof("Nothing has changed: generation %d stays.", current.Number)
		return err
	}
	if set := x.Shared().SetCurrent(made); set != nil {
		return errors.Join(err, set)
	}
	adopted = true
	x.Log.Infof("shared.Generation %d: %d images.", made.Number, len(made.Images))
	return err
}
