package kept

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Limits are how long and in what size volumes are kept. What is not positive is no
// limit. Sizes are bytes.
type Limits struct {
	Keep  time.Duration // after the last use
	Total int64         // of all together
	Each  int64
	// OlderThan keeps what was used within this time, whatever the limits.
	OlderThan time.Duration
}

// Due has those removed that no job has used for as long as they are kept, those that
// are too large and, of the others, those longest unused until the rest is within
// l.Total. One of whose use nothing is known stays: it is another state folder's. What
// remove returns false for stays, too, and its size counts. One whose size is not
// known counts as empty.
func Due(volumes []Volume, now time.Time, l Limits, remove func(v Volume, reason string) bool) {
	var rest []Volume
	var total int64
	for _, v := range volumes {
		if v.LastUse.IsZero() {
			continue
		}
		idle, reason := now.Sub(v.LastUse), ""
		if large := v.TooLarge(l.Each); large != "" {
			reason = fmt.Sprintf("%s of %s (gc.volume_size)", v.Kind, large)
		} else if l.Keep > 0 && idle >= l.Keep {
			reason = fmt.Sprintf("%s that no job has used for %s", v.Kind, strings.ToLower(units.HumanDuration(idle)))
		}
		switch {
		case reason == "" || idle < l.OlderThan:
			total += v.Size.Bytes
			rest = append(rest, v)
		case !remove(v, reason):
			total += v.Size.Bytes
		}
	}
	if l.Total <= 0 {
		return
	}
	slices.SortFunc(rest, func(a, b Volume) int { return a.LastUse.Compare(b.LastUse) })
	for _, v := range rest {
		if total <= l.Total {
			return
		}
		if v.Size.Bytes <= 0 || now.Sub(v.LastUse) < l.OlderThan {
			continue
		}
		if remove(v, fmt.Sprintf("%s of %s, the longest unused of more than %s (gc.most_volumes)", v.Kind, v.Size, units.BytesSize(float64(l.Total)))) {
			total -= v.Size.Bytes
		}
	}
}
