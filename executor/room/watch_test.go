package room

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// watching watches for this time, and returns what was reported as full.
func (f *fixture) watching(t *testing.T, d time.Duration) (full []string) {
	t.Helper()
	stop := f.Watch(t.Context(), f.folder, func(err error) { full = append(full, err.Error()) })
	time.Sleep(d)
	stop()
	return full
}

func TestWatch(t *testing.T) {
	const text = "the disk is nearly full: 45B is free in /data, less than half of min_free 100B"
	for _, tc := range []struct {
		name    string
		free    int64
		change  func(*fixture)
		removed string
		full    string // the expected report
		asked   int    // number of checks within 65 seconds
	}{
		{name: "enough is free", free: 100},
		{name: "it runs low", free: 80, removed: "image 1", asked: 1},
		{name: "it is nearly full, and room can be made", free: 5, removed: "image 1 image 2 volume 1 volume 2", asked: 1 + 1},
		{name: "low, nothing to remove", free: 80, change: func(f *fixture) { f.images.all, f.kept.all = nil, nil }, asked: 2},
		{name: "half of it, nothing to remove", free: 50, change: func(f *fixture) { f.images.all, f.kept.all = nil, nil }, asked: 2},
		{name: "less than half, nothing to remove", free: 45, change: func(f *fixture) { f.images.all, f.kept.all = nil, nil }, full: text, asked: 2},
		{name: "less than half, jobs have all", free: 45, change: func(f *fixture) {
			f.images.all, f.kept.all = []thing{{name: "image 1", size: 20, used: true}}, nil
		}, full: text, asked: 2},
		{name: "less than half, with what was removed", free: 25, change: func(f *fixture) { f.images.all, f.kept.all = f.images.all[:1], nil }, removed: "image 1", full: text, asked: 2},
		{name: "no limit", free: 0, change: func(f *fixture) { f.MinFree = 0 }},
		{name: "the engine's disk is not seen here", free: 0, change: func(f *fixture) { f.folder = "" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, tc.free)
				if tc.change != nil {
					tc.change(f)
				}
				all := f.watching(t, 65*time.Second)
				if removed := strings.Join(append(f.images.removed, f.kept.removed...), " "); removed != tc.removed || len(f.images.asked) != tc.asked {
					t.Errorf("removed %q, want %q; asked %d times, want %d", removed, tc.removed, len(f.images.asked), tc.asked)
				}
				if (len(all) > 0) != (tc.full != "") {
					t.Errorf("reported %q", all)
				}
				for _, text := range all {
					if text != tc.full {
						t.Errorf("reported %q, want %q", text, tc.full)
					}
				}
			})
		})
	}
}

// A disk that fills while a job runs is noticed within seconds, with or without a callback, and not after
// the end.
func TestWatchNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 100)
		stop := f.Watch(t.Context(), f.folder, nil)
		time.Sleep(time.Minute)
		f.disk.set(15)
		time.Sleep(watchEvery + time.Second)
		synctest.Wait()
		if len(f.images.removed) != 2 || len(f.kept.removed) != 2 {
			t.Errorf("removed %q, %q", f.images.removed, f.kept.removed)
		}
		stop()
		looks := f.disk.looks
		time.Sleep(time.Hour)
		if f.disk.looks != looks {
			t.Error("it looks at the disk after its end")
		}
	})
}
