package room

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gitlab-sysbox-executor/executor/removal"
)

func TestCollect(t *testing.T) {
	for _, tc := range []struct {
		name   string
		free   int64
		o      removal.Options
		change func(*fixture)
		want   string
		err    string
	}{
		{name: "enough is free", free: 100},
		{name: "one is enough", free: 80, want: "image 1"},
		{name: "images go before volumes", free: 50, want: "image 1, image 2, volume 1"},
		{name: "there is nothing more", free: 0, want: "image 1, image 2, volume 1, volume 2"},
		{name: "a job has one", free: 80, change: func(f *fixture) { f.images.all[0].used = true }, want: "image 1 (kept), image 2"},
		{name: "inodes", free: 500, change: func(f *fixture) { f.disk.pool.Inodes, f.disk.pool.FreeInodes = 100, 4 }, want: "image 1, image 2, volume 1, volume 2"},
		{name: "dry run", free: 50, o: removal.Options{DryRun: true}, want: "image 1 (would remove), image 2 (would remove), volume 1 (would remove)"},
		{name: "dry run, a size is not known", free: 70, o: removal.Options{DryRun: true}, change: func(f *fixture) { f.images.all[1].size = 0 },
			want: "image 1 (would remove), image 2 (would remove), volume 1 (would remove)"},
		{name: "dry run, a job has one", free: 80, o: removal.Options{DryRun: true}, change: func(f *fixture) { f.images.all[0].used = true },
			want: "image 1 (kept), image 2 (would remove)"},
		{name: "no limit", free: 0, change: func(f *fixture) { f.MinFree = 0 }},
		{name: "the disk is smaller than the limit", free: 0, change: func(f *fixture) { f.disk.pool.Size = 100 }},
		{name: "the engine is on another machine", free: 0, change: func(f *fixture) { f.Local = false }},
		{name: "the engine's files are not seen here", free: 0, change: func(f *fixture) { f.engine.dir += "/nowhere" }},
		{name: "images cannot be listed", free: 0, change: func(f *fixture) { f.images.err = errors.New("no images") }, err: "no images"},
		{name: "volumes cannot be listed", free: 0, change: func(f *fixture) { f.kept.err = errors.New("no volumes") }, err: "no volumes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, tc.free)
			if tc.change != nil {
				tc.change(f)
			}
			all, err := f.Collect(t.Context(), tc.o)
			if got := names(all); got != tc.want || (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
				t.Errorf("got %q, %v, want %q, %s", got, err, tc.want, tc.err)
			}
			for _, c := range all {
				if c.Reason != "the disk runs low (storage.min_free), and this was least recently used" {
					t.Errorf("%+v", c)
				}
			}
			if tc.o.DryRun && len(f.images.removed)+len(f.kept.removed) > 0 {
				t.Errorf("a dry run removed %v, %v", f.images.removed, f.kept.removed)
			}
			if f.MinFree == 0 && f.engine.asked > 0 {
				t.Error("the engine was asked though there is no limit")
			}
		})
	}
}

// The options of the command or the caller reach the stores.
func TestCollectPassesOn(t *testing.T) {
	f := newFixture(t, 0)
	o := removal.Options{OlderThan: time.Hour, DryRun: true}
	if _, err := f.Collect(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if len(f.images.asked) != 1 || f.images.asked[0] != o || len(f.kept.asked) != 1 || f.kept.asked[0] != o {
		t.Errorf("asked %+v, %+v", f.images.asked, f.kept.asked)
	}
}

// A gc that is stopped removes nothing more.
func TestCollectEnds(t *testing.T) {
	f := newFixture(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	f.images.removing = cancel
	all, err := f.Collect(ctx, removal.Options{})
	if names(all) != "image 1" || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", all, err)
	}
}

// If a file system frees blocks late, no more is removed than necessary.
func TestCollectWaitsForBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for late, want := range map[time.Duration]string{freeTime / 2: "image 1", freeTime * 3 / 2: "image 1, image 2"} {
			f := newFixture(t, 80)
			f.disk.late = late
			all, err := f.Collect(t.Context(), removal.Options{})
			if names(all) != want || err != nil {
				t.Errorf("%s: %q, %v, want %q", late, names(all), err, want)
			}
		}
	})
}

// Only one process makes room at a time: the space that it frees may be enough for all.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 80)
		unlock, err := f.State.LockRoom(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan string)
		go func() {
			all, err := f.Collect(t.Context(), removal.Options{})
			if err != nil {
				t.Error(err)
			}
			ended <- names(all)
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if f.disk.looks > 0 {
			t.Error("it does not wait for the other one")
		}
		f.disk.set(100)
		unlock()
		if got := <-ended; got != "" {
			t.Errorf("%q removed though the other one made room", got)
		}
	})
}
