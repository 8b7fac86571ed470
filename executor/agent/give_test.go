package agent

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestGive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test gives files away: run it as root")
	}
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	file, setuid := filepath.Join(dir, "deep", "file"), filepath.Join(dir, "setuid")
	if err := os.Mkdir(filepath.Dir(file), 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, setuid, outside} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(setuid, 1000, 1001); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(setuid, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := give(dir, account{UID: 1000, GID: 1001}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]uint32{
		dir: {1000, 1001}, file: {1000, 1001}, setuid: {1000, 1001}, filepath.Join(dir, "link"): {1000, 1001}, outside: {0, 0},
	} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != want[0] || s.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d, want %v", path, s.Uid, s.Gid, want)
		}
	}
	if info, err := os.Stat(setuid); err != nil || info.Mode()&os.ModeSetuid == 0 {
		t.Errorf("a file that was the user's already changed: %v %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a folder that its owner could not change: %v %v", info.Mode(), err)
	}
	if err := give(filepath.Join(dir, "missing"), account{}); err != nil {
		t.Error(err)
	}
}
