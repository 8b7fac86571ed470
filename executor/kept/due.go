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

// Limits are how long and in what size volumes are kept. What is not positive is no
// limit.
type Limits struct {
	Keep  time.Duration // after the last use
	Total config.Amount // of all together
	Each  config.Amount
	// CacheMounts is how many bytes the cache mounts of each project may have, apart for
	// protected refs.
	CacheMounts int64
}

// sized tells whether the size of a volume matters.
func (l Limits) sized() bool { return l.Total != (config.Amount{}) || l.Each != (config.Amount{}) }

// bounds are Limits on a disk of known size, in bytes.
type bounds struct {
	keep        time.Duration
	total, each int64
	// olderThan keeps what was used within this time, whatever the limits.
	olderThan time.Duration
}

// due has those removed that no job has used for as long as they are kept, those that
// are too large and, of the others, those longest unused until the rest is within
// b.total. One of whose use nothing is known stays: it is another state folder's. What
// remove returns false for stays, too, and its size counts. One whose size is not
// known counts as empty.
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
		if remove(v, fmt.Sprintf("%s of %s, the longest unused of more than %s (gc.most_volumes)", v.Kind, v.Size, format.Bytes(b.total))) {
			total -= v.Size.Bytes
		}
	}
}
