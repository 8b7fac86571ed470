package teardown

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountPatience is how long a mount below a job's own folder may be busy until
// it is taken out of the tree lazily.
const unmountPatience = 3 * time.Second

// RemoveFolder removes a folder of the job's with all that is mounted and lies
// in it. The caller has made sure that it is the job's.
func RemoveFolder(ctx context.Context, dir string) error {
	return Retry(ctx, Unlink, func(ctx context.Context) error {
		if err := UnmountBelow(ctx, dir, unmountPatience); err != nil {
			return err
		}
		return sysRemoves(dir)
	}, present(dir))
}

// DetachLoop takes file, a path or what LoopFile gave, away from the loop device.
// A device that has another file, or none, is not the job's any more. One that is still in use keeps its
// file until its last user goes: that is Busy until then.
func DetachLoop(ctx context.Context, device, file string) error {
	return Retry(ctx, Detach, func(context.Context) error { return sysDetach(device, file) }, present(device))
}

func detach(device, file string) error {
	if !bound(device, file) {
		return unix.ENXIO
	}
	d, err := os.OpenFile(device, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.IoctlRetInt(int(d.Fd()), unix.LOOP_CLR_FD)
	d.Close()
	if err != nil {
		return fmt.Errorf("detaching %s: %w", device, err)
	}
	// While somebody has it open the kernel only notes the wish (loop(4), autoclear).
	if bound(device, file) {
		return fmt.Errorf("detaching %s: %w", device, unix.EBUSY)
	}
	return nil
}

// LoopFile is what is behind the loop device, for DetachLoop: the file and, where
// the kernel has it (since 5.15), a number that no other attaching has; empty when
// there is nothing.
func LoopFile(device string) string {
	sys := "/sys/block/" + strings.TrimPrefix(device, "/dev/")
	text, err := os.ReadFile(sys + "/loop/backing_file")
	if err != nil {
		return ""
	}
	// The kernel says so of a file whose name is gone.
	file := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), " (deleted)")
	if seq, err := os.ReadFile(sys + "/diskseq"); err == nil {
		file += attaching + strings.TrimSpace(string(seq))
	}
	return file
}

const attaching = ", diskseq "

// bound tells whether file is behind the loop device: a path, or what LoopFile
// gave.
func bound(device, file string) bool {
	is := LoopFile(device)
	if !strings.Contains(file, attaching) {
		is, _, _ = strings.Cut(is, attaching)
	}
	return is != "" && is == file
}
