package walk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/integration/heap"
)

func open(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRemove(t *testing.T) {
	dir := tree(t, "x-1/a/b", "x-1/c", "x-2", "x-3/", "y/a", "z")
	other := tree(t, "file")
	for _, link := range []string{"x-link", "x-1/link"} {
		if err := os.Symlink(other, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	freed, err := Remove(t.Context(), open(t, dir), "x-")
	if err != nil || freed < 30_000 {
		t.Errorf("%d bytes, %v", freed, err)
	}
	if got, err := visited(t, dir, wide); err != nil || !slices.Equal(got, []string{"y", "y/a", "z"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(other, "file")); err != nil {
		t.Error("a link was followed")
	}
	if _, err := Remove(t.Context(), open(t, dir), ""); err != nil {
		t.Error(err)
	}
	if got, err := visited(t, dir, wide); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// Folders that lie deeper in each other than any path is long, with files on the way.
func TestRemoveWhatIsDeep(t *testing.T) {
	dir := tree(t, "x/", "y")
	at := open(t, filepath.Join(dir, "x"))
	name := strings.Repeat("d", 200)
	for range 10 * removeDepth {
		if err := unix.Mkdirat(int(at.Fd()), name, 0o755); err != nil {
			t.Fatal(err)
		}
		if fd, err := unix.Openat(int(at.Fd()), "file", unix.O_CREAT|unix.O_WRONLY, 0o644); err != nil || unix.Close(fd) != nil {
			t.Fatal(err)
		}
		next, err := OpenIn(at, name)
		if err != nil {
			t.Fatal(err)
		}
		at.Close()
		at = next
	}
	at.Close()
	if _, err := Remove(t.Context(), open(t, dir), "x"); err != nil {
		t.Error(err)
	}
	if got, err := visited(t, dir, wide); err != nil || !slices.Equal(got, []string{"y"}) {
		t.Errorf("%d are left, %v", len(got), err)
	}
}

func TestRemoveEndsWithItsTime(t *testing.T) {
	dir := tree(t, "x/a", "x/b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Remove(ctx, open(t, dir), "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, err := visited(t, dir, wide); err != nil || len(got) != 3 {
		t.Errorf("%q, %v", got, err)
	}
}

// A folder that others fill while it is removed does not outlast the time.
func TestRemoveBesideWhoFillsIt(t *testing.T) {
	dir := tree(t, "x/")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(filepath.Join(dir, "x", fmt.Sprint(n)), nil, 0o644)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	f := open(t, dir)
	go func() { _, err := Remove(ctx, f, "x"); done <- err }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
	close(stop)
	wg.Wait()
}

// The memory that a removal takes does not grow with what there is.
func TestRemoveTakesNoMemory(t *testing.T) {
	dir := tree(t, "x/file")
	const names = 40_000
	for n := range names {
		if err := os.Link(filepath.Join(dir, "x/file"), filepath.Join(dir, fmt.Sprintf("x/%0200d", n))); err != nil {
			t.Fatal(err)
		}
	}
	f := open(t, dir)
	most := heap.Peak(func() {
		if _, err := Remove(t.Context(), f, "x"); err != nil {
			t.Error(err)
		}
	})
	if most > 4<<20 { // the names alone have 8 MB
		t.Errorf("%d bytes for %d names", most, names)
	}
}
