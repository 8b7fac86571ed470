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

var errTooMany = errors.New("it has too many files to change their owner to the job's user in time; remove some, or ask the administrator of this runner to raise job.inspect_timeout")

// give makes a the owner of the folder at path and of everything in it, until the deadline.
// Live jobs may write to it meanwhile, for example to a kept cache: give follows no link,
// changes nothing outside the folder, and skips what is removed or replaced. It skips files
// that a owns already, because a change of owner clears the setuid bit. It adds permissions
// to folders in which the owner could not delete: Go's module cache has such folders, and
// git clean would fail on them.
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

// own makes a the owner of the file in dir with that name, described by info.
func (a account) own(dir *os.Root, name string, info fs.FileInfo) error {
	s := info.Sys().(*syscall.Stat_t)
	if int(s.Uid) == a.UID && int(s.Gid) == a.GID {
		return nil
	}
	return dir.Lchown(name, a.UID, a.GID)
}

// ownBelow makes a the owner of everything in dir, a folder described by info.
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

// ownOne makes a the owner of one file or folder in dir and of everything below it.
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
			return nil // it was replaced, for example by a link that leads outside
		}
		return err
	}
	defer below.Close()
	if now, err := below.Lstat("."); err != nil || !os.SameFile(info, now) {
		return err // it was replaced by another folder
	}
	return a.ownBelow(below, info, deadline)
}
