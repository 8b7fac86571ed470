package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// xfsLoop gives each job an XFS file system with reflink in a sparse image. There copies of vfs
// share blocks, and the job cannot exceed the size.
//
// The image file has no name, unless the volume outlives the job, and its loop device detaches
// itself. While prepare runs, prepare keeps both alive; afterwards the engine's mount does. So if
// any of these processes is killed at any time, the kernel frees both, and there is nothing to
// find and remove.
type xfsLoop struct{ folder, mkfs string }

// deviceLink is a symbolic link to the loop device in the job's folder, for the engine. It is
// removed when prepare ends: if the engine mounts the volume again later, it must not find a
// device that now belongs to another job.
const deviceLink = "storage-device"

// LeastXFS is the smallest size that mkfs.xfs accepts (since xfsprogs 5.19), in bytes.
const LeastXFS = 300 << 20

func newXFSLoop(h Host) (xfsLoop, error) {
	mkfs := findTool("mkfs.xfs")
	switch {
	case h.Volumes == "":
		return xfsLoop{}, errors.New("the engine's files are not on this machine")
	case os.Geteuid() != 0:
		return xfsLoop{}, errors.New("it needs root")
	case mkfs == "":
		return xfsLoop{}, errors.New("mkfs.xfs is not installed (package xfsprogs)")
	}
	if err := kernelKnowsXFS(); err != nil {
		return xfsLoop{}, err
	}
	if err := unix.Access(loopControl, unix.R_OK|unix.W_OK); err != nil {
		return xfsLoop{}, fmt.Errorf("%s: %w", loopControl, err)
	}
	image, err := nameless(h.Folder)
	if err != nil {
		return xfsLoop{}, err
	}
	return xfsLoop{h.Folder, mkfs}, image.Close()
}

// findTool also searches the folders of administration programs, which a service's PATH may lack.
func findTool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

func kernelKnowsXFS() error {
	known := func() bool {
		text, err := os.ReadFile("/proc/filesystems")
		return err == nil && strings.Contains(string(text), "\txfs\n")
	}
	if known() {
		return nil
	}
	if modprobe := findTool("modprobe"); modprobe != "" {
		_ = exec.Command(modprobe, "xfs").Run() // ignore errors: the check below decides
	}
	if known() {
		return nil
	}
	return errors.New("the kernel has no XFS")
}

// nameless makes a file without a name. The kernel removes it when no process has it open.
func nameless(folder string) (*os.File, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open(folder, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("a file without a name in %s (its file system must know O_TMPFILE): %w", folder, err)
	}
	return os.NewFile(uintptr(fd), folder), nil
}

// SharesBlocks returns the reason why copies on folder's file system do not share blocks; nil
// if they do.
func SharesBlocks(folder string) error {
	from, err := nameless(folder)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := nameless(folder)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := from.Write(make([]byte, 64<<10)); err != nil {
		return err
	}
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
}

func (xfsLoop) Name() string { return XFSLoop }
func (xfsLoop) Hard() bool   { return true }

func (x xfsLoop) Pool() (Pool, bool, error) {
	p, err := DiskPool(x.folder)
	return p, err == nil, err
}

func (x xfsLoop) Make(ctx context.Context, r Request) (*Volume, error) {
	image, grow, err := x.image(ctx, r)
	if err != nil {
		return nil, err
	}
	defer image.Close() // by then the loop device keeps it open
	device, err := attach(image)
	if err != nil {
		return nil, err
	}
	id, err := imageOf(image, device)
	if err != nil {
		device.Close()
		return nil, err
	}
	link := filepath.Join(r.Folder, deviceLink)
	if err := os.Symlink(device.Name(), link); err != nil {
		device.Close()
		return nil, err
	}
	return &Volume{
		// Without discard, files that the job removes still take space in the image.
		Options: map[string]string{"type": "xfs", "device": link, "o": "discard"},
		Image:   id,
		Grow:    grow,
		release: func() error { return errors.Join(os.Remove(link), device.Close()) },
	}, nil
}

// image opens the image of a volume, with a file system on it. Grow is true if the image has just become
// larger than its file system.
func (x xfsLoop) image(ctx context.Context, r Request) (image *os.File, grow bool, err error) {
	if r.Image == "" {
		image, err = nameless(x.folder)
	} else {
		image, err = os.OpenFile(r.Image, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	}
	if err != nil {
		return nil, false, err
	}
	defer func() {
		if err != nil {
			image.Close()
		}
	}()
	info, err := image.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a regular file", r.Image)
	}
	old := info.Size()
	if old > 0 {
		if err := logIsClean(ctx, image); err != nil {
			return nil, false, err
		}
	}
	if old < r.Size {
		if err := image.Truncate(r.Size); err != nil {
			return nil, false, fmt.Errorf("an image of %d bytes in %s: %w", r.Size, x.folder, err)
		}
	}
	if old == 0 {
		err = x.format(ctx, image)
	}
	return image, old > 0 && old < r.Size, err
}

// Unclean means that the file system of an image was not unmounted, or that it is damaged.
type Unclean struct{ reason string }

// Error says what is wrong.
func (e *Unclean) Error() string { return e.reason }

// logIsClean returns an *Unclean unless the file system in image was unmounted completely. The kernel would
// repeat what the log has, but a machine that crashed has lost other data, too.
func logIsClean(ctx context.Context, image *os.File) error {
	tool := findTool("xfs_logprint")
	if tool == "" {
		return errors.New("xfs_logprint is not installed (package xfsprogs)")
	}
	c := exec.CommandContext(ctx, tool, "-t", "/proc/self/fd/3")
	c.ExtraFiles = []*os.File{image}
	c.Env = []string{"LC_ALL=C"}
	out, err := c.Output()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil && bytes.Contains(out, []byte("state: <CLEAN>")):
		return nil
	case err == nil && bytes.Contains(out, []byte("state: <DIRTY>")):
		return &Unclean{"its file system was not unmounted"}
	}
	return &Unclean{fmt.Sprintf("its file system is damaged (%s: %v)", tool, err)}
}

// Grow makes the file system that is mounted at path as large as its image.
func Grow(ctx context.Context, path string) error {
	tool := findTool("xfs_growfs")
	if tool == "" {
		return errors.New("xfs_growfs is not installed (package xfsprogs)")
	}
	c := exec.CommandContext(ctx, tool, path)
	c.Env = []string{"LC_ALL=C"}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, bytes.TrimSpace(out))
	}
	return nil
}

// format makes an empty file system in image, which is new and has its final size. The file is
// descriptor 3 of mkfs.xfs. A new sparse file needs no discarding (-K).
func (x xfsLoop) format(ctx context.Context, image *os.File) error {
	mkfs := exec.CommandContext(ctx, x.mkfs, "-q", "-f", "-K", "-m", "reflink=1", "/proc/self/fd/3")
	mkfs.ExtraFiles = []*os.File{image}
	mkfs.Env = []string{"LC_ALL=C"}
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", x.mkfs, err, bytes.TrimSpace(out))
	}
	return nil
}
