package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	if err := give(dir, account{UID: 1000, GID: 1001}, time.Now().Add(time.Minute)); err != nil {
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
	if err := give(filepath.Join(dir, "missing"), account{}, time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
}

// Another job of the project writes to a kept cache meanwhile: a folder that becomes
// a link gives away nothing outside.
func TestHostileGiveWithinTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test gives files away: run it as root")
	}
	dir, outside := t.TempDir(), t.TempDir()
	for n := range 200 {
		for _, path := range []string{filepath.Join(dir, "folder"), outside} {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(path, strconv.Itoa(n)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(outside, "folder"), 0o100); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder", "folder"), 0o100); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			default:
				if err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "folder"), unix.AT_FDCWD, filepath.Join(dir, "link"), unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if err := give(dir, account{UID: 1000, GID: 1001}, time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if err := give(dir, account{UID: 1001, GID: 1001}, time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
	}
	close(over)
	<-ended
	err := filepath.WalkDir(outside, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && (info.Sys().(*syscall.Stat_t).Uid != 0 || path == filepath.Join(outside, "folder") && info.Mode().Perm() != 0o100) {
			t.Errorf("%s was given away: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGiveTakesNoLongerThanItMay(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := give(dir, account{UID: os.Getuid(), GID: os.Getgid()}, time.Now().Add(-time.Second))
	if err == nil || !strings.Contains(err.Error(), "job.inspect_timeout") || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}
