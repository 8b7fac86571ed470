package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inMountNamespace runs do where its mounts are nobody else's.
func inMountNamespace(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts: run it as root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}

func TestCheckMounts(t *testing.T) {
	root := t.TempDir()
	source := filepath.Join(root, "source")
	at := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"source", "run/secret", "spare", "other", "plain", "never", "var", "empty"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../run", at("var/run")); err != nil {
		t.Fatal(err)
	}
	var s syscall.Stat_t
	if err := syscall.Stat(source, &s); err != nil {
		t.Fatal(err)
	}
	mount := func(t *testing.T, from, to, kind string, flags uintptr) {
		t.Helper()
		if err := unix.Mount(from, to, kind, flags, ""); err != nil {
			t.Fatalf("mounting %s: %v", to, err)
		}
	}
	inMountNamespace(t, func() {
		mount(t, source, at("plain"), "", unix.MS_BIND)
		mount(t, source, at("spare"), "", unix.MS_BIND)
		mount(t, source, at("run/secret"), "", unix.MS_BIND)
		want := func(name string, m Mount, reason string, restored bool) {
			t.Helper()
			faults, err := checkMounts([]Mount{m})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case reason == "" && len(faults) > 0, reason != "" && len(faults) != 1:
				t.Errorf("%s: %+v", name, faults)
			case reason != "" && (!strings.Contains(faults[0].Reason, reason) || faults[0].Restored != restored):
				t.Errorf("%s: %+v", name, faults)
			}
		}
		content := Mount{Device: s.Dev, Inode: s.Ino}
		wanted := func(target, spare string) Mount {
			m := content
			m.Target, m.Spare = target, spare
			return m
		}
		want("visible", wanted(at("plain"), ""), "", false)
		want("visible below run", wanted(at("run/secret"), ""), "", false)
		want("through a symbolic link", wanted(at("var/run/secret"), ""), "", false)
		want("a volume", Mount{Target: at("plain")}, "", false)
		want("never made", wanted(at("never"), ""), "not in the container's mount table", false)
		want("no folder at all", wanted(at("missing"), ""), "not in the container's mount table", false)

		mount(t, "tmpfs", at("run"), "tmpfs", 0)
		want("hidden", wanted(at("run/secret"), ""), "hidden by a tmpfs that was mounted on "+at("run"), false)
		want("hidden volume", Mount{Target: at("run/secret")}, "hidden by a tmpfs", false)
		want("hidden and restored", wanted(at("run/secret"), at("spare")), "hidden by a tmpfs", true)
		want("visible again", wanted(at("run/secret"), at("spare")), "", false)

		mount(t, at("other"), at("plain"), "", unix.MS_BIND)
		want("other content", wanted(at("plain"), ""), "other content is mounted there", false)
		want("a volume below another mount", Mount{Target: at("plain")}, "hidden by another mount", false)

		want("a tmpfs", Mount{Target: at("run"), FSType: "tmpfs"}, "", false)
		want("no tmpfs", Mount{Target: at("spare"), FSType: "tmpfs"}, "instead of the requested tmpfs", false)
		if err := os.Mkdir(at("run/mine"), 0o755); err != nil {
			t.Fatal(err)
		}
		mount(t, "tmpfs", at("run/mine"), "tmpfs", 0)
		mount(t, "tmpfs", at("empty"), "tmpfs", 0)
		mount(t, "tmpfs", at("run"), "tmpfs", 0)
		want("a hidden tmpfs", Mount{Target: at("run/mine"), FSType: "tmpfs"}, "hidden by a tmpfs that was mounted on "+at("run"), false)
		want("a hidden tmpfs with a spare", Mount{Target: at("run/mine"), FSType: "tmpfs", Spare: at("empty")}, "hidden by a tmpfs", true)
	})
}
