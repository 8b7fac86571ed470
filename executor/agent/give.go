package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

var errTooMany = errors.New("its files could not all be given to the job's user in time, for there are too many; remove some, or have job.inspect_timeout raised")

// give makes a the owner of the folder at path and of all that is in it, until the
// deadline. Others may write to it meanwhile, as live jobs do to a kept cache: no
// link is followed, nothing outside the folder is touched, and what goes away or
// becomes something else is left out. A file that is a's already is left alone, which
// also spares it the loss of its setuid bit. A folder in which its owner could not
// delete is made one where it can: Go's module cache has such folders, and git clean
// would fail on them.
func give(path string, a account, deadline time.Time) error {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(".")
	if err == nil {
		err = a.own(root, ".", info)
	}
	if err == nil {
		err = a.ownBelow(root, info, deadline)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("folder %s: %w", path, errTooMany)
	}
	return err
}

// own makes a the owner of what is in dir by that name, described by info.
func (a account) own(dir *os.Root, name string, info fs.FileInfo) error {
	s := info.Sys().(*syscall.Stat_t)
	if int(s.Uid) == a.UID && int(s.Gid) == a.GID {
		return nil
	}
	return dir.Lchown(name, a.UID, a.GID)
}

// ownBelow makes a the owner of all that is in dir, a folder described by info.
func (a account) ownBelow(dir *os.Root, info fs.FileInfo, deadline time.Time) error {
	if mode := info.Mode(); mode&0o700 != 0o700 {
		if err := dir.Chmod(".", mode|0o700); err != nil {
			return err
		}
	}
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(256) // there may be millions
		for _, name := range names {
			if time.Now().After(deadline) {
				return os.ErrDeadlineExceeded
			}
			if err := a.ownOne(dir, name, deadline); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// ownOne does so for one thing in dir, and for all below it.
func (a account) ownOne(dir *os.Root, name string, deadline time.Time) error {
	info, err := dir.Lstat(name)
	if err == nil {
		err = a.own(dir, name, info)
	}
	if err != nil || !info.IsDir() {
		return err
	}
	below, err := dir.OpenRoot(name)
	if err != nil {
		switch errno, ok := errors.AsType[syscall.Errno](err); {
		case !ok, errno == syscall.ELOOP, errno == syscall.ENOTDIR, errno == syscall.ENOENT:
			return nil // it is no folder any more, but for example a link that leads outside
		}
		return err
	}
	defer below.Close()
	if now, err := below.Lstat("."); err != nil || !os.SameFile(info, now) {
		return err // it is another now
	}
	return a.ownBelow(below, info, deadline)
}
