package executor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// volumes are those that prepare took for the job's folders.
type volumes struct {
	builds, cache string
	cacheMounts   string // empty where they are the job's own
	keptBuilds    string // builds, where it is kept
}

// mounts are what the job's container shares with its helper.
func (v volumes) mounts(f job.Folders) []engine.Mount {
	all := []engine.Mount{
		{Kind: engine.Volume, Source: v.builds, Target: f.Builds},
		{Kind: engine.Volume, Source: v.cache, Target: f.Cache},
	}
	if v.cacheMounts != "" {
		all = append(all, engine.Mount{Kind: engine.Volume, Source: v.cacheMounts, Target: storage.CacheMounts})
	}
	return all
}

// takeFolders makes or finds the volumes of the job's folders. Until release is called nobody else takes
// the kept ones; from then on the job's containers show that they are in use.
func (x *Executor) takeFolders(ctx context.Context, i Identity, f job.Folders, j *journal.Journal) (v volumes, release func(), err error) {
	var holds []*statedir.Hold
	release = func() {
		for _, h := range holds {
			h.Release()
		}
	}
	defer func() {
		if err != nil {
			release()
			release = nil
		}
	}()
	// take leaves volume empty where it cannot be had now.
	take := func(volume *string, name, folder string, labels map[string]string, alone bool) error {
		hold, lost, err := x.Kept().Take(ctx, name, labels, alone)
		if hold == nil || err != nil {
			return err
		}
		holds = append(holds, hold)
		if lost.Known {
			x.Log.Warnf("The folder %s was not kept when the last job with it had ended: it had %s, which is more than may be kept (gc.volume_size). This job begins with an empty one.", folder, lost)
		}
		*volume = name
		return nil
	}
	if f.KeepBuilds {
		name, labels := kept.VolumeFor(i, kept.Builds, f.Protected, map[string]string{
			job.LabelRunner: strconv.FormatInt(i.RunnerID, 10), job.LabelSlot: strconv.FormatInt(f.Slot, 10),
		})
		if err := take(&v.builds, name, f.Builds, labels, true); err != nil {
			return v, nil, err
		}
		if v.builds == "" {
			x.Log.Warnf("The kept folder %s (volume %s) is in use by another job; this job gets a new one, which is not kept.", f.Builds, name)
		} else if err := x.Kept().Reset(ctx, name, strings.TrimPrefix(f.Temp, f.Builds+"/"), labels); err != nil {
			return v, nil, err
		}
		v.keptBuilds = v.builds
	}
	if f.KeepCache { // it is left empty while it is being pruned
		name, labels := kept.VolumeFor(i, kept.Cache, f.Protected, nil)
		if err := take(&v.cache, name, f.Cache, labels, false); err != nil {
			return v, nil, err
		}
	}
	if f.KeepCacheMounts {
		name, labels := kept.VolumeFor(i, kept.CacheMounts, f.Protected, nil)
		if err := take(&v.cacheMounts, name, storage.CacheMounts, labels, false); err != nil {
			return v, nil, err
		}
		if v.cacheMounts != "" {
			x.Log.Info("Cache mounts of image builds are kept for the project's jobs (storage.cache_mounts).")
		} else {
			x.Log.Info("The project's kept cache mounts are just being pruned: this job's builds begin without them.")
		}
	}
	err = x.ownVolumes(ctx, i, j, map[string]*string{"builds": &v.builds, "cache": &v.cache})
	return v, release, err
}

// ownVolume is the name of a volume that goes with the job.
func ownVolume(i Identity, kind string) string { return i.Name() + "-" + kind }

// sharedVolume is the name of the volume for the nth of Container.Volumes, where
// that names none.
func sharedVolume(i Identity, n int) string { return ownVolume(i, fmt.Sprintf("shared-%d", n)) }

// makeShared makes those volumes.
func (x *Executor) makeShared(ctx context.Context, p plan, j *journal.Journal) error {
	for n, text := range p.Container.Volumes {
		if v, _ := config.ParseVolume(text); v.Source != "" {
			continue
		}
		if err := x.createVolume(ctx, j, sharedVolume(p.Identity, n), nil, labels(p, job.RoleShared)); err != nil {
			return err
		}
	}
	return nil
}

// ownVolumes makes a volume that goes with the job for each kind that has none.
func (x *Executor) ownVolumes(ctx context.Context, i Identity, j *journal.Journal, volumes map[string]*string) error {
	for kind, volume := range volumes {
		if *volume != "" {
			continue
		}
		*volume = ownVolume(i, kind)
		if err := x.createVolume(ctx, j, *volume, nil, i.Labels(job.Role(kind))); err != nil {
			return err
		}
	}
	return nil
}
