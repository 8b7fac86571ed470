package executor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// removeDue has those removed that no job has used for as long as they are kept
// and, of the others, those longest unused, until the rest has at most
// o.MostVolumes bytes. One that was used within o.OlderThan stays, and so does one
// of whose use nothing is known: it is another state folder's. What remove returns
// false for stays, too, and its size counts.
func removeDue(volumes []KeptVolume, now time.Time, o GCOptions, remove func(v KeptVolume, reason string) bool) {
	var rest []KeptVolume
	var total int64
	for _, v := range volumes {
		if v.LastUse.IsZero() {
			continue
		}
		if idle := now.Sub(v.LastUse); o.KeepVolumes > 0 && idle >= max(o.KeepVolumes, o.OlderThan) {
			if !remove(v, fmt.Sprintf("%s that no job has used for %s", v.Kind, strings.ToLower(units.HumanDuration(idle)))) {
				total += max(v.Size, 0)
			}
			continue
		}
		total += max(v.Size, 0)
		rest = append(rest, v)
	}
	if o.MostVolumes <= 0 {
		return
	}
	slices.SortFunc(rest, func(a, b KeptVolume) int { return a.LastUse.Compare(b.LastUse) })
	for _, v := range rest {
		if total <= o.MostVolumes {
			return
		}
		if v.Size <= 0 || now.Sub(v.LastUse) < o.OlderThan {
			continue
		}
		if remove(v, fmt.Sprintf("%s of %s, the longest unused of more than %s", v.Kind, units.BytesSize(float64(v.Size)), units.BytesSize(float64(o.MostVolumes)))) {
			total -= v.Size
		}
	}
}

// collectKept removes volumes with builds and caches that are too old or too large.
func (x *Executor) collectKept(ctx context.Context, o GCOptions) ([]Collected, error) {
	if o.KeepVolumes <= 0 && o.MostVolumes <= 0 {
		return nil, nil
	}
	volumes, err := x.KeptVolumes(ctx)
	if err != nil {
		return nil, err
	}
	if o.MostVolumes > 0 && len(volumes) > 0 {
		sizes, err := x.Engine.VolumeSizes(ctx)
		if err != nil {
			return nil, err
		}
		for n := range volumes {
			volumes[n].Size = sizes[volumes[n].Volume]
		}
	}
	var all []Collected
	removeDue(volumes, time.Now(), o, func(v KeptVolume, reason string) bool {
		if ctx.Err() != nil {
			return false
		}
		c := Collected{Name: v.Volume, Action: Removed, Reason: reason}
		removed, err := x.RemoveKept(ctx, v, o.DryRun)
		switch {
		case err != nil:
			c.Action, c.Reason = LeftOver, err.Error()
		case !removed:
			c.Action, c.Reason = Kept, "a job has it, or has just had it"
		case o.DryRun:
			c.Action = WouldRemove
		}
		all = append(all, c)
		return removed
	})
	return all, context.Cause(ctx)
}
