package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestCacheMountsAreLinked(t *testing.T) {
	me := strconv.Itoa(os.Geteuid())
	c := &CacheMounts{Folder: t.TempDir(), TMPDIR: t.TempDir()}
	elsewhere := t.TempDir()
	// What a job before left where a user's folder is to be, and what a service made.
	if err := os.Symlink(elsewhere, filepath.Join(c.Folder, me)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.TMPDIR, "buildah-cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time changes nothing
		if err := c.linkEach(map[int]int{os.Geteuid(): os.Getegid()}, os.Geteuid()); err != nil {
			t.Fatal(err)
		}
	}
	to, err := os.Readlink(filepath.Join(c.TMPDIR, "buildah-cache-"+me))
	if err != nil || to != filepath.Join(c.Folder, me) {
		t.Errorf("%q %v", to, err)
	}
	if info, err := os.Lstat(to); err != nil || !info.IsDir() {
		t.Errorf("%v %v", info, err)
	}
	if info, err := os.Lstat(filepath.Join(c.TMPDIR, "buildah-cache")); err != nil || !info.IsDir() {
		t.Errorf("%v %v", info, err)
	}
	if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
	if err := (*CacheMounts)(nil).link(account{}); err != nil {
		t.Error(err)
	}
}
