package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestShifted(t *testing.T) {
	for id, want := range map[uint32]uint32{0: 1000, 1: 1, 999: 999, 1000: 1001, 1001: 1002, 65534: 65535} {
		if got := shifted(id, 1000); got != want {
			t.Errorf("%d: got %d, want %d", id, got, want)
		}
	}
	if got := shifted(1, 1); got != 2 {
		t.Error(got)
	}
}

func TestShift(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run as root: owners are changed")
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, f := range map[string]struct {
		mode     uint32
		uid, gid int
	}{"setuid": {0o4755, 0, 0}, "setgid": {0o2711, 0, 42}, "own": {0o600, 1000, 999}, "twice": {0o644, 1000, 1000}, "capable": {0o755, 0, 0}} {
		if err := os.WriteFile(at(name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(at(name), f.uid, f.gid); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(at(name), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	// cap_net_raw=ep, version 2.
	capability := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(at("capable"), capabilityAttribute, capability, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(at("twice"), at("twice again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", at("link")); err != nil {
		t.Fatal(err)
	}
	if err := Shift(dir, 1000); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][3]uint32{
		"setuid": {0o4755, 1000, 1000}, "setgid": {0o2711, 1000, 42}, "own": {0o600, 1001, 999},
		"twice": {0o644, 1001, 1001}, "twice again": {0o644, 1001, 1001}, "link": {0o777, 1000, 1000}, "capable": {0o755, 1000, 1000},
	} {
		var s syscall.Stat_t
		if err := syscall.Lstat(at(name), &s); err != nil {
			t.Fatal(err)
		}
		if got := [3]uint32{s.Mode & 0o7777, s.Uid, s.Gid}; got != want {
			t.Errorf("%s: got %o, want %o", name, got, want)
		}
	}
	got := make([]byte, 64)
	n, err := unix.Lgetxattr(at("capable"), capabilityAttribute, got)
	want := []byte{1, 0, 0, 3, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe8, 3, 0, 0}
	if err != nil || !bytes.Equal(got[:max(n, 0)], want) {
		t.Errorf("%v % x", err, got[:max(n, 0)])
	}
}

func TestOfUserKeepsWhatItDoesNotKnow(t *testing.T) {
	if got := ofUser([]byte{1, 2}, 1000); !bytes.Equal(got, []byte{1, 2}) {
		t.Error(got)
	}
}
