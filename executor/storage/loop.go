package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Image identifies the image file of a volume, and its attachment to a loop device.
type Image struct {
	// Device and Inode are those of the file (stat(2)). The kernel gives them to another file
	// as soon as this one is gone.
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	// Loop is the number of the loop device, which the kernel gives to another file, too.
	// Attachment is the device's diskseq (since Linux 5.15), which is never given again; 0 if
	// unknown.
	Loop       int    `json:"loop,omitempty"`
	Attachment uint64 `json:"diskseq,omitempty"`
}

// imageOf is the image that is attached to a loop device. The device must be open.
func imageOf(image, device *os.File) (Image, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(image.Fd()), &s); err != nil {
		return Image{}, fmt.Errorf("%s: %w", image.Name(), err)
	}
	i := Image{Device: uint64(s.Dev), Inode: s.Ino}
	if _, err := fmt.Sscanf(device.Name(), "/dev/loop%d", &i.Loop); err != nil {
		return Image{}, fmt.Errorf("%s: %w", device.Name(), err)
	}
	i.Attachment = attachment(i.Loop)
	return i, nil
}

// ImageAt identifies an image by its path, without the device to which it may be attached.
func ImageAt(path string) (Image, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return Image{}, fmt.Errorf("%s: %w", path, err)
	}
	return Image{Device: uint64(s.Dev), Inode: s.Ino}, nil
}

// attachment is the diskseq of a loop device; 0 if it is unknown.
func attachment(loop int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/sys/block/loop%d/diskseq", loop))
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
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
	if err := lockLoops(control); err != nil {
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

// loopLockTime limits the wait for other processes that attach an image. Each takes milliseconds.
const loopLockTime = time.Minute

func lockLoops(control *os.File) error {
	for deadline := time.Now().Add(loopLockTime); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(control.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK || time.Now().After(deadline) {
			return err
		}
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

// LoopDevice is the path of the loop device to which the image is attached; empty if there is
// none.
func LoopDevice(i Image) (string, error) {
	if i.Attachment != 0 {
		// The sequence is read last: a new attachment has another one.
		_, err := os.Stat(fmt.Sprintf("/sys/block/loop%d/loop/backing_file", i.Loop))
		if err != nil || attachment(i.Loop) != i.Attachment {
			return "", nil
		}
		return fmt.Sprintf("/dev/loop%d", i.Loop), nil
	}
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
		if err == nil && info.Device == i.Device && info.Inode == i.Inode {
			return path, nil
		}
	}
	return "", nil
}

// AwaitDetached waits until the image is attached to no loop device. The kernel detaches it
// shortly after the last container that used it has ended. If ctx ends first, it returns the
// path of the device.
func AwaitDetached(ctx context.Context, i Image) (device string, err error) {
	if i == (Image{}) {
		return "", nil
	}
	for {
		device, err := LoopDevice(i)
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
