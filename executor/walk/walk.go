// Package walk reads folders that a job may write at the same time: the job chooses how many
// entries there are, how deep they are, and what replaces them.
//
// It follows no symbolic link and enters no other file system. Its memory does not grow with
// the number of entries: it reads a folder in portions and stores none of them.
package walk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Limits bound a walk; each must be positive.
type Limits struct {
	Entries int // largest number of visited entries
	Depth   int // largest number of folders open at once; each takes a descriptor
}

// The errors of a walk that reached a limit.
var (
	ErrEntries = errors.New("too many entries to read")
	ErrDepth   = errors.New("folders nested too deeply to read")
)

// Entry is one file or folder below the start of a walk.
type Entry struct {
	Name string
	Stat unix.Stat_t // of a link itself, not of its target

	parents []string
}

// IsDir reports whether the entry is a folder.
func (e *Entry) IsDir() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// Path returns the path of the entry, relative to the start of the walk.
func (e *Entry) Path() string { return path.Join(path.Join(e.parents...), e.Name) }

// portion is the number of names that are read at a time.
const portion = 256

// Tree visits everything below an open folder, from its current read position. It visits a
// folder before its content, and skips entries that are removed meanwhile. It ends with the
// error of visit, of a limit, or with the cause of ctx's end. An Entry is valid until visit
// returns.
func Tree(ctx context.Context, folder *os.File, l Limits, visit func(*Entry) error) error {
	var s unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &s); err != nil {
		return fmt.Errorf("reading %s: %w", folder.Name(), err)
	}
	w := &walker{ctx: ctx, left: l.Entries, device: s.Dev, visit: visit}
	return w.folder(folder, l.Depth)
}

// Open opens a folder for Tree; the last part of its path must not be a link.
func Open(folder string) (*os.File, error) {
	return os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

type walker struct {
	ctx    context.Context
	left   int // number of entries
	device uint64
	entry  Entry
	visit  func(*Entry) error
}

func (w *walker) folder(f *os.File, depth int) error {
	for {
		names, err := f.Readdirnames(portion)
		for _, name := range names {
			if err := w.one(f, name, depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), gone(err):
			return nil
		case err != nil:
			return fmt.Errorf("reading %s: %w", path.Join(w.entry.parents...), err)
		}
	}
}

// gone reports whether an entry was removed or replaced after its name was read.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ESTALE)
}

func (w *walker) one(parent *os.File, name string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	if w.left--; w.left < 0 {
		return ErrEntries
	}
	w.entry.Name = name
	err := unix.Fstatat(int(parent.Fd()), name, &w.entry.Stat, unix.AT_SYMLINK_NOFOLLOW)
	if gone(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("looking at %s: %w", w.entry.Path(), err)
	}
	below := w.entry.IsDir() && w.entry.Stat.Dev == w.device
	if err := w.visit(&w.entry); err != nil || !below {
		return err
	}
	if depth == 0 {
		return ErrDepth
	}
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if gone(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading %s: %w", w.entry.Path(), err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	w.entry.parents = append(w.entry.parents, name)
	defer func() { w.entry.parents = slices.Delete(w.entry.parents, len(w.entry.parents)-1, len(w.entry.parents)) }()
	return w.folder(f, depth-1)
}

// Size is disk usage.
type Size struct {
	Bytes   int64 // of blocks; a file with several names counts once
	Entries int64 // names; a file with several names counts for each
}

// Measure adds up everything below the folder. With an error of a limit or of ctx, the size
// covers the visited entries.
func Measure(ctx context.Context, folder string, l Limits) (s Size, err error) {
	f, err := Open(folder)
	if err != nil {
		return s, err
	}
	defer f.Close()
	err = Tree(ctx, f, l, func(e *Entry) error {
		s.Entries++
		bytes := e.Stat.Blocks * 512
		if !e.IsDir() && e.Stat.Nlink > 1 {
			// Hard links do not leave a volume, so all names of the file are in this folder.
			// Each counts its share, and no inode has to be stored.
			bytes /= int64(e.Stat.Nlink)
		}
		s.Bytes += bytes
		return nil
	})
	return s, err
}
