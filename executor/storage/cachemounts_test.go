package storage

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cacheFile makes a file of a cache folder that was used so many hours ago.
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

func unused(string) (bool, error) { return false, nil }

func TestTrimCacheMounts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		limit   int64
		used    string // in use by somebody
		locked  string
		idle    bool
		dryRun  bool
		keep    time.Duration
		removed []string
		busy    []string
	}{
		{name: "all fits", limit: 10 << 20, idle: true},
		{name: "the longest unused goes first", limit: 2500 << 10, idle: true, removed: []string{"0/old"}},
		{name: "and then the next", limit: 1500 << 10, idle: true, removed: []string{"0/old", "1000/middle"}},
		{name: "beside running jobs", limit: 1500 << 10, removed: []string{"0/old", "1000/middle"}},
		{name: "one that is in use stays", limit: 1500 << 10, used: "0/old", removed: []string{"1000/middle", "0/new"}, busy: []string{"0/old"}},
		{name: "one that is locked stays", limit: 2500 << 10, locked: "0/old/deep/" + cacheLockFile, removed: []string{"1000/middle"}, busy: []string{"0/old"}},
		{name: "one that is locked as Buildah 1.39 does it stays", limit: 2500 << 10, locked: "0/" + cacheLockFolder + "/old/" + cacheLockFile, removed: []string{"1000/middle"}, busy: []string{"0/old"}},
		{name: "what is newer stays", limit: 1500 << 10, keep: 25 * time.Hour, removed: []string{"0/old"}},
		{name: "all is newer", limit: 0, keep: 31 * time.Hour, idle: true},
		{name: "only told", limit: 2500 << 10, idle: true, dryRun: true, removed: []string{"0/old"}},
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
			if tc.locked != "" {
				cacheFile(t, dir, tc.locked, 0, 30)
				f, err := os.OpenFile(filepath.Join(dir, tc.locked), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range []string{"0/old/deep", "0/old", "0", "1000"} {
				if err := os.Chtimes(filepath.Join(dir, d), time.Time{}, time.Now().Add(-30*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Limit: tc.limit, DryRun: tc.dryRun, Idle: tc.idle, OlderThan: tc.keep,
				InUse: func(path string) (bool, error) { return tc.used != "" && path == filepath.Join(dir, tc.used), nil }})
			if err != nil || !slices.Equal(got.Folders, tc.removed) || !slices.Equal(got.Busy, tc.busy) {
				t.Errorf("%+v, %v, want %v removed and %v busy", got, err, tc.removed, tc.busy)
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
		})
	}
}

// A folder that is mounted after the first look is back where it was.
func TestTrimCacheMountsGivesBack(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "0/a/file", 1024, 1)
	looks := 0
	got, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, InUse: func(string) (bool, error) {
		looks++
		return looks == 2, nil
	}})
	if err != nil || len(got.Folders) != 0 || !slices.Equal(got.Busy, []string{"0/a"}) {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "0/a/file")); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}

// Beside running jobs an empty folder stands at once where the cache was: a tool
// that has looked whether it is there finds one to mount.
func TestTrimCacheMountsLeavesAFolderToMount(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "0/a/file", 1024, 1)
	if err := os.Chmod(filepath.Join(dir, "0/a"), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, InUse: unused}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "0/a"))
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v %v", info, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "0/a")); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
}

func TestTrimCacheMountsEnds(t *testing.T) {
	dir := t.TempDir()
	for n := range 300 {
		cacheFile(t, dir, "0/a/"+string(rune('a'+n%26))+time.Duration(n).String(), 4, 1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := TrimCacheMounts(ctx, CacheFolders{Folder: dir, Idle: true, InUse: unused}); err == nil || len(got.Folders) > 0 {
		t.Errorf("%+v %v", got, err)
	}
}

// What an earlier time took away and did not remove goes first, whatever the limit.
func TestTrimCacheMountsEndsWhatItBegan(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "removed-abc/file", 1024, 0)
	cacheFile(t, dir, "0/a/file", 1024, 30)
	got, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Limit: 1 << 30, InUse: unused})
	if err != nil || !slices.Equal(got.Folders, []string{"removed-abc"}) {
		t.Errorf("%+v %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}
