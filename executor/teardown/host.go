package teardown

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountPatience is how long a mount below a job's own folder may stay busy before it is
// detached lazily.
const unmountPatience = 3 * time.Second

// RemoveFolder removes a folder of the job with its mounts and files. The caller has checked
// that it belongs to the job.
func RemoveFolder(ctx context.Context, dir string) error {
	return Retry(ctx, Unlink, func(ctx context.Context) error {
		if err := UnmountBelow(ctx, dir, unmountPatience); err != nil {
			return err
		}
		return sysRemoves(dir)
	}, present(dir))
}

// DetachLoop detaches file, a path or a result of LoopFile, from the loop device. A device
// with another file or none does not belong to the job any more. A device in use keeps its
// file until its last user closes it: until then the result is Busy.
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
	// If a process has the device open, the kernel only marks it (loop(4), autoclear).
	if bound(device, file) {
		return fmt.Errorf("detaching %s: %w", device, unix.EBUSY)
	}
	return nil
}

// LoopFile returns the file of a loop device, for DetachLoop, and since Linux 5.15 a number
// that is unique to this attachment; empty if the device has no file.
func LoopFile(device string) string {
	sys := "/sys/block/" + strings.TrimPrefix(device, "/dev/")
	text, err := os.ReadFile(sys + "/loop/backing_file")
	if err != nil {
		return ""
	}
	// The kernel adds this suffix after the file is unlinked.
	file := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), " (deleted)")
	if is := attachment(sys); is != "" {
		file += ", " + is
	}
	return file
}

// attaching begins the number in a result of LoopFile: see attachment.
const attaching = ", diskseq "

// bound reports whether the loop device has the file, a path or a result of LoopFile.
func bound(device, file string) bool {
	is := LoopFile(device)
	if !strings.Contains(file, attaching) {
		is, _, _ = strings.Cut(is, attaching)
	}
	return is != "" && is == file
}
