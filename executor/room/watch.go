package room

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/removal"
)

// How often the engine's disk is checked while jobs write to it, and how soon again if there was nothing
// to remove.
const (
	watchEvery = 2 * time.Second
	watchAgain = time.Minute
)

// Watch makes room on the engine's disk, the disk of folder, when too little space is free, until stop is
// called: the writes of running jobs there have no limit. If less than half of MinFree is free even so,
// it calls full, unless that is nil.
func (k *Keeper) Watch(ctx context.Context, folder string, full func(error)) (stop func()) {
	if folder == "" || k.MinFree <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.watch(ctx, folder, full)
	}()
	return func() { cancel(); <-done }
}

func (k *Keeper) watch(ctx context.Context, folder string, full func(error)) {
	var fruitless time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
		pool, err := k.disk(folder)
		if err != nil || !k.low(pool) {
			continue
		}
		if time.Since(fruitless) > watchAgain {
			if !k.makeBeside(ctx, folder) {
				fruitless = time.Now()
			}
			pool, err = k.disk(folder)
		}
		if err == nil && full != nil && pool.Free < k.MinFree/2 {
			full(fmt.Errorf("the disk is nearly full: %s is free in %s, less than half of min_free %s", format.Bytes(pool.Free), pool.Name, format.Bytes(k.MinFree)))
		}
	}
}

// makeBeside removes what jobs do not need while too little space is free on the engine's disk. It
// returns false if there was nothing to remove.
func (k *Keeper) makeBeside(ctx context.Context, folder string) bool {
	all, err := k.removeUnused(ctx, folder, removal.Options{}, k.low)
	if err != nil {
		k.Log.Debugf("making room on the disk: %v", err)
	}
	return slices.ContainsFunc(all, func(c removal.Collected) bool { return c.Action == removal.Removed })
}
