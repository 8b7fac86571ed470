package executor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/docker/go-units"
)

// dueVolume is a kept volume that is to go, and why.
type dueVolume struct {
	KeptVolume
	reason string
}

// dueVolumes are those that no job has used for as long as they are kept and, of
// the others, those longest unused, until the rest has at most o.MostVolumes
// bytes. One that was used within o.OlderThan stays, and so does one of whose use
// nothing is known: it is another state folder's.
func dueVolumes(volumes []KeptVolume, now time.Time, o GCOptions) []dueVolume {
	var due, rest []dueVolume
	var total int64
	for _, v := range volumes {
		if v.LastUse.IsZero() {
			continue
		}
		d := dueVolume{v, fmt.Sprintf("%s that no job has used for %s", v.Kind, now.Sub(v.LastUse).Round(time.Hour))}
		if idle := now.Sub(v.LastUse); o.KeepVolumes > 0 && idle >= max(o.KeepVolumes, o.OlderThan) {
			due = append(due, d)
			continue
		}
		total += max(v.Size, 0)
		rest = append(rest, d)
	}
	if o.MostVolumes <= 0 {
		return due
	}
	slices.SortFunc(rest, func(a, b dueVolume) int { return a.LastUse.Compare(b.LastUse) })
	for _, d := range rest {
		if total <= o.MostVolumes {
			break
		}
		if d.Size <= 0 || now.Sub(d.LastUse) < o.OlderThan {
			continue
		}
		d.reason = fmt.Sprintf("%s of %s, the longest unused of more than %s", d.Kind, units.BytesSize(float64(d.Size)), units.BytesSize(float64(o.MostVolumes)))
		total -= d.Size
		due = append(due, d)
	}
	return due
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
	for _, v := range dueVolumes(volumes, time.Now(), o) {
		c := Collected{Name: v.Volume, Action: WouldRemove, Reason: v.reason}
		if !o.DryRun {
			removed, err := x.RemoveKept(ctx, v.Volume)
			switch {
			case err != nil:
				c.Action, c.Reason = LeftOver, err.Error()
			case removed:
				c.Action = Removed
			default:
				c.Action, c.Reason = Kept, "a job has it"
			}
		}
		all = append(all, c)
	}
	return all, nil
}
