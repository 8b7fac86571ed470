package storage

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestChooseSaysWhy(t *testing.T) {
	remote := Host{Folder: t.TempDir()}
	b, why, err := Choose(Auto, remote)
	if err != nil || b.Name() != Plain || b.Hard() || !strings.Contains(why, "no xfs-loop: the engine's files are not on this machine") {
		t.Errorf("%v %q %v", b, why, err)
	}
	if _, ok, err := b.Pool(); ok || err != nil {
		t.Errorf("the room on another machine is known: %v", err)
	}
	if _, _, err := Choose(XFSLoop, remote); err == nil || !strings.Contains(err.Error(), `storage.backend "xfs-loop" does not work here: the engine's files are not on this machine`) {
		t.Error(err)
	}
	if _, _, err := Choose("zfs", remote); err == nil {
		t.Error("zfs is taken")
	}
}

func TestTmpfs(t *testing.T) {
	b, _, err := Choose(Tmpfs, Host{Volumes: t.TempDir()})
	if err != nil || !b.Hard() {
		t.Fatal(err)
	}
	v, err := b.Make(context.Background(), Request{Size: 1 << 30})
	if err != nil || v.Options["type"] != "tmpfs" || v.Options["o"] != "size=1073741824,mode=0755" {
		t.Error(v, err)
	}
	if p, ok, err := b.Pool(); !ok || err != nil || p.Free <= 0 {
		t.Error(p, ok, err)
	}
}

// A volume is released only once, even if the release failed.
func TestReleaseOnce(t *testing.T) {
	times := 0
	v := Volume{release: func() error { times++; return errors.New("failed") }}
	if err := v.Release(); err == nil {
		t.Error("the error is lost")
	}
	if err := v.Release(); err != nil || times != 1 {
		t.Errorf("released %d times: %v", times, err)
	}
}
