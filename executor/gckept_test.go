package executor

import (
	"strings"
	"testing"
	"time"
)

func TestDueVolumes(t *testing.T) {
	now := time.Now()
	volume := func(name string, idle time.Duration, size int64) KeptVolume {
		return KeptVolume{Volume: name, Kind: "builds", LastUse: now.Add(-idle), Size: size}
	}
	all := []KeptVolume{
		volume("new", time.Minute, 100), volume("old", 3*time.Hour, 100), volume("older", 5*time.Hour, 100),
		{Volume: "unknown", Size: 1000}, volume("no size", 9*time.Hour, -1),
	}
	for _, tc := range []struct {
		name string
		o    GCOptions
		want string
	}{
		{"nothing asked", GCOptions{}, ""},
		{"by age", GCOptions{KeepVolumes: 4 * time.Hour}, "older, no size"},
		{"by age, with a least one", GCOptions{KeepVolumes: 4 * time.Hour, OlderThan: 6 * time.Hour}, "no size"},
		{"by size, longest unused first", GCOptions{MostVolumes: 250}, "older"},
		{"by size, two", GCOptions{MostVolumes: 199}, "older, old"},
		{"size that fits", GCOptions{MostVolumes: 300}, ""},
		{"by size, but not what is newer", GCOptions{MostVolumes: 1, OlderThan: 4 * time.Hour}, "older"},
		{"by both", GCOptions{KeepVolumes: 4 * time.Hour, MostVolumes: 150}, "older, no size, old"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, d := range dueVolumes(all, now, tc.o) {
				got = append(got, d.Volume)
			}
			if got := strings.Join(got, ", "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
