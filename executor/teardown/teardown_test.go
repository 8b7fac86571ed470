package teardown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
)

// Each removal with each errno, where the thing is there and where
// nothing is.
func TestErrnosOfEachRemoval(t *testing.T) {
	there, nothing := t.TempDir(), filepath.Join(t.TempDir(), "nothing")
	unmount, removes, detaches := sysUnmount, sysRemoves, sysDetach
	t.Cleanup(func() { sysUnmount, sysRemoves, sysDetach = unmount, removes, detaches })
	removals := map[Way]func(ctx context.Context, path string) error{
		"remove a folder": RemoveFolder,
		Unmount:           func(ctx context.Context, path string) error { return Unmounted(ctx, path, false) },
		Detach:            func(ctx context.Context, path string) error { return DetachLoop(ctx, path, "/image") },
	}
	const gone, busy, failed = "gone", "busy", "failed"
	for errno, want := range map[syscall.Errno]map[Way][2]string{ // where it is there, where nothing is
		syscall.ENOENT:    {"": {gone, gone}},
		syscall.ENOTDIR:   {"": {gone, gone}},
		syscall.EROFS:     {"": {failed, gone}},
		syscall.EINVAL:    {"": {failed, failed}, Unmount: {gone, gone}},
		syscall.ENXIO:     {"": {failed, failed}, Detach: {gone, gone}},
		syscall.EBUSY:     {"": {busy, busy}},
		syscall.ENOTEMPTY: {"": {busy, busy}},
		syscall.EEXIST:    {"": {busy, busy}},
		syscall.EINTR:     {"": {busy, busy}},
		syscall.EMFILE:    {"": {busy, busy}},
		syscall.ENFILE:    {"": {busy, busy}},
		syscall.ENOMEM:    {"": {busy, busy}},
		syscall.EPERM:     {"": {failed, failed}},
		syscall.EACCES:    {"": {failed, failed}},
		syscall.EIO:       {"": {failed, failed}},
	} {
		for name, remove := range removals {
			expected, special := want[name]
			if !special {
				expected = want[""]
			}
			for i, path := range []string{there, nothing} {
				t.Run(fmt.Sprintf("%s, %s, %s", name, errno, []string{"there", "nothing there"}[i]), func(t *testing.T) {
					tries := 0
					fail := func() error {
						if tries++; tries > 2 {
							return nil // the holder has let go
						}
						return &fs.PathError{Op: "op", Path: path, Err: errno}
					}
					sysUnmount = func(string, int) error { return fail() }
					sysRemoves = func(string) error { return fail() }
					sysDetach = func(string, string) error { return fail() }
					err := remove(t.Context(), path)
					got := failed
					switch {
					case err == nil && tries == 1:
						got = gone
					case err == nil && tries == 3:
						got = busy
					}
					if got != expected[i] {
						t.Errorf("%s after %d tries (%v), want %s", got, tries, err, expected[i])
					}
				})
			}
		}
	}
}

func TestRetryIsBoundedAndTellsWhatItWasTold(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	tries := 0
	began := time.Now()
	err := Retry(ctx, Unlink, func(context.Context) error { tries++; return syscall.EBUSY }, nil)
	if _, still := errors.AsType[*StillBusy](err); !still || !errors.Is(err, syscall.EBUSY) || tries < 2 {
		t.Errorf("%v after %d tries", err, tries)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestRetryGivesUpOnWhatNobodyHasHeardOf(t *testing.T) {
	tries := 0
	err := RetryAs(t.Context(), func(error) Meaning { return Odd }, func(context.Context) error { tries++; return errors.New("odd") })
	if tries != oddTries || err == nil {
		t.Errorf("%v after %d tries", err, tries)
	}
	if _, still := errors.AsType[*StillBusy](err); still {
		t.Error("it calls it busy")
	}
}

func TestDeepestFirst(t *testing.T) {
	var mounts []*mountinfo.Info
	for i, p := range []string{"/", "/a", "/a/b", "/a", "/c/d"} {
		mounts = append(mounts, &mountinfo.Info{ID: i, Mountpoint: p})
	}
	if got := strings.Join(Deepest(mounts)[:3], " "); got != "/c/d /a/b /a" {
		t.Errorf("got %s", got)
	}
}
