package teardown

import (
	"errors"
	"syscall"
)

// Meaning is what the outcome of a removal says of the thing to be removed.
type Meaning string

// The meanings.
const (
	Gone   Meaning = "gone"   // it is not there, by our doing or already
	Busy   Meaning = "busy"   // something uses it: worth another try
	Odd    Meaning = "odd"    // unheard of: worth a few more tries
	Failed Meaning = "failed" // another try would end in the same way
)

// Way is how a thing is removed: an errno can mean another thing to another call.
type Way string

// The ways.
const (
	Unlink  Way = "unlink"  // unlink(2), rmdir(2), and walking a folder to its end
	Unmount Way = "unmount" // umount2(2)
	Detach  Way = "detach"  // a loop device from its file (loop(4))
)

// meanings is the one place that says what an errno means to a removal. A nil way
// is every way.
var meanings = map[syscall.Errno]func(way Way, there bool) Meaning{
	0: func(Way, bool) Meaning { return Gone },
	// Nothing of that name: what a removal is for.
	syscall.ENOENT: func(Way, bool) Meaning { return Gone },
	// A folder on its path is no folder (any more).
	syscall.ENOTDIR: func(Way, bool) Meaning { return Gone },
	// The loop device has no file behind it.
	syscall.ENXIO: func(way Way, _ bool) Meaning { return only(way, Detach, Gone) },
	// "target is not a mount point" (umount2(2)).
	syscall.EINVAL: func(way Way, _ bool) Meaning { return only(way, Unmount, Gone) },
	// A read-only file system answers so before it looks whether the name is there
	// (runc 1.2.0 stumbled over it with cgroups).
	syscall.EROFS: func(_ Way, there bool) Meaning {
		if there {
			return Failed
		}
		return Gone
	},
	// In use, or filled anew while it was being emptied.
	syscall.EBUSY:     func(Way, bool) Meaning { return Busy },
	syscall.ENOTEMPTY: func(Way, bool) Meaning { return Busy },
	syscall.EEXIST:    func(Way, bool) Meaning { return Busy },
	// Interrupted, or the machine is short of something for the moment.
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

// Of is what err, the outcome of a removal, means. There tells whether a thing
// of that name can be seen; it is called only where that matters.
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
