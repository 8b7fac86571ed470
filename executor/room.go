package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
)

// engineFolder is the engine's data root, where images, containers' own layers and logs,
// and kept volumes are; empty where it is not seen from here.
func (x *Executor) engineFolder(info engine.Info) string {
	if _, err := os.Stat(info.RootDir); err != nil || !x.local() {
		return ""
	}
	return info.RootDir
}

// collectLow makes room when the engine's disk runs low.
func (x *Executor) collectLow(ctx context.Context, o GCOptions) ([]Collected, error) {
	if x.Disk.MinFree <= 0 {
		return nil, nil
	}
	info, err := x.Engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	folder := x.engineFolder(info)
	if folder == "" {
		return nil, nil
	}
	return x.removeUnused(ctx, folder, o, func(p storage.Pool) bool { return p.Low(x.Disk.MinFree) })
}

// freeTime is how long a file system may take to give back the blocks of removed files:
// XFS does so beside other work.
const freeTime = 200 * time.Millisecond

// removeUnused removes what jobs can do without from the engine's disk, which folder is
// on, until it is low no more or there is nothing left: images that jobs pulled, then
// kept volumes, of each those longest unused first.
func (x *Executor) removeUnused(ctx context.Context, folder string, o GCOptions, low func(storage.Pool) bool) ([]Collected, error) {
	unlock, err := x.state().LockRoom(ctx) // else each would remove what was enough for all
	if err != nil {
		return nil, err
	}
	defer unlock()
	if pool, err := storage.DiskPool(folder); err != nil || pool.Size <= x.Disk.MinFree {
		return nil, err // no removal makes so much room
	}
	var would int64 // what a dry run has freed
	short := func() (bool, error) {
		pool, err := storage.DiskPool(folder)
		pool.Free += would
		return err == nil && low(pool), err
	}
	due, err := x.unused(ctx, o)
	if err != nil {
		return nil, err
	}
	var all []Collected
	for _, d := range due {
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
		c, size := d(ctx)
		if c.Action == WouldRemove {
			would += size
		}
		all = append(all, c)
	}
	return all, nil
}

// unused is what removeUnused removes, in that order: each removes one thing, and tells
// its size in bytes as far as it is known.
func (x *Executor) unused(ctx context.Context, o GCOptions) ([]removal.Remover, error) {
	const reason = "the disk runs low (storage.min_free), and this was unused longest"
	images, err := x.pulled().Unused(ctx, o, reason)
	if err != nil {
		return nil, err
	}
	volumes, err := x.Kept().Unused(ctx, o, reason)
	return append(images, volumes...), err
}

// makeRoomTime bounds what a prepare does to make room.
const makeRoomTime = 2 * time.Minute

// makeRoom removes what belongs to no running job and, where it is the engine's disk
// that has no room, what jobs can do without, until admit refuses no more or there is
// nothing left. It returns what admit says then.
func (x *Executor) makeRoom(ctx context.Context, refused *storage.NoRoom, folder string, admit func() error) error {
	x.Log.Infof("The disk runs low: %s is free in %s. What no job needs is removed.", show(refused.Pool.Free), refused.Pool.Name)
	short, cancel := context.WithTimeout(ctx, makeRoomTime)
	defer cancel()
	var all []Collected
	collected, err := x.GC(short, GCOptions{})
	if err != nil && !errors.Is(err, ErrBusy) {
		x.Log.Debugf("gc for want of room: %v", err)
	}
	all = append(all, collected...)
	err = admit()
	if no, ok := errors.AsType[*storage.NoRoom](err); ok && folder != "" {
		if engines, poolErr := storage.DiskPool(folder); poolErr == nil && engines.ID == no.Pool.ID {
			collected, roomErr := x.removeUnused(short, folder, GCOptions{}, func(storage.Pool) bool {
				err = admit()
				_, is := errors.AsType[*storage.NoRoom](err)
				return is
			})
			if roomErr != nil {
				x.Log.Debugf("gc for want of room: %v", roomErr)
			}
			all = append(all, collected...)
			err = admit()
		}
	}
	removed := 0 // other projects' names are nothing for this job's log
	for _, c := range all {
		if c.Action == Removed {
			removed++
		}
	}
	if err != nil {
		return fmt.Errorf("%w (%d things that no job needs were removed before)", err, removed)
	}
	x.Log.Infof("%d things that no job needs were removed.", removed)
	return nil
}

// How often the engine's disk is looked at while jobs write to it, and how soon again
// when there was nothing to remove.
const (
	watchEvery = 2 * time.Second
	watchAgain = time.Minute
)

// watchDisk makes room on the engine's disk, which folder is on, when it runs low until
// stop is called: what jobs write there while they run has no limit. Where half of what
// is to stay free is gone all the same, it calls full, unless that is nil.
func (x *Executor) watchDisk(ctx context.Context, folder string, full func(error)) (stop func()) {
	if folder == "" || x.Disk.MinFree <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var fruitless time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(watchEvery):
			}
			pool, err := storage.DiskPool(folder)
			if err != nil || !pool.Low(x.Disk.MinFree) {
				continue
			}
			if time.Since(fruitless) > watchAgain {
				if !x.makeRoomBeside(ctx, folder) {
					fruitless = time.Now()
				}
				pool, err = storage.DiskPool(folder)
			}
			if err == nil && full != nil && pool.Free < x.Disk.MinFree/2 {
				full(fmt.Errorf("the disk is nearly full: %s is free in %s, less than half of min_free %s", show(pool.Free), pool.Name, show(x.Disk.MinFree)))
			}
		}
	}()
	return func() { cancel(); <-done }
}

// makeRoomBeside removes what jobs can do without while the engine's disk is low; false
// when there was nothing to remove.
func (x *Executor) makeRoomBeside(ctx context.Context, folder string) bool {
	all, err := x.removeUnused(ctx, folder, GCOptions{}, func(p storage.Pool) bool { return p.Low(x.Disk.MinFree) })
	if err != nil {
		x.Log.Debugf("making room on the disk: %v", err)
	}
	return slices.ContainsFunc(all, func(c Collected) bool { return c.Action == Removed })
}
