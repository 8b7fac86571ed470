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

// makeTime bounds what a prepare does to make room.
const makeTime = 2 * time.Minute

// Make removes what belongs to no running job and, where it is the engine's disk
// that has no room, what jobs can do without, until admit refuses no more or there is
// nothing left. It returns what admit says then. Folder is on the engine's disk, and
// empty where that is not seen from here.
func (k *Keeper) Make(ctx context.Context, refused *storage.NoRoom, folder string, admit func() error) error {
	k.Log.Infof("The disk runs low: %s is free in %s. What no job needs is removed.", format.Bytes(refused.Pool.Free), refused.Pool.Name)
	short, cancel := context.WithTimeout(ctx, makeTime)
	defer cancel()
	var all []removal.Collected
	collected, err := k.gc(short)
	if err != nil && !errors.Is(err, removal.ErrBusy) {
		k.Log.Debugf("gc for want of room: %v", err)
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
				k.Log.Debugf("gc for want of room: %v", roomErr)
			}
			all = append(all, collected...)
			err = admit()
		}
	}
	removed := 0 // other projects' names are nothing for this job's log
	for _, c := range all {
		if c.Action == removal.Removed {
			removed++
		}
	}
	if err != nil {
		return fmt.Errorf("%w (%d things that no job needs were removed before)", err, removed)
	}
	k.Log.Infof("%d things that no job needs were removed.", removed)
	return nil
}

// How long a gc waits for another to end, such as the short one that a prepare does
// beside its work, and how often it looks.
const (
	busyTime  = 10 * time.Second
	busyPause = 100 * time.Millisecond
)

// gc is the executor's, which one process at a time does.
func (k *Keeper) gc(ctx context.Context) ([]removal.Collected, error) {
	for began := time.Now(); ; {
		all, err := k.GC(ctx, removal.Options{})
		if !errors.Is(err, removal.ErrBusy) || time.Since(began) > busyTime || ctx.Err() != nil {
			return all, err
		}
		time.Sleep(busyPause)
	}
}
