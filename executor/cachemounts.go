package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/teardown"
)

// cacheMounts is the kind of volume that keeps a project's cache mounts.
const cacheMounts = "cache-mounts"

// trimTime bounds how long a job's cleanup looks at its project's cache mounts.
const trimTime = 5 * time.Second

// trimAfter keeps the cache mounts of a job's project within their limit once the
// job is over. What it does not get done in time is done by gc.
func (x *Executor) trimAfter(ctx context.Context, i Identity) {
	if x.CacheMounts <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, trimTime)
	defer cancel()
	found, err := x.Engine.FindVolumes(ctx, job.LabelKept, cacheMounts)
	if err != nil {
		x.Log.Debugf("kept cache mounts: %v", err)
		return
	}
	for _, v := range found {
		if v.Labels[job.LabelServer] != i.Server || v.Labels[job.LabelProject] != strconv.FormatInt(i.ProjectID, 10) {
			continue
		}
		t, err := x.trim(ctx, v, GCOptions{})
		if len(t.Folders) > 0 {
			x.Log.Infof("Cache mounts of the project: of %s the longest unused %s went, to keep within %s (storage.cache_mounts_size).", show(t.Size), show(t.Removed), show(x.CacheMounts))
		}
		if err != nil {
			x.Log.Debugf("kept cache mounts: %v", err)
		}
	}
}

// trim keeps one volume's cache mounts within their limit, as far as o lets it.
func (x *Executor) trim(ctx context.Context, v engine.Found, o GCOptions) (storage.Trimmed, error) {
	if len(v.Paths) == 0 || !strings.HasPrefix(x.Engine.Host(), "unix://") || !exists(v.Paths[0]) {
		return storage.Trimmed{}, fmt.Errorf("%s is on another machine than this process", v.Name)
	}
	// Nobody removes the volume meanwhile; jobs may take it.
	use, err := x.state().Hold(v.Name, false)
	if use == nil || err != nil {
		return storage.Trimmed{}, err
	}
	defer use.Release()
	users, err := x.Engine.VolumeUsers(ctx, v.Name)
	if err != nil {
		return storage.Trimmed{}, err
	}
	folder := v.Paths[0]
	c := storage.CacheFolders{Folder: folder, Limit: x.CacheMounts, DryRun: o.DryRun, OlderThan: o.OlderThan, Idle: len(users) == 0}
	c.InUse = func(path string) (bool, error) {
		users, err := x.Engine.VolumeUsers(ctx, v.Name)
		if err != nil || len(users) == 0 {
			return false, err
		}
		mounts, err := teardown.MountedFrom(folder)
		// Where not even the volume is in another mount table, none tells anything.
		return err != nil || !slices.Contains(mounts, ".") || mountedBelow(folder, path, mounts), err
	}
	return storage.TrimCacheMounts(ctx, c)
}

// mountedBelow tells whether path, or what is below it, is one of the mounts, which
// are relative to folder.
func mountedBelow(folder, path string, mounts []string) bool {
	return slices.ContainsFunc(mounts, func(m string) bool {
		rest, err := filepath.Rel(path, filepath.Join(folder, m))
		return err == nil && filepath.IsLocal(rest)
	})
}

// collectCacheMounts keeps all projects' cache mounts within their limit.
func (x *Executor) collectCacheMounts(ctx context.Context, o GCOptions) ([]Collected, error) {
	if x.CacheMounts <= 0 {
		return nil, nil
	}
	found, err := x.Engine.FindVolumes(ctx, job.LabelKept, cacheMounts)
	if err != nil {
		return nil, err
	}
	var all []Collected
	for _, v := range found {
		if _, err := os.Stat(x.state().Kept(v.Name)); err != nil {
			continue // another state folder's
		}
		t, err := x.trim(ctx, v, o)
		c := Collected{Name: v.Name, Action: Removed, Resources: t.Folders}
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			c.Action, c.Reason = LeftOver, err.Error()
		case len(t.Folders) == 0 && len(t.Busy) == 0:
			continue
		case len(t.Folders) == 0:
			c.Action, c.Reason = Kept, fmt.Sprintf("cache mounts of %s, more than %s (storage.cache_mounts_size), but jobs use them", show(t.Size), show(x.CacheMounts))
		default:
			if o.DryRun {
				c.Action = WouldRemove
			}
			c.Reason = fmt.Sprintf("cache mounts of %s of %s, the longest unused of more than %s (storage.cache_mounts_size)", show(t.Removed), show(t.Size), show(x.CacheMounts))
		}
		for n, folder := range c.Resources {
			c.Resources[n] = "folder " + strconv.Quote(folder)
		}
		all = append(all, c)
	}
	return all, nil
}
