package executor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/executor/pulled"
)

// pulled is the images that jobs pulled.
func (x *Executor) pulled() *pulled.Store {
	return &pulled.Store{State: x.state(), Engine: x.Engine, Log: x.Log}
}

// collectPulled removes images that jobs pulled and none has used for long.
func (x *Executor) collectPulled(ctx context.Context, o GCOptions) ([]Collected, error) {
	store := x.pulled()
	if !o.DryRun {
		if err := store.Settle(ctx); err != nil {
			return nil, err
		}
	}
	images, err := store.List()
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		if images, err = store.Forget(ctx, images); err != nil {
			return nil, err
		}
	}
	var all []Collected
	for _, i := range images {
		idle := time.Since(i.LastUse)
		if x.Disk.KeepImages <= 0 || idle < max(x.Disk.KeepImages, o.OlderThan) {
			continue
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		c, _ := x.removePulled(ctx, store, i, fmt.Sprintf("an image that no job has used for %s (gc.keep_images)", strings.ToLower(units.HumanDuration(idle))), o.DryRun)
		all = append(all, c)
	}
	return all, nil
}

// removePulled removes one of the images, unless it is used, and tells its size.
func (x *Executor) removePulled(ctx context.Context, store *pulled.Store, i pulled.Image, reason string, dryRun bool) (Collected, int64) {
	name := "image " + i.ID
	if len(i.References) > 0 {
		name = "image " + i.References[0]
	}
	c := Collected{Name: name, Action: Removed, Reason: reason}
	r, err := store.Remove(ctx, i, dryRun)
	switch {
	case err != nil:
		c.Action, c.Reason = LeftOver, err.Error()
	case !r.Gone:
		c.Action, c.Reason = Kept, cmp.Or(r.Why, reason)
	case dryRun:
		c.Action = WouldRemove
	}
	return c, r.Size
}
