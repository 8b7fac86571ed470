package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

// The memory for a trim does not grow with the number of file names that a job makes.
func TestHostileCacheMountsTakeNoMemory(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "0/a/file", 4, 1)
	const names = 40_000
	for n := range names {
		if err := os.Link(filepath.Join(dir, "0/a/file"), filepath.Join(dir, fmt.Sprintf("0/a/%0200d", n))); err != nil {
			t.Fatal(err)
		}
	}
	most := heap.Peak(func() {
		if _, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Alone: alone}); err != nil {
			t.Error(err)
		}
	})
	if most > 4<<20 { // the names alone have 8 MB
		t.Errorf("%d bytes for %d names", most, names)
	}
	if _, err := os.Stat(filepath.Join(dir, "0/a")); err == nil {
		t.Error("the cache is still there")
	}
}
