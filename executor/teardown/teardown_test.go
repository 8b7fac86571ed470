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

	cerrdefs "github.com/containerd/errdefs"
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

// What the engine says, by its class and by its text.
func TestMeaningOfTheEnginesErrors(t *testing.T) {
	for text, c := range map[string]struct {
		class error
		want  Meaning
	}{
		"No such container: abc":                                                  {cerrdefs.ErrNotFound, Gone},
		"get gsx: no such volume":                                                 {cerrdefs.ErrNotFound, Gone},
		"network gsx not found":                                                   {cerrdefs.ErrNotFound, Gone},
		"removal of container abc is already in progress":                         {cerrdefs.ErrConflict, Busy},
		"remove gsx: volume is in use - [abc]":                                    {cerrdefs.ErrConflict, Busy},
		"error while removing network: network gsx id abc has active endpoints":   {cerrdefs.ErrPermissionDenied, Busy},
		`driver "overlay2" failed to remove: unlinkat: device or resource busy`:   {cerrdefs.ErrInternal, Busy},
		"unlinkat /var/lib/docker/volumes/gsx/_data: directory not empty":         {cerrdefs.ErrInternal, Busy},
		"mkdir /var/lib/docker/x: file exists":                                    {cerrdefs.ErrInternal, Busy},
		"cannot stop container: tried to kill, but did not receive an exit event": {cerrdefs.ErrInternal, Busy},
		"the daemon is going down":                                                {cerrdefs.ErrUnavailable, Busy},
		"context deadline exceeded":                                               {context.DeadlineExceeded, Busy},
		"error during connect: EOF":                                               {syscall.ECONNRESET, Busy},
		"something nobody has heard of":                                           {cerrdefs.ErrInternal, Odd},
		"invalid reference":                                                       {cerrdefs.ErrInvalidArgument, Failed},
		"authorization denied by plugin":                                          {cerrdefs.ErrPermissionDenied, Failed},
	} {
		if got := Of(Ask, fmt.Errorf("%s: %w", text, c.class), nil); got != c.want {
			t.Errorf("%s: %s, want %s", text, got, c.want)
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
	err := Retry(t.Context(), Ask, func(context.Context) error { tries++; return cerrdefs.ErrInternal }, nil)
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
