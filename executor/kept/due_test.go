package kept

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/walk"
)

// bytes is the size of a measured volume; 0 means unknown.
func bytes(n int64) Size { return Size{Size: walk.Size{Bytes: n}, Known: n > 0} }

func TestDue(t *testing.T) {
	now := time.Now()
	volume := func(name string, idle time.Duration, size int64) Volume {
		return Volume{Name: name, Kind: "builds", LastUse: now.Add(-idle), Size: bytes(size)}
	}
	all := []Volume{
		volume("new", time.Minute, 100), volume("old", 3*time.Hour, 100), volume("older", 5*time.Hour, 100),
		{Name: "unknown", Size: bytes(1000)}, volume("no size", 9*time.Hour, 0),
	}
	for _, tc := range []struct {
		name string
		o    bounds
		used string
		want string
	}{
		{"nothing asked", bounds{}, "", ""},
		{"by age", bounds{keep: 4 * time.Hour}, "", "older, no size"},
		{"by age, with a least one", bounds{keep: 4 * time.Hour, olderThan: 6 * time.Hour}, "", "no size"},
		{"by size, longest unused first", bounds{total: 250}, "", "older"},
		{"by size, two", bounds{total: 199}, "", "older, old"},
		{"size that fits", bounds{total: 300}, "", ""},
		{"by size, but not what is newer", bounds{total: 1, olderThan: 4 * time.Hour}, "", "older"},
		{"by both", bounds{keep: 4 * time.Hour, total: 150}, "", "older, no size, old"},
		{"by size, one in use", bounds{total: 250}, "older", "old"},
		{"by size, too much in use", bounds{total: 50}, "older", "old, new"},
		{"each, whatever its age", bounds{each: 99, keep: 4 * time.Hour}, "", "new, old, older, no size"},
		{"each, but not what is newer", bounds{each: 99, olderThan: 4 * time.Hour}, "", "older"},
		{"each, one in use, counts in all", bounds{each: 99, total: 50}, "older", "new, old"},
		{"each that fits", bounds{each: 100}, "", ""},
		{"by both, one in use", bounds{keep: 4 * time.Hour, total: 250}, "older", "no size, old"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got, asked []string
			due(all, now, tc.o, func(v Volume, _ string) bool {
				asked = append(asked, v.Name)
				if v.Name != tc.used {
					got = append(got, v.Name)
				}
				return v.Name != tc.used
			})
			if got := strings.Join(got, ", "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if n := len(slices.Compact(slices.Sorted(slices.Values(asked)))); n != len(asked) {
				t.Errorf("one twice: %v", asked)
			}
		})
	}
}

func TestDueReportsIdleTime(t *testing.T) {
	now := time.Now()
	for idle, want := range map[time.Duration]string{
		10 * time.Second: "10 seconds", 20 * time.Minute: "20 minutes", time.Hour: "about an hour", 30 * 24 * time.Hour: "4 weeks",
	} {
		due([]Volume{{Kind: "builds", LastUse: now.Add(-idle)}}, now, bounds{keep: time.Second}, func(_ Volume, reason string) bool {
			if reason != "builds that no job has used for "+want {
				t.Errorf("%s: %q", idle, reason)
			}
			return true
		})
	}
}
