package storage

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// CacheMounts is where a project's kept cache mounts are in the containers of a
// job: a folder for each user number, to which links in TMPDIR lead.
const CacheMounts = "/var/cache/gitlab-sysbox-executor"

// The names that Buildah and Podman give to folders and locks of cache mounts, in
// TMPDIR: "buildah-cache" (1.28), or that, a dash and the user's number (1.39); the
// locks of sharing=locked are in the cache itself, or all below one folder.
const (
	CacheFolder     = "buildah-cache"
	cacheLockFile   = "buildah-cache-lockfile"
	cacheLockFolder = "buildah-cache-lockfiles"
)

// CacheFolders is what TrimCacheMounts works on.
type CacheFolders struct {
	Folder string // the kept volume on the host
	Limit  int64  // bytes
	DryRun bool
	// OlderThan keeps what was used within this time.
	OlderThan time.Duration
	// Idle tells that no container has the volume; one may get it meanwhile.
	Idle bool
	// InUse tells whether somebody has mounted a folder, given as a path on the host.
	// An error counts as yes.
	InUse func(folder string) (bool, error)
}

// Trimmed is what became of the cache mounts of one volume. Sizes are bytes.
type Trimmed struct {
	Size    int64 // before
	Removed int64
	Folders []string // what was removed, or would be: relative to the volume's folder
	Busy    []string // what would have been next but is in use
}

// cacheFolder is one that is removed as a whole: a cache's own as Buildah 1.39
// names it, or what 1.28 has at the top of its tree of paths.
type cacheFolder struct {
	parent, name string // parent is "." or a user's folder
	size         int64  // bytes
	entries      int    // itself and all that is in it
	used         time.Time
	isDir        bool
	locked       bool
}

func (f cacheFolder) path() string { return path.Join(f.parent, f.name) }

// leftover tells that it was taken away before and not removed to its end.
func (f cacheFolder) leftover() bool {
	return f.parent == "." && strings.HasPrefix(f.name, removedPrefix)
}

// TrimCacheMounts removes the cache folders that were used longest ago until the
// rest has at most c.Limit bytes. One that is locked, in use or was used within
// c.OlderThan stays.
//
// What is in the volume was written by jobs, which may be at it now: no link is
// followed out of it, and a folder, which a tool may be about to mount, is exchanged
// for an empty one in one step. When ctx ends, what was taken away and not removed
// yet stays for the next time.
func TrimCacheMounts(ctx context.Context, c CacheFolders) (t Trimmed, err error) {
	root, err := os.OpenRoot(c.Folder)
	if err != nil {
		return t, fmt.Errorf("cache mounts: %w", err)
	}
	defer root.Close()
	all, err := cacheFolders(ctx, root)
	if err != nil {
		return t, fmt.Errorf("cache mounts in %s: %w", c.Folder, err)
	}
	for _, f := range all {
		t.Size += f.size
	}
	slices.SortFunc(all, func(a, b cacheFolder) int {
		switch {
		case a.leftover() != b.leftover():
			return map[bool]int{true: -1, false: 1}[a.leftover()]
		case !a.used.Equal(b.used):
			return a.used.Compare(b.used)
		}
		return cmp.Compare(b.size, a.size) // fewer go then
	})
	for _, f := range all {
		if !f.leftover() && t.Size-t.Removed <= c.Limit {
			break
		}
		if f.size == 0 || f.isDir && f.entries <= 1 && !c.Idle {
			continue // such as the empty one that was put in another's place
		}
		if !f.leftover() && time.Since(f.used) < c.OlderThan {
			continue
		}
		busy := f.locked || f.name == cacheLockFolder && !c.Idle
		if !busy {
			used, err := c.InUse(path.Join(c.Folder, f.path()))
			busy = used || err != nil
		}
		if !busy && !c.DryRun {
			if busy, err = c.remove(ctx, root, f); err != nil {
				return t, fmt.Errorf("cache mount %s in %s: %w", f.path(), c.Folder, err)
			}
		}
		if busy {
			t.Busy = append(t.Busy, f.path())
			continue
		}
		t.Removed += f.size
		t.Folders = append(t.Folders, f.path())
	}
	return t, nil
}

