package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// SmallDisk mounts a small file system of its own at dir until the test's end.
func SmallDisk(t *testing.T, dir, kind string) {
	t.Helper()
	// At least as large as mkfs wants it.
	if kind == "xfs" {
		Disk(t, dir, "320M", "mkfs.xfs", "-q", "-f")
	} else {
		Disk(t, dir, "96M", "mkfs.ext4", "-q", "-F", "-m", "0")
	}
}

// Disk mounts a file system of the given size at dir until the test's end.
func Disk(t *testing.T, dir, size string, mkfs ...string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"truncate", "-s", size, image}, append(mkfs, image), {"mount", "-o", "loop", image, dir}} {
		command := exec.Command("env", append([]string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}, c...)...)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	t.Cleanup(func() {
		// Between fork and exec, a process that another test starts has this one's open files, too.
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			out, err := exec.Command("umount", dir).CombinedOutput()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Errorf("%v\n%s", err, out)
				return
			}
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// FreeSpace is how many bytes are free on the disk at dir.
func FreeSpace(t *testing.T, dir string) int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Error(err)
	}
	return int64(s.Bavail) * s.Bsize
}
