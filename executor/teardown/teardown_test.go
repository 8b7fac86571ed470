package teardown

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	restore := []any{sysUnmount, sysRemove, sysRemoves, sysDetach}
	t.Cleanup(func() {
		sysUnmount = restore[0].(func(string, int) error)
		sysRemove = restore[1].(func(string) error)
		sysRemoves = restore[2].(func(string) error)
		sysDetach = restore[3].(func(string, string) error)
	})
	removals := map[Way]func(ctx context.Context, path string) error{
		"unlink a file":   RemoveFile,
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
					sysRemove = func(string) error { return fail() }
					sysRemoves = sysRemove
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

// A process of another mount name space, and one with a file open.
func TestHolders(t *testing.T) {
	dir := t.TempDir()
	foreign := exec.Command("unshare", "-Ur", "-m", "sh", "-c", `mount -t tmpfs tmpfs "$1" && cd "$1" && echo ready && exec sleep 60`, "sh", dir)
	out, err := foreign.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = foreign.Process.Kill(); _ = foreign.Wait() })
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	found := Mounters(dir)
	if own := Mounters(dir + "-nothing"); len(own) != 0 {
		t.Errorf("holders of nothing: %+v", own)
	}
	if len(found) != 1 || found[0].PID != foreign.Process.Pid {
		t.Errorf("%+v", found)
	}
	open := exec.Command("sh", "-c", `exec 5>"$1/file"; exec sleep 60`, "sh", dir)
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Process.Kill(); _ = open.Wait() })
	deadline := time.Now().Add(10 * time.Second)
	for !slices.ContainsFunc(Holders(dir), func(h Holder) bool { return h.PID == open.Process.Pid && strings.Contains(h.How, "open file") }) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", Holders(dir))
		}
		time.Sleep(20 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := (Grip{Path: dir}).Released(ctx); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", foreign.Process.Pid)) {
		t.Errorf("%v", err)
	}
}

// What another mount name space has mounted of a folder is found, also under the
// name that it has by now.
func TestMountedFrom(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"cache/one", "cache/two", "target"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	foreign := exec.Command("unshare", "-Ur", "-m", "sh", "-c", `mount --bind "$1/cache/one" "$1/target" && echo ready && exec sleep 60`, "sh", dir)
	out, err := foreign.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = foreign.Process.Kill(); _ = foreign.Wait() })
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "cache/one"), filepath.Join(dir, "cache/moved")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"cache": "moved", "cache/moved": ".", "cache/two": "", "target": ""} {
		found, err := MountedFrom(filepath.Join(dir, name))
		if err != nil || strings.Join(found, " ") != want {
			t.Errorf("%s: %q, %v, want %q", name, found, err, want)
		}
	}
	if _, err := MountedFrom(filepath.Join(dir, "cache/one")); err == nil {
		t.Error("a folder that is gone has an answer")
	}
}
