package walk

import (
	"os"
	"path/filepath"
	"testing"
)

// A path that somebody else had his hands on leads nowhere else, and nothing of it is
// left behind a link.
func TestRemovePath(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(t *testing.T, folder, outside string) error
		below string
		left  []string // below the folder
	}{
		"a folder": {func(t *testing.T, folder, _ string) error {
			return os.MkdirAll(folder+"/a/b.tmp/c/d", 0o700)
		}, "a/b.tmp", []string{"a"}},
		"with links in it": {func(t *testing.T, folder, outside string) error {
			if err := os.MkdirAll(folder+"/a.tmp", 0o700); err != nil {
				return err
			}
			return os.Symlink(outside, folder+"/a.tmp/link")
		}, "a.tmp", nil},
		"a link": {func(t *testing.T, folder, outside string) error {
			return os.Symlink(outside, folder+"/a.tmp")
		}, "a.tmp", nil},
		"a link on the way": {func(t *testing.T, folder, outside string) error {
			return os.Symlink(outside, folder+"/group")
		}, "group/b.tmp", nil},
		"a link on the way, to another place in it": {func(t *testing.T, folder, outside string) error {
			if err := os.MkdirAll(folder+"/evil/b.tmp", 0o700); err != nil {
				return err
			}
			return os.Symlink("evil", folder+"/group")
		}, "group/b.tmp", []string{"evil", "evil/b.tmp"}},
		"a file on the way": {func(t *testing.T, folder, _ string) error {
			return os.WriteFile(folder+"/group", nil, 0o600)
		}, "group/sub/b.tmp", nil},
		"a folder that nobody may read": {func(t *testing.T, folder, _ string) error {
			if err := os.MkdirAll(folder+"/a.tmp/b", 0o700); err != nil {
				return err
			}
			return os.Chmod(folder+"/a.tmp/b", 0)
		}, "a.tmp", nil},
		"nothing": {func(*testing.T, string, string) error { return nil }, "a/b/c.tmp", nil},
	} {
		t.Run(name, func(t *testing.T) {
			folder, outside := t.TempDir(), t.TempDir()
			if err := os.MkdirAll(outside+"/b.tmp", 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(outside+"/b.tmp/kept", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.make(t, folder, outside); err != nil {
				t.Fatal(err)
			}
			if err := RemovePath(t.Context(), folder, c.below); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(outside + "/b.tmp/kept"); err != nil {
				t.Errorf("outside: %v", err)
			}
			var left []string
			err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
				if rel, _ := filepath.Rel(folder, path); rel != "." {
					left = append(left, rel)
				}
				return err
			})
			if err != nil || len(left) != len(c.left) {
				t.Fatalf("left %q, %v", left, err)
			}
			for n := range left {
				if left[n] != c.left[n] {
					t.Errorf("left %q", left)
				}
			}
		})
	}
	for _, below := range []string{"", ".", "..", "/etc", "../x", "a/../../x"} {
		if err := RemovePath(t.Context(), t.TempDir(), below); err == nil {
			t.Errorf("%q is taken", below)
		}
	}
	if err := RemovePath(t.Context(), filepath.Join(t.TempDir(), "absent"), "x"); err == nil {
		t.Error("a folder that is not there is taken")
	}
}
