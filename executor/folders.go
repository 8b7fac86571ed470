package executor

import (
	"context"
	"fmt"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
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

// takeFolders makes or finds the volumes of the job's folders. Until release is called
// nobody else takes the kept ones; from then on the job's containers show that they are
// in use.
func (x *Executor) takeFolders(ctx context.Context, i Identity, f job.Folders, j *journal.Journal) (volumes, func(), error) {
	taken, release, err := x.Kept().TakeFolders(ctx, i, f)
	if err != nil {
		return volumes{}, nil, err
	}
	v := volumes{builds: taken.Builds, cache: taken.Cache, cacheMounts: taken.CacheMounts, keptBuilds: taken.Builds}
	if err := x.ownVolumes(ctx, i, j, map[string]*string{"builds": &v.builds, "cache": &v.cache}); err != nil {
		release()
		return v, nil, err
	}
	return v, release, nil
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
