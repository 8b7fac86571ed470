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

// Folders are the job's folders as its scripts see them, and how long they last.
type Folders struct {
	Builds string
	Cache  string
	// Temp is where the Runner's scripts put file variables, below Builds; each job
	// gets it empty. It may be empty for none.
	Temp string

	// KeepBuilds hands Builds on to the next job of the same Runner, project,
	// slot and protection; KeepCache shares Cache among the jobs of the same
	// project and protection.
	KeepBuilds, KeepCache bool
	// Slot is one that no other job of the Runner's has in this project meanwhile.
	Slot int64
	// Protected jobs, those on protected refs, share nothing with others.
	Protected bool
	// KeepCacheMounts shares cache mounts of image builds among the jobs of the same
	// project, apart as builds are for protected refs; else each job has its own.
	KeepCacheMounts bool

	buildsVolume, cacheVolume string // what prepare took for them
	cacheMountsVolume         string // empty where they are the job's own
}

// mounts are what the job's container shares with its helper.
func (f Folders) mounts() []engine.Mount {
	all := []engine.Mount{
		{Kind: engine.Volume, Source: f.buildsVolume, Target: f.Builds},
		{Kind: engine.Volume, Source: f.cacheVolume, Target: f.Cache},
	}
	if f.cacheMountsVolume != "" {
		all = append(all, engine.Mount{Kind: engine.Volume, Source: f.cacheMountsVolume, Target: storage.CacheMounts})
	}
	return all
}

// keptBuilds is the volume of Builds where it is kept.
func (f Folders) keptBuilds() string {
	if f.KeepBuilds {
		return f.buildsVolume
	}
	return ""
}

// takeFolders makes or finds the volumes of the job's folders and returns the
// folders with their names in them. Until release is called nobody else takes
// the kept ones; from then on the job's containers show that they are in use.
func (x *Executor) takeFolders(ctx context.Context, i Identity, f Folders, j *journal.Journal) (taken Folders, release func(), err error) {
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
		if err := take(&f.buildsVolume, name, f.Builds, labels, true); err != nil {
			return f, nil, err
		}
		if f.buildsVolume == "" {
			x.Log.Warnf("The kept folder %s (volume %s) is in use by another job; this job gets a new one, which is not kept.", f.Builds, name)
			f.KeepBuilds = false
		} else if err := x.Kept().Reset(ctx, name, strings.TrimPrefix(f.Temp, f.Builds+"/"), labels); err != nil {
			return f, nil, err
		}
	}
	if f.KeepCache { // it is left empty while it is being pruned
		name, labels := kept.VolumeFor(i, kept.Cache, f.Protected, nil)
		if err := take(&f.cacheVolume, name, f.Cache, labels, false); err != nil {
			return f, nil, err
		}
	}
	if f.KeepCacheMounts {
		name, labels := kept.VolumeFor(i, kept.CacheMounts, f.Protected, nil)
		if err := take(&f.cacheMountsVolume, name, storage.CacheMounts, labels, false); err != nil {
			return f, nil, err
		}
		if f.cacheMountsVolume != "" {
			x.Log.Info("Cache mounts of image builds are kept for the project's jobs (storage.cache_mounts).")
		} else {
			x.Log.Info("The project's kept cache mounts are just being pruned: this job's builds begin without them.")
		}
	}
	err = x.ownVolumes(ctx, i, j, map[string]*string{"builds": &f.buildsVolume, "cache": &f.cacheVolume})
	return f, release, err
}

// ownVolume is the name of a volume that goes with the job.
func ownVolume(i Identity, kind string) string { return i.Name() + "-" + kind }

// sharedVolume is the name of the volume for the nth of Container.Volumes, where
// that names none.
func sharedVolume(i Identity, n int) string { return ownVolume(i, fmt.Sprintf("shared-%d", n)) }

// makeShared makes those volumes.
func (x *Executor) makeShared(ctx context.Context, p Plan, j *journal.Journal) error {
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
