package teardown

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// target identifies a path by numbers of the kernel: any container can have a file, a mount
// or a mount source of the same name.
type target struct {
	Path string `json:"-"`
	real string // Path with all links resolved
	// Device and Inode are those of Path (stat(2)).
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Whole means that Path is the root of a file system: everything on that device belongs to
	// the target.
	Whole bool `json:"whole,omitempty"`
	// Mount is the device in mount tables, which differs from that of stat on btrfs. Root is
	// Path within that file system. Both are empty if unknown.
	Mount numbers `json:"mount"`
	Root  string  `json:"root,omitempty"`
	// Identity tells the file system from a later one with the same device number: the kernel
	// gives the number to another as soon as the first is gone. Empty if unknown.
	Identity string `json:"identity,omitempty"`
	// Special is the number of the block device at Path; 0 if Path is none.
	Special uint64 `json:"special,omitempty"`
}

// numbers are a device's major and minor number.
type numbers struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
}

// targets returns the targets at the existing paths of this mount namespace.
func targets(ctx context.Context, paths []string) []target {
	var all []target
	mounts := map[uint64][]int{} // by the ID of the mount that they are on
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		t := target{Path: path, real: real, Mount: numbers{-1, -1}}
		var s unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, real, statxFlags, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &s) != nil {
			continue
		}
		t.Device, t.Inode = device(s), s.Ino
		if s.Mode&unix.S_IFMT == unix.S_IFBLK {
			t.Special = unix.Mkdev(s.Rdev_major, s.Rdev_minor)
			t.Mount = numbers{int(s.Rdev_major), int(s.Rdev_minor)}
			t.Identity = attachment(t.Mount.sys())
		} else if s.Mask&unix.STATX_MNT_ID != 0 { // since Linux 5.8
			mounts[s.Mnt_id] = append(mounts[s.Mnt_id], len(all))
		}
		all = append(all, t)
	}
	_ = scanMounts(ctx, "self", maxOwnMounts, func(m *mountinfo.Info) bool {
		for _, n := range mounts[uint64(m.ID)] {
			all[n].on(m)
		}
		delete(mounts, uint64(m.ID))
		return len(mounts) > 0
	})
	return all
}

// on sets the mount on which the target is.
func (t *target) on(m *mountinfo.Info) {
	below, err := filepath.Rel(m.Mountpoint, t.real)
	if err != nil || !filepath.IsLocal(below) {
		return
	}
	t.Mount, t.Root = numbers{m.Major, m.Minor}, filepath.Join(m.Root, below)
	t.Whole = below == "." && m.Root == "/"
	t.Identity = identity(m)
}

// identity is that of the file system of a mount. On a block device, it is the number of the
// device's attachment, which is unique (since Linux 5.15). Otherwise it is made of the type
// and the options, of which those of an overlay have its folders.
func identity(m *mountinfo.Info) string {
	if m.Major != 0 {
		return attachment(numbers{m.Major, m.Minor}.sys())
	}
	hash := fnv.New64a()
	fmt.Fprint(hash, m.FSType)
	for option := range strings.SplitSeq(m.VFSOptions, ",") {
		if option != "rw" && option != "ro" { // may change
			fmt.Fprint(hash, ",", option)
		}
	}
	return fmt.Sprintf("%s %016x", m.FSType, hash.Sum64())
}

// sys is the folder of a block device below /sys.
func (n numbers) sys() string { return fmt.Sprintf("/sys/dev/block/%d:%d", n.Major, n.Minor) }

// attachment is the identity of what is attached to the block device with this folder below
// /sys; empty if unknown.
func attachment(sys string) string {
	seq, err := os.ReadFile(sys + "/diskseq")
	if err != nil {
		return ""
	}
	return "diskseq " + strings.TrimSpace(string(seq))
}

// another reports whether a mount with the target's device number is of another file system.
func (t target) another(m *mountinfo.Info) bool {
	if t.Identity == "" {
		return false
	}
	is := identity(m)
	return is != "" && is != t.Identity
}

// statxFlags ask no file server and trigger no automount.
const statxFlags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT

func device(s unix.Statx_t) uint64 { return unix.Mkdev(s.Dev_major, s.Dev_minor) }

// mountedAs reports whether a mount shows the target or a file below it.
func (t target) mountedAs(m *mountinfo.Info) bool {
	if m.Major != t.Mount.Major || m.Minor != t.Mount.Minor {
		return false
	}
	return t.Whole || t.Special != 0 || t.Root != "" && within(strings.TrimSuffix(m.Root, "//deleted"), t.Root)
}

// copied reports whether a mount is only the copy of a mount of this namespace. A namespace
// that was created while a job ran has copies of all mounts. A copy holds a device, and
// nothing else.
func (t target) copied(m *mountinfo.Info) bool {
	return m.Major == 0 && within(m.Mountpoint, t.Path)
}

// has reports whether a process's file, given by its link below /proc, is the target or
// below it.
func (t target) has(link string, s unix.Statx_t) bool {
	switch {
	case t.Special != 0:
		return s.Mode&unix.S_IFMT == unix.S_IFBLK && unix.Mkdev(s.Rdev_major, s.Rdev_minor) == t.Special
	case device(s) != t.Device:
		return false
	case t.Whole || s.Ino == t.Inode:
		return true
	}
	// The link's text is a path in the process's mount namespace: it must name the same file in
	// ours.
	text, err := os.Readlink(link)
	if err != nil || !within(text, t.real) {
		return false
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, text, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var ours unix.Statx_t
	err = unix.Statx(fd, "", statxFlags|unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &ours)
	return err == nil && device(ours) == device(s) && ours.Ino == s.Ino
}

// within reports whether a path equals another one or is below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
