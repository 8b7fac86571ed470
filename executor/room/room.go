// Package room keeps space free on the engine's disk. It removes what jobs do not need: in gc, when a
// job does not fit on the disk, and while jobs run, because their writes to that disk have no limit.
package room

import (
	"context"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// Engine is the part of an engine that this package needs.
type Engine interface {
	Info(ctx context.Context) (engine.Info, error)
}

// Store has resources that jobs do not need, such as images.
type Store interface {
	// Unused returns removers of resources that no job has used within o.OlderThan, least recently
	// used first. The reason is reported with each removed resource.
	Unused(ctx context.Context, o removal.Options, reason string) ([]removal.Remover, error)
}

// Keeper keeps space free. Its methods are safe for concurrent use, also by several processes.
type Keeper struct {
	State  statedir.Dir
	Engine Engine
	// Local is true if this process sees the engine's files under the same paths.
	Local bool
	// Pulled are images and Kept are volumes. Images are removed first.
	Pulled, Kept Store
	// MinFree is the space to keep free, in bytes; there is no limit if it is not positive.
	MinFree int64
	// GC removes resources that belong to no running job.
	GC  func(context.Context, removal.Options) ([]removal.Collected, error)
	Log logrus.FieldLogger

	pool func(folder string) (storage.Pool, error) // test hook; nil for the real disk
}

// disk returns the state of folder's disk.
func (k *Keeper) disk(folder string) (storage.Pool, error) {
	if k.pool != nil {
		return k.pool(folder)
	}
	return storage.DiskPool(folder)
}

// low reports whether less space is free than has to stay free.
func (k *Keeper) low(p storage.Pool) bool { return p.Low(k.MinFree) }

// EngineFolder is the engine's data root, with images, the containers' layers and logs, and kept volumes.
// It is empty if this process cannot see it.
func (k *Keeper) EngineFolder(info engine.Info) string {
	if _, err := os.Stat(info.RootDir); err != nil || !k.Local {
		return ""
	}
	return info.RootDir
}

// Collect makes room when too little space is free on the engine's disk.
func (k *Keeper) Collect(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	if k.MinFree <= 0 {
		return nil, nil
	}
	info, err := k.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	folder := k.EngineFolder(info)
	if folder == "" {
		return nil, nil
	}
	return k.removeUnused(ctx, folder, o, k.low)
}

// freeTime is how long a file system may take to free the blocks of removed files. XFS does this in the
// background.
const freeTime = 200 * time.Millisecond

// removeUnused removes what jobs do not need from folder's disk, which is the engine's, until enough
// space is free or there is nothing left: first images that jobs pulled, then kept volumes, each least
// recently used first.
func (k *Keeper) removeUnused(ctx context.Context, folder string, o removal.Options, low func(storage.Pool) bool) ([]removal.Collected, error) {
	unlock, err := k.State.LockRoom(ctx) // otherwise each process would remove enough for all
	if err != nil {
		return nil, err
	}
	defer unlock()
	if pool, err := k.disk(folder); err != nil || pool.Size <= k.MinFree {
		return nil, err // no removal can free that much
	}
	var would int64 // bytes that a dry run would have freed
	short := func() (bool, error) {
		pool, err := k.disk(folder)
		pool.Free += would
		return err == nil && low(pool), err
	}
	due, err := k.unused(ctx, o)
	if err != nil {
		return nil, err
	}
	var all []removal.Collected
	for _, remove := range due {
		is, err := short()
		if is && len(all) > 0 && !o.DryRun {
			time.Sleep(freeTime)
			is, err = short()
		}
		if !is || err != nil {
			return all, err
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		c, size := remove(ctx)
		if c.Action == removal.WouldRemove {
			would += size
		}
		all = append(all, c)
	}
	return all, nil
}

// unused returns what removeUnused removes, in order.
func (k *Keeper) unused(ctx context.Context, o removal.Options) ([]removal.Remover, error) {
	const reason = "the disk runs low (storage.min_free), and this was least recently used"
	images, err := k.Pulled.Unused(ctx, o, reason)
	if err != nil {
		return nil, err
	}
	volumes, err := k.Kept.Unused(ctx, o, reason)
	return append(images, volumes...), err
}
