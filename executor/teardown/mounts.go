package teardown

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// The system calls of this package; a table test replaces them.
var (
	sysUnmount = unix.Unmount
	sysRemoves = os.RemoveAll
	sysDetach  = detach
)

// Below lists this namespace's mount points at dir and below, the last mount first: they can
// be unmounted in this order.
func Below(ctx context.Context, dir string) ([]string, error) {
	var found []*mountinfo.Info
	err := scanMounts(ctx, "self", maxOwnMounts, func(m *mountinfo.Info) bool {
		if within(m.Mountpoint, dir) {
			found = append(found, m)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("the mount table: %w", err)
	}
	return Deepest(found), nil
}

// Deepest sorts mount points so that a mount comes before those on which or below which it
// is mounted.
func Deepest(mounts []*mountinfo.Info) []string {
	// The kernel lists the mount tree in walk order: a child comes after its parent.
	var points []string
	for _, m := range slices.Backward(mounts) {
		points = append(points, m.Mountpoint)
	}
	slices.SortStableFunc(points, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	return points
}

// Unmounted unmounts one mount point, including mounts on top of each other. It retries
// while the mount is busy, until ctx ends. If lazy is true, it then detaches the mount
// (MNT_DETACH), and the kernel unmounts it when its last user ends.
func Unmounted(ctx context.Context, point string, lazy bool) error {
	err := Retry(ctx, Unmount, func(context.Context) error { return sysUnmount(point, unix.UMOUNT_NOFOLLOW) }, present(point))
	if err == nil || !lazy {
		return err
	}
	if Of(Unmount, sysUnmount(point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH), present(point)) == Gone {
		return nil
	}
	return err
}

// UnmountBelow unmounts everything at dir and below, deepest first. It detaches a mount
// lazily that is still busy after patience. Dir must be the job's own.
func UnmountBelow(ctx context.Context, dir string, patience time.Duration) error {
	// Several mounts may be at one path, and one may hide others: list them again.
	for range 10 {
		points, err := Below(ctx, dir)
		if err != nil || len(points) == 0 {
			return err
		}
		var failed []error
		for _, p := range points {
			short, cancel := context.WithTimeout(ctx, patience)
			if err := Unmounted(short, p, true); err != nil {
				failed = append(failed, fmt.Errorf("unmounting %s: %w", p, err))
			}
			cancel()
		}
		if len(failed) > 0 {
			return errors.Join(failed...)
		}
	}
	return fmt.Errorf("unmounting below %s: new mounts keep appearing", dir)
}

func present(path string) func() bool {
	return func() bool {
		_, err := os.Lstat(path)
		return err == nil
	}
}
