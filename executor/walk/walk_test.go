package walk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var wide = Limits{Entries: 1_000_000, Depth: 100}

func tree(t *testing.T, files ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, make([]byte, 10_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func visited(t *testing.T, dir string, l Limits) ([]string, error) {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	err = Tree(t.Context(), f, l, func(e *Entry) error {
		all = append(all, e.Path())
		return nil
	})
	slices.Sort(all)
	return all, err
}

func TestTree(t *testing.T) {
	dir := tree(t, "a/b/c", "a/d", "e/", "f")
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	got, err := visited(t, dir, wide)
	if want := []string{"a", "a/b", "a/b/c", "a/d", "e", "f", "link", "root"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTreeLimits(t *testing.T) {
	dir := tree(t, "a/b/c/d")
	for _, tt := range []struct {
		l    Limits
		want error
	}{
		{Limits{4, 3}, nil},
		{Limits{3, 3}, ErrEntries},
		{Limits{4, 2}, ErrDepth},
	} {
		if _, err := visited(t, dir, tt.l); !errors.Is(err, tt.want) || err != nil && tt.want == nil {
			t.Errorf("%+v: %v", tt.l, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, dir, wide); !errors.Is(err, context.Canceled) {
		t.Errorf("a walk after its end: %v", err)
	}
}

// A folder that becomes a link after it was seen leads nowhere.
func TestTreeFollowsNoLinkThatComesLater(t *testing.T) {
	dir, other := tree(t, "a/b"), tree(t, "secret")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = Tree(t.Context(), f, wide, func(e *Entry) error {
		if e.Name == "secret" {
			t.Error("a link was followed")
		}
		if e.Name != "a" {
			return nil
		}
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			return err
		}
		return os.Symlink(other, filepath.Join(dir, "a"))
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(dir, "a")); err == nil {
		t.Error("a link was opened as a folder")
	}
}

func TestMeasure(t *testing.T) {
	dir := tree(t, "a/file")
	alone, err := Measure(t.Context(), dir, wide)
	if err != nil || alone.Entries != 2 || alone.Bytes < 10_000 || alone.Bytes > 50_000 {
		t.Fatalf("%+v, %v", alone, err)
	}
	// One file by many names is one file.
	for n := range 9 {
		if err := os.Link(filepath.Join(dir, "a/file"), filepath.Join(dir, fmt.Sprint("a/link", n))); err != nil {
			t.Fatal(err)
		}
	}
	linked, err := Measure(t.Context(), dir, wide)
	if err != nil || linked.Entries != 11 || linked.Bytes > alone.Bytes || linked.Bytes < alone.Bytes-10*512 {
		t.Errorf("%+v beside %+v, %v", linked, alone, err)
	}
	sparse := filepath.Join(dir, "sparse")
	if err := os.WriteFile(sparse, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Fatal(err)
	}
	if s, err := Measure(t.Context(), dir, wide); err != nil || s.Bytes > alone.Bytes {
		t.Errorf("a sparse file counts in full: %+v, %v", s, err)
	}
}

// The memory that a walk takes does not grow with what it finds.
func TestMeasureTakesNoMemory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const names = 40_000
	for n := range names {
		if err := os.Link(file, filepath.Join(dir, fmt.Sprintf("%0200d", n))); err != nil {
			t.Fatal(err)
		}
	}
	var before, now runtime.MemStats
	most := uint64(0)
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	err = Tree(t.Context(), f, wide, func(*Entry) error {
		if n++; n%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
		}
		return nil
	})
	if err != nil || n != names+1 {
		t.Fatal(n, err)
	}
	if most > 1<<20 { // the names alone have 8 MB
		t.Errorf("%d bytes for %d names", most, names)
	}
}