// cacheFolders measures all there are.
func cacheFolders(ctx context.Context, root *os.Root) ([]cacheFolder, error) {
	top, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var all []cacheFolder
	for _, e := range top {
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err != nil || !e.IsDir() {
			all = append(all, cacheFolder{parent: ".", name: e.Name(), isDir: e.IsDir()})
			continue
		}
		entries, err := fs.ReadDir(root.FS(), e.Name())
		if err != nil {
			continue // a job may have taken it away
		}
		for _, f := range entries {
			all = append(all, cacheFolder{parent: e.Name(), name: f.Name(), isDir: f.IsDir()})
		}
	}
	for n := range all {
		if err := all[n].measure(ctx, root); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// measure finds out size, last use and locks. When a file was read is known to
// the day (mount(2), MS_RELATIME); our own look at folders is no use of them.
func (f *cacheFolder) measure(ctx context.Context, root *os.Root) error {
	now := time.Now()
	seen := map[uint64]bool{}
	n := 0
	f.locked = locked(root, path.Join(f.parent, cacheLockFolder, f.name, cacheLockFile))
	return fs.WalkDir(root.FS(), f.path(), func(p string, e fs.DirEntry, err error) error {
		if n++; n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return nil // it goes meanwhile, or leads elsewhere by now
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || s.Nlink > 1 && !e.IsDir() && seen[s.Ino] {
			return nil
		}
		seen[s.Ino] = true
		f.entries++
		f.size += s.Blocks * 512
		used := info.ModTime()
		if read := time.Unix(s.Atim.Unix()); !e.IsDir() && read.After(used) {
			used = read
		}
		if used.After(now) { // whatever a job wrote there
			used = now
		}
		if used.After(f.used) {
			f.used = used
		}
		if e.Name() == cacheLockFile && e.Type().IsRegular() {
			f.locked = f.locked || locked(root, p)
		}
		return nil
	})
}

// locked tells whether somebody holds a lock on the file (containers/storage,
// pkg/lockfile).
func locked(root *os.Root, name string) bool {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

// removedPrefix begins the name of what was taken away and is being removed.
const removedPrefix = "removed-"

// remove removes a cache folder; busy tells that somebody uses it after all.
func (c CacheFolders) remove(ctx context.Context, root *os.Root, f cacheFolder) (busy bool, err error) {
	info, err := root.Lstat(f.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case f.leftover() || !info.IsDir():
		return false, removeAll(ctx, root, f.path())
	}
	aside := removedPrefix + strings.ToLower(rand.Text())
	if err := root.Mkdir(aside, 0o700); err != nil {
		return false, err
	}
	s := info.Sys().(*syscall.Stat_t)
	if err = root.Lchown(aside, int(s.Uid), int(s.Gid)); err == nil {
		err = root.Chmod(aside, info.Mode())
	}
	if err == nil {
		err = exchange(root, f, aside)
	}
	if err != nil {
		return true, errors.Join(err, root.Remove(aside))
	}
	// Whoever mounted it before that has it mounted now.
	if used, err := c.InUse(path.Join(c.Folder, aside)); used || err != nil {
		err := exchange(root, f, aside)
		_ = root.Remove(aside) // if a job has used it since it is not empty, and goes next time
		return true, err
	}
	if c.Idle {
		_ = root.Remove(f.path()) // the empty one, unless it is used already
	}
	return false, removeAll(ctx, root, aside)
}

// removeAll removes a folder; what is left when ctx ends is left.
func removeAll(ctx context.Context, root *os.Root, name string) error {
	done := make(chan error, 1)
	go func() { done <- root.RemoveAll(name) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// exchange exchanges a cache folder and one at the top in one step.
func exchange(root *os.Root, f cacheFolder, other string) error {
	top, err := root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	parent, err := root.Open(f.parent)
	if err != nil {
		return err
	}
	defer parent.Close()
	return os.NewSyscallError("renameat2", unix.Renameat2(int(parent.Fd()), f.name, int(top.Fd()), other, unix.RENAME_EXCHANGE))
}
