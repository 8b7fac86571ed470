package kept

import (
	"context"
	"strings"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// Taken are the names of the kept volumes that a job gets. An empty name means that the job
// gets its own volume or folder.
type Taken struct{ Builds, Cache, CacheMounts string }

// taker takes volumes for one job.
type taker struct {
	*Store
	holds []*statedir.Hold
}

func (t *taker) release() {
	for _, h := range t.holds {
		h.Release()
	}
}

// take returns the volume's name, or nothing if the volume is not available now.
func (t *taker) take(ctx context.Context, name, folder string, labels map[string]string, exclusive bool) (string, error) {
	hold, lost, err := t.takeVolume(ctx, name, labels, exclusive)
	if hold == nil || err != nil {
		return "", err
	}
	t.holds = append(t.holds, hold)
	if lost.Known {
		t.Log.Warnf("The folder %s was not kept when the last job with it had ended: it had %s, which is more than may be kept (gc.volume_size). This job begins with an empty one.", folder, lost)
	}
	return name, nil
}

// TakeFolders makes or finds the kept volumes of the job's folders. They are held until
// release is called; from then on the job's containers show that they are in use.
func (s *Store) TakeFolders(ctx context.Context, i job.Identity, f job.Folders) (taken Taken, release func(), err error) {
	t := &taker{Store: s}
	defer func() {
		if err != nil {
			t.release()
		}
	}()
	if f.KeepBuilds {
		if taken.Builds, err = t.builds(ctx, i, f); err != nil {
			return taken, nil, err
		}
	}
	if f.KeepCache { // empty while it is being pruned
		name, labels := volumeFor(i, Cache, f.Protected, nil)
		if taken.Cache, err = t.take(ctx, name, f.Cache, labels, false); err != nil {
			return taken, nil, err
		}
	}
	if f.KeepCacheMounts {
		name, labels := volumeFor(i, CacheMounts, f.Protected, nil)
		if taken.CacheMounts, err = t.take(ctx, name, storage.CacheMounts, labels, false); err != nil {
			return taken, nil, err
		}
		if taken.CacheMounts != "" {
			s.Log.Info("Cache mounts of image builds are kept for the project's jobs (storage.cache_mounts).")
		} else {
			s.Log.Info("The project's kept cache mounts are just being pruned: this job's builds begin without them.")
		}
	}
	return taken, t.release, nil
}

// builds takes the volume of the builds folder, and removes file variables that a killed job
// left in it.
func (t *taker) builds(ctx context.Context, i job.Identity, f job.Folders) (string, error) {
	name, labels := volumeFor(i, Builds, f.Protected, slotLabels(i.RunnerID, f.Slot))
	volume, err := t.take(ctx, name, f.Builds, labels, true)
	if err != nil {
		return "", err
	}
	if volume == "" {
		t.Log.Warnf("The kept folder %s (volume %s) is in use by another job; this job gets a new one, which is not kept.", f.Builds, name)
		return "", nil
	}
	return volume, t.reset(ctx, volume, strings.TrimPrefix(f.Temp, f.Builds+"/"), labels)
}
