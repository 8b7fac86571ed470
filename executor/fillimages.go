package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imagepull"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
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
	unlock, err := x.lockImages(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := x.removeTools(ctx); err != nil {
		return err
	}
	if _, err := x.dropOldImages(ctx); err != nil {
		return err
	}
	current, err := x.CurrentImages()
	if err != nil {
		return err
	}
	want := wantedImages(current, c)
	if c.Refresh {
		c.Pull = want
	}
	if len(want) == 0 {
		if err := x.setCurrentImages(Generation{}); err != nil {
			return err
		}
		_, err := x.dropOldImages(ctx)
		return err
	}
	if current.Volume != "" {
		if err := x.hasGeneration(ctx, current.Volume); err != nil {
			x.Log.Warnf("Shared images: %v", err)
			if err := x.forgetGeneration(current.Volume); err != nil {
				return err
			}
			current, c.Pull = Generation{}, want // all over again
		}
	}
	if err := x.settleImagesID(current); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	if err = x.fill(ctx, f, c, current, want); ctx.Err() != nil {
		return err
	}
	_, old := x.dropOldImages(ctx)
	return errors.Join(err, old)
}

// wantedImages are the references that there are to be after a change.
func wantedImages(current Generation, c ImageChange) []string {
	var want []string
	for _, i := range current.Images {
		want = append(want, i.Reference)
	}
	want = slices.DeleteFunc(append(want, c.Pull...), func(r string) bool { return slices.Contains(c.Remove, r) })
	slices.Sort(want)
	return slices.Compact(want)
}

// lockImages waits until no other change is at work.
func (x *Executor) lockImages(ctx context.Context) (unlock func(), err error) {
	for told := false; ; told = true {
		unlock, ok, err := x.state().TryLockImages()
		if err != nil {
			return nil, fmt.Errorf("shared images: %w", err)
		} else if ok {
			return unlock, nil
		}
		if !told {
			x.Log.Info("Another `images` command is at work; waiting for its end.")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another `images` command: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// toolFolder is what the container that fills a generation sees of the host.
func (x *Executor) toolFolder() string { return filepath.Join(x.state().Images(), "tool") }

// isTool tells whether a container with our label fills a generation, and is neither a
// job's nor anybody else's, whose image has the label.
func (x *Executor) isTool(c engine.Found) bool {
	return c.Labels[job.LabelName] == "" && x.generationNumber(c.Name) != 0
}

// makeToolFolder makes it anew; removeTools has removed the last one.
func (x *Executor) makeToolFolder() error {
	dir, err := containerdir.Make(x.toolFolder())
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.CopyProgram(containerdir.Self, agentFile)
}

// removeTools removes a container that fills a generation, and its folder. The
// lock is held.
func (x *Executor) removeTools(ctx context.Context) error {
	found, err := x.Engine.FindContainers(ctx, job.LabelImages, x.imagesID())
	if err != nil {
		return err
	}
	for _, c := range found {
		if !x.isTool(c) {
			continue
		}
		if err := x.Engine.RemoveContainer(ctx, c.ID); err != nil && !engine.IsNotFound(err) && !engine.IsBusy(err) {
			return err
		}
	}
	if err := os.RemoveAll(x.toolFolder()); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	return nil
}

// fill makes the next generation and the current one of it. Where nothing has
// changed it leaves things as they are, and with an error, too, except for images
// that c.Keep goes on without.
func (x *Executor) fill(ctx context.Context, f ImageFill, c ImageChange, current Generation, want []string) (err error) {
	img, err := imagepull.Get(ctx, x.Engine, f.Tool, x.Log)
	if err != nil {
		return fault.Systemf("images.tool_image: %w", err)
	}
	made, err := x.nextGeneration(ctx, current)
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
		err = errors.Join(err, x.removeTools(late))
		if !adopted {
			_, gone := x.Kept().RemoveHeld(late, made.Volume)
			err = errors.Join(err, gone)
		}
		use.Release()
	}()
	if err := x.Engine.CreateVolume(ctx, made.Volume, nil, map[string]string{job.LabelImages: x.imagesID()}); err != nil {
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
		want = slices.DeleteFunc(want, func(r string) bool { return slices.Contains(failed, r) && !current.has(r) })
	}
	if len(want) == 0 {
		return err
	}
	if finished := t.finish(ctx, want, &made); finished != nil {
		return errors.Join(err, finished)
	}
	if made.same(current) {
		x.Log.Infof("Nothing has changed: generation %d stays.", current.Number)
		return err
	}
	if set := x.setCurrentImages(made); set != nil {
		return errors.Join(err, set)
	}
	adopted = true
	x.Log.Infof("Generation %d: %d images.", made.Number, len(made.Images))
	return err
}

// nextGeneration has a number that none has of which there are traces.
func (x *Executor) nextGeneration(ctx context.Context, current Generation) (Generation, error) {
	next := Generation{Number: current.Number + 1, Made: time.Now().UTC().Round(time.Second)}
	all, err := x.generations(ctx)
	if err != nil {
		return next, err
	}
	for _, v := range all {
		next.Number = max(next.Number, x.generationNumber(v)+1)
	}
	next.Volume = x.generationVolume(next.Number)
	return next, nil
}

func (g Generation) has(reference string) bool {
	return slices.ContainsFunc(g.Images, func(i storage.StoredImage) bool { return i.Reference == reference })
}

// same tells whether jobs would see the same.
func (g Generation) same(as Generation) bool {
	return slices.Equal(g.Images, as.Images) && slices.Equal(g.Drivers, as.Drivers) && slices.Equal(g.Users, as.Users)
}
