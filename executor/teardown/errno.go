package teardown

import (
	"errors"
	"syscall"
)

// Meaning is the result of an attempt to remove a resource.
type Meaning string

// The meanings.
const (
	Gone   Meaning = "gone"   // it does not exist (any more)
	Busy   Meaning = "busy"   // it is in use: try again
	Odd    Meaning = "odd"    // an unknown error: try a few more times
	Failed Meaning = "failed" // another attempt would fail in the same way
)

// Way is the kind of system call: the meaning of an errno depends on it.
type Way string

// The ways.
const (
	Unlink  Way = "unlink"  // unlink(2), rmdir(2), and the removal of a whole folder
	Unmount Way = "unmount" // umount2(2)
	Detach  Way = "detach"  // a loop device from its file (loop(4))
)

// meanings maps an errno to its meaning for a removal. A nil way is every way.
var meanings = map[syscall.Errno]func(way Way, there bool) Meaning{
	0: func(Way, bool) Meaning { return Gone },
	// The name does not exist: the removal is done.
	syscall.ENOENT: func(Way, bool) Meaning { return Gone },
	// A parent is not a folder (any more).
	syscall.ENOTDIR: func(Way, bool) Meaning { return Gone },
	// The loop device has no file.
	syscall.ENXIO: func(way Way, _ bool) Meaning { return only(way, Detach, Gone) },
	// "target is not a mount point" (umount2(2)).
	syscall.EINVAL: func(way Way, _ bool) Meaning { return only(way, Unmount, Gone) },
	// A read-only file system returns this before it checks whether the name exists (runc 1.2.0
	// failed because of it, with cgroups).
	syscall.EROFS: func(_ Way, there bool) Meaning {
		if there {
			return Failed
		}
		return Gone
	},
	// In use, or new files came while it was emptied.
	syscall.EBUSY:     func(Way, bool) Meaning { return Busy },
	syscall.ENOTEMPTY: func(Way, bool) Meaning { return Busy },
	syscall.EEXIST:    func(Way, bool) Meaning { return Busy },
	// Interrupted, or the machine lacks a resource at the moment.
	syscall.EINTR:  func(Way, bool) Meaning { return Busy },
	syscall.EAGAIN: func(Way, bool) Meaning { return Busy },
	syscall.ENOMEM: func(Way, bool) Meaning { return Busy },
	syscall.EMFILE: func(Way, bool) Meaning { return Busy },
	syscall.ENFILE: func(Way, bool) Meaning { return Busy },
}

func only(way, special Way, m Meaning) Meaning {
	if way == special {
		return m
	}
	return Failed
}

// Of returns the meaning of err, the result of a removal. there reports whether the name
// exists; it is called only if the meaning depends on it.
func Of(way Way, err error, there func() bool) Meaning {
	if err == nil {
		return Gone
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return Failed
	}
	mean, ok := meanings[errno]
	if !ok {
		return Failed
	}
	return mean(way, errno == syscall.EROFS && there())
}
