package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/storage"
)

// What was mounted from the host stays as it is, and nobody sees half a text.
func TestCover(t *testing.T) {
	dir := t.TempDir()
	host, target := filepath.Join(dir, "host"), filepath.Join(dir, "etc", "storage.conf")
	if err := os.Mkdir(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{host, target} {
		if err := os.WriteFile(path, []byte("certain"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	inMountNamespace(t, func() {
		if err := unix.Mount(host, target, "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
			return
		}
		open, err := os.Open(target) // a tool that is just reading it
		if err != nil {
			t.Error(err)
			return
		}
		defer open.Close()
		for _, text := range []string{"final", "final", "later"} {
			if err := cover(filepath.Join(dir, "run"), target, text); err != nil || read(target) != text {
				t.Errorf("%s: %q %v", text, read(target), err)
			}
		}
		if read(host) != "certain" {
			t.Errorf("the host's file has %q", read(host))
		}
		if text := make([]byte, 100); true {
			n, _ := open.Read(text)
			if string(text[:n]) != "certain" {
				t.Errorf("who read it found %q", text[:n])
			}
		}
		if err := os.WriteFile(target, nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("it can be written to: %v", err)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "run")); err != nil || len(left) != 2 {
			t.Errorf("%v %v", left, err)
		}
	})
}

// What the executor enforces in a script and what the agent writes are one.
func TestSettle(t *testing.T) {
	s := storage.Settings{Driver: "vfs", TMPDIR: "/tmp", ImageStore: "/expected"}
	stores := storage.Stores{Drivers: []string{"overlay"}, Users: []int{0}}
	for _, c := range []struct {
		overlay       bool
		uid           int
		driver, store string
	}{
		{true, 0, "overlay", storage.ImageStore("overlay", 0)},
		{true, 5, "overlay", ""},
		{false, 0, "vfs", ""},
	} {
		if got := s.Settle(c.overlay, c.uid, stores); got.Driver != c.driver || got.ImageStore != c.store || got.TMPDIR != "/tmp" {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
