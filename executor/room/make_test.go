package room

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
)

func TestMake(t *testing.T) {
	gone := []removal.Collected{{Name: "gsx-1", Action: removal.Removed}, {Name: "gsx-2", Action: removal.Kept}}
	for _, tc := range []struct {
		name   string
		free   int64
		change func(*fixture)
		err    string // after the text of the refusal
		log    string
		rest   string // what the stores had to remove
	}{
		{name: "gc is enough", free: 80, change: func(f *fixture) { f.freedByGC, f.collected = 30, gone }, log: "1 resources that no job needs were removed."},
		{name: "images, too", free: 50, change: func(f *fixture) { f.freedByGC, f.collected = 30, gone }, log: "2 resources that no job needs were removed.", rest: "image 1"},
		{name: "and volumes", free: 45, log: "3 resources that no job needs were removed.", rest: "image 1, image 2, volume 1"},
		{name: "another gc is at work", free: 80, change: func(f *fixture) { f.gcErr = removal.ErrBusy }, log: "1 resources that no job needs were removed.", rest: "image 1"},
		{name: "gc fails", free: 80, change: func(f *fixture) { f.gcErr = errors.New("no engine") }, log: "gc to free disk space: no engine", rest: "image 1"},
		{name: "all is not enough", free: 10, change: func(f *fixture) { f.collected = gone }, err: " (5 resources that no job needs were removed before)", rest: "image 1, image 2, volume 1, volume 2"},
		{name: "stores cannot be listed", free: 80, change: func(f *fixture) { f.kept.err = errors.New("no volumes") }, err: " (0 resources that no job needs were removed before)", log: "gc to free disk space: no volumes"},
		{name: "it is another disk", free: 80, change: func(f *fixture) {
			f.pool = func(string) (storage.Pool, error) { return storage.Pool{ID: "disk 2", Size: 1000}, nil }
		},
			err: " (0 resources that no job needs were removed before)"},
		{name: "the engine's disk is not seen here", free: 80, change: func(f *fixture) { f.folder = "" }, err: " (0 resources that no job needs were removed before)"},
	} {
		t.Run(tc.name, inBubble(func(t *testing.T) {
			f := newFixture(t, tc.free)
			if tc.change != nil {
				tc.change(f)
			}
			admit := func() error {
				return storage.Admission{Pool: f.disk.pool, MinFree: 100, Overcommit: 1}.Admit("the job", 0)
			}
			refused, ok := errors.AsType[*storage.NoRoom](admit())
			if !ok {
				t.Fatal("there is room from the start")
			}
			err := f.Make(t.Context(), refused, f.folder, admit)
			now, is := errors.AsType[*storage.NoRoom](err)
			switch {
			case tc.err == "" && err != nil, tc.err != "" && (!is || err.Error() != now.Error()+tc.err):
				t.Errorf("%v", err)
			}
			var rest []removal.Collected
			for _, name := range append(f.images.removed, f.kept.removed...) {
				rest = append(rest, removal.Collected{Name: name, Action: removal.Removed})
			}
			if got := names(rest); got != tc.rest {
				t.Errorf("removed %q, want %q", got, tc.rest)
			}
			if len(f.gc) == 0 || len(f.gc) > 1 && !errors.Is(f.gcErr, removal.ErrBusy) || f.gc[0] != (removal.Options{}) {
				t.Errorf("gc: %+v", f.gc)
			}
			if text := f.log.String(); !strings.Contains(text, tc.log) || !strings.Contains(text, "is free in /data. Removing resources that no job needs.") || strings.Contains(text, "gsx-") {
				t.Errorf("log: %s", text)
			}
		}))
	}
}

// inBubble runs a test whose waiting takes no time.
func inBubble(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

// A prepare does a short gc in parallel to its other work.
func TestMakeWaitsForAnotherGC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 80)
		began := time.Now()
		f.GC = func(context.Context, removal.Options) ([]removal.Collected, error) {
			if time.Since(began) < 5*time.Second {
				return nil, removal.ErrBusy
			}
			f.disk.pool.Free = 200
			return nil, nil
		}
		admit := func() error {
			return storage.Admission{Pool: f.disk.pool, MinFree: 100, Overcommit: 1}.Admit("the job", 0)
		}
		refused, _ := errors.AsType[*storage.NoRoom](admit())
		if err := f.Make(t.Context(), refused, f.folder, admit); err != nil || len(f.images.removed) > 0 {
			t.Errorf("%v, removed %q", err, f.images.removed)
		}
	})
}

// A refusal for another reason does not free disk space.
func TestMakeElse(t *testing.T) {
	f := newFixture(t, 0)
	broken := errors.New("the state folder is gone")
	err := f.Make(t.Context(), &storage.NoRoom{Pool: f.disk.pool}, f.folder, func() error { return broken })
	if !errors.Is(err, broken) || len(f.images.asked) > 0 {
		t.Errorf("%v, asked %+v", err, f.images.asked)
	}
}
