package kept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
)

// trimTime limits how long a job's cleanup trims its project's cache mounts.
const trimTime = 5 * time.Second

// trimAfter keeps the cache mounts of a job's project within their limit after the job. gc
// does what is not finished in time.
func (s *Store) trimAfter(ctx context.Context, i job.Identity) {
	if s.Limits.CacheMounts <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, trimTime)
	defer cancel()
	found, err := s.Engine.FindVolumes(ctx, job.LabelKept, CacheMounts)
	if err != nil {
		s.Log.Debugf("kept cache mounts: %v", err)
		return
	}
	for _, v := range found {
		if v.Labels[job.LabelServer] != i.Server || v.Labels[job.LabelProject] != strconv.FormatInt(i.ProjectID, 10) {
			continue
		}
		t, err := s.trim(ctx, v, removal.Options{})
		if len(t.Folders) > 0 {
			s.Log.Infof("Cache mounts of the project: removed the least recently used %s of %s, to keep within %s (storage.cache_mounts_size).", format.Bytes(t.Removed), format.Bytes(t.Size), format.Bytes(s.Limits.CacheMounts))
		}
		if err != nil {
			s.Log.Debugf("kept cache mounts: %v", err)
		}
	}
}

// trim removes cache mounts of one volume until the rest is within the limit, as far as o allows.
func (s *Store) trim(ctx context.Context, v engine.Found, o removal.Options) (storage.Trimmed, error) {
	if len(v.Paths) == 0 || !s.Local || !exists(v.Paths[0]) {
		return storage.Trimmed{}, fmt.Errorf("%s is on another machine than this process", v.Name)
	}
	return storage.TrimCacheMounts(ctx, storage.CacheFolders{
		Folder: v.Paths[0], Limit: s.Limits.CacheMounts, DryRun: o.DryRun, OlderThan: o.OlderThan,
		Alone: func() (func(), bool, error) { return s.alone(ctx, v.Name) },
	})
}

// alone prevents jobs from taking a kept volume. It returns false if a container uses the
// volume, or if a prepare is about to use it.
func (s *Store) alone(ctx context.Context, volume string) (release func(), ok bool, err error) {
	use, err := s.State.Hold(volume, true)
	if use == nil || err != nil {
		return nil, false, err
	}
	users, err := s.Engine.VolumeUsers(ctx, volume)
	if err != nil || len(users) > 0 {
		use.Release()
		return nil, false, err
	}
	return use.Release, true, nil
}

// cacheTime limits how long gc trims the cache mounts of one project.
const cacheTime = 10 * time.Minute

// CollectCacheMounts keeps the cache mounts of all projects within their limit.
func (s *Store) CollectCacheMounts(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	if s.Limits.CacheMounts <= 0 {
		return nil, nil
	}
	found, err := s.Engine.FindVolumes(ctx, job.LabelKept, CacheMounts)
	if err != nil {
		return nil, err
	}
	var all []removal.Collected
	for _, v := range found {
		if _, err := os.Stat(s.State.Kept(v.Name)); err != nil {
			continue // of another state folder
		}
		short, cancel := context.WithTimeout(ctx, cmp.Or(o.Each, cacheTime))
		t, err := s.trim(short, v, o)
		cancel()
		c := removal.Collected{Name: v.Name, Action: removal.Removed}
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			c.Action, c.Reason = removal.LeftOver, err.Error()
		case len(t.Folders) == 0 && len(t.Busy) == 0:
			continue
		case len(t.Folders) == 0:
			c.Action, c.Reason = removal.Kept, fmt.Sprintf("cache mounts of %s, more than %s (storage.cache_mounts_size), but jobs use them", format.Bytes(t.Size), format.Bytes(s.Limits.CacheMounts))
		default:
			if o.DryRun {
				c.Action = removal.WouldRemove
			}
			c.Reason = fmt.Sprintf("cache mounts of %s of %s, the least recently used of more than %s (storage.cache_mounts_size)", format.Bytes(t.Removed), format.Bytes(t.Size), format.Bytes(s.Limits.CacheMounts))
		}
		c.Resources = folderNames(t.Folders)
		all = append(all, c)
	}
	return all, nil
}

// folderNames formats the names of folders. Jobs chose them, so they are quoted and limited.
func folderNames(folders []string) (all []string) {
	const most = 50
	for _, folder := range folders[:min(most, len(folders))] {
		all = append(all, "folder "+fault.Quote(folder))
	}
	if more := len(folders) - most; more > 0 {
		all = append(all, fmt.Sprintf("%d more folders", more))
	}
	return all
}

// exists reports whether path exists.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
