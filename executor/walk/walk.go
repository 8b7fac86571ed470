// Package walk goes through folders whose content somebody else writes, perhaps
// while it is read: a job chooses how many entries there are, how deep they lie and
// what they become meanwhile.
//
// No symbolic link is followed and no other file system entered. Memory does not
// grow with the number of entries: a folder is read in portions, and nothing is
// remembered of what was seen.
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

// Limits bound a walk; each has to be positive.
type Limits struct {
	Entries int // how many are visited
	Depth   int // how many folders below the first are open at once, a descriptor each
}

// The errors of a walk that met one of its limits.
var (
	ErrEntries = errors.New("more entries than are looked at")
	ErrDepth   = errors.New("folders nested deeper than is looked at")
)

// Entry is one thing below the folder.
type Entry struct {
	Name string
	Stat unix.Stat_t // not of what a link leads to

	parents []string
}

// IsDir tells whether it is a folder.
func (e *Entry) IsDir() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsRegular tells whether it is a plain file.
func (e *Entry) IsRegular() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFREG }

// Path leads to it from the folder where the walk began.
func (e *Entry) Path() string { return path.Join(path.Join(e.parents...), e.Name) }

// portion is how many names are read from a folder at a time.
const portion = 256

// Tree visits everything below an open folder, which it reads from where it stands; a
// folder comes before what is in it. What goes away meanwhile is passed over. The walk
// ends with the error of visit, with a limit's, or with the cause of ctx's end. An
// Entry is valid until visit returns.
func Tree(ctx context.Context, folder *os.File, l Limits, visit func(*Entry) error) error {
	var s unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &s); err != nil {
		return fmt.Errorf("reading %s: %w", folder.Name(), err)
	}
	w := &walker{ctx: ctx, left: l.Entries, device: s.Dev, visit: visit}
	return w.folder(folder, l.Depth)
}

// Open opens a folder for Tree; the last part of its path must be no link.
func Open(folder string) (*os.File, error) {
	return os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

type walker struct {
	ctx    context.Context
	left   int // entries
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

// gone tells that something was removed or replaced since its name was read.
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

// Size is what files take of a disk.
type Size struct {
	Bytes   int64 // of blocks; one that has several names counts once
	Entries int64 // one that has several names counts for each
}

// Measure adds up everything below the folder. With an error of a limit or of ctx the
// size is of what was visited.
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
			// Its other names are in the same folder: hard links do not leave a volume. So
			// nothing has to be remembered to count it once.
			bytes /= int64(e.Stat.Nlink)
		}
		s.Bytes += bytes
		return nil
	})
	return s, err
}
