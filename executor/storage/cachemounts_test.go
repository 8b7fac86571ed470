package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/walk"
)

// cacheFile makes a file of a cache folder that was last used hours ago.
func cacheFile(t *testing.T, root, name string, kib, hours int) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, kib<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Now().Add(-time.Duration(hours) * time.Hour)
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// alone is CacheFolders.Alone for a volume that no container uses.
func alone() (func(), bool, error) { return func() {}, true, nil }

func TestTrimCacheMounts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		limit   int64
		inUse   bool
		dryRun  bool
		keep    time.Duration
		removed []string
		busy    []string
	}{
		{name: "all fits", limit: 10 << 20},
		{name: "the least recently used is removed first", limit: 2500 << 10, removed: []string{"0/old"}},
		{name: "and then the next", limit: 1500 << 10, removed: []string{"0/old", "1000/middle"}},
		{name: "a container has the volume", limit: 1500 << 10, inUse: true, busy: []string{"0/old", "1000/middle"}},
		{name: "what is newer stays", limit: 1500 << 10, keep: 25 * time.Hour, removed: []string{"0/old"}},
		{name: "all is newer", limit: 0, keep: 31 * time.Hour},
		{name: "dry run", limit: 2500 << 10, dryRun: true, removed: []string{"0/old"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, outside := t.TempDir(), t.TempDir()
			cacheFile(t, dir, "0/old/deep/file", 1024, 30)
			cacheFile(t, dir, "1000/middle/file", 1024, 20)
			cacheFile(t, dir, "0/new/file", 1024, 10)
			cacheFile(t, outside, "file", 1024, 90)
			for _, link := range []string{"0/link", "link", "7"} {
				if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range []string{"0/old/deep", "0/old", "0", "1000"} {
				if err := os.Chtimes(filepath.Join(dir, d), time.Time{}, time.Now().Add(-30*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			released := 0
			got, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Limit: tc.limit, DryRun: tc.dryRun, OlderThan: tc.keep,
				Alone: func() (func(), bool, error) { return func() { released++ }, !tc.inUse, nil }})
			if err != nil || !slices.Equal(got.Folders, tc.removed) || !slices.Equal(got.Busy, tc.busy) {
				t.Errorf("%+v, %v, want %v removed and %v busy", got, err, tc.removed, tc.busy)
			}
			if taken := len(tc.removed) > 0 && !tc.dryRun; taken != (released == 1) {
				t.Errorf("the volume was released %d times", released)
			}
			for _, f := range []string{"0/old/deep/file", "1000/middle/file", "0/new/file"} {
				_, err := os.Stat(filepath.Join(dir, f))
				gone := slices.ContainsFunc(tc.removed, func(r string) bool { return filepath.Dir(f) == r || filepath.Dir(filepath.Dir(f)) == r })
				if (err != nil) != (gone && !tc.dryRun) {
					t.Errorf("%s: %v", f, err)
				}
			}
			if _, err := os.Stat(filepath.Join(outside, "file")); err != nil {
				t.Error(err)
			}
			for _, left := range names(t, dir) {
				if strings.HasPrefix(left, removedPrefix) {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestTrimCacheMountsEnds(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "0/a/file", 4, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := TrimCacheMounts(ctx, CacheFolders{Folder: dir, Alone: alone}); err == nil || len(got.Folders) > 0 {
		t.Errorf("%+v %v", got, err)
	}
}

// Folders that an earlier trim renamed and did not remove are removed first, whatever the
// limit, even while a container uses the volume.
func TestTrimCacheMountsEndsWhatItBegan(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "removed-abc/file", 1024, 0)
	cacheFile(t, dir, "0/a/file", 1024, 30)
	got, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Limit: 1 << 30, Alone: func() (func(), bool, error) { return nil, false, nil }})
	if err != nil || got.Removed < 1<<20 || len(got.Busy) > 0 {
		t.Errorf("%+v %v", got, err)
	}
	if left := names(t, dir); !slices.Equal(left, []string{"0"}) {
		t.Error(left)
	}
}

// Caches of a hostile job are removed before caches within the limits, and with limited memory.
func TestHostileCacheMounts(t *testing.T) {
	caches, one, all := maxCaches, cacheLimits, volumeEntries
	t.Cleanup(func() { maxCaches, cacheLimits, volumeEntries = caches, one, all })
	maxCaches, cacheLimits, volumeEntries = 20, walk.Limits{Entries: 1000, Depth: 50}, 5000
	many := func(t *testing.T, dir string, n int) { // names of one file
		file := filepath.Join(dir, "file")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := os.Link(file, filepath.Join(dir, fmt.Sprint("x", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	folders := func(t *testing.T, dir string, n int) {
		for i := range n {
			if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint("c", i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		attack func(t *testing.T, dir string)
		want   []string // what goes
		left   []string // what is left at the top
	}{
		{"many names in one folder", func(t *testing.T, dir string) { many(t, filepath.Join(dir, "0/attack"), 1500) },
			[]string{"0/attack"}, []string{"0"}},
		{"many names in folders below each other", func(t *testing.T, dir string) {
			for deep, n := filepath.Join(dir, "0/attack"), 0; n < 10; deep, n = filepath.Join(deep, "d"), n+1 {
				many(t, deep, 150)
			}
		}, []string{"0/attack"}, []string{"0"}},
		{"folders deep in each other", func(t *testing.T, dir string) {
			deep(t, filepath.Join(dir, "0/attack"), 300)
		}, []string{"0/attack"}, []string{"0"}},
		{"many caches of one user", func(t *testing.T, dir string) { folders(t, filepath.Join(dir, "1000"), 30) },
			[]string{"1000"}, []string{"0"}},
		{"many caches in all", func(t *testing.T, dir string) { folders(t, dir, 30) },
			[]string{"."}, nil},
		{"many caches that are large together", func(t *testing.T, dir string) {
			for n := range 7 {
				many(t, filepath.Join(dir, "1000", fmt.Sprint(n)), 900)
			}
		}, []string{"."}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			cacheFile(t, dir, "0/good/file", 4, 30)
			tc.attack(t, dir)
			got, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Limit: 1 << 30, Alone: alone})
			if err != nil || !slices.Equal(got.Folders, tc.want) {
				t.Errorf("%+v, %v, want %v", got, err, tc.want)
			}
			if left := names(t, dir); !slices.Equal(left, tc.left) {
				t.Errorf("left %v, want %v", left, tc.left)
			}
			if _, err := os.Stat(filepath.Join(dir, "0/good/file")); (err == nil) != (tc.left != nil) {
				t.Error(err)
			}
		})
	}
}

// deep makes nested folders, deeper than the longest path.
func deep(t *testing.T, dir string, levels int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 200)
	for range levels {
		if err := unix.Mkdirat(int(at.Fd()), name, 0o755); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Openat(int(at.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		at.Close()
		if err != nil {
			t.Fatal(err)
		}
		at = os.NewFile(uintptr(fd), name)
	}
	at.Close()
}
