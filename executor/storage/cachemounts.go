package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/walk"
)

// CacheMounts is the path of a project's kept cache mounts in the containers of a job. It has
// a folder for each user ID, and symbolic links in TMPDIR lead there.
const CacheMounts = "/var/cache/gitlab-sysbox-executor"

// CacheFolder is the name of Buildah's and Podman's folder of cache mounts in TMPDIR (1.28).
// Newer versions append a dash and the user ID (1.39).
const CacheFolder = "buildah-cache"

// CacheFolders are the parameters of TrimCacheMounts.
type CacheFolders struct {
	Folder string // the kept volume on the host
	Limit  int64  // bytes
	DryRun bool
	// OlderThan keeps caches that were used within this time.
	OlderThan time.Duration
	// Alone prevents containers from using the volume until release is called; it returns
	// false if a container uses it.
	Alone func() (release func(), ok bool, err error)
}

// Trimmed is the result of trimming the cache mounts of one volume. Sizes are in bytes.
type Trimmed struct {
	Size    int64 // before; only a part of a cache that is too large to be measured
	Removed int64
	Folders []string // removed, or to be removed in a dry run; relative to the volume's folder
	Busy    []string // not removed, because a container uses the volume
}

// cacheFolder is a folder that is removed as a whole: one cache of Buildah 1.39, or a top
// folder of the tree of paths of 1.28.
type cacheFolder struct {
	parent, name string // parent is "." or the folder of a user
	size         int64  // bytes
	used         time.Time
	tooLarge     bool
}

func (f cacheFolder) path() string { return path.Join(f.parent, f.name) }

// Limits for measuring one volume. A cache, or all of them, that exceeds these is removed in
// any case. They are many times larger than real caches of builds.
var (
	maxCaches   = 10_000
	cacheLimits = walk.Limits{Entries: 2_000_000, Depth: 200}
	// volumeEntries is the limit for files and folders of all caches together.
	volumeEntries = 10_000_000
)

// removedPrefix is the prefix of folders that were renamed and are being removed.
const removedPrefix = "removed-"

// TrimCacheMounts removes the least recently used cache folders until the rest has at most
// c.Limit bytes. It also removes a cache that is too large to be measured, and all caches of a
// user or volume with too many entries. It keeps caches that were used within c.OlderThan.
//
// Jobs wrote the content of the volume, and may change it at the same time. So TrimCacheMounts
// needs only limited memory, and follows no symbolic link. While no container can use the
// volume, it renames the folders; then it removes them. If ctx ends first, the next call
// removes the rest.
func TrimCacheMounts(ctx context.Context, c CacheFolders) (t Trimmed, err error) {
	top, err := walk.Open(c.Folder)
	if err != nil {
		return t, fmt.Errorf("cache mounts: %w", err)
	}
	defer top.Close()
	defer func() {
		if err != nil {
			err = fmt.Errorf("cache mounts in %s: %w", c.Folder, err)
		}
	}()
	if !c.DryRun {
		freed, err := walk.Remove(ctx, top, removedPrefix)
		t.Size, t.Removed = freed, freed
		if err != nil {
			return t, err
		}
	}
	m := measurement{left: volumeEntries}
	if err := m.volume(ctx, top); errors.Is(err, walk.ErrEntries) {
		m.all = []cacheFolder{{parent: ".", name: ".", tooLarge: true}}
	} else if err != nil {
		return t, err
	}
	due := c.due(m.all, &t)
	if len(due) == 0 {
		return t, nil
	}
	if c.DryRun {
		for _, f := range due {
			t.take(f)
		}
		return t, nil
	}
	release, alone, err := c.Alone()
	if err != nil {
		return t, err
	}
	if !alone {
		for _, f := range due {
			t.Busy = append(t.Busy, f.path())
		}
		return t, nil
	}
	err = takeAway(ctx, top, due, &t)
	release()
	_, left := walk.Remove(ctx, top, removedPrefix)
	return t, errors.Join(err, left)
}

func (t *Trimmed) take(f cacheFolder) {
	t.Removed += f.size
	t.Folders = append(t.Folders, f.path())
}

