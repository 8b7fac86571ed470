package kept

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/format"
)

// Limits are the time and size limits of kept volumes. A value that is not positive means no
// limit.
type Limits struct {
	Keep  time.Duration // since the last use
	Total config.Amount // of all volumes together
	Each  config.Amount
	// CacheMounts is the limit in bytes for the cache mounts of each project. Those of
	// protected refs count separately.
	CacheMounts int64
}

// sized reports whether a limit depends on the size of a volume.
func (l Limits) sized() bool { return l.Total != (config.Amount{}) || l.Each != (config.Amount{}) }

// bounds are Limits on a disk of known size, in bytes.
type bounds struct {
	keep        time.Duration
	total, each int64
	// olderThan keeps volumes that were used within this time, whatever the limits.
	olderThan time.Duration
}

// due calls remove for volumes that no job has used for b.keep, and for those that are too
// large. Then it calls remove for the least recently used of the others until the rest is
// within b.total. A volume without a last use stays: it belongs to another state folder. If
// remove returns false, the volume stays and its size counts. An unknown size counts as 0.
func due(volumes []Volume, now time.Time, b bounds, remove func(v Volume, reason string) bool) {
	var rest []Volume
	var total int64
	for _, v := range volumes {
		if v.LastUse.IsZero() {
			continue
		}
		idle, reason := now.Sub(v.LastUse), ""
		if large := v.tooLarge(b.each); large != "" {
			reason = fmt.Sprintf("%s of %s (gc.volume_size)", v.Kind, large)
		} else if b.keep > 0 && idle >= b.keep {
			reason = fmt.Sprintf("%s that no job has used for %s", v.Kind, strings.ToLower(units.HumanDuration(idle)))
		}
		switch {
		case reason == "" || idle < b.olderThan:
			total += v.Size.Bytes
			rest = append(rest, v)
		case !remove(v, reason):
			total += v.Size.Bytes
		}
	}
	if b.total <= 0 {
		return
	}
	slices.SortFunc(rest, func(a, b Volume) int { return a.LastUse.Compare(b.LastUse) })
	for _, v := range rest {
		if total <= b.total {
			return
		}
		if v.Size.Bytes <= 0 || now.Sub(v.LastUse) < b.olderThan {
			continue
		}
		if remove(v, fmt.Sprintf("%s of %s, the least recently used of more than %s (gc.most_volumes)", v.Kind, v.Size, format.Bytes(b.total))) {
			total -= v.Size.Bytes
		}
	}
}
