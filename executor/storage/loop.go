package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// FileID identifies a file on this machine as long as a process has it open. The number of a
// loop device does not identify it: the kernel assigns the number again.
type FileID struct {
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
}

func idOf(f *os.File) (FileID, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return FileID{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return FileID{uint64(s.Dev), s.Ino}, nil
}

const loopControl = "/dev/loop-control"

// attach attaches a loop device to the image. The kernel detaches it when no process has it
// open and nothing is mounted from it (LO_FLAGS_AUTOCLEAR, loop(4)). The returned file keeps
// it open. That file is read-only, because a kernel may refuse to mount a device that is open
// for writing.
func attach(image *os.File) (*os.File, error) {
	control, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	// The kernel returns the same free device to all that ask. The lock serialises the
	// processes of this program; it ends with the file.
	if err := unix.Flock(int(control.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("%s: %w", loopControl, err)
	}
	for tries := 0; ; tries++ {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("finding a free loop device: %w", err)
		}
		device, err := attachTo(fmt.Sprintf("/dev/loop%d", n), image)
		// Another program may have been faster, and a new device file may appear late.
		if err == nil || tries == 200 || !errors.Is(err, unix.EBUSY) && !errors.Is(err, os.ErrNotExist) {
			return device, err
		}
		time.Sleep(time.Duration(tries) * time.Millisecond)
	}
}

func attachTo(path string, image *os.File) (*os.File, error) {
	writable, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer writable.Close()
	config := unix.LoopConfig{Fd: uint32(image.Fd())}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image.Name())
	if err := unix.IoctlLoopConfigure(int(writable.Fd()), &config); err != nil {
		return nil, fmt.Errorf("attaching an image to %s: %w", path, err)
	}
	return os.Open(path)
}

// LoopDevice is the path of the loop device that is attached to the file; empty if there is
// none.
func LoopDevice(file FileID) (string, error) {
	all, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return "", err
	}
	for _, a := range all {
		path := filepath.Join("/dev", filepath.Base(filepath.Dir(filepath.Dir(a))))
		d, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		info, err := unix.IoctlLoopGetStatus64(int(d.Fd()))
		d.Close()
		if err == nil && info.Device == file.Device && info.Inode == file.Inode {
			return path, nil
		}
	}
	return "", nil
}

// AwaitDetached waits until no loop device is attached to the file. The kernel detaches it
// shortly after the last container that used it has ended. If ctx ends first, it returns the
// path of the device.
func AwaitDetached(ctx context.Context, file FileID) (device string, err error) {
	if file == (FileID{}) {
		return "", nil
	}
	for {
		device, err := LoopDevice(file)
		if device == "" || err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return device, nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}