// due selects the folders to remove, and adds the size of all to t.Size.
func (c CacheFolders) due(all []cacheFolder, t *Trimmed) []cacheFolder {
	rest := int64(0)
	for _, f := range all {
		rest += f.size
	}
	t.Size += rest
	slices.SortFunc(all, func(a, b cacheFolder) int {
		switch {
		case a.tooLarge != b.tooLarge:
			return map[bool]int{true: -1, false: 1}[a.tooLarge]
		case !a.used.Equal(b.used):
			return a.used.Compare(b.used)
		}
		return cmp.Compare(b.size, a.size) // so that fewer are removed
	})
	var due []cacheFolder
	for _, f := range all {
		if !f.tooLarge && (rest <= c.Limit || f.size == 0 || time.Since(f.used) < c.OlderThan) {
			continue
		}
		due = append(due, f)
		rest -= f.size
	}
	return due
}

// takeAway renames the folders that walk.Remove removes later.
func takeAway(ctx context.Context, top *os.File, due []cacheFolder, t *Trimmed) error {
	for _, f := range due {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := f.takeAway(ctx, top); err != nil {
			return fmt.Errorf("cache mount %q: %w", f.path(), err)
		}
		t.take(f)
	}
	return nil
}

func (f cacheFolder) takeAway(ctx context.Context, top *os.File) error {
	if f.name == "." { // everything
		_, err := walk.Remove(ctx, top, "")
		return err
	}
	if f.parent == "." {
		return walk.Aside(top, f.name, top, removedPrefix)
	}
	parent, err := walk.OpenIn(top, f.parent)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer parent.Close()
	return walk.Aside(parent, f.name, top, removedPrefix)
}

// measurement measures the content of a volume.
type measurement struct {
	all  []cacheFolder
	left int // remaining entries that may be read
}

// volume measures all caches; walk.ErrEntries if there are too many entries.
func (m *measurement) volume(ctx context.Context, top *os.File) error {
	return walk.Names(ctx, top, func(name string) error {
		if strings.HasPrefix(name, removedPrefix) {
			return nil
		}
		if _, err := strconv.ParseUint(name, 10, 32); err == nil {
			if user, err := walk.OpenIn(top, name); err == nil {
				defer user.Close()
				return m.user(ctx, user, name)
			}
		}
		return m.cache(ctx, top, cacheFolder{parent: ".", name: name})
	})
}

// user measures the caches of one user. If there are too many, the user's folder counts as one
// cache that is too large.
func (m *measurement) user(ctx context.Context, folder *os.File, number string) error {
	others := len(m.all)
	err := walk.Names(ctx, folder, func(name string) error {
		return m.cache(ctx, folder, cacheFolder{parent: number, name: name})
	})
	if errors.Is(err, walk.ErrEntries) && m.left > 0 && others < maxCaches {
		m.all = append(m.all[:others], cacheFolder{parent: ".", name: number, tooLarge: true})
		return nil
	}
	return err
}

// cache measures the size and last use of one cache. Read times are precise to one day
// (mount(2), MS_RELATIME). Those of folders are ignored, because measuring changes them.
func (m *measurement) cache(ctx context.Context, parent *os.File, f cacheFolder) error {
	if len(m.all) >= maxCaches || m.left <= 0 {
		return walk.ErrEntries
	}
	now := time.Now()
	add := func(s *unix.Stat_t) {
		m.left--
		bytes := s.Blocks * 512
		isDir := s.Mode&unix.S_IFMT == unix.S_IFDIR
		if s.Nlink > 1 && !isDir {
			bytes /= int64(s.Nlink) // the other hard links are in the same volume
		}
		f.size += bytes
		used := time.Unix(s.Mtim.Unix())
		if read := time.Unix(s.Atim.Unix()); !isDir && read.After(used) {
			used = read
		}
		if used.After(now) { // a job can set any time
			used = now
		}
		if used.After(f.used) {
			f.used = used
		}
	}
	var s unix.Stat_t
	if err := unix.Fstatat(int(parent.Fd()), f.name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil // a job has removed it
	}
	add(&s)
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		folder, err := walk.OpenIn(parent, f.name)
		if err != nil {
			return nil
		}
		defer folder.Close()
		limits := cacheLimits
		limits.Entries = max(1, min(limits.Entries, m.left))
		err = walk.Tree(ctx, folder, limits, func(e *walk.Entry) error { add(&e.Stat); return nil })
		f.tooLarge = errors.Is(err, walk.ErrEntries) || errors.Is(err, walk.ErrDepth)
		if err != nil && !f.tooLarge {
			return err
		}
	}
	m.all = append(m.all, f)
	return nil
}
