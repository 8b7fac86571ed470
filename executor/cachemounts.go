package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/engine"
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
	found, err := x.Engine.FindVolumes(ctx, LabelKept, cacheMounts)
	if err != nil {
		x.Log.Debugf("kept cache mounts: %v", err)
		return
	}
	for _, v := range found {
		if v.Labels[LabelServer] != i.Server || v.Labels[LabelProject] != strconv.FormatInt(i.ProjectID, 10) {
			continue
		}
		t, err := x.trim(ctx, v, false)
		if len(t.Folders) > 0 {
			x.Log.Infof("Cache mounts of the project: of %s the longest unused %s went, to keep within %s (storage.cache_mounts_size).", show(t.Size), show(t.Removed), show(x.CacheMounts))
		}
		if err != nil {
			x.Log.Debugf("kept cache mounts: %v", err)
		}
	}
}

// trim keeps one volume's cache mounts within their limit.
func (x *Executor) trim(ctx context.Context, v engine.Found, dryRun bool) (storage.Trimmed, error) {
	if len(v.Paths) == 0 || !strings.HasPrefix(x.Engine.Host(), "unix://") || !exists(v.Paths[0]) {
		return storage.Trimmed{}, fmt.Errorf("%s is on another machine than this process", v.Name)
	}
	// Nobody removes the volume meanwhile; jobs may take it.
	use, err := x.holdKept(v.Name, false)
	if use == nil || err != nil {
		return storage.Trimmed{}, err
	}
	defer use.release()
	users, err := x.Engine.VolumeUsers(ctx, v.Name)
	if err != nil {
		return storage.Trimmed{}, err
	}
	folder := v.Paths[0]
	c := storage.CacheFolders{Folder: folder, Limit: x.CacheMounts, DryRun: dryRun, Idle: len(users) == 0}
	c.InUse = func(path string) (bool, error) {
		users, err := x.Engine.VolumeUsers(ctx, v.Name)
		if err != nil || len(users) == 0 {
			return false, err
		}
		// Where not even the volume is in another mount table, none tells anything.
		if whole, err := teardown.MountedFrom(folder); err != nil || !slices.Contains(whole, ".") {
			return true, err
		}
		mounts, err := teardown.MountedFrom(path)
		return len(mounts) > 0, err
	}
	return storage.TrimCacheMounts(ctx, c)
}

// collectCacheMounts keeps all projects' cache mounts within their limit.
func (x *Executor) collectCacheMounts(ctx context.Context, o GCOptions) ([]Collected, error) {
	if x.CacheMounts <= 0 {
		return nil, nil
	}
	found, err := x.Engine.FindVolumes(ctx, LabelKept, cacheMounts)
	if err != nil {
		return nil, err
	}
	var all []Collected
	for _, v := range found {
		if _, err := os.Stat(x.keptFile(v.Name)); err != nil {
			continue // another state folder's
		}
		t, err := x.trim(ctx, v, o.DryRun)
		c := Collected{Name: v.Name, Action: Removed, Resources: t.Folders}
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			c.Action, c.Reason = LeftOver, err.Error()
		case len(t.Folders) == 0 && len(t.Busy) == 0:
			continue
		case len(t.Folders) == 0:
			c.Action, c.Reason = Kept, fmt.Sprintf("cache mounts of %s, more than %s, but jobs use them", show(t.Size), show(x.CacheMounts))
		default:
			if o.DryRun {
				c.Action = WouldRemove
			}
			c.Reason = fmt.Sprintf("cache mounts of %s of %s, the longest unused of more than %s", show(t.Removed), show(t.Size), show(x.CacheMounts))
		}
		for n, folder := range c.Resources {
			c.Resources[n] = "folder " + strconv.Quote(folder)
		}
		all = append(all, c)
	}
	return all, nil
}
