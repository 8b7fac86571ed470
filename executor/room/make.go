package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
)

// makeTime limits how long a prepare makes room.
const makeTime = 2 * time.Minute

// Make removes resources that belong to no running job. If the engine's disk is full, it also removes
// images and volumes that jobs do not need. It ends when admit accepts the job or there is nothing left
// to remove, and returns admit's last result. Folder is on the engine's disk, and empty if this process
// cannot see it.
func (k *Keeper) Make(ctx context.Context, refused *storage.NoRoom, folder string, admit func() error) error {
	k.Log.Infof("The disk runs low: %s is free in %s. Removing resources that no job needs.", format.Bytes(refused.Pool.Free), refused.Pool.Name)
	short, cancel := context.WithTimeout(ctx, makeTime)
	defer cancel()
	var all []removal.Collected
	collected, err := k.gc(short)
	if err != nil && !errors.Is(err, removal.ErrBusy) {
		k.Log.Debugf("gc to free disk space: %v", err)
	}
	all = append(all, collected...)
	err = admit()
	if no, ok := errors.AsType[*storage.NoRoom](err); ok && folder != "" {
		if engines, poolErr := k.disk(folder); poolErr == nil && engines.ID == no.Pool.ID {
			collected, roomErr := k.removeUnused(short, folder, removal.Options{}, func(storage.Pool) bool {
				err = admit()
				_, is := errors.AsType[*storage.NoRoom](err)
				return is
			})
			if roomErr != nil {
				k.Log.Debugf("gc to free disk space: %v", roomErr)
			}
			all = append(all, collected...)
			err = admit()
		}
	}
	removed := 0 // only a number: the names may belong to other projects
	for _, c := range all {
		if c.Action == removal.Removed {
			removed++
		}
	}
	if err != nil {
		return fmt.Errorf("%w (%d resources that no job needs were removed before)", err, removed)
	}
	k.Log.Infof("%d resources that no job needs were removed.", removed)
	return nil
}

// Times of a gc that waits for another gc, for example the short one that each prepare does in
// parallel.
const (
	busyTime  = 10 * time.Second
	busyPause = 100 * time.Millisecond
)

// gc runs the executor's gc, which only one process does at a time.
func (k *Keeper) gc(ctx context.Context) ([]removal.Collected, error) {
	for began := time.Now(); ; {
		all, err := k.GC(ctx, removal.Options{})
		if !errors.Is(err, removal.ErrBusy) || time.Since(began) > busyTime || ctx.Err() != nil {
			return all, err
		}
		time.Sleep(busyPause)
	}
}
