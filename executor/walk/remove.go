package walk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// removeDepth bounds the folders that a removal has open at once; each takes a descriptor.
const removeDepth = 64

// Names calls each with the names in an open folder, read from its start in portions, until
// each returns an error or ctx ends.
func Names(ctx context.Context, folder *os.File, each func(name string) error) error {
	if _, err := folder.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := folder.Readdirnames(portion)
		for _, name := range names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := each(name); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), gone(err):
			return nil
		case err != nil:
			return fmt.Errorf("reading %s: %w", folder.Name(), err)
		}
	}
}

// OpenIn opens a folder in an open folder, for Tree; name must not be a link.
func OpenIn(folder *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Aside moves name from an open folder to another, top, on the same file system. The new
// name is prefix and a random text. A missing name is not an error.
func Aside(folder *os.File, name string, top *os.File, prefix string) error {
	err := unix.Renameat(int(folder.Fd()), name, int(top.Fd()), prefix+strings.ToLower(rand.Text()))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rename", Path: name, Err: err}
	}
	return nil
}

// Remove removes everything in an open folder whose name begins with prefix, with everything
// below, and returns how many bytes of disk space that freed. It takes bounded memory: it
// first moves deeply nested folders up to the open folder, under the prefix. It stops when
// ctx ends.
func Remove(ctx context.Context, folder *os.File, prefix string) (freed int64, err error) {
	r := remover{ctx: ctx, top: folder, prefix: prefix}
	for again := true; again && err == nil; {
		again = false
		err = Names(ctx, folder, func(name string) error {
			if !strings.HasPrefix(name, prefix) {
				return nil
			}
			again = true // folders may have been moved up
			return r.remove(folder, name, removeDepth)
		})
	}
	return r.freed, err
}

type remover struct {
	ctx    context.Context
	top    *os.File
	prefix string
	freed  int64
}

func (r *remover) remove(folder *os.File, name string, depth int) error {
	fd := int(folder.Fd())
	var s unix.Stat_t
	if err := unix.Fstatat(fd, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return failed("stat", name, err)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		if s.Nlink == 1 {
			r.freed += s.Blocks * 512
		}
		return failed("unlink", name, unix.Unlinkat(fd, name, 0))
	}
	empty, err := removeEmpty(fd, name)
	if empty || err != nil {
		return err
	}
	if depth == 0 {
		return Aside(folder, name, r.top, r.prefix)
	}
	for range 3 { // some file systems skip names during a removal
		below, err := OpenIn(folder, name)
		if gone(err) {
			return nil
		} else if err != nil {
			return err
		}
		err = Names(r.ctx, below, func(name string) error { return r.remove(below, name, depth-1) })
		below.Close()
		if err != nil {
			return err
		}
		if empty, err := removeEmpty(fd, name); empty || err != nil {
			return err
		}
	}
	return fmt.Errorf("%q gets new files while it is removed", name)
}

// removeEmpty removes a folder if it is empty.
func removeEmpty(fd int, name string) (bool, error) {
	err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return true, failed("rmdir", name, err)
}

// failed returns err of an operation, or nil if the name did not exist.
func failed(op, name string, err error) error {
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}
