package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The memory that a trim takes does not grow with the names that a job makes.
func TestTrimCacheMountsTakesNoMemory(t *testing.T) {
	dir := t.TempDir()
	cacheFile(t, dir, "0/a/file", 4, 1)
	const names = 40_000
	for n := range names {
		if err := os.Link(filepath.Join(dir, "0/a/file"), filepath.Join(dir, fmt.Sprintf("0/a/%0200d", n))); err != nil {
			t.Fatal(err)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan error)
	go func() {
		_, err := TrimCacheMounts(t.Context(), CacheFolders{Folder: dir, Alone: alone})
		done <- err
	}()
	most := uint64(0)
	for ended := false; !ended; {
		select {
		case err := <-done:
			if ended = true; err != nil {
				t.Error(err)
			}
		case <-time.After(time.Millisecond):
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
	}
	t.Logf("%d KiB", most>>10)
	if most > 4<<20 { // the names alone have 8 MB
		t.Errorf("%d bytes for %d names", most, names)
	}
	if _, err := os.Stat(filepath.Join(dir, "0/a")); err == nil {
		t.Error("the cache is still there")
	}
}
