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
// The image file never has a name, and its loop device detaches itself. While prepare runs,
// prepare keeps both alive; afterwards the engine's mount does. So if any of these processes is
// killed at any time, the kernel frees both, and there is nothing to find and remove.
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

// sharesBlocks returns the reason why copies on folder's file system do not share blocks; nil
// if they do.
func sharesBlocks(folder string) error {
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
	image, err := nameless(x.folder)
	if err != nil {
		return nil, err
	}
	defer image.Close() // by then the loop device keeps it open
	if err := image.Truncate(r.Size); err != nil {
		return nil, fmt.Errorf("an image of %d bytes in %s: %w", r.Size, x.folder, err)
	}
	if err := x.format(ctx, image); err != nil {
		return nil, err
	}
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
		release: func() error { return errors.Join(os.Remove(link), device.Close()) },
	}, nil
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
