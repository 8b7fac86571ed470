package pulled

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/executor/removal"
)

// Collect removes images that no job has used for the time that they are kept.
func (s *Store) Collect(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
	if !o.DryRun {
		if err := s.Settle(ctx); err != nil {
			return nil, err
		}
	}
	images, err := s.List()
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		if images, err = s.Forget(ctx, images); err != nil {
			return nil, err
		}
	}
	var all []removal.Collected
	for _, i := range images {
		idle := time.Since(i.LastUse)
		if s.Keep <= 0 || idle < max(s.Keep, o.OlderThan) {
			continue
		}
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		c, _ := s.collect(ctx, i, fmt.Sprintf("an image that no job has used for %s (gc.keep_images)", strings.ToLower(units.HumanDuration(idle))), o.DryRun)
		all = append(all, c)
	}
	return all, nil
}

// Unused returns removers of the images that no job uses, least recently used first, except those
// used within o.OlderThan. The reason is reported with each removed image.
func (s *Store) Unused(_ context.Context, o removal.Options, reason string) ([]removal.Remover, error) {
	images, err := s.List()
	if err != nil {
		return nil, err
	}
	var all []removal.Remover
	for _, i := range images {
		if time.Since(i.LastUse) < o.OlderThan {
			continue
		}
		all = append(all, func(ctx context.Context) (removal.Collected, int64) {
			return s.collect(ctx, i, reason, o.DryRun)
		})
	}
	return all, nil
}

// collect removes an image unless it is in use, and returns its size.
func (s *Store) collect(ctx context.Context, i Image, reason string, dryRun bool) (removal.Collected, int64) {
	name := "image " + i.ID
	if len(i.References) > 0 {
		name = "image " + i.References[0]
	}
	c := removal.Collected{Name: name, Action: removal.Removed, Reason: reason}
	r, err := s.Remove(ctx, i, dryRun)
	switch {
	case err != nil:
		c.Action, c.Reason = removal.LeftOver, err.Error()
	case !r.Gone:
		c.Action, c.Reason = removal.Kept, cmp.Or(r.Why, reason)
	case dryRun:
		c.Action = removal.WouldRemove
	}
	return c, r.Size
}
