// Package room keeps room free on the engine's disk: it removes what jobs can do
// without, for gc, for a job that is refused for want of room, and while jobs run, for
// what those write to that disk has no limit.
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

// Engine is what is needed of an engine.
type Engine interface {
	Info(ctx context.Context) (engine.Info, error)
}

// Store has things that jobs can do without.
type Store interface {
	// Unused lists those that no job has used within o.OlderThan, the longest unused
	// first. The reason is reported with each that is removed.
	Unused(ctx context.Context, o removal.Options, reason string) ([]removal.Remover, error)
}

// Keeper keeps room free. Its methods may be called concurrently, also by several
// processes.
type Keeper struct {
	State  statedir.Dir
	Engine Engine
	// Local says that the engine's files are seen here under the engine's own paths.
	Local bool
	// Pulled are images, Kept are volumes: images go first.
	Pulled, Kept Store
	// MinFree is how many bytes are to stay free; any number where it is not positive.
	MinFree int64
	// GC removes what belongs to no running job.
	GC  func(context.Context, removal.Options) ([]removal.Collected, error)
	Log logrus.FieldLogger

	pool func(folder string) (storage.Pool, error) // test hook; nil for the disk itself
}

// disk is what there is of the disk that folder is on.
func (k *Keeper) disk(folder string) (storage.Pool, error) {
	if k.pool != nil {
		return k.pool(folder)
	}
	return storage.DiskPool(folder)
}

// low tells whether less is free than is to stay free.
func (k *Keeper) low(p storage.Pool) bool { return p.Low(k.MinFree) }

// EngineFolder is the engine's data root, where images, containers' own layers and logs,
// and kept volumes are; empty where it is not seen from here.
func (k *Keeper) EngineFolder(info engine.Info) string {
	if _, err := os.Stat(info.RootDir); err != nil || !k.Local {
		return ""
	}
	return info.RootDir
}

// Collect makes room when the engine's disk runs low.
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

// freeTime is how long a file system may take to give back the blocks of removed files:
// XFS does so beside other work.
const freeTime = 200 * time.Millisecond

// removeUnused removes what jobs can do without from the engine's disk, which folder is
// on, until it is low no more or there is nothing left: images that jobs pulled, then
// kept volumes, of each those longest unused first.
func (k *Keeper) removeUnused(ctx context.Context, folder string, o removal.Options, low func(storage.Pool) bool) ([]removal.Collected, error) {
	unlock, err := k.State.LockRoom(ctx) // else each would remove what was enough for all
	if err != nil {
		return nil, err
	}
	defer unlock()
	if pool, err := k.disk(folder); err != nil || pool.Size <= k.MinFree {
		return nil, err // no removal makes so much room
	}
	var would int64 // what a dry run has freed
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

// unused is what removeUnused removes, in that order.
func (k *Keeper) unused(ctx context.Context, o removal.Options) ([]removal.Remover, error) {
	const reason = "the disk runs low (storage.min_free), and this was unused longest"
	images, err := k.Pulled.Unused(ctx, o, reason)
	if err != nil {
		return nil, err
	}
	volumes, err := k.Kept.Unused(ctx, o, reason)
	return append(images, volumes...), err
}
