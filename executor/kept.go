package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
)

// An engine cannot change a volume's labels, so each volume that is kept has a
// file below the state folder (statedir.Dir.Kept).
func (x *Executor) keptFile(volume string) string { return x.state().Kept(volume) }

// keptUse is a hold on a volume that is kept.
type keptUse struct{ *statedir.Hold }

// release lets others take the volume.
func (u *keptUse) release() { u.Release() }

// holdKept locks a volume's file, or returns nil when that is not possible now.
func (x *Executor) holdKept(volume string, exclusive bool) (*keptUse, error) {
	h, err := x.state().Hold(volume, exclusive)
	if h == nil || err != nil {
		return nil, err
	}
	return &keptUse{h}, nil
}

// takeKept makes or finds a volume that is kept and holds it. It returns nil
// when another process holds it in a way that excludes this one or, where
// exclusive, when a container has it.
func (x *Executor) takeKept(ctx context.Context, volume string, labels map[string]string, exclusive bool) (*keptUse, error) {
	use, err := x.holdKept(volume, exclusive)
	if use == nil || err != nil {
		return nil, err
	}
	if exclusive {
		users, err := x.Engine.VolumeUsers(ctx, volume)
		if err != nil || len(users) > 0 {
			use.release()
			return nil, err
		}
	}
	if err := x.Engine.CreateVolume(ctx, volume, nil, labels); err != nil {
		use.release()
		return nil, err
	}
	now := time.Now()
	if err := os.Chtimes(x.keptFile(volume), now, now); err != nil {
		use.release()
		return nil, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return use, nil
}

// KeptVolume is a volume that outlives its jobs.
type KeptVolume struct {
	Volume string
	Kind   string // builds or cache
	// LastUse is when a job last took it or was at its end; zero when that is not known.
	LastUse time.Time
	Size    int64 // bytes; -1 when the engine cannot tell, 0 when nobody asked
}

// KeptVolumes lists the volumes that are kept.
func (x *Executor) KeptVolumes(ctx context.Context) ([]KeptVolume, error) {
	found, err := x.Engine.FindVolumes(ctx, job.LabelKept, "")
	if err != nil {
		return nil, err
	}
	var all []KeptVolume
	for _, v := range found {
		k := KeptVolume{Volume: v.Name, Kind: v.Labels[job.LabelKept]}
		if last, err := lastUse(x.keptFile(v.Name)); err == nil {
			k.LastUse = last
		}
		all = append(all, k)
	}
	return all, nil
}

// RemoveKept removes a volume that is kept, as it was listed, and what is
// remembered of it. It returns false and leaves everything when a job has it, is
// about to get it or has used it since. With dryRun it only tells.
func (x *Executor) RemoveKept(ctx context.Context, v KeptVolume, dryRun bool) (bool, error) {
	use, err := x.holdKept(v.Volume, true)
	if use == nil || err != nil {
		return false, err
	}
	defer use.release()
	if last, err := lastUse(x.keptFile(v.Volume)); err != nil || last.After(v.LastUse) {
		return false, err
	}
	if !dryRun {
		return x.removeHeld(ctx, v.Volume)
	}
	use.release() // a look is nothing to wait for
	users, err := x.Engine.VolumeUsers(ctx, v.Volume)
	return err == nil && len(users) == 0, err
}

// usedKept notes that a job has had those of the volumes that are kept up to now.
func (x *Executor) usedKept(volumes []string) {
	now := time.Now()
	for _, v := range volumes {
		if err := os.Chtimes(x.keptFile(v), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.Log.Debugf("kept volume %s: %v", v, err)
		}
	}
}

// removeHeld is RemoveKept for a volume whose lock is ours alone.
func (x *Executor) removeHeld(ctx context.Context, volume string) (bool, error) {
	users, err := x.Engine.VolumeUsers(ctx, volume)
	if err != nil || len(users) > 0 {
		return false, err
	}
	if err := x.Engine.RemoveVolume(ctx, volume); err != nil && !engine.IsNotFound(err) {
		return false, err
	}
	if err := os.Remove(x.keptFile(volume)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return true, nil
}
